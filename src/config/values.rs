//! A `serde` deserializer over TOML values, with errors for operators. The errors of `toml` itself
//! are for programmers ("expected usize"); these say what to write.

use std::fmt::{self, Display};
use std::vec;

use serde::de::value::MapDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::{Table, Value};

/// The fault of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The value is not of this kind.
    Not(String),
    /// A sentence that does not need the value.
    Said(String),
    /// The table has a key that is not in this list.
    Unknown(&'static [&'static str]),
}

/// The keys of a section's struct, in their order. The struct must be `deny_unknown_fields`: the
/// error about an unknown key lists them.
pub(super) fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let stranger = Table::from_iter([("?".to_owned(), Value::Boolean(true))]);
    match T::deserialize(Read(Value::Table(stranger))) {
        Err(Wrong::Unknown(keys)) => keys,
        Ok(_) | Err(Wrong::Not(_) | Wrong::Said(_)) => &[],
    }
}

/// A value to deserialize from.
pub(super) struct Read(pub(super) Value);

impl<'de> Deserializer<'de> for Read {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(values) => visitor.visit_seq(Items(values.into_iter())),
            Value::Table(table) => {
                let entries = table.into_iter().map(|(key, value)| (key, Self(value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.into_deserializer()),
            _ => Err(Wrong::unknown_variant("", variants)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// The items of a list. A fault of an item is reported for the whole list.
struct Items(vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let item = self.0.next().map(|value| seed.deserialize(Read(value)));
        item.transpose().map_err(|wrong| match wrong {
            Wrong::Not(expected) if expected == TEXT => Wrong::Not(LIST.to_owned()),
            other => other,
        })
    }
}

impl IntoDeserializer<'_, Wrong> for Read {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Error for Wrong {
    fn custom<T: Display>(sentence: T) -> Self {
        Self::Said(sentence.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::Not(match expected.to_string().as_str() {
            "a string" | "path string" => TEXT.to_owned(),
            "a sequence" => LIST.to_owned(),
            "a boolean" => "true or false".to_owned(),
            "usize" => "a whole number".to_owned(),
            other => other.to_owned(),
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        let names: Vec<_> = expected.iter().map(|name| format!("\"{name}\"")).collect();
        Self::Not(names.join(" or "))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown(expected)
    }
}

const TEXT: &str = "a text in quotes";
const LIST: &str = "a list of texts such as [\"a\", \"b\"]";

impl Wrong {
    /// The message about the value.
    pub(super) fn about(&self, value: &Value) -> String {
        match self {
            Self::Not(expected) if value.is_table() => format!("a table is not {expected}"),
            // A value that should have been a text may contain a password, as a URL may.
            Self::Not(expected) if value.is_array() && expected == TEXT => {
                format!("a list is not {expected}")
            }
            Self::Not(expected) => format!("{value} is not {expected}"),
            Self::Said(_) | Self::Unknown(_) => self.to_string(),
        }
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Not(expected) => write!(f, "is not {expected}"),
            Self::Said(sentence) => f.write_str(sentence),
            Self::Unknown(_) => f.write_str("has an unknown key"),
        }
    }
}

impl std::error::Error for Wrong {}

//! What was seen of a store, as the settings of `[backend]` that follow from it. Pure.

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};

use crate::config::Checksums;
use crate::s3::{DotSegments, EmptySegments, Understood};

/// A setting of `[backend]` that follows from what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// `checksums`
    Checksums(Checksums),
    /// `dot_segments`
    DotSegments(DotSegments),
    /// `empty_segments`
    EmptySegments(EmptySegments),
    /// `subresources`
    Subresources(Understood),
}

impl Setting {
    /// Its key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Checksums(_) => "checksums",
            Self::DotSegments(_) => "dot_segments",
            Self::EmptySegments(_) => "empty_segments",
            Self::Subresources(_) => "subresources",
        }
    }

    /// Its value in TOML.
    pub fn value(self) -> String {
        match self {
            Self::Checksums(Checksums::Send) => "\"send\"".to_owned(),
            Self::Checksums(Checksums::Drop) => "\"drop\"".to_owned(),
            Self::DotSegments(DotSegments::Kept) | Self::EmptySegments(EmptySegments::Kept) => {
                "\"keep\"".to_owned()
            }
            Self::DotSegments(DotSegments::Refused)
            | Self::EmptySegments(EmptySegments::Refused) => "\"refuse\"".to_owned(),
            Self::Subresources(understood) => {
                let names: Vec<_> = understood.names().map(|name| format!("\"{name}\"")).collect();
                format!("[{}]", names.join(", "))
            }
        }
    }

    /// The line of a file.
    pub fn line(self) -> String {
        format!("{} = {}", self.key(), self.value())
    }

    /// Of two places, of which any may get a request, the setting that is right for both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Subresources(one), Self::Subresources(other)) => {
                Self::Subresources(Understood::from_bits(one.bits() & other.bits()))
            }
            (one, other) if other.is_careful() => {
                debug_assert_eq!(one.key(), other.key());
                other
            }
            (one, _) => one,
        }
    }

    /// Whether it is right whatever else is seen at other places.
    const fn is_careful(self) -> bool {
        match self {
            Self::Checksums(value) => matches!(value, Checksums::Drop),
            Self::DotSegments(value) => matches!(value, DotSegments::Refused),
            Self::EmptySegments(value) => matches!(value, EmptySegments::Refused),
            Self::Subresources(_) => false,
        }
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut pair = to.serialize_struct("Setting", 2)?;
        pair.serialize_field("key", self.key())?;
        pair.serialize_field("value", &self.value())?;
        pair.end()
    }
}

/// The settings for a store of which each node has shown these, in the order of their keys; each key at
/// most once. A node of which a thing is not known proves nothing: then only a setting that trusts the
/// store with less follows from the others.
pub fn merged(nodes: &[Vec<Setting>]) -> Vec<Setting> {
    let mut keys: Vec<_> = nodes.iter().flatten().map(|seen| seen.key()).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |key: &str| {
        let seen: Vec<_> = nodes
            .iter()
            .filter_map(|node| node.iter().copied().find(|seen| seen.key() == key))
            .collect();
        let all = seen.iter().copied().reduce(Setting::with)?;
        (seen.len() == nodes.len() || all.is_careful()).then_some(all)
    };
    keys.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::Subresource;

    const KEEPS: Setting = Setting::EmptySegments(EmptySegments::Kept);
    const FOLDS: Setting = Setting::EmptySegments(EmptySegments::Refused);
    const TAKES: Setting = Setting::Checksums(Checksums::Send);

    #[test]
    fn nodes_that_differ_give_the_careful_setting_once() {
        for nodes in [[vec![KEEPS], vec![FOLDS]], [vec![FOLDS], vec![KEEPS]]] {
            assert_eq!(merged(&nodes), [FOLDS]);
        }
        assert_eq!(merged(&[vec![KEEPS, TAKES], vec![TAKES, KEEPS]]), [TAKES, KEEPS]);
        let knows = |known: &[Subresource]| {
            vec![Setting::Subresources(known.iter().copied().collect::<Understood>())]
        };
        let both = [Subresource::Acl, Subresource::Tagging];
        let seen = merged(&[knows(&both), knows(&both[1..])]);
        assert_eq!(seen, knows(&both[1..]));
        assert_eq!(seen[0].line(), "subresources = [\"tagging\"]");
    }

    #[test]
    fn what_a_node_did_not_show_is_not_trusted() {
        assert_eq!(merged(&[vec![KEEPS], vec![]]), []);
        assert_eq!(merged(&[vec![FOLDS], vec![]]), [FOLDS], "that is enough");
        assert_eq!(merged(&[]), []);
    }
}

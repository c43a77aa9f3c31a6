//! Decoding of the steps' answers.

use std::time::Duration;
use std::vec;

use redis::Value;

use super::error::CallError;
use super::format::{state_of, terms_differ};
use crate::register::types::Millis;
use crate::register::{
    AnswerHeaders, Ending, EpochId, Generation, InDoubt, RegisterError, State, Upload, UploadName,
    WriteId,
};

/// A step's answer: the register's clock, a word that names the kind of answer, and its values.
#[derive(Debug)]
pub(super) struct Reply {
    /// When Redis answered, on its own clock.
    pub(super) at: Millis,
    word: String,
    /// The epoch whose generations follow, once it was read.
    epoch: Option<EpochId>,
    rest: vec::IntoIter<Value>,
}

impl Reply {
    /// Reads an answer; a refusal becomes an error. `mine` are this proxy's terms.
    pub(super) fn read(value: Value, mine: &str) -> Result<Self, CallError> {
        let Value::Array(items) = value else { return Err(strange("no list").into()) };
        let (at, rest) = (Millis(0), items.into_iter());
        let mut reply = Self { at, word: String::new(), epoch: None, rest };
        reply.at = Millis(reply.number()?);
        reply.word = reply.text()?;
        match reply.word.as_str() {
            "replica" => Err(CallError::Demoted),
            "terms" => Err(RegisterError::Unsuitable(terms_differ(&reply.text()?, mine)).into()),
            _ => Ok(reply),
        }
    }

    /// The word that names the kind of answer.
    pub(super) fn word(&self) -> &str {
        &self.word
    }

    /// The error for an answer whose word the step does not know.
    pub(super) fn unknown(&self) -> RegisterError {
        strange(&self.word)
    }

    /// `true` for `ok`, `false` for `lost`.
    pub(super) fn is_ok(&self) -> Result<bool, RegisterError> {
        match self.word() {
            "ok" => Ok(true),
            "lost" => Ok(false),
            _ => Err(self.unknown()),
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, RegisterError> {
        match self.rest.next() {
            // The protocol counts in milliseconds since 1970 and up: none is negative.
            Some(Value::Int(number)) => u64::try_from(number).map_err(|_| strange("below zero")),
            _ => Err(strange("no number")),
        }
    }

    pub(super) fn duration(&mut self) -> Result<Duration, RegisterError> {
        self.number().map(Duration::from_millis)
    }

    /// A duration, or that there is none.
    pub(super) fn optional_duration(&mut self) -> Result<Option<Duration>, RegisterError> {
        match self.rest.next() {
            Some(Value::Int(ms)) => {
                let ms = u64::try_from(ms).map_err(|_| strange("below zero"))?;
                Ok(Some(Duration::from_millis(ms)))
            }
            Some(Value::Nil) => Ok(None),
            _ => Err(strange("no duration")),
        }
    }

    pub(super) fn state(&mut self) -> Result<State, RegisterError> {
        self.bytes()?.and_then(|text| state_of(&text)).ok_or_else(|| strange("no state"))
    }

    /// A state, or that there is none.
    pub(super) fn optional_state(&mut self) -> Result<Option<State>, RegisterError> {
        self.bytes()?.map(|text| state_of(&text).ok_or_else(|| strange("no state"))).transpose()
    }

    /// The epoch. Generations of this answer are its.
    pub(super) fn epoch(&mut self) -> Result<EpochId, RegisterError> {
        let epoch = EpochId(self.text()?);
        self.epoch = Some(epoch.clone());
        Ok(epoch)
    }

    pub(super) fn generation(&mut self) -> Result<Option<Generation>, RegisterError> {
        match (self.rest.next(), &self.epoch) {
            (Some(Value::Int(number)), Some(epoch)) => {
                Ok(Some(Generation::numbered(epoch, number)))
            }
            (Some(Value::Nil), _) => Ok(None),
            _ => Err(strange("no generation")),
        }
    }

    pub(super) fn write_id(&mut self) -> Result<Option<WriteId>, RegisterError> {
        self.optional_text().map(|text| text.map(WriteId))
    }

    /// The write of a doubt, its generation, and how long the state before it is young, if there is a
    /// doubt.
    pub(super) fn in_doubt(&mut self) -> Result<Option<InDoubt>, RegisterError> {
        Ok(match (self.write_id()?, self.generation()?, self.duration()?) {
            (Some(write_id), Some(generation), pre_young_for) => {
                Some(InDoubt { write_id, generation, pre_young_for })
            }
            (None, None, _) => None,
            (_, _, _) => return Err(strange("half a doubt")),
        })
    }

    /// The upload with this name, if the register knows it.
    pub(super) fn upload(
        &mut self,
        asked: Option<&UploadName>,
    ) -> Result<Option<Upload>, RegisterError> {
        let (true, Some(name)) = (self.number()? == 1, asked) else { return Ok(None) };
        Ok(Some(Upload {
            name: name.clone(),
            generation: self.generation()?,
            pending: self.generation()?,
            at: Millis(self.number()?),
        }))
    }

    pub(super) fn ending(&mut self) -> Result<Ending, RegisterError> {
        self.epoch()?;
        let (kind, generation, state) = (self.text()?, self.generation()?, self.bytes()?);
        let headers = AnswerHeaders::from(self.text()?);
        match (kind.as_str(), generation, state) {
            ("L", Some(generation), Some(state)) => {
                let state = state_of(&state).ok_or_else(|| strange("no state"))?;
                Ok(Ending::Landed { state, generation, headers })
            }
            ("U", Some(generation), _) => Ok(Ending::Undetermined { generation }),
            ("R", None, Some(code)) => {
                let code = String::from_utf8(code).map_err(|_| strange("a code"))?;
                Ok(Ending::Refused { code })
            }
            _ => Err(strange("no ending")),
        }
    }

    /// The rest, which is lists of strings.
    pub(super) fn lists(self) -> impl Iterator<Item = Result<Vec<Vec<u8>>, RegisterError>> {
        let string = |value| match value {
            Value::BulkString(bytes) => Ok(bytes),
            _ => Err(strange("no string")),
        };
        self.rest.map(move |list| match list {
            Value::Array(values) => values.into_iter().map(string).collect(),
            _ => Err(strange("no list")),
        })
    }

    pub(super) fn text(&mut self) -> Result<String, RegisterError> {
        self.optional_text()?.ok_or_else(|| strange("no text"))
    }

    fn optional_text(&mut self) -> Result<Option<String>, RegisterError> {
        let text = self.bytes()?.map(String::from_utf8).transpose();
        text.map_err(|_| strange("text that is not UTF-8"))
    }

    pub(super) fn bytes(&mut self) -> Result<Option<Vec<u8>>, RegisterError> {
        match self.rest.next() {
            Some(Value::BulkString(bytes)) => Ok(Some(bytes)),
            Some(Value::Nil) => Ok(None),
            _ => Err(strange("no string")),
        }
    }
}

pub(super) fn strange(what: &str) -> RegisterError {
    RegisterError::Unsuitable(format!(
        "a step answered what this version does not understand ({what}). Let only ifmatch write \
         under register.namespace"
    ))
}

//! The master that most of the Sentinels name.
//!
//! Each is asked directly. Two majorities of the same Sentinels have one in common: once one proxy
//! has been told of a new master by most, none is told of the old one by most.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::mpsc;

use super::masters::Masters;
use super::peer::{Unanswered, Voter};
use crate::register::RegisterError;
use crate::register::redis::node::connections::login;
use crate::register::redis::settings::{Address, SentinelPlace};

/// All Sentinels of a master.
#[derive(Debug)]
pub(super) struct Sentinels {
    voters: Vec<Arc<Voter>>,
    master: String,
    question: Arc<Pipeline>,
}

/// What one Sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// This is the master; said by the Sentinel of this id.
    Names(Address, String),
    /// Nothing now, for this reason.
    Silent(String),
    /// Nothing until an operator acts, as this sentence says.
    Unfit(String),
}

/// What all of them have said so far.
#[derive(Debug)]
struct Ballot {
    master: String,
    words: Vec<(Address, Option<Word>)>,
}

impl Sentinels {
    pub(super) fn new(place: &SentinelPlace) -> Self {
        let login = login(place.username.as_deref(), place.password.as_ref(), 0);
        let voter = |address: &Address| Arc::new(Voter::new(address.clone(), login.clone()));
        let mut question = Pipeline::new();
        question.ignore_errors();
        question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&place.master);
        question.cmd("SENTINEL").arg("MYID");
        Self {
            voters: place.sentinels.iter().map(voter).collect(),
            master: place.master.clone(),
            question: Arc::new(question),
        }
    }

    /// Asks all of them, and waits until most say the same.
    pub(super) async fn ask(&self, patience: Duration) -> Result<Masters, RegisterError> {
        let (tell, mut told) = mpsc::unbounded_channel();
        for (number, voter) in self.voters.iter().enumerate() {
            let (voter, question, tell) =
                (Arc::clone(voter), Arc::clone(&self.question), tell.clone());
            // On its own, so that one which is slower than the majority keeps its connection.
            tokio::spawn(async move {
                let word = word_of(voter.ask(&question, patience).await);
                // Nobody listens any more where most have spoken.
                let _ = tell.send((number, word));
            });
        }
        drop(tell);
        let mut ballot = Ballot::of(self);
        while let Some((number, word)) = told.recv().await {
            ballot.add(number, word);
            if let Some(address) = ballot.winner() {
                return Ok(Masters::all_at(address));
            }
        }
        Err(ballot.failure())
    }
}

/// An answer as a word.
fn word_of(answer: Result<Vec<Value>, Unanswered>) -> Word {
    let values = match answer {
        Ok(values) => values,
        Err(refused) if refused.is_login() => return Word::Unfit(LOGIN.to_owned()),
        Err(refused) if refused.is_permission() => return Word::Unfit(PERMISSION.to_owned()),
        Err(Unanswered::Silent(why)) => return Word::Silent(why),
        Err(Unanswered::Error(error)) => {
            let said = Unanswered::Error(error).to_string();
            return Word::Unfit(format!("answers {said:?}: that is no Sentinel"));
        }
    };
    let strange = || Word::Unfit("answers what this version does not understand".to_owned());
    let Ok([master, id]) = <[Value; 2]>::try_from(values) else { return strange() };
    if master == Value::Nil {
        return Word::Unfit(String::new());
    }
    match (redis::from_redis_value::<(String, u16)>(master), redis::from_redis_value(id)) {
        (Ok((host, port)), Ok(id)) => Word::Names(Address { host, port }, id),
        (_, _) => strange(),
    }
}

impl Ballot {
    fn of(sentinels: &Sentinels) -> Self {
        let word = |voter: &Arc<Voter>| (voter.address().clone(), None);
        Self {
            master: sentinels.master.clone(),
            words: sentinels.voters.iter().map(word).collect(),
        }
    }

    /// One that is listed under two names has one voice.
    fn add(&mut self, number: usize, word: Word) {
        let twin = self.words.iter().find(|(_, said)| match (said, &word) {
            (Some(Word::Names(_, before)), Word::Names(_, id)) => before == id,
            (_, _) => false,
        });
        let word = match twin {
            Some((twin, _)) => Word::Unfit(format!("is the same as {twin}. Name each once")),
            None => word,
        };
        self.words[number].1 = Some(word);
    }

    fn majority(&self) -> usize {
        self.words.len() / 2 + 1
    }

    /// The address that most name.
    fn winner(&self) -> Option<&Address> {
        self.named().find(|address| {
            self.named().filter(|other| other == address).count() >= self.majority()
        })
    }

    fn named(&self) -> impl Iterator<Item = &Address> {
        self.words.iter().filter_map(|(_, word)| match word {
            Some(Word::Names(address, _)) => Some(address),
            Some(Word::Silent(_) | Word::Unfit(_)) | None => None,
        })
    }

    /// Why there is no winner. Where too many can say nothing until an operator acts, one must act.
    fn failure(&self) -> RegisterError {
        let unfit = self.words.iter().filter(|(_, word)| matches!(word, Some(Word::Unfit(_))));
        let operator = self.words.len() - unfit.count() < self.majority();
        let master = &self.master;
        let each: Vec<_> = self
            .words
            .iter()
            .map(|(sentinel, word)| match word {
                Some(Word::Names(address, _)) => format!("{sentinel} names {address}"),
                Some(Word::Silent(why)) => format!("{sentinel} does not answer ({why})"),
                Some(Word::Unfit(why)) if why.is_empty() => {
                    format!("{sentinel} does not know a master {master:?}")
                }
                Some(Word::Unfit(why)) => format!("{sentinel} {why}"),
                None => format!("{sentinel} says nothing"),
            })
            .collect();
        let count = self.words.len();
        let sentence = format!(
            "no master {master:?} is named by most of its {count} Sentinels: {}",
            each.join("; ")
        );
        if operator {
            RegisterError::Unsuitable(sentence)
        } else {
            RegisterError::Unreachable(sentence)
        }
    }
}

const LOGIN: &str = "refuses the user name or the password. Set register.sentinel_username and \
                     register.sentinel_password";
const PERMISSION: &str = "does not let its user ask. Allow him +sentinel|get-master-addr-by-name and \
                          +sentinel|myid";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address { host: "host".to_owned(), port }
    }

    fn ballot(words: &[Word]) -> Ballot {
        let silent = (1..).zip(words).map(|(port, _)| (at(port), None)).collect();
        let mut ballot = Ballot { master: "main".to_owned(), words: silent };
        for (number, word) in words.iter().enumerate() {
            let word = match word {
                // Each is another one unless a test says who it is.
                Word::Names(address, id) if id.is_empty() => {
                    Word::Names(address.clone(), number.to_string())
                }
                word => word.clone(),
            };
            ballot.add(number, word);
        }
        ballot
    }

    fn names(port: u16) -> Word {
        Word::Names(at(port), String::new())
    }

    fn named_by(id: &str) -> Word {
        Word::Names(at(7), id.to_owned())
    }

    fn silent() -> Word {
        Word::Silent("refused".to_owned())
    }

    fn unknown() -> Word {
        Word::Unfit(String::new())
    }

    #[test]
    fn a_master_is_who_most_of_all_sentinels_name_not_most_of_those_who_answer() {
        for (words, winner) in [
            (vec![names(7), names(7), names(7)], Some(7)),
            (vec![names(7), unknown(), names(7)], Some(7)),
            (vec![silent(), names(8), names(8)], Some(8)),
            (vec![names(7), names(8), names(8)], Some(8)),
            (vec![names(7), silent(), silent()], None),
            (vec![names(7), names(8), silent()], None),
            (vec![names(7)], Some(7)),
            (vec![named_by("one"), named_by("one"), silent()], None),
            (vec![named_by("one"), named_by("one"), named_by("two")], Some(7)),
            (vec![names(7), silent()], None),
            (vec![names(7), names(7), silent(), silent()], None),
            (vec![names(7), names(8), names(9), names(7), names(7)], Some(7)),
        ] {
            let ballot = ballot(&words);
            assert_eq!(ballot.winner(), winner.map(at).as_ref(), "{words:?}");
        }
    }

    #[test]
    fn an_operator_is_called_only_where_waiting_cannot_help() {
        for (words, operator, said) in [
            (vec![silent(), silent(), silent()], false, "host:1 does not answer (refused)"),
            (vec![names(7), names(8), silent()], false, "host:2 names host:8"),
            (vec![unknown(), names(7), silent()], false, "host:1 does not know a master \"main\""),
            (vec![named_by("one"), named_by("one")], true, "host:2 is the same as host:1"),
            (vec![unknown(), names(7), unknown()], true, "host:3 does not know a master \"main\""),
            (vec![Word::Unfit(LOGIN.to_owned())], true, "register.sentinel_password"),
        ] {
            match ballot(&words).failure() {
                RegisterError::Unreachable(text) => assert!(!operator && text.contains(said)),
                RegisterError::Unsuitable(text) => assert!(operator && text.contains(said)),
                RegisterError::Full(text) | RegisterError::Disowned(text) => panic!("{text}"),
            }
        }
    }

    #[test]
    fn what_a_sentinel_answers_becomes_a_word() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let pair = Value::Array(vec![text("::1"), text("6379")]);
        let named = word_of(Ok(vec![pair.clone(), text("id")]));
        let address = Address { host: "::1".to_owned(), port: 6379 };
        assert_eq!(named, Word::Names(address, "id".to_owned()));
        assert_eq!(word_of(Ok(vec![Value::Nil, text("id")])), Word::Unfit(String::new()));
        for strange in [vec![Value::Int(1), text("id")], vec![pair], vec![]] {
            let word = word_of(Ok(strange));
            assert!(matches!(&word, Word::Unfit(why) if !why.is_empty()), "{word:?}");
        }
        let error = |code: &str| {
            let error = redis::make_extension_error(code.to_owned(), Some("more".to_owned()));
            word_of(Err(Unanswered::Error(error)))
        };
        for (code, said) in
            [("NOAUTH", "password"), ("NOPERM", "Allow him"), ("WHAT", "that is no Sentinel")]
        {
            let word = error(code);
            assert!(matches!(&word, Word::Unfit(why) if why.contains(said)), "{code}: {word:?}");
        }
    }
}

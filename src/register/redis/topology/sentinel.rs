//! The master that a majority of the Sentinels name.
//!
//! Each Sentinel is asked directly. Two majorities of the same Sentinels have one Sentinel in common:
//! once a majority has named a new master to one proxy, no majority names the old one to another.

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::mpsc;

use super::masters::Masters;
use super::peer::{Peer, Unanswered};
use crate::register::RegisterError;
use crate::register::redis::node::connections::{Access, login};
use crate::register::redis::node::transport::RegisterTls;
use crate::register::redis::settings::{Address, SentinelTopology};

/// All Sentinels of a master.
#[derive(Debug)]
pub(super) struct Sentinels {
    peers: Vec<Arc<Peer>>,
    master: String,
    question: Arc<Pipeline>,
}

/// The answer of one Sentinel.
#[derive(Debug)]
enum Vote {
    /// The Sentinel with this id names this address of the master.
    Names(Address, String),
    /// The Sentinel names no address.
    Abstains(Abstention),
}

/// Why a Sentinel names no master. The text follows the Sentinel's address.
#[derive(Debug, thiserror::Error)]
enum Abstention {
    #[error("does not answer ({0})")]
    Silent(String),
    #[error("does not know a master {master:?}")]
    UnknownMaster { master: String },
    #[error(
        "refuses the user name or the password. Set register.sentinel_username and \
         register.sentinel_password"
    )]
    Login,
    #[error(
        "does not let its user ask. Give it +sentinel|get-master-addr-by-name and \
         +sentinel|myid"
    )]
    Permission,
    #[error("answers {said:?}: that is no Sentinel")]
    NoSentinel { said: String },
    #[error("answers what this version does not understand")]
    Strange,
    #[error("is the same as {twin}. Name each once")]
    Twin { twin: Address },
}

impl Abstention {
    /// Will the Sentinel go on abstaining until an operator acts?
    fn needs_operator(&self) -> bool {
        match self {
            Self::Silent(_) => false,
            Self::UnknownMaster { .. }
            | Self::Login
            | Self::Permission
            | Self::NoSentinel { .. }
            | Self::Strange
            | Self::Twin { .. } => true,
        }
    }
}

/// The votes of all Sentinels so far.
#[derive(Debug)]
struct Tally {
    master: String,
    votes: Vec<(Address, Option<Vote>)>,
}

impl Sentinels {
    /// Sentinels have a login of their own; TLS is the masters'.
    pub(super) fn new(settings: &SentinelTopology, tls: Option<Arc<RegisterTls>>) -> Self {
        let login = login(settings.username.as_deref(), settings.password.as_ref(), 0);
        let access = Access { login, tls };
        let peer = |address: &Address| Arc::new(Peer::new(address.clone(), access.clone()));
        let mut question = Pipeline::new();
        question.ignore_errors();
        question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&settings.master);
        question.cmd("SENTINEL").arg("MYID");
        Self {
            peers: settings.sentinels.iter().map(peer).collect(),
            master: settings.master.clone(),
            question: Arc::new(question),
        }
    }

    /// Asks all Sentinels, and waits until a majority names the same master.
    pub(super) async fn ask(&self, patience: Duration) -> Result<Masters, RegisterError> {
        let (tell, mut told) = mpsc::unbounded_channel();
        for (number, peer) in self.peers.iter().enumerate() {
            let (peer, question, tell) =
                (Arc::clone(peer), Arc::clone(&self.question), tell.clone());
            let master = self.master.clone();
            // A task of its own, so that a Sentinel which is slower than the majority keeps its
            // connection.
            tokio::spawn(async move {
                let vote = Vote::of(peer.ask(&question, patience).await, master);
                // The receiver is gone where a majority has spoken.
                let _ = tell.send((number, vote));
            });
        }
        drop(tell);
        let mut tally = Tally::of(self);
        while let Some((number, vote)) = told.recv().await {
            tally.add(number, vote);
            if let Some(address) = tally.winner() {
                return Ok(Masters::all_at(address));
            }
        }
        Err(tally.failure())
    }
}

impl Vote {
    /// Reads a Sentinel's answer about this master.
    fn of(answer: Result<Vec<Value>, Unanswered>, master: String) -> Self {
        answer
            .map_err(Abstention::from)
            .and_then(|values| named_in(values, master))
            .map_or_else(Self::Abstains, |(address, id)| Self::Names(address, id))
    }
}

impl From<Unanswered> for Abstention {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Silent(why) => Self::Silent(why),
            refused @ Unanswered::Error(_) if refused.is_login() => Self::Login,
            refused @ Unanswered::Error(_) if refused.is_permission() => Self::Permission,
            refused @ Unanswered::Error(_) => Self::NoSentinel { said: refused.to_string() },
        }
    }
}

/// The master's address and the Sentinel's id.
fn named_in(values: Vec<Value>, name: String) -> Result<(Address, String), Abstention> {
    let [master, id] = <[Value; 2]>::try_from(values).map_err(|_| Abstention::Strange)?;
    if master == Value::Nil {
        return Err(Abstention::UnknownMaster { master: name });
    }
    match (redis::from_redis_value::<(String, u16)>(master), redis::from_redis_value(id)) {
        (Ok((host, port)), Ok(id)) => Ok((Address { host, port }, id)),
        (_, _) => Err(Abstention::Strange),
    }
}

impl Tally {
    fn of(sentinels: &Sentinels) -> Self {
        let vote = |peer: &Arc<Peer>| (peer.address().clone(), None);
        Self { master: sentinels.master.clone(), votes: sentinels.peers.iter().map(vote).collect() }
    }

    /// A Sentinel that is listed under two addresses has one vote.
    fn add(&mut self, number: usize, vote: Vote) {
        let twin = self.votes.iter().find(|(_, cast)| match (cast, &vote) {
            (Some(Vote::Names(_, before)), Vote::Names(_, id)) => before == id,
            (_, _) => false,
        });
        let vote = match twin {
            Some((twin, _)) => Vote::Abstains(Abstention::Twin { twin: twin.clone() }),
            None => vote,
        };
        self.votes[number].1 = Some(vote);
    }

    fn majority(&self) -> usize {
        self.votes.len() / 2 + 1
    }

    /// The address that a majority of all Sentinels names.
    fn winner(&self) -> Option<&Address> {
        self.named().find(|address| {
            self.named().filter(|other| other == address).count() >= self.majority()
        })
    }

    fn named(&self) -> impl Iterator<Item = &Address> {
        self.votes.iter().filter_map(|(_, vote)| match vote {
            Some(Vote::Names(address, _)) => Some(address),
            Some(Vote::Abstains(_)) | None => None,
        })
    }

    /// Why no address has a majority. An operator must act where too many Sentinels abstain until
    /// an operator acts.
    fn failure(&self) -> RegisterError {
        let lost = self.votes.iter().filter(|(_, vote)| match vote {
            Some(Vote::Abstains(why)) => why.needs_operator(),
            Some(Vote::Names(..)) | None => false,
        });
        let needs_operator = self.votes.len() - lost.count() < self.majority();
        let each: Vec<_> = self
            .votes
            .iter()
            .map(|(sentinel, vote)| match vote {
                Some(Vote::Names(address, _)) => format!("{sentinel} names {address}"),
                Some(Vote::Abstains(why)) => format!("{sentinel} {why}"),
                None => format!("{sentinel} says nothing"),
            })
            .collect();
        let sentence = format!(
            "no master {:?} is named by most of its {} Sentinels: {}",
            self.master,
            self.votes.len(),
            each.join("; ")
        );
        if needs_operator {
            RegisterError::Unsuitable(sentence)
        } else {
            RegisterError::Unreachable(sentence)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "main";

    fn at(port: u16) -> Address {
        Address { host: "host".to_owned(), port }
    }

    fn tally(votes: Vec<Vote>) -> Tally {
        let silent = (1..).zip(&votes).map(|(port, _)| (at(port), None)).collect();
        let mut tally = Tally { master: MASTER.to_owned(), votes: silent };
        for (number, vote) in votes.into_iter().enumerate() {
            let vote = match vote {
                // Each vote is of a different Sentinel, unless a test gives an id.
                Vote::Names(address, id) if id.is_empty() => {
                    Vote::Names(address, number.to_string())
                }
                vote => vote,
            };
            tally.add(number, vote);
        }
        tally
    }

    fn names(port: u16) -> Vote {
        Vote::Names(at(port), String::new())
    }

    fn named_by(id: &str) -> Vote {
        Vote::Names(at(7), id.to_owned())
    }

    fn silent() -> Vote {
        Vote::Abstains(Abstention::Silent("refused".to_owned()))
    }

    fn unknown() -> Vote {
        Vote::Abstains(Abstention::UnknownMaster { master: MASTER.to_owned() })
    }

    fn of(answer: Result<Vec<Value>, Unanswered>) -> Vote {
        Vote::of(answer, MASTER.to_owned())
    }

    #[test]
    fn a_master_is_named_by_most_of_all_sentinels_not_of_those_that_answer() {
        for (votes, winner) in [
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
            let tally = tally(votes);
            assert_eq!(tally.winner(), winner.map(at).as_ref(), "{tally:?}");
        }
    }

    #[test]
    fn an_operator_is_called_only_where_waiting_cannot_help() {
        let login = || Vote::Abstains(Abstention::Login);
        for (votes, operator, said) in [
            (vec![silent(), silent(), silent()], false, "host:1 does not answer (refused)"),
            (vec![names(7), names(8), silent()], false, "host:2 names host:8"),
            (vec![unknown(), names(7), silent()], false, "host:1 does not know a master \"main\""),
            (vec![named_by("one"), named_by("one")], true, "host:2 is the same as host:1"),
            (vec![unknown(), names(7), unknown()], true, "host:3 does not know a master \"main\""),
            (vec![login()], true, "register.sentinel_password"),
        ] {
            match tally(votes).failure() {
                RegisterError::Unreachable(text) => assert!(!operator && text.contains(said)),
                RegisterError::Unsuitable(text) => assert!(operator && text.contains(said)),
                RegisterError::Full(text) | RegisterError::Disowned(text) => panic!("{text}"),
            }
        }
    }

    #[test]
    fn what_a_sentinel_answers_becomes_a_vote() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let pair = Value::Array(vec![text("::1"), text("6379")]);
        let named = of(Ok(vec![pair.clone(), text("id")]));
        let address = Address { host: "::1".to_owned(), port: 6379 };
        assert!(matches!(named, Vote::Names(at, id) if at == address && id == "id"));
        let unknown = of(Ok(vec![Value::Nil, text("id")]));
        assert!(matches!(unknown, Vote::Abstains(Abstention::UnknownMaster { .. })), "{unknown:?}");
        for strange in [vec![Value::Int(1), text("id")], vec![pair], vec![]] {
            let vote = of(Ok(strange));
            assert!(matches!(vote, Vote::Abstains(Abstention::Strange)), "{vote:?}");
        }
        for (code, said) in
            [("NOAUTH", "password"), ("NOPERM", "Give it"), ("WHAT", "that is no Sentinel")]
        {
            let error = redis::make_extension_error(code.to_owned(), Some("more".to_owned()));
            let vote = of(Err(Unanswered::Error(error)));
            let Vote::Abstains(why) = vote else { panic!("{code}: {vote:?}") };
            assert!(why.to_string().contains(said), "{code}: {why}");
        }
    }
}

//! Many writers at once, whose condition holds for one of them only: a store that checks first and writes
//! then lets several succeed. A race that is seen is proof; none seen proves nothing.

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;

use super::super::ask::Ask;
use super::super::finding::{CaseFinding, Finding, Level};
use super::super::site::Site;
use super::super::talk::{Standing, Talk, Where, completion};
use super::super::trouble::Trouble;
use super::verdict::Said;
use crate::backend::Answer;
use crate::s3::ObjectName;

/// How many writers there are.
pub const WRITERS: usize = 32;

/// The name of the group.
pub const GROUP: &str = "at the same time";

/// What the writers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PutObject with `If-None-Match: *`.
    Create,
    /// PutObject with `If-Match`.
    Replace,
    /// CompleteMultipartUpload with `If-None-Match: *`.
    Complete,
    /// CopyObject with `If-None-Match: *`.
    Copy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Replace, Self::Complete, Self::Copy];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "put, If-None-Match: *",
            Self::Replace => "put, If-Match: \"etag\"",
            Self::Complete => "complete, If-None-Match: *",
            Self::Copy => "copy, If-None-Match: *",
        }
    }
}

/// What the rounds have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there were.
    pub rounds: usize,
    /// In how many of them more than one writer succeeded.
    pub raced: usize,
    /// How many succeeded at most.
    pub winners_max: usize,
    /// In how many of them what stood there in the end was nobody's who succeeded.
    pub overwritten: usize,
    /// In how many of them at least one succeeded.
    pub won: usize,
}

impl Tally {
    /// One more round: who succeeded, and whose content stands there, where that can be told.
    pub fn add(&mut self, winners: &[usize], standing: Option<usize>) {
        self.rounds += 1;
        self.raced += usize::from(winners.len() > 1);
        self.winners_max = self.winners_max.max(winners.len());
        self.won += usize::from(!winners.is_empty());
        let is_lost = standing.is_some_and(|writer| !winners.contains(&writer));
        self.overwritten += usize::from(is_lost && !winners.is_empty());
    }

    /// What that means.
    pub fn judge(&self) -> (String, Level) {
        if self.raced > 0 {
            let (raced, rounds, most) = (self.raced, self.rounds, self.winners_max);
            return (
                format!("RACE: up to {most} of {WRITERS} won, {raced} of {rounds}"),
                Level::Bad,
            );
        }
        if self.overwritten > 0 {
            let (lost, rounds) = (self.overwritten, self.rounds);
            return (format!("WINNER OVERWRITTEN, {lost} of {rounds}"), Level::Bad);
        }
        if self.won == 0 {
            return ("nobody won".to_owned(), Level::Unknown);
        }
        (format!("no race in {}", self.won), Level::Good)
    }
}

/// Lets writers race, on keys with this number.
#[derive(Debug, Clone, Copy)]
pub struct Race<'a> {
    at: Where<'a>,
    /// Where the writers are, in turns.
    sites: &'a [Site],
    number: usize,
    rounds: usize,
}

impl<'a> Race<'a> {
    /// So many rounds of each kind. The writers are spread over these sites, which are nodes of one store;
    /// what they race for is prepared and looked at where `at` is.
    pub fn new(at: Where<'a>, sites: &'a [Site], number: usize, rounds: usize) -> Self {
        Self { at, sites, number, rounds }
    }

    /// The site of this writer.
    fn site(&self, writer: usize) -> &'a Site {
        self.sites.iter().cycle().nth(writer).unwrap_or(self.at.site)
    }

    /// The line for a shell that lets so many writers send this, which each node gets its share of.
    fn line(&self, talk: &Talk<'_>, ask: &Ask) -> String {
        let nodes = self.sites.len().max(1);
        let at =
            |node: usize| format!("{} &", talk.script.at(self.site(node).endpoint()).line(ask));
        let each: Vec<_> = (0..nodes).map(at).collect();
        format!(
            "for writer in $(seq {}); do {} done; wait   # the probe gives each its own content",
            WRITERS.div_ceil(nodes),
            each.join(" ")
        )
    }

    /// All rounds of this kind.
    ///
    /// # Errors
    /// It was told to stop. Every other trouble is what was found.
    pub async fn row(&self, kind: Kind) -> Result<Finding, Trouble> {
        let (mut tally, mut commands) = (Tally::default(), Vec::new());
        let mut trouble = None;
        for round in 1..=self.rounds {
            let name = format!("{}/race-{kind:?}-{round}", self.number).to_lowercase();
            let name = self.at.scratch.name(&name)?;
            let mut talk = Talk::new(self.at);
            match self.round(&mut talk, kind, &name).await {
                Ok((winners, standing)) => tally.add(&winners, standing),
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
                Err(other) => trouble = Some(other),
            }
            commands = talk.script.lines().to_vec();
        }
        let (verdict, level) = match &trouble {
            Some(trouble) if tally.rounds == 0 => (trouble.shown().to_owned(), Level::Unknown),
            _ => tally.judge(),
        };
        let answer = trouble.map(|trouble| trouble.to_string()).unwrap_or_default();
        let case = format!("{WRITERS} writers");
        let case = CaseFinding { case, verdict, answer, level, commands };
        Ok(Finding::single(GROUP, kind.name(), case))
    }

    /// Who succeeded, and whose content stands there.
    async fn round(
        &self,
        talk: &mut Talk<'a>,
        kind: Kind,
        name: &ObjectName,
    ) -> Result<(Vec<usize>, Option<usize>), Trouble> {
        let asks = self.asks(talk, kind, name).await?;
        if let Some(first) = asks.first() {
            let line = self.line(talk, first);
            talk.script.push_text(line);
        }
        if self.at.stop.is_cancelled() {
            return Err(Trouble::Stopped);
        }
        // Opened before, so that none has to wait for its connection.
        let warm = Ask::new(Method::HEAD, name);
        join_all((0..asks.len()).map(|writer| self.site(writer).ask_at_once(&warm))).await;
        let sent = asks.iter().enumerate().map(|(writer, ask)| {
            let sent = self.site(writer).ask_at_once(ask);
            self.at.scratch.noted(name, true, sent)
        });
        let answers = join_all(sent).await;
        let has_won = |answer: &Answer| {
            let said = match kind {
                Kind::Create | Kind::Replace => Said::by_status(answer),
                Kind::Complete | Kind::Copy => Said::by_document(answer),
            };
            (200..300).contains(&said.status) && said.code.is_empty()
        };
        let winners: Vec<usize> = answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| answer.as_ref().is_ok_and(has_won))
            .map(|(writer, _)| writer)
            .collect();
        // Whose write had no answer may have won: then what stands there tells nothing.
        let all_answered = answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(|it| !it.status.is_server_error()));
        let standing = match talk.standing(name).await? {
            Standing::Object(content) if all_answered => writer_of(&content),
            Standing::Object(_) | Standing::Nothing => None,
        };
        Ok((winners, standing))
    }

    async fn asks(
        &self,
        talk: &mut Talk<'a>,
        kind: Kind,
        name: &ObjectName,
    ) -> Result<Vec<Ask>, Trouble> {
        let any = |ask: Ask| ask.header("if-none-match", "*");
        match kind {
            Kind::Create => {
                Ok((0..WRITERS).map(|it| any(Ask::put(name, content_of(it)))).collect())
            }
            Kind::Replace => {
                let etag = talk.put(name, super::FIRST, "NOW").await?;
                let put =
                    |writer| Ask::put(name, content_of(writer)).header("if-match", etag.clone());
                Ok((0..WRITERS).map(put).collect())
            }
            Kind::Copy => {
                let source = self.at.scratch.name(&format!("{}/source", self.number))?;
                talk.put(&source, super::NEW, "SOURCE").await?;
                let copy =
                    any(Ask::new(Method::PUT, name).header("x-amz-copy-source", source.path()));
                Ok(vec![copy; WRITERS])
            }
            Kind::Complete => {
                let mut asks = Vec::new();
                for writer in 0..WRITERS {
                    // One upload is enough for a person to see how it goes.
                    let mut other = Talk::new(self.at);
                    let talk = if writer == 0 { &mut *talk } else { &mut other };
                    let id = talk.begin(name).await?;
                    let part = talk.part(name, &id, content_of(writer)).await?;
                    let complete = Ask::new(Method::POST, name)
                        .parameter("uploadId", &id)
                        .content(completion(&part));
                    asks.push(any(complete));
                }
                Ok(asks)
            }
        }
    }
}

const CONTENT: &str = "ifmatch probe: writer ";

fn content_of(writer: usize) -> Bytes {
    format!("{CONTENT}{writer}").into()
}

fn writer_of(content: &[u8]) -> Option<usize> {
    std::str::from_utf8(content).ok()?.strip_prefix(CONTENT)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_winners_are_a_race_and_one_proves_nothing() {
        let mut tally = Tally::default();
        tally.add(&[3], Some(3));
        tally.add(&[4], None);
        assert_eq!(tally.judge(), ("no race in 2".to_owned(), Level::Good));
        tally.add(&[1, 2], Some(2));
        let (text, level) = tally.judge();
        assert_eq!((text.as_str(), level), ("RACE: up to 2 of 32 won, 1 of 3", Level::Bad));
    }

    #[test]
    fn who_was_refused_must_not_stand_there() {
        let mut tally = Tally::default();
        tally.add(&[3], Some(7));
        assert_eq!(tally.judge().0, "WINNER OVERWRITTEN, 1 of 1");
        let mut nobody = Tally::default();
        nobody.add(&[], None);
        assert_eq!(nobody.judge(), ("nobody won".to_owned(), Level::Unknown));
        assert_eq!(writer_of(&content_of(12)), Some(12));
        assert_eq!(writer_of(b"else"), None);
    }
}

//! The requests that answer one question: each is noted before it is sent, so that what it leaves can be
//! removed, and as a line of a script, so that a person can send it again.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::ask::Ask;
use super::finding::is_unclear;
use super::scratch::Scratch;
use super::script::{Learned, Script};
use super::site::{Site, said};
use super::trouble::Trouble;
use crate::backend::Answer;
use crate::s3::ObjectName;
use crate::s3::uploads::parse_upload_id;

/// How often a request is sent at most, where there is time; and the first pause between; each is twice as
/// long as the one before.
pub const TRIES: usize = 7;
/// The same of a request whose answer is what is asked.
const READS: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A place, the scratch objects, and what ends it all.
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    /// Who is asked.
    pub site: &'a Site,
    /// Where its objects are.
    pub scratch: &'a Scratch,
    /// Told to stop, no further request is sent.
    pub stop: &'a CancellationToken,
    /// For how long it may show what was replaced.
    pub lag: Duration,
    /// How often a request is sent at most that has to succeed, or to tell something; sent again it does the
    /// same.
    pub tries: usize,
}

/// The requests of one question.
#[derive(Debug)]
pub struct Talk<'a> {
    at: Where<'a>,
    /// The requests so far.
    pub script: Script,
}

impl<'a> Talk<'a> {
    /// Nothing is sent yet.
    pub fn new(at: Where<'a>) -> Self {
        Self { at, script: at.site.script() }
    }

    /// Where it is.
    pub fn at(&self) -> Where<'a> {
        self.at
    }

    /// Sends a request once that may leave an object, or remove it.
    ///
    /// # Errors
    /// It was told to stop, or there is no answer.
    pub async fn change(&mut self, ask: &Ask, name: &ObjectName) -> Result<Answer, Trouble> {
        self.script.push(ask);
        self.changed(ask, name).await
    }

    async fn changed(&self, ask: &Ask, name: &ObjectName) -> Result<Answer, Trouble> {
        if self.at.stop.is_cancelled() {
            return Err(Trouble::Stopped);
        }
        let begins = ask.begins_an_upload();
        if begins {
            self.at.scratch.begins();
        }
        let leaves = ask.method != Method::DELETE && !ask.query.iter().any(|(n, _)| n == "delete");
        let answered = self.at.scratch.noted(name, leaves, self.at.site.ask(ask)).await;
        let is_refusal =
            |answer: &Answer| !answer.status.is_success() && !is_unclear(answer.status.as_u16());
        if begins && answered.as_ref().is_ok_and(is_refusal) {
            self.at.scratch.not_begun();
        }
        answered.map_err(|why| no_answer(ask, name, why))
    }

    /// Sends a request that changes nothing, again where the answer leaves open what it should tell.
    ///
    /// # Errors
    /// It was told to stop, or there is no answer but such.
    pub async fn read(&mut self, ask: &Ask, name: &ObjectName) -> Result<Answer, Trouble> {
        self.script.push(ask);
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            if self.at.stop.is_cancelled() {
                return Err(Trouble::Stopped);
            }
            let why = match self.at.site.ask(ask).await {
                Ok(answer) if !is_unclear(answer.status.as_u16()) => return Ok(answer),
                Ok(answer) => said(&answer),
                Err(why) => why,
            };
            if tries >= self.at.tries.min(READS) {
                return Err(no_answer(ask, name, why));
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(Trouble::Stopped)
    }

    /// Sends a request that has to succeed for the question to make sense, again where the store is busy.
    ///
    /// # Errors
    /// As above, or it is refused.
    pub async fn prepare(&mut self, ask: &Ask, name: &ObjectName) -> Result<Answer, Trouble> {
        self.script.push(ask);
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            let trouble = match self.changed(ask, name).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) if !answer.status.is_server_error() => {
                    return Err(refused(ask, name, &answer));
                }
                Ok(answer) => no_answer(ask, name, said(&answer)),
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
                Err(trouble) => trouble,
            };
            if tries >= self.at.tries {
                return Err(trouble);
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(Trouble::Stopped)
    }

    /// Writes an object without a condition; returns its ETag as the answer has it.
    ///
    /// # Errors
    /// As above.
    pub async fn put(
        &mut self,
        name: &ObjectName,
        content: &'static [u8],
        variable: &'static str,
    ) -> Result<String, Trouble> {
        let answer = self.prepare(&Ask::put(name, content), name).await?;
        let etag = answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.unwrap_or_default().to_owned();
        self.script.learn(Learned::ETag(variable), &etag);
        Ok(etag)
    }

    /// Begins an upload; returns its id.
    ///
    /// # Errors
    /// As above.
    pub async fn begin(&mut self, name: &ObjectName) -> Result<String, Trouble> {
        let begin = Ask::new(Method::POST, name).parameter("uploads", "");
        let answer = self.prepare(&begin, name).await?;
        let id = parse_upload_id(&answer.body).ok_or_else(|| {
            no_answer(&begin, name, "it names no upload that was begun".to_owned())
        })?;
        self.at.scratch.begun(name, &id);
        self.script.learn(Learned::UploadId, &id);
        Ok(id)
    }

    /// Sends the only part of an upload; returns its ETag.
    ///
    /// # Errors
    /// As above.
    pub async fn part(
        &mut self,
        name: &ObjectName,
        upload_id: &str,
        content: Bytes,
    ) -> Result<String, Trouble> {
        let part =
            Ask::put(name, content).parameter("partNumber", "1").parameter("uploadId", upload_id);
        let answer = self.prepare(&part, name).await?;
        let etag = answer.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.unwrap_or_default().to_owned();
        self.script.learn(Learned::ETag("PART"), &etag);
        Ok(etag)
    }

    /// Waits until the place shows what was written.
    pub async fn lag_is_over(&self) {
        if !self.at.lag.is_zero() {
            // A cancelled probe reads nothing more.
            self.at.stop.run_until_cancelled(sleep(self.at.lag)).await;
        }
    }

    /// What stands at the key once the place shows it, read until there is an answer.
    ///
    /// # Errors
    /// There is none.
    pub async fn standing(&mut self, name: &ObjectName) -> Result<Standing, Trouble> {
        self.lag_is_over().await;
        let get = Ask::new(Method::GET, name);
        self.script.push(&get);
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            let why = match self.at.site.ask(&get).await {
                Ok(answer) if answer.status == StatusCode::OK => {
                    return Ok(Standing::Object(answer.body));
                }
                Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                    return Ok(Standing::Nothing);
                }
                Ok(answer) => said(&answer),
                Err(why) => why,
            };
            if tries >= self.at.tries || self.at.stop.is_cancelled() {
                return Err(no_answer(&get, name, why));
            }
            sleep(pause).await;
            pause *= 2;
        }
        Err(Trouble::Stopped)
    }
}

/// What a read shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No object.
    Nothing,
    /// An object with this content.
    Object(Bytes),
}

/// What a complete of an upload with one part is sent with.
pub fn completion(part_etag: &str) -> String {
    format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part_etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    )
}

fn asked(ask: &Ask) -> &'static str {
    match ask.method {
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "GET",
    }
}

fn no_answer(ask: &Ask, name: &ObjectName, why: String) -> Trouble {
    Trouble::NoAnswer { asked: asked(ask), object: name.to_string(), why }
}

fn refused(ask: &Ask, name: &ObjectName, answer: &Answer) -> Trouble {
    let error = crate::s3::documents::parse_store_error(&answer.body);
    if error.is_some_and(|error| error.code == "NoSuchBucket") {
        return Trouble::NoBucket(name.bucket.to_string());
    }
    Trouble::Refused { asked: asked(ask), object: name.to_string(), answer: said(answer) }
}

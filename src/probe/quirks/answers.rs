//! What answers say: ETags, the clock, conditions on the source of a copy; and other ways to ask.

use http::{Method, header};

use super::{Judged, Quirks, row};
use crate::backend::Answer;
use crate::clock;
use crate::probe::ask::Ask;
use crate::probe::conditions::verdict::{Said, judge};
use crate::probe::finding::{Finding, Level};
use crate::probe::talk::{Standing, Talk, completion};
use crate::probe::trouble::Trouble;
use crate::s3::conditional::sent_at_s;
use crate::s3::documents::{SuccessBody, outcome_of_success_body, parse_store_error};
use crate::s3::{ETag, ObjectName};

/// The name of the group.
pub const GROUP: &str = "answers";

const CONTENT: &[u8] = b"ifmatch probe: an answer";
const OTHER: &[u8] = b"ifmatch probe: another answer";

/// By how much a clock may be off until AWS refuses its signature, and more, in seconds (AWS:
/// RequestTimeTooSkewed).
const TOO_FAR_S: i64 = 20 * 60;

/// By how much an answer's date may differ from our clock without being called off, in seconds.
const DATE_TOLERANCE_S: i64 = 2;

impl Quirks<'_> {
    /// All of it. `reserved`: first segments of paths that are not buckets, as they are configured.
    ///
    /// # Errors
    /// It was told to stop.
    pub async fn answers(&self, reserved: &[String]) -> Result<Vec<Finding>, Trouble> {
        let mut all = Vec::new();
        let mut talk = Talk::new(self.at);
        let tried = self.etag_of_put(&mut talk).await;
        all.push(row(GROUP, "ETag of a put", &talk, tried)?);
        let mut talk = Talk::new(self.at);
        let tried = self.etag_of_complete(&mut talk).await;
        all.push(row(GROUP, "ETag of a complete", &talk, tried)?);
        let mut talk = Talk::new(self.at);
        let tried = self.etag_of_copy(&mut talk).await;
        all.push(row(GROUP, "ETag of a copy", &talk, tried)?);
        for (name, right) in [("right", true), ("stale", false)] {
            let mut talk = Talk::new(self.at);
            let tried = self.copy_if(&mut talk, right).await;
            all.push(row(GROUP, &format!("copy source If-Match, {name}"), &talk, tried)?);
        }
        let mut talk = Talk::new(self.at);
        let tried = self.date(&mut talk).await;
        all.push(row(GROUP, "Date beside our clock", &talk, tried)?);
        let mut talk = Talk::new(self.at);
        let tried = self.skewed(&mut talk).await;
        all.push(row(GROUP, "a signature 20 minutes old", &talk, tried)?);
        let mut talk = Talk::new(self.at);
        let tried = self.in_host(&mut talk).await;
        all.push(row(GROUP, "the bucket in the host", &talk, tried)?);
        let mut talk = Talk::new(self.at);
        let tried = self.reserved(&mut talk, reserved).await;
        all.push(row(GROUP, "paths that are not buckets", &talk, tried)?);
        Ok(all)
    }

    async fn head(&self, talk: &mut Talk<'_>, name: &ObjectName) -> Result<Option<ETag>, Trouble> {
        talk.lag_is_over().await;
        let answer = talk.read(&Ask::new(Method::HEAD, name), name).await?;
        Ok(etag_in_head(&answer).filter(|_| answer.status.is_success()))
    }

    async fn etag_of_put(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        let name = self.name("answer-put")?;
        let answer = talk.prepare(&Ask::put(&name, CONTENT), &name).await?;
        let shown = self.head(talk, &name).await?;
        Ok(same_etag(etag_in_head(&answer).as_ref(), shown.as_ref()))
    }

    async fn etag_of_complete(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        let name = self.name("answer-complete")?;
        let id = talk.begin(&name).await?;
        let part = talk.part(&name, &id, bytes::Bytes::from_static(CONTENT)).await?;
        let complete =
            Ask::new(Method::POST, &name).parameter("uploadId", &id).content(completion(&part));
        let answer = talk.prepare(&complete, &name).await?;
        self.at.scratch.completed(&id);
        let shown = self.head(talk, &name).await?;
        Ok(same_etag(etag_in_document(&answer).as_ref(), shown.as_ref()))
    }

    async fn etag_of_copy(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        let (source, name) = (self.name("answer-source")?, self.name("answer-copy")?);
        talk.prepare(&Ask::put(&source, CONTENT), &source).await?;
        let copy = Ask::new(Method::PUT, &name).header("x-amz-copy-source", source.path());
        let answer = talk.prepare(&copy, &name).await?;
        let shown = self.head(talk, &name).await?;
        Ok(same_etag(etag_in_document(&answer).as_ref(), shown.as_ref()))
    }

    async fn copy_if(&self, talk: &mut Talk<'_>, right: bool) -> Result<Judged, Trouble> {
        let (source, name) = (self.name("copy-source")?, self.name(&format!("copy-if-{right}"))?);
        let old = talk.put(&source, OTHER, "OLD").await?;
        let now = talk.put(&source, CONTENT, "NOW").await?;
        let copy = Ask::new(Method::PUT, &name)
            .header("x-amz-copy-source", source.path())
            .header("x-amz-copy-source-if-match", if right { now } else { old });
        let said = Said::by_document(&talk.change(&copy, &name).await?);
        let is_there = talk.standing(&name).await? != Standing::Nothing;
        let verdict = judge(right, &said, Some(is_there));
        Ok((verdict.shown(&said), said.shown(), verdict.level(false)))
    }

    async fn date(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        let name = self.name("answer-put")?;
        let before = clock::unix_seconds();
        let answer = talk.read(&Ask::new(Method::HEAD, &name), &name).await?;
        let after = clock::unix_seconds();
        let dated = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
        Ok(dated_by(before, after, sent_at_s(&answer.headers), dated.unwrap_or_default()))
    }

    async fn skewed(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        let name = self.name("answer-put")?;
        let ask = Ask { clock_ahead_s: -TOO_FAR_S, ..Ask::new(Method::GET, &name) };
        let said = Said::by_status(&talk.read(&ask, &name).await?);
        let (verdict, level) = match said.status {
            // Nothing that this proxy promises rests on it.
            200..=299 => ("taken".to_owned(), Level::Safe),
            status => (format!("refused {status}"), Level::Good),
        };
        Ok((verdict, said.shown(), level))
    }

    async fn in_host(&self, talk: &mut Talk<'_>) -> Result<Judged, Trouble> {
        let name = self.name("answer-put")?;
        let ask = Ask { in_host: true, ..Ask::new(Method::GET, &name) };
        let answer = talk.read(&ask, &name).await?;
        let said = Said::by_status(&answer);
        let verdict = if answer.body == CONTENT { "understood" } else { "not understood" };
        Ok((verdict.to_owned(), said.shown(), Level::Good))
    }

    async fn reserved(&self, talk: &mut Talk<'_>, reserved: &[String]) -> Result<Judged, Trouble> {
        let others = self.not_buckets(talk, reserved).await?;
        let others: Vec<_> =
            others.into_iter().map(|(path, status)| format!("/{path} {status}")).collect();
        let verdict = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        Ok((verdict, String::new(), Level::Good))
    }

    /// Those of these first segments of paths at which something else than a bucket is served, with the
    /// status there.
    ///
    /// # Errors
    /// It was told to stop, or one of them has no clear answer.
    pub async fn not_buckets(
        &self,
        talk: &mut Talk<'_>,
        names: &[String],
    ) -> Result<Vec<(String, u16)>, Trouble> {
        let (name, mut others) = (self.name("answer-put")?, Vec::new());
        for path in names {
            let answer = talk.read(&Ask::at(Method::GET, format!("/{path}")), &name).await?;
            if !is_about_a_bucket(&answer) {
                others.push((path.clone(), answer.status.as_u16()));
            }
        }
        Ok(others)
    }
}

fn etag_in_head(answer: &Answer) -> Option<ETag> {
    answer.headers.get(header::ETAG).map(|etag| ETag::parse(etag.as_bytes()))
}

fn etag_in_document(answer: &Answer) -> Option<ETag> {
    match outcome_of_success_body(&answer.body) {
        SuccessBody::Result { etag } => etag,
        SuccessBody::Error(_) | SuccessBody::Unreadable => None,
    }
}

/// Whether a write's answer and a HEAD name the same ETag.
fn same_etag(told: Option<&ETag>, shown: Option<&ETag>) -> Judged {
    let (verdict, level) = match (told, shown) {
        (Some(told), Some(shown)) if told == shown => ("as the HEAD says", Level::Good),
        (Some(_), Some(_)) => ("ANOTHER THAN THE HEAD SAYS", Level::Bad),
        (None, Some(_)) => ("not told", Level::Safe),
        (_, None) => ("NO ETAG IN A HEAD", Level::Bad),
    };
    (verdict.to_owned(), String::new(), level)
}

/// How far an answer's date is from our clock, which showed these seconds before and after.
fn dated_by(before: i64, after: i64, dated_s: Option<i64>, text: &str) -> Judged {
    let (verdict, level) = match dated_s {
        None => ("no date".to_owned(), Level::Safe),
        Some(at) => {
            let off = if at < before { at - before } else { (at - after).max(0) };
            if off.abs() <= DATE_TOLERANCE_S {
                ("the same".to_owned(), Level::Good)
            } else {
                (format!("{off:+} s"), Level::Safe)
            }
        }
    };
    (verdict, text.to_owned(), level)
}

/// Whether the answer to a GET of a path is what a store says of a bucket that it has, has not, or does
/// not show.
fn is_about_a_bucket(answer: &Answer) -> bool {
    let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
    matches!(code.as_str(), "NoSuchBucket" | "AccessDenied" | "InvalidBucketName")
        || crate::s3::xml::parse(&answer.body).is_some_and(|root| root.name == "ListBucketResult")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_that_another_answer_contradicts_is_bad() {
        let (one, other) = (ETag::parse(b"\"a\""), ETag::parse(b"\"b\""));
        assert_eq!(same_etag(Some(&one), Some(&one.clone())).2, Level::Good);
        assert_eq!(same_etag(Some(&one), Some(&other)).2, Level::Bad);
        assert_eq!(same_etag(None, Some(&other)).0, "not told");
        assert_eq!(same_etag(None, None).2, Level::Bad);
    }

    #[test]
    fn a_date_is_off_by_what_no_moment_between_explains() {
        let judge = |at| dated_by(100, 103, Some(at), "").0;
        assert_eq!(judge(101), "the same");
        assert_eq!(judge(104), "the same");
        assert_eq!(judge(403), "+300 s");
        assert_eq!(judge(40), "-60 s");
        assert_eq!(dated_by(1, 1, None, "").0, "no date");
    }
}

//! Multipart uploads that were begun and neither completed nor aborted: what the store lists, and their
//! end.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::auditor::{Trouble, needs_bucket};
use crate::backend::{
    Answer, EMPTY_SHA256, Exchange, HttpStore, Sending, Signing, Store as _, StoreRequest,
};
use crate::body::Body;
use crate::clock;
use crate::http1::fields::Fields;
use crate::s3::BucketName;
use crate::s3::conditional::sent_at_s;
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::{encode_path, encode_query};
use crate::s3::uploads::{ListedUpload, parse_uploads};

/// How long an abort may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// An unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its key.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// How long ago it was begun, by the store's clock; `None` where the store does not say it.
    pub age: Option<Duration>,
}

impl Unfinished {
    /// Was it begun longer ago than this? Not where that is not known, and `older` is longer than zero.
    pub fn is_older(&self, older: Duration) -> bool {
        older.is_zero() || self.age.is_some_and(|age| age > older)
    }

    fn of(listed: ListedUpload, now_s: i64) -> Self {
        let age = listed.initiated_s.map(|at_s| now_s.saturating_sub(at_s));
        let age = age.map(|age_s| Duration::from_secs(u64::try_from(age_s).unwrap_or(0)));
        Self { key: listed.key, upload_id: listed.upload_id, age }
    }
}

/// Where a walk over the uploads stands.
#[derive(Debug)]
pub struct Uploads<'a> {
    store: &'a HttpStore,
    bucket: &'a BucketName,
    prefix: &'a str,
    /// Key and id after which the next page begins; empty before the first one, `None` at the end.
    after: Option<(String, String)>,
}

impl<'a> Uploads<'a> {
    /// The uploads of keys of this bucket that begin so. Fails where the store has no such bucket.
    pub async fn of(
        store: &'a HttpStore,
        bucket: &'a BucketName,
        prefix: &'a str,
    ) -> Result<Self, Trouble> {
        needs_bucket(store, bucket).await?;
        Ok(Self { store, bucket, prefix, after: Some(Default::default()) })
    }

    /// The next of them; `None` at the end.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Unfinished>>, Trouble> {
        let Some((key, id)) = self.after.take() else { return Ok(None) };
        let path = format!("/{}", encode_path(self.bucket.as_str()));
        let (prefix, key_after, id_after) =
            (encode_query(self.prefix), encode_query(&key), encode_query(&id));
        let mut query = vec![("uploads", ""), ("prefix", prefix.as_str())];
        if !key.is_empty() {
            query.extend([("key-marker", key_after.as_str()), ("upload-id-marker", &id_after)]);
        }
        let answer = self.store.read(&path, &query).await.map_err(|why| self.trouble(why))?;
        if answer.status != StatusCode::OK {
            return Err(self.trouble(said(&answer)));
        }
        let page = parse_uploads(&answer.body)
            .ok_or_else(|| self.trouble("its answer is no listing of uploads".to_owned()))?;
        // A store that repeats itself would be asked for ever.
        self.after = page.next.filter(|next| *next != (key, id) && !next.0.is_empty());
        let now_s = sent_at_s(&answer.headers).unwrap_or_else(clock::unix_seconds);
        let found = page.uploads.into_iter().filter(|upload| upload.key.starts_with(self.prefix));
        Ok(Some(found.map(|upload| Unfinished::of(upload, now_s)).collect()))
    }

    /// Aborts one. `false` where it was gone.
    pub async fn abort(&self, upload: &Unfinished) -> Result<bool, Trouble> {
        let (bucket, key) = (encode_path(self.bucket.as_str()), encode_path(&upload.key));
        let request = StoreRequest {
            signing: Signing::Anew,
            method: Method::DELETE,
            path: format!("/{bucket}/{key}"),
            query: vec![("uploadId".to_owned(), encode_query(&upload.upload_id))],
            headers: Fields::new(),
            sha256: Some(EMPTY_SHA256),
        };
        let body = Body::empty();
        let sending = Sending::new(&body, Instant::now() + PATIENCE);
        let trouble = |why| Trouble::Store(format!("{}/{}", self.bucket, upload.key), why);
        match self.store.exchange(&request, sending).await {
            Exchange::Answered(answer) if answer.status.is_success() => Ok(true),
            Exchange::Answered(answer) if is_gone(&answer) => Ok(false),
            Exchange::Answered(answer) => Err(trouble(said(&answer))),
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                Err(trouble(why))
            }
        }
    }

    fn trouble(&self, why: String) -> Trouble {
        Trouble::Store(self.bucket.to_string(), why)
    }
}

fn is_gone(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND
        && parse_store_error(&answer.body).is_some_and(|error| error.code == "NoSuchUpload")
}

/// The status of an answer, and the code in its document.
fn said(answer: &Answer) -> String {
    let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
    format!("it answered {} {code}", answer.status).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn upload(initiated_s: Option<i64>) -> Unfinished {
        let listed = ListedUpload { key: "k".to_owned(), upload_id: "1".to_owned(), initiated_s };
        Unfinished::of(listed, 1_000)
    }

    #[test]
    fn an_upload_is_as_old_as_the_store_says() {
        let age = |initiated_s| upload(initiated_s).age.map(|age| age.as_secs());
        assert_eq!([age(Some(900)), age(Some(1_500)), age(None)], [Some(100), Some(0), None]);
        let older =
            |initiated_s, older_s| upload(initiated_s).is_older(Duration::from_secs(older_s));
        assert!(older(Some(900), 99) && !older(Some(900), 100));
        assert!(older(None, 0) && !older(None, 1), "what may be young is left alone");
    }

    #[test]
    fn the_time_is_the_store_s() {
        let mut headers = Fields::new();
        assert_eq!(sent_at_s(&headers), None);
        headers.insert(header::DATE, HeaderValue::from_static("Thu, 01 Jan 1970 00:01:40 GMT"));
        assert_eq!(sent_at_s(&headers), Some(100));
    }
}

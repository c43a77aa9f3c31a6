//! A browser's form while it arrives: first its fields, then its file. Until the fields have named
//! the sender, the form has only a pre-authentication slot, 20 KiB of memory, and little time.

use std::time::Duration;

use bytes::Bytes;
use http::header;
use tokio::time::timeout;

use super::origin::Caller;
use super::read_body::{no_buffer, too_large};
use super::response::Failure;
use super::state::Proxy;
use super::visit::Visit;
use crate::body::{Body, Expected};
use crate::http1::fields::Fields;
use crate::s3::multipart::FIELDS_BYTES_MAX;
use crate::s3::{Code, FormReader, PostForm, PostPolicy, S3Error, Spelling};
use crate::sigv4::{BodyCheck, BodyPromise, CheckedBody, Wanted};

/// How long the fields of a form may take to arrive.
const FIELDS_PATIENCE: Duration = Duration::from_secs(20);

/// A form whose head has been read.
#[derive(Debug)]
pub(super) struct IncomingForm<'p> {
    proxy: &'p Proxy,
    reader: FormReader,
    /// The length of the body; `None` where it is not declared.
    length_bytes: Option<u64>,
    /// The bytes that have arrived, unchanged, if the form is to be sent on unchanged.
    as_sent: Option<Vec<Bytes>>,
}

impl<'p> IncomingForm<'p> {
    /// Errors: as for [`FormReader::new`]; 411 without a length, as AWS, unless the operator allows
    /// bodies of unknown length; `EntityTooLarge`.
    pub(super) fn new(
        proxy: &'p Proxy,
        head: &Fields,
        spelling: Spelling,
    ) -> Result<Self, S3Error> {
        let length_bytes = content_length(head);
        let may_be_unknown = proxy.takes_unknown_length
            && spelling == Spelling::Any
            && head.contains_key(header::TRANSFER_ENCODING);
        if length_bytes.is_none() && !may_be_unknown {
            return Err(S3Error::new(Code::MissingContentLength));
        }
        let reader = FormReader::new(head, spelling)?;
        check_size(proxy, length_bytes.unwrap_or(0).saturating_sub(FIELDS_BYTES_MAX as u64))?;
        let as_sent = (spelling == Spelling::Canonical).then(Vec::new);
        Ok(Self { proxy, reader, length_bytes, as_sent })
    }

    /// Waits for the fields, in a pre-authentication slot.
    pub(super) async fn fields(
        &mut self,
        visit: &mut Visit<'_>,
        expects_continue: bool,
    ) -> Result<PostForm, Failure> {
        let mut slot = self.proxy.strangers.take().ok_or_else(no_room)?;
        if expects_continue {
            visit.go_on().await?;
        }
        let arriving = async {
            loop {
                if let Some(form) = self.reader.fields()? {
                    return Ok(form);
                }
                let Some(bytes) = visit.next_piece().await? else {
                    self.reader.finish()?;
                    return Err(S3Error::new(Code::MalformedPostRequest).into());
                };
                self.take(bytes);
            }
        };
        tokio::select! {
            biased;
            arrived = timeout(FIELDS_PATIENCE, arriving) => {
                arrived.map_err(|_| S3Error::new(Code::RequestTimeout))?
            }
            () = slot.evicted() => Err(no_room().into()),
        }
    }

    fn take(&mut self, bytes: Bytes) {
        self.reader.feed(&bytes);
        if let Some(pieces) = &mut self.as_sent {
            pieces.push(bytes);
        }
    }

    /// Reads the file and the rest, and checks it against the promised digests and the sizes in the
    /// policy, as soon as a violation can be detected.
    pub(super) async fn file(
        mut self,
        visit: &mut Visit<'_>,
        caller: &Caller,
        promise: BodyPromise,
        policy: Option<&PostPolicy>,
    ) -> Result<(Body, CheckedBody), Failure> {
        let proxy = self.proxy;
        let check_range = |least, most| {
            check_size(proxy, least)?;
            policy.map_or(Ok(()), |policy| policy.check_size(least, most))
        };
        let (least, most) = match self.length_bytes {
            Some(length_bytes) => self.reader.file_bytes(length_bytes),
            None => (0, proxy.body_bytes_max),
        };
        check_range(least, most)?;
        let mut check = BodyCheck::new(promise, Wanted { sha256: true, md5: false });
        let expected = self.length_bytes.map_or(Expected::AtMost(most), |_| Expected::Known(most));
        let client = caller.access_key_id();
        let begun = proxy.buffers.begin(client, expected).await;
        let mut taking = begun.map_err(|e| no_buffer(&e))?;
        let mut content = Vec::new();
        let mut bytes_taken = 0;
        loop {
            while let Some(bytes) = self.reader.content()? {
                bytes_taken += bytes.len() as u64;
                check_range(bytes_taken, u64::MAX)?;
                check.feed(bytes, &mut |piece| content.push(piece)).map_err(S3Error::from)?;
                for piece in content.drain(..) {
                    taking.push(piece).await.map_err(|e| no_buffer(&e))?;
                }
            }
            let Some(bytes) = visit.next_piece().await? else { break };
            self.take(bytes);
        }
        self.reader.finish()?;
        check_range(bytes_taken, bytes_taken)?;
        let checked = check.finish().map_err(S3Error::from)?;
        let body = taking.finish().await.map_err(|e| no_buffer(&e))?;
        Ok((body, checked))
    }

    /// Reads the rest, and returns the whole form unchanged. The store judges who sent it.
    pub(super) async fn whole(
        mut self,
        visit: &mut Visit<'_>,
        client: &str,
    ) -> Result<Body, Failure> {
        let proxy = self.proxy;
        let unknown = Expected::AtMost(proxy.body_bytes_max);
        let expected = self.length_bytes.map_or(unknown, Expected::Claimed);
        let begun = proxy.buffers.begin(client, expected).await;
        let mut taking = begun.map_err(|e| no_buffer(&e))?;
        let mut bytes_taken = 0;
        loop {
            while let Some(bytes) = self.reader.content()? {
                bytes_taken += bytes.len() as u64;
                check_size(proxy, bytes_taken)?;
            }
            for piece in self.as_sent.iter_mut().flat_map(|pieces| pieces.drain(..)) {
                taking.push(piece).await.map_err(|e| no_buffer(&e))?;
            }
            let Some(bytes) = visit.next_piece().await? else { break };
            self.take(bytes);
        }
        self.reader.finish()?;
        taking.finish().await.map_err(|e| no_buffer(&e).into())
    }
}

/// The file may be as large as the body of a PUT.
fn check_size(proxy: &Proxy, least: u64) -> Result<(), S3Error> {
    if least > proxy.body_bytes_max {
        return Err(too_large(least, proxy.body_bytes_max));
    }
    Ok(())
}

fn content_length(head: &Fields) -> Option<u64> {
    head.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn no_room() -> S3Error {
    S3Error::slow_down(1).because(
        "Too many forms are waiting to be authenticated; see `limits.strangers` of the proxy.",
    )
}

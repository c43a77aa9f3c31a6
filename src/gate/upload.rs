//! Multipart uploads at the gate. AWS remembers the state of a key when an upload of it was
//! created: a complete whose condition holds still fails with 409 when the key has changed since
//! (AWS: CompleteMultipartUpload).

use tokio::time::Instant;

use super::lease::Lease;
use super::stop::Stop;
use super::{Gate, Reply, Write, refusal};
use crate::backend::{Answer, Exchange, HeadError, Sending, StoreRequest};
use crate::body::Body;
use crate::register::{Observation, UploadName, UploadStep};
use crate::s3::uploads::parse_upload_id;
use crate::s3::{Code, ObjectName, S3Error, Seen};

impl Gate {
    /// Has the store create an upload, and the register remember the key's generation before that.
    /// No key changes: where the register does not answer, the complete asks the store when the
    /// upload began.
    pub async fn create_upload(
        &self,
        name: &ObjectName,
        request: &StoreRequest,
        body: &Body,
    ) -> Result<Answer, S3Error> {
        let before = self.register.pin(name).await;
        let answer = self.ask_for_upload(request, body).await?;
        let upload = parse_upload_id(&answer.body).filter(|_| answer.status.is_success());
        if let (Some(upload_id), Ok(before)) = (upload, &before) {
            self.note_upload(name, &upload_id, before).await;
        }
        Ok(answer)
    }

    /// Has the store create an upload. The request may be sent twice: an upload whose answer was
    /// lost stays unused.
    async fn ask_for_upload(&self, request: &StoreRequest, body: &Body) -> Result<Answer, S3Error> {
        let sending = Sending::new(body, Instant::now() + self.settings.write_timeout);
        let exchange = match self.store.exchange(request, sending).await {
            Exchange::DeadPooled(..) => {
                self.store.exchange(request, Sending { fresh: true, ..sending }).await
            }
            exchange => exchange,
        };
        match exchange {
            Exchange::Answered(answer) => Ok(answer),
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                tracing::warn!(why, "the store did not answer");
                Err(refusal::store_silent())
            }
        }
    }

    async fn note_upload(&self, name: &ObjectName, upload_id: &str, before: &Observation) {
        let step = UploadStep { name: &UploadName::of(upload_id), before };
        if let Err(error) = self.register.note_upload(name, &step).await {
            tracing::debug!(%name, %error, "an upload's beginning was not noted");
        }
    }

    /// The 409 for a complete whose condition holds, but whose key has changed since its upload was
    /// created.
    pub(super) async fn changed_since_upload(
        &self,
        write: &Write<'_>,
        lease: &Lease,
        seen: &Seen,
    ) -> Result<Option<Reply>, HeadError> {
        let (Some(upload_id), Some(header)) = (write.upload_id, write.preconditions.first()) else {
            return Ok(None);
        };
        let changed = match &lease.upload {
            Some(upload) if !upload.is_untouched(lease.generation.as_ref()) => true,
            Some(_) if !self.may_be_foreign(lease, &seen.current) => false,
            _ => self.is_newer(write.name, upload_id, seen).await?,
        };
        let conflict = || header.conflict(write.name.key.as_str());
        Ok(changed.then(|| Reply::Error(conflict(), None)))
    }

    /// Is this a complete of an upload that the store does not have? Where the store does not say,
    /// the upload may exist. A complete of an upload that is gone is not sent: Ceph and moto answer
    /// it with 500, and then its outcome would be unknown for minutes.
    pub(super) async fn is_upload_gone(&self, write: &Write<'_>) -> bool {
        let Some(upload_id) = write.upload_id else { return false };
        !self.store.has_upload(write.name, upload_id).await.unwrap_or(true)
    }

    /// Was the object written after the upload was created, by the store's own clock? This is the
    /// only check left where the register knows nothing. It works in whole seconds and does not see
    /// deletes.
    async fn is_newer(
        &self,
        name: &ObjectName,
        upload_id: &str,
        seen: &Seen,
    ) -> Result<bool, HeadError> {
        let Some(last_modified_s) = seen.last_modified_s else { return Ok(false) };
        let initiated_s = self.store.initiated_s(name, upload_id).await?;
        Ok(initiated_s.is_some_and(|initiated_s| last_modified_s > initiated_s))
    }
}

/// The error for a complete whose upload is gone, where its condition holds or is not known to
/// fail. A store may drop an upload when its key is written meanwhile (Garage does). Then the
/// register knows the upload, the key has changed since, and AWS's answer is 409, upon which
/// clients start again. Otherwise the upload was aborted or never existed.
pub(super) fn upload_gone(write: &Write<'_>, lease: &Lease) -> Stop {
    // A write that was under way when the upload was created may have dropped it as well.
    let changed = lease.upload.as_ref().is_some_and(|upload| upload.generation != lease.generation);
    Stop::error(match write.preconditions.first().filter(|_| changed) {
        Some(header) => header.conflict(write.name.key.as_str()),
        None => S3Error::new(Code::NoSuchUpload),
    })
}

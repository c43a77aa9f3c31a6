//! PutObject, and how what was received becomes an object.

use s3s::dto::{ETag, PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::Store;
use super::body::{Declared, Received, receive};
use super::checksums::{self, declared, show};
use super::conditions::OfWrite;
use super::described::described;
use super::failure::Refused;
use super::find;
use super::index::Unwritten;
use super::records::{Algorithm, Checksum, Description};
use super::standing::{Standing, told};

impl Store {
    pub(super) async fn put(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = request.input;
        find::check_key(&input.key)?;
        let conditions = self.conditions(input.if_match.take(), input.if_none_match.take())?;
        let described = described!(input, request.extensions)?;
        let (bucket, key) = (input.bucket, input.key);
        self.must_have(&bucket).await?;
        let declared = Declared {
            length: input.content_length,
            md5: input.content_md5,
            trailers: request.extensions.remove(),
            algorithm: input.checksum_algorithm.as_ref().map(Algorithm::of).transpose()?,
            ..Declared::of(&request.headers, declared!(input)?)?
        };
        let received = receive(&self.files, input.body, declared).await?;
        let landed = self.land((bucket, key), conditions, received, described).await?;
        let Landed { etag, checksum, version_id, .. } = landed;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            version_id: told(version_id),
            checksum_type: checksum.as_ref().map(checksums::kind),
            ..<_>::default()
        };
        show!(output, &checksum);
        Ok(S3Response::new(output))
    }

    /// Makes what was received the latest version of a key, if the conditions hold.
    pub(super) async fn land(
        &self,
        (bucket, key): (String, String),
        conditions: OfWrite,
        received: Received,
        described: Description,
    ) -> Result<Landed, Refused> {
        let now = self.now_of_write();
        let object = received.object(described);
        let (etag, checksum) = (object.etag.clone(), object.checksum.clone());
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            let standing = Standing::at(tables, (&bucket, &key))?;
            conditions.judge(standing.version())?;
            let version_id = standing.replace(tables, now, Some(object))?;
            tables.keep(received.file);
            Ok(version_id)
        });
        let version_id = written.await?;
        Ok(Landed { etag, checksum, version_id, modified_ms: now.milliseconds() })
    }

    /// A write's conditions, unless the store ignores them.
    pub(super) fn conditions(
        &self,
        if_match: Option<s3s::dto::ETagCondition>,
        if_none_match: Option<s3s::dto::ETagCondition>,
    ) -> S3Result<OfWrite> {
        if self.options.ignore_conditions {
            let is_given = if_match.is_some() || if_none_match.is_some();
            self.chaos.conditions_ignored(usize::from(is_given));
            return Ok(OfWrite::default());
        }
        let conditions = OfWrite { if_match, if_none_match };
        conditions.check()?;
        Ok(conditions)
    }

    /// Refuses a write to a bucket that is not there, before its body is read.
    pub(super) async fn must_have(&self, bucket: &str) -> Result<(), Refused> {
        let bucket = bucket.to_owned();
        self.index.read(move |index| find::bucket(index, &bucket).map(|_| ())).await
    }
}

/// What the answer to a write says of it.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) etag: String,
    pub(super) checksum: Option<Checksum>,
    pub(super) version_id: Option<String>,
    pub(super) modified_ms: i64,
}

/// A size as the answers' types have it.
pub(super) fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

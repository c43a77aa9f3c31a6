//! Buckets, and what is set of them: versioning, tags, location. CORS rules: [`super::cors`].

use http::StatusCode;
use s3s::dto::{
    self, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput,
    DeleteBucketInput, DeleteBucketOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput,
    ListBucketsInput, ListBucketsOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
    PutBucketVersioningInput, PutBucketVersioningOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::described::{refuse, timestamp_ms};
use super::failure::Refused;
use super::index::{Read as _, Unwritten};
use super::records::{Bucket, Tags, Versioning};
use super::tags::{of_document, shown};
use super::{Store, Unread, find, listing};
use crate::s3::tagging::Tagged;

/// The region of buckets that were created without a location.
const REGION: &str = "us-east-1";
/// The most buckets of a page (AWS: ListBuckets).
const PAGE_MAX: usize = 10_000;

/// Beginnings and ends of names that AWS keeps for itself ("General purpose bucket naming rules").
const BEGINNINGS: [&str; 2] = ["sthree-", "amzn-s3-demo-"];
const ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

/// Whether a bucket of this name may be made. `s3s` has checked all but this.
/// A name is also one of a host, so each of its labels begins and ends with a letter or digit.
fn may_be_made(name: &str) -> bool {
    let is_label = |label: &str| !label.starts_with('-') && !label.ends_with('-');
    name.split('.').all(is_label)
        && !BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        && !ENDS.iter().any(|end| name.ends_with(end))
}

impl Store {
    pub(super) async fn make_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = request.input;
        if !may_be_made(&input.bucket) {
            return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."));
        }
        let created_ms = self.now_of_write().milliseconds();
        let location = input.create_bucket_configuration.and_then(|made| made.location_constraint);
        let location = location.map(|location| location.as_str().to_owned());
        let location = location.filter(|location| !location.is_empty());
        let name = input.bucket.clone();
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            if let Some(bucket) = tables.bucket(&name)? {
                // AWS: CreateBucket. In us-east-1 it is created once more, and nothing changes.
                if location.is_none() && bucket.location.is_none() {
                    return Ok(());
                }
                return Err(s3_error!(
                    BucketAlreadyOwnedByYou,
                    "Your previous request to create the named bucket succeeded and you already \
                     own it."
                )
                .into());
            }
            let bucket = Bucket { created_ms, location, ..Bucket::default() };
            Ok(tables.put_bucket(&name, &bucket)?)
        });
        written.await?;
        let location = Some(format!("/{}", input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    pub(super) async fn remove_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let name = request.input.bucket;
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            find::bucket(tables, &name)?;
            if tables.version_from(&name, b"", u64::MAX)?.is_some() {
                return Err(s3_error!(
                    BucketNotEmpty,
                    "The bucket you tried to delete is not empty"
                )
                .into());
            }
            // AWS: DeleteBucket. Unfinished uploads go with it.
            while let Some((key, id, _)) = tables.upload_from(&name, b"", "")? {
                tables.remove_upload((&name, &key, &id))?;
                tables.remove_parts(&id, |_| true)?;
            }
            Ok(tables.remove_bucket(&name)?)
        });
        written.await?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    pub(super) async fn look_at_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let bucket = self.bucket(request.input.bucket).await?;
        let region = bucket.location.unwrap_or_else(|| REGION.to_owned());
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(region), ..<_>::default() }))
    }

    pub(super) async fn all_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let ListBucketsInput { continuation_token: after, prefix, max_buckets, .. } = request.input;
        let most = max_buckets.map_or(Some(PAGE_MAX), |most| usize::try_from(most).ok());
        let most = most.filter(|most| (1..=PAGE_MAX).contains(most)).ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "Argument max-buckets must be an integer between 1 and {PAGE_MAX}"
            )
        })?;
        let read = self.index.read(|index| -> Result<_, Refused> { Ok(index.all_buckets()?) });
        let mut buckets = read.await?;
        buckets.retain(|(name, _)| {
            after.as_ref().is_none_or(|after| name > after)
                && prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
        });
        let truncated = buckets.len() > most;
        buckets.truncate(most);
        let next = buckets.last().filter(|_| truncated).map(|(name, _)| name.clone());
        let shown = buckets.into_iter().map(|(name, bucket)| dto::Bucket {
            name: Some(name),
            creation_date: Some(timestamp_ms(bucket.created_ms)),
            bucket_region: Some(bucket.location.unwrap_or_else(|| REGION.to_owned())),
        });
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(shown.collect()),
            continuation_token: next,
            owner: Some(listing::owner()),
            prefix,
        }))
    }

    pub(super) async fn location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        // AWS: GetBucketLocation. It is empty for us-east-1.
        let location = self.bucket(request.input.bucket).await?.location.unwrap_or_default();
        let location_constraint = Some(BucketLocationConstraint::from(location));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    pub(super) async fn versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let status = match self.bucket(request.input.bucket).await?.versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        let status = status.map(BucketVersioningStatus::from_static);
        Ok(S3Response::new(GetBucketVersioningOutput { status, ..<_>::default() }))
    }

    pub(super) async fn set_versioning(
        &self,
        request: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let PutBucketVersioningInput { bucket, versioning_configuration: wanted, .. } =
            request.input;
        refuse(&[("MfaDelete", wanted.mfa_delete.is_some_and(|mfa| mfa.as_str() == "Enabled"))])?;
        let versioning = match wanted.status.as_ref().map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            Some(_) => return Err(s3_error!(MalformedXML)),
            None => {
                return Err(s3_error!(
                    IllegalVersioningConfigurationException,
                    "The Versioning element must be specified"
                ));
            }
        };
        self.change(bucket, move |bucket| bucket.versioning = versioning).await?;
        Ok(S3Response::new(PutBucketVersioningOutput::default()))
    }

    pub(super) async fn bucket_tags(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let tags = self.bucket(request.input.bucket).await?.tags;
        if tags.is_empty() {
            return Err(s3_error!(NoSuchTagSet, "The TagSet does not exist"));
        }
        Ok(S3Response::new(GetBucketTaggingOutput { tag_set: shown(tags) }))
    }

    pub(super) async fn set_bucket_tags(
        &self,
        request: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let PutBucketTaggingInput { bucket, tagging, .. } = request.input;
        let tags = of_document(tagging, Tagged::Bucket)?;
        self.change(bucket, move |bucket| bucket.tags = tags).await?;
        // AWS: PutBucketTagging, its example.
        let mut response = S3Response::new(PutBucketTaggingOutput::default());
        response.extensions.insert(Unread(StatusCode::NO_CONTENT));
        Ok(response)
    }

    pub(super) async fn remove_bucket_tags(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        self.change(request.input.bucket, |bucket| bucket.tags = Tags::new()).await?;
        Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
    }

    pub(super) async fn bucket(&self, name: String) -> Result<Bucket, Refused> {
        self.index.read(move |index| find::bucket(index, &name)).await
    }

    pub(super) async fn change(
        &self,
        name: String,
        change: impl FnOnce(&mut Bucket) + Send + 'static,
    ) -> Result<(), Refused> {
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            let mut bucket = find::bucket(tables, &name)?;
            change(&mut bucket);
            Ok(tables.put_bucket(&name, &bucket)?)
        });
        written.await
    }
}

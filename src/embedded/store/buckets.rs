//! Buckets, and what is set of them: versioning, CORS, tags, location.

use s3s::dto::{
    self, BucketLocationConstraint, BucketVersioningStatus, CORSRule, CreateBucketInput,
    CreateBucketOutput, DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketInput,
    DeleteBucketOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput, GetBucketCorsInput,
    GetBucketCorsOutput, GetBucketLocationInput, GetBucketLocationOutput, GetBucketTaggingInput,
    GetBucketTaggingOutput, GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput,
    HeadBucketOutput, ListBucketsInput, ListBucketsOutput, PutBucketCorsInput, PutBucketCorsOutput,
    PutBucketTaggingInput, PutBucketTaggingOutput, PutBucketVersioningInput,
    PutBucketVersioningOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::described::{refuse, timestamp_ms};
use super::failure::Refused;
use super::index::{Read as _, Unwritten};
use super::records::{Bucket, CorsRule, Tags, Versioning};
use super::tags::{BUCKET_TAGS_MAX, of_document, shown};
use super::{Store, find, listing};

/// The region of buckets that were created without a location.
const REGION: &str = "us-east-1";
/// The most buckets of a page (AWS: ListBuckets).
const PAGE_MAX: usize = 10_000;

impl Store {
    pub(super) async fn make_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = request.input;
        let is_private = |acl: &dto::BucketCannedACL| acl.as_str() == "private";
        refuse(&[
            ("x-amz-acl", input.acl.as_ref().is_some_and(|acl| !is_private(acl))),
            ("x-amz-grant-full-control", input.grant_full_control.is_some()),
            ("x-amz-grant-read", input.grant_read.is_some()),
            ("x-amz-grant-read-acp", input.grant_read_acp.is_some()),
            ("x-amz-grant-write", input.grant_write.is_some()),
            ("x-amz-grant-write-acp", input.grant_write_acp.is_some()),
            (
                "x-amz-bucket-object-lock-enabled",
                input.object_lock_enabled_for_bucket.unwrap_or(false),
            ),
        ])?;
        let created_ms = self.now().milliseconds();
        let location = input.create_bucket_configuration.and_then(|made| made.location_constraint);
        let location = location.map(|location| location.as_str().to_owned());
        let location = location.filter(|location| !location.is_empty());
        let name = input.bucket.clone();
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            if tables.bucket(&name)?.is_some() {
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
        let most = max_buckets.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE_MAX);
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
            _ => {
                return Err(s3_error!(
                    IllegalVersioningConfigurationException,
                    "The Versioning element must be specified"
                ));
            }
        };
        self.change(bucket, move |bucket| bucket.versioning = versioning).await?;
        Ok(S3Response::new(PutBucketVersioningOutput::default()))
    }

    pub(super) async fn cors(
        &self,
        request: S3Request<GetBucketCorsInput>,
    ) -> S3Result<S3Response<GetBucketCorsOutput>> {
        let rules = self.bucket(request.input.bucket).await?.cors;
        if rules.is_empty() {
            return Err(s3_error!(
                NoSuchCORSConfiguration,
                "The CORS configuration does not exist"
            ));
        }
        let rules = rules.into_iter().map(|rule| CORSRule {
            id: rule.id,
            allowed_headers: rule.allowed_headers,
            allowed_methods: rule.allowed_methods,
            allowed_origins: rule.allowed_origins,
            expose_headers: rule.expose_headers,
            max_age_seconds: rule.max_age_seconds,
        });
        Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(rules.collect()) }))
    }

    pub(super) async fn set_cors(
        &self,
        request: S3Request<PutBucketCorsInput>,
    ) -> S3Result<S3Response<PutBucketCorsOutput>> {
        let PutBucketCorsInput { bucket, cors_configuration, .. } = request.input;
        let rules = cors_configuration.cors_rules.into_iter().map(|rule| CorsRule {
            id: rule.id,
            allowed_headers: rule.allowed_headers,
            allowed_methods: rule.allowed_methods,
            allowed_origins: rule.allowed_origins,
            expose_headers: rule.expose_headers,
            max_age_seconds: rule.max_age_seconds,
        });
        let rules: Vec<_> = rules.collect();
        if rules.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        rules.iter().try_for_each(check_cors)?;
        self.change(bucket, move |bucket| bucket.cors = rules).await?;
        Ok(S3Response::new(PutBucketCorsOutput::default()))
    }

    pub(super) async fn remove_cors(
        &self,
        request: S3Request<DeleteBucketCorsInput>,
    ) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
        self.change(request.input.bucket, |bucket| bucket.cors = Vec::new()).await?;
        Ok(S3Response::new(DeleteBucketCorsOutput::default()))
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
        let tags = of_document(tagging, BUCKET_TAGS_MAX)?;
        self.change(bucket, move |bucket| bucket.tags = tags).await?;
        Ok(S3Response::new(PutBucketTaggingOutput::default()))
    }

    pub(super) async fn remove_bucket_tags(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        self.change(request.input.bucket, |bucket| bucket.tags = Tags::new()).await?;
        Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
    }

    async fn bucket(&self, name: String) -> Result<Bucket, Refused> {
        self.index.read(move |index| find::bucket(index, &name)).await
    }

    async fn change(
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

/// AWS: PutBucketCors.
fn check_cors(rule: &CorsRule) -> S3Result<()> {
    let allowed = ["GET", "PUT", "POST", "DELETE", "HEAD"];
    if let Some(method) = rule.allowed_methods.iter().find(|m| !allowed.contains(&m.as_str())) {
        return Err(s3_error!(
            InvalidRequest,
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        ));
    }
    match rule.allowed_origins.iter().find(|origin| origin.matches('*').count() > 1) {
        Some(origin) => Err(s3_error!(
            InvalidRequest,
            "AllowedOrigin \"{origin}\" can not have more than one wildcard."
        )),
        None => Ok(()),
    }
}

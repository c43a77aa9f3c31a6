//! Browsers' forms (AWS: POST Object). A form is read piece by piece: its fields, at most 20 KiB, say
//! who may write which key; its file then goes to the store as the body of a PutObject.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{self, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3s::dto::StreamingBlob;
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpRequest, HttpResponse};

use super::answers::refused;
use super::head::make_fit;
use super::store::{broken_off, converted};
use crate::clock;
use crate::s3::encoding::{decode, encode_path};
use crate::s3::form_success::{FormSuccess, Posted};
use crate::s3::tagging::tagging_header;
use crate::s3::{Code, FormReader, PostForm, PostPolicy, S3Error, Spelling};
use crate::sigv4::{Accepted, Credential, PolicyClaim, SigningKeys, authenticate_policy};

/// Whether a request is a form.
pub(super) fn is_form(request: &HttpRequest) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media = content_type.and_then(|it| it.split(';').next()).unwrap_or_default().trim();
    request.method() == Method::POST && media.eq_ignore_ascii_case("multipart/form-data")
}

/// Takes forms to the store.
pub(super) struct Forms {
    store: S3Service,
    clients: HashMap<String, Credential>,
    keys: SigningKeys,
}

impl Forms {
    /// `store` is asked without a signature.
    pub(super) fn new(store: S3Service, credential: &Credential) -> Self {
        let clients = HashMap::from([(credential.access_key_id.clone(), credential.clone())]);
        Self { store, clients, keys: SigningKeys::default() }
    }

    /// Serves a form.
    pub(super) async fn serve(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let (put, form, target) = match self.put(head.uri.path(), &head.headers, body).await {
            Ok(put) => put,
            Err(error) => return refused(converted(error)),
        };
        let stored = self.store.call(put).await?;
        let is_stored = stored.status().is_success();
        Ok(if is_stored { answer(&form, &target, host, &stored) } else { stored })
    }

    /// The PutObject that a form stands for.
    async fn put(
        &self,
        path: &str,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<(HttpRequest, PostForm, Target), S3Error> {
        let bucket = decode(path.trim_matches('/')).filter(|bucket| !bucket.contains('/'));
        let bucket = bucket.ok_or_else(|| S3Error::new(Code::MethodNotAllowed))?;
        let mut reader = FormReader::new(&headers.into(), Spelling::Any)?;
        let form = loop {
            if let Some(form) = reader.fields()? {
                break form.filled_in()?;
            }
            let Some(piece) = body.next().await else {
                reader.finish()?;
                return Err(S3Error::new(Code::MalformedPostRequest));
            };
            reader.feed(&piece.map_err(|_| S3Error::incomplete_body())?);
        };
        let policy = self.admit(&form, &bucket)?;
        let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        if let Some(length) = length {
            let (least, most) = reader.file_bytes(length);
            policy.check_size(least, most)?;
        }
        if form.key().is_empty() {
            return Err(S3Error::invalid_argument(NO_KEY, "key", ""));
        }
        let target = Target { bucket, key: form.key().to_owned() };
        let mut headers = fields_as_headers(&form)?;
        let taken_out = make_fit(&Method::PUT, &mut headers);
        let file = File { reader, body, policy, taken: 0 };
        let mut put = HttpRequest::new(Body::from(StreamingBlob::wrap(file.pieces())));
        *put.method_mut() = Method::PUT;
        *put.uri_mut() = target.path().parse().map_err(|_| S3Error::new(Code::InvalidUri))?;
        *put.headers_mut() = headers;
        put.extensions_mut().insert(taken_out);
        Ok((put, form, target))
    }

    /// Checks the signature of a form's policy, and that the form keeps to the policy. A session token
    /// is ignored, as elsewhere in this store.
    fn admit(&self, form: &PostForm, bucket: &str) -> Result<PostPolicy, S3Error> {
        let unsigned = || S3Error::access_denied().because("Signature is required");
        let claim = PolicyClaim::of(form)?.ok_or_else(unsigned)?;
        let claim = PolicyClaim { security_token: None, ..claim };
        let accepted = Accepted { version_2: true, ..Accepted::default() };
        authenticate_policy(&claim, &self.clients, &self.keys, &accepted).map_err(S3Error::from)?;
        let policy = PostPolicy::parse(claim.policy)?;
        policy.check(form, bucket, clock::unix_seconds())?;
        Ok(policy)
    }
}

/// The object that a form writes.
struct Target {
    bucket: String,
    key: String,
}

impl Target {
    fn path(&self) -> String {
        format!("/{}/{}", self.bucket, encode_path(&self.key))
    }
}

/// A form's file while it arrives.
struct File {
    reader: FormReader,
    body: Body,
    policy: PostPolicy,
    /// In bytes.
    taken: u64,
}

impl File {
    fn pieces(self) -> impl Stream<Item = s3s::S3Result<Bytes>> {
        stream::try_unfold(self, async |mut file| {
            let piece = file.next().await?;
            Ok(piece.map(|piece| (piece, file)))
        })
    }

    /// The next bytes; `None` once the whole form was right.
    async fn next(&mut self) -> s3s::S3Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.reader.content().map_err(converted)? {
                self.taken += piece.len() as u64;
                self.policy.check_size(self.taken, u64::MAX).map_err(converted)?;
                return Ok(Some(piece));
            }
            let Some(piece) = self.body.next().await else {
                self.reader.finish().map_err(converted)?;
                self.policy.check_size(self.taken, self.taken).map_err(converted)?;
                return Ok(None);
            };
            self.reader.feed(&piece.map_err(broken_off)?);
        }
    }
}

/// A form's fields as headers of a PutObject (AWS: POST Object, form fields). A field of AWS's that is
/// not listed is refused, since what it asks for would not be done.
fn fields_as_headers(form: &PostForm) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::new();
    for (field, value) in form.fields() {
        let (name, value) = match field {
            "acl" => ("x-amz-acl", value.to_owned()),
            "tagging" => ("x-amz-tagging", tagging_header(value)?),
            "x-amz-checksum-algorithm" => ("x-amz-sdk-checksum-algorithm", value.to_owned()),
            "cache-control"
            | "content-type"
            | "content-disposition"
            | "content-encoding"
            | "expires"
            | "content-md5" => (field, value.to_owned()),
            "x-amz-algorithm"
            | "x-amz-credential"
            | "x-amz-date"
            | "x-amz-signature"
            | "x-amz-security-token" => continue,
            _ if TAKEN.iter().any(|prefix| field.starts_with(prefix)) => (field, value.to_owned()),
            _ if field.starts_with("x-amz-") || field.starts_with("if-") => {
                return Err(S3Error::not_implemented(field, None));
            }
            _ => continue,
        };
        let invalid = || S3Error::invalid_argument("Invalid form field.", field, &*value);
        let name: HeaderName = name.parse().map_err(|_| invalid())?;
        // Not only ASCII: a file name may be in it.
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?);
    }
    Ok(headers)
}

/// How the names of fields begin that are headers of a PutObject.
const TAKEN: [&str; 6] = [
    "x-amz-meta-",
    "x-amz-checksum-",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "x-amz-server-side-encryption",
    "x-amz-object-lock-",
];

const NO_KEY: &str = "User key must have a length greater than 0.";

/// The answer that a form asks for.
fn answer(form: &PostForm, target: &Target, host: &str, stored: &HttpResponse) -> HttpResponse {
    let etag = stored.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
    let posted = Posted {
        bucket: &target.bucket,
        key: &target.key,
        etag: etag.unwrap_or_default(),
        location: &format!("http://{host}{}", target.path()),
    };
    let FormSuccess { status, headers, body } = FormSuccess::of(form, &posted);
    let mut answer = HttpResponse::new(Body::from(body));
    *answer.status_mut() = status;
    let kept = stored.headers().iter();
    let kept =
        kept.filter(|(name, _)| **name == header::ETAG || name.as_str().starts_with("x-amz-"));
    answer.headers_mut().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    answer.headers_mut().extend(headers);
    answer
}

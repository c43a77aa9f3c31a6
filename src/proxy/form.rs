//! A browser's upload form (AWS: POST Object): the key and the signature stand in the form. What
//! goes to the store is a PutObject, through the gate like every other.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::proxy::Session;
use sha2::{Digest, Sha256};

use super::Proxy;
use super::access::{Asked, Caller};
use super::admission::foreign;
use super::context::Context;
use super::intake;
use super::respond;
use super::writes::inscribe;
use crate::backend::{Answer, Signing, StoreRequest};
use crate::body::Body;
use crate::chance;
use crate::clock;
use crate::gate::{Reply, Write};
use crate::register::WriteId;
use crate::s3::encoding::encode_query;
use crate::s3::form::{PostForm, post_response};
use crate::s3::policy::PostPolicy;
use crate::s3::tagging::tagging_header;
use crate::s3::{
    BucketName, Code, Condition, ETag, ObjectKey, ObjectName, Operation, S3Error, Target,
};
use crate::sigv4::{Algorithm, PolicyClaim, authenticate_policy, check_content};

/// Serves a form.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    bucket: BucketName,
    expects_continue: bool,
) -> pingora::Result<()> {
    let taken = intake::take_unsigned(proxy, session, expects_continue).await;
    let (content, _budget) = match taken {
        Ok(content) => content.finish(),
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let content_type = session.req_header().headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = PostForm::parse(content_type, &content);
    let upload = form.and_then(|form| admit(proxy, context, form, bucket));
    let upload = match upload {
        Ok(upload) => upload,
        Err(error) => return respond::error(session, context, &error, None).await,
    };
    let body = Body::from(upload.form.file().clone());
    let mut request = upload.put(session);
    let write_id = WriteId::alone(&chance::name());
    let inscribed = !upload.passes && inscribe(proxy, &mut request, &upload.name, &write_id);
    let mut outcome = if upload.passes {
        proxy.gate.pass(Operation::PostObject, &request, &body, None).await
    } else {
        let write = Write {
            name: &upload.name,
            operation: Operation::PostObject,
            condition: &Condition::None,
            request: &request,
            body: &body,
            write_id,
            attempt: 1,
            arrived: context.arrived,
            head_headers: &HeaderMap::new(),
            version_id: None,
            upload_id: None,
            inscribed,
            keep_alive: None,
        };
        proxy.gate.write(&write).await
    };
    context.log.gate(&outcome);
    if let Some(commit) = outcome.commit.take() {
        commit.record().await;
    }
    match outcome.reply {
        Reply::Store(answer) if answer.status.is_success() => {
            let etag = answer.headers.get(header::ETAG).map(|value| ETag::parse(value.as_bytes()));
            let (status, mut headers, document) = upload.success(session, etag.as_ref());
            headers.extend(of_the_store(answer.headers));
            respond::write(session, context, status, headers, document).await
        }
        Reply::Error(refused, current) => {
            respond::error(session, context, &refused, current.as_ref()).await
        }
        Reply::Store(Answer { status, headers, body }) => {
            respond::write(session, context, status, headers, body).await
        }
        Reply::Replayed(state, generation) => {
            let (status, mut headers, document) =
                upload.success(session, respond::etag_left(&state));
            headers.extend(respond::replay_headers(generation.as_ref()));
            respond::write(session, context, status, headers, document).await
        }
    }
}

/// A form whose sender may upload it.
struct Upload {
    form: PostForm,
    name: ObjectName,
    headers: HeaderMap,
    /// Whether a rule lets the key's writes pass.
    passes: bool,
}

/// Checks the form's signature, its owner's rights, that it keeps to the signed policy, and that the
/// file is what the form says it is. A form cannot carry a condition, so it is refused where a rule
/// requires one.
fn admit(
    proxy: &Proxy,
    context: &mut Context,
    form: PostForm,
    bucket: BucketName,
) -> Result<Upload, S3Error> {
    let caller = match signed_policy(&form)? {
        None => Caller::Anonymous,
        Some(claim) => {
            let region = proxy.region.as_deref();
            let owner = authenticate_policy(&claim, &proxy.clients, &proxy.keys, region)
                .map_err(|error| foreign(&error))?;
            Caller::Client(owner)
        }
    };
    caller.access_key_id().clone_into(&mut context.log.access_key_id);
    form.key().clone_into(&mut context.log.key);
    let target = Target::Bucket(bucket.clone());
    proxy.clients.authorize(&caller, &Asked::of(Operation::PostObject, &target))?;
    if let Some(policy) = form.field("policy") {
        PostPolicy::parse(policy)?.check(&form, bucket.as_str(), clock::unix_seconds())?;
    }
    let key = ObjectKey::parse(form.key(), proxy.naming.segments)?;
    let name = ObjectName { bucket, key };
    let treatment = proxy.rules.treatment(&name);
    treatment.check(Operation::PostObject, &Condition::None)?;
    let headers = put_headers(&form)?;
    check_content(&headers, form.file()).map_err(|error| foreign(&error))?;
    Ok(Upload { name, headers, form, passes: treatment.passes })
}

/// What the form claims about its signature; `None` when there is no trace of one (AWS: a form
/// without a policy is an anonymous one). 403 for a signature without the policy that it is of.
fn signed_policy(form: &PostForm) -> Result<Option<PolicyClaim<'_>>, S3Error> {
    let traces = [
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
        "x-amz-security-token",
        "awsaccesskeyid",
        "signature",
    ];
    if traces.into_iter().all(|field| form.field(field).is_none()) {
        return Ok(None);
    }
    Ok(Some(PolicyClaim {
        policy: form.field("policy").ok_or_else(|| S3Error::new(Code::AccessDenied))?,
        algorithm: form.field("x-amz-algorithm"),
        credential: form.field("x-amz-credential"),
        date: form.field("x-amz-date"),
        signature: form.field("x-amz-signature"),
        security_token: form.field("x-amz-security-token"),
        version_2: form.field("awsaccesskeyid").zip(form.field("signature")),
    }))
}

/// The form's fields as headers of a PutObject (AWS: PostObject, form fields). A list of what may
/// pass: any other `x-amz-*` field could make the request another one than a plain put (a copy, an
/// append), or asks for something that is not done here, and is refused; passed over, it would be a
/// promise broken.
fn put_headers(form: &PostForm) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::new();
    for (field, value) in form.fields() {
        let mut value = Cow::Borrowed(value);
        let name = match field {
            "acl" => "x-amz-acl",
            "tagging" => {
                value = Cow::Owned(tagging_header(&value)?);
                "x-amz-tagging"
            }
            "x-amz-checksum-algorithm" => "x-amz-sdk-checksum-algorithm",
            "cache-control"
            | "content-type"
            | "content-disposition"
            | "content-encoding"
            | "expires"
            | "content-md5"
            | "x-amz-storage-class"
            | "x-amz-website-redirect-location" => field,
            "x-amz-algorithm"
            | "x-amz-credential"
            | "x-amz-date"
            | "x-amz-signature"
            | "x-amz-security-token" => continue,
            _ if ["x-amz-meta-", "x-amz-server-side-encryption", "x-amz-object-lock-"]
                .iter()
                .any(|prefix| field.starts_with(prefix)) =>
            {
                field
            }
            _ if Algorithm::ALL.iter().any(|algorithm| algorithm.header() == *field) => field,
            _ if field.starts_with("x-amz-") => {
                return Err(S3Error::not_implemented(field, None));
            }
            _ => continue,
        };
        let invalid = || S3Error::invalid_argument("Invalid form field.", field, &*value);
        let name: HeaderName = name.parse().map_err(|_| invalid())?;
        headers.insert(name, HeaderValue::from_str(&value).map_err(|_| invalid())?);
    }
    Ok(headers)
}

/// What the store's answer says of the object, its version and encryption say, and to whom.
fn of_the_store(answer: HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    answer.into_iter().filter_map(|(name, value)| Some((name?, value))).filter(|(name, _)| {
        *name == header::VARY
            || ["x-amz-", "access-control-"].iter().any(|own| name.as_str().starts_with(own))
    })
}

impl Upload {
    /// What goes to the store.
    fn put(&self, session: &Session) -> StoreRequest {
        let mut headers = self.headers.clone();
        // Whether a page of another origin may read the answer is for the bucket's CORS to say.
        let origin = session.req_header().headers.get(header::ORIGIN);
        headers.extend(origin.map(|origin| (header::ORIGIN, origin.clone())));
        StoreRequest {
            signing: Signing::Anew,
            method: Method::PUT,
            path: self.name.path(),
            query: Vec::new(),
            headers,
            sha256: Some(Sha256::digest(self.form.file()).into()),
        }
    }

    /// AWS: `success_action_redirect`, else `success_action_status` 200, 201 or 204.
    fn success(&self, session: &Session, etag: Option<&ETag>) -> (StatusCode, HeaderMap, Bytes) {
        let location = respond::location(session, &self.name);
        let mut headers = HeaderMap::new();
        if let Some(value) = etag.and_then(ETag::header_value) {
            headers.insert(header::ETAG, value);
        }
        let quoted = etag.map(ETag::to_string).unwrap_or_default();
        let (bucket, key) = (self.name.bucket.as_str(), self.name.key.as_str());
        if let Some(to) = self.redirect(&quoted) {
            headers.insert(header::LOCATION, to);
            return (StatusCode::SEE_OTHER, headers, Bytes::new());
        }
        if let Ok(location) = HeaderValue::from_str(&location) {
            headers.insert(header::LOCATION, location);
        }
        match self.form.field("success_action_status") {
            Some("200") => (StatusCode::OK, headers, Bytes::new()),
            Some("201") => {
                let xml = HeaderValue::from_static("application/xml");
                headers.insert(header::CONTENT_TYPE, xml);
                let document = post_response(&location, bucket, key, &quoted);
                (StatusCode::CREATED, headers, document.into())
            }
            _ => (StatusCode::NO_CONTENT, headers, Bytes::new()),
        }
    }

    fn redirect(&self, etag: &str) -> Option<HeaderValue> {
        let to =
            self.form.field("success_action_redirect").or_else(|| self.form.field("redirect"))?;
        let joint = if to.contains('?') { '&' } else { '?' };
        let [bucket, key, etag] =
            [self.name.bucket.as_str(), self.name.key.as_str(), etag].map(encode_query);
        HeaderValue::from_str(&format!("{to}{joint}bucket={bucket}&key={key}&etag={etag}")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(field: &str) -> PostForm {
        let part = |name: &str, value: &str| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body = [part("key", "k"), part(field, "v"), part("file", "x"), "--B--\r\n".to_owned()];
        PostForm::parse("multipart/form-data; boundary=B", &body.concat().into()).unwrap()
    }

    #[test]
    fn a_form_can_ask_for_a_put_and_nothing_else() {
        for field in
            ["x-amz-meta-a", "x-amz-storage-class", "content-type", "x-amz-object-lock-mode"]
        {
            assert_eq!(put_headers(&form(field)).unwrap()[field], "v");
        }
        assert_eq!(put_headers(&form("acl")).unwrap()["x-amz-acl"], "v");
        for field in [
            "x-amz-copy-source",
            "x-amz-write-offset-bytes",
            "x-amz-rename-source",
            "x-amz-checksum-crc99",
            "x-amz-checksum-type",
        ] {
            let error = put_headers(&form(field)).unwrap_err();
            assert_eq!((error.status().as_u16(), error.field("Header")), (501, Some(field)));
        }
        for passed_over in ["x-copy-from", "awsaccesskeyid", "signature"] {
            assert!(put_headers(&form(passed_over)).unwrap().is_empty());
        }
        assert_eq!(put_headers(&form("tagging")).unwrap_err().code(), "MalformedXML");
        let said = put_headers(&form("x-amz-checksum-algorithm")).unwrap();
        assert_eq!(said["x-amz-sdk-checksum-algorithm"], "v");
        assert!(put_headers(&form("x-amz-checksum-xxhash3")).is_ok());
    }
}

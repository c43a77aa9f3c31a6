//! Admission: finds the operation, authenticates and authorizes the caller, and reads what the head
//! promises about the body. No answer tells anything about a key before its caller is authenticated
//! (L6). The result has a type for each kind of request, with everything that its handler needs.

use http::Version;
use http::header::{self, HeaderName};

use super::access::{Asked, is_of_a_read};
use super::admitted::{
    Admitted, Batch, Form, KeyWrite, Listing, ObjectRead, PartCopy, Passed, Preflight, Request,
    Retry, UploadStart, Wanted,
};
use super::context::Context;
use super::cors::Asking;
use super::origin::{Origin, Verbatim};
use super::rules::KeyPolicy;
use super::signed::{Proof, Signed};
use super::state::Proxy;
use super::visit::{SentHead, Visit};
use crate::backend::headers::{as_sent, is_of_body, may_go_unsigned, of_preflight};
use crate::backend::{Signing, StoreRequest};
use crate::config::Signatures;
use crate::http1::fields::Fields;
use crate::metrics::labels::RefusedBy;
use crate::s3::copy_source::X_AMZ_COPY_SOURCE;
use crate::s3::listing::versions::VersionsRequest;
use crate::s3::listing::{ListRequest, Start};
use crate::s3::{
    BucketName, Code, Content, CopySource, Effect, Operation, Preconditions, Query, RequestHead,
    S3Error, Target, check_arguments, classify, inadmissible_at,
};
use crate::sigv4::{Claimed, EffectiveRequest, PromisedChecksum, unframe};
use crate::tls::Shown;
use crate::traces::parent::TRACE;

/// Admits a request, or returns the error. Fills in the log line's fields on the way.
pub(super) fn admit(proxy: &Proxy, visit: &mut Visit<'_>) -> Result<Admitted, S3Error> {
    let (came, context) = visit.parts();
    context.log.trace(came.headers);
    let line = std::str::from_utf8(came.target).map_err(|_| S3Error::new(Code::InvalidUri))?;
    let (path, query) = line.split_once('?').unwrap_or((line, ""));
    let query = Query::parse(query);
    let sent = RequestHead { method: came.method, path, query: &query, headers: came.headers };
    note_bucket(proxy, context, sent);
    let target = Target::parse(sent, &proxy.naming)?;
    context.log.target(&target);
    query.check()?;
    // From here on the effective request is read; only the signature is checked over the request as
    // sent.
    let meant = EffectiveRequest::of(sent)?;
    let head = meant.head();
    let operation = classify(head, &target);
    context.log.operation = Some(operation);
    target.bucket().map_or(Ok(()), |bucket| proxy.reserved.check(bucket))?;
    let effect = operation.effect_at(proxy.understanding.understood());
    check_nominations(head)?;
    if operation == Operation::Preflight {
        return Ok(Admitted::Preflight(preflight(&target, came.headers)));
    }
    let shown = came.shown;
    let asked = Question { proxy, shown, meant: &meant, head, target: &target, operation, effect };
    let findings = asked.judge(context)?;
    let expects_continue = expects_continue(head, came.version);
    let Some(signed) = findings.signed else {
        return form(target, meant.headers.into_owned(), expects_continue);
    };
    let content = Content::of(head, operation);
    let (origin, headers, query) = origin_of(came, line, signed.proof, meant);
    let mut request = Box::new(Request {
        operation,
        method: came.method.clone(),
        headers,
        query,
        content,
        origin,
        promise: signed.promise,
        expects_continue,
    });
    settle(&mut request, effect, findings.terms.source.as_ref());
    if effect != Effect::Read && operation != Operation::PostObject {
        context.room = Some(proxy.place_for_write(request.origin.access_key_id())?);
    }
    sort(proxy, effect, request, target, findings.terms)
}

/// A browser's preflight. It is not signed: a signature in its URL belongs to the request that may
/// follow. The policy is the bucket's. The answer tells nothing about a key, not even whether it
/// exists: moto, for one, refuses the preflight of a caller that may not read the object.
fn preflight(target: &Target, headers: &Fields) -> Preflight {
    let bucket = target.bucket().cloned().map_or(Target::Service, Target::Bucket);
    Preflight { path: bucket.path(), headers: of_preflight(headers) }
}

/// A browser's form: the signature covers its policy field, not the head.
fn form(target: Target, headers: Fields, expects_continue: bool) -> Result<Admitted, S3Error> {
    match target {
        Target::Bucket(bucket) => Ok(Admitted::Form(Form { bucket, headers, expects_continue })),
        Target::Service | Target::Object(_) => Err(S3Error::new(Code::AccessDenied)),
    }
}

/// A request whose operation is known, before it is judged.
struct Question<'a> {
    proxy: &'a Proxy,
    shown: Option<&'a Shown>,
    meant: &'a EffectiveRequest<'a>,
    head: RequestHead<'a>,
    target: &'a Target,
    operation: Operation,
    effect: Effect,
}

/// The findings about a request that may be served.
struct Findings {
    /// `None` where the signature does not cover the head: a browser's form has it in its body.
    signed: Option<Signed>,
    terms: Terms,
}

/// How a request is treated, beside its head.
struct Terms {
    preconditions: Preconditions,
    policy: KeyPolicy,
    source: Option<CopySource>,
    retry: Retry,
    /// Does the request have a body without a declared length? It is then buffered first.
    unknown_length: bool,
}

impl Question<'_> {
    fn judge(&self, context: &mut Context) -> Result<Findings, S3Error> {
        let (proxy, head, operation) = (self.proxy, self.head, self.operation);
        context.log.judged_by = Some(RefusedBy::Signature);
        let signed = match proxy.signatures {
            Signatures::Resign => {
                Signed::check(proxy, self.meant, operation).inspect_err(|_| {
                    context.log.claimed_access_key_id = self.claimed();
                })?
            }
            Signatures::Passthrough => Some(Signed::unproved(proxy, self.meant, operation)?),
        };
        context.log.judged_by = Some(RefusedBy::Request);
        let body = signed.as_ref().map(|signed| signed.check_body(proxy, head, operation));
        let unknown_length = body.transpose()?.unwrap_or_default();
        let source = CopySource::from_head(head, proxy.naming.segments)?;
        source.as_ref().map_or(Ok(()), |source| proxy.reserved.check(&source.name.bucket))?;
        if let Some(signed) = &signed {
            signed.access_key_id().clone_into(&mut context.log.access_key_id);
            context.log.previous_secret = signed.previous_secret;
            context.log.judged_by = Some(RefusedBy::Access);
            self.authorize(signed, source.as_ref())?;
            context.log.judged_by = Some(RefusedBy::Request);
        }
        let known = proxy.signatures == Signatures::Resign;
        self.check_possible(!known)?;
        let retry = Retry::from_head(head);
        context.log.attempt = retry.attempt;
        let policy = self.target.object().map(|name| proxy.rules.policy(name)).unwrap_or_default();
        let preconditions = self.preconditions(policy)?;
        context.log.judged_by = Some(RefusedBy::Rule);
        policy.check_effect(operation, self.effect, &preconditions)?;
        context.log.judged_by = Some(RefusedBy::Request);
        let terms = Terms {
            preconditions,
            policy,
            // For a caller that is not authenticated the register remembers no write: to the gate
            // its retry is a request like any other. The store judges whether it may read the copy
            // source.
            source: source.filter(|_| known),
            retry: if known { retry } else { Retry::default() },
            unknown_length,
        };
        Ok(Findings { signed, terms })
    }

    /// The known client that a request says to come from whose signature was refused.
    fn claimed(&self) -> String {
        let claimed = Claimed::of(self.meant).map(|claimed| claimed.access_key_id);
        self.proxy.clients.if_known(claimed.unwrap_or_default())
    }

    fn authorize(&self, signed: &Signed, source: Option<&CopySource>) -> Result<(), S3Error> {
        let Proof::Verified(verified) = &signed.proof else { return Ok(()) };
        let asked = Asked {
            operation: self.operation,
            effect: self.effect,
            target: self.target,
            of_version: self.head.query.has("versionId"),
            source,
        };
        self.proxy.clients.authorize(&verified.caller, self.shown, &asked)
    }

    /// Whether the proxy can do the operation at all, for any caller. `as_sent`: the request is
    /// sent on as its sender signed it.
    fn check_possible(&self, as_sent: bool) -> Result<(), S3Error> {
        if let Some(refused) = inadmissible_at(self.head, self.operation, self.effect, as_sent) {
            return Err(refused);
        }
        check_arguments(self.head, self.operation)?;
        match (self.operation, self.target.bucket()) {
            (Operation::ConfigureBucket(name), Some(bucket)) => {
                self.proxy.rules.check_configuration(bucket.as_str(), name)
            }
            _ => Ok(()),
        }
    }

    /// The condition that the gate judges. For operations that do not change the content, the store
    /// judges the conditions.
    fn preconditions(&self, policy: KeyPolicy) -> Result<Preconditions, S3Error> {
        match (self.operation.subresource(), self.effect) {
            (Some(_), Effect::Read | Effect::Streams) => Ok(Preconditions::NONE),
            _ => policy.preconditions(self.head, self.operation, self.proxy.dialect),
        }
    }
}

/// The origin, and the headers and the query as everything after admission reads them. A request
/// that its sender has signed for the store keeps both as they were sent, without the unsigned
/// parts.
fn origin_of(
    came: SentHead<'_>,
    line: &str,
    proof: Proof,
    meant: EffectiveRequest<'_>,
) -> (Origin, Fields, Query) {
    let EffectiveRequest { headers, query, .. } = meant;
    let (mut headers, query) = (headers.into_owned(), query.into_owned());
    match proof {
        Proof::Verified(verified) => (Origin::Verified(verified), headers, query),
        Proof::Claimed(claimed) => {
            let goes = |name: &HeaderName| {
                came.headers.contains_key(name)
                    && (claimed.covers(name.as_str())
                        || may_go_unsigned(name.as_str())
                        || is_of_body(name.as_str()))
            };
            headers.retain(goes);
            let request = StoreRequest {
                signing: Signing::AsSent {
                    signs_trace: TRACE.iter().any(|name| claimed.covers(name)),
                },
                method: came.method.clone(),
                path: line.to_owned(),
                query: Vec::new(),
                headers: as_sent(&headers),
                sha256: None,
            };
            let chunked = headers.contains_key(header::TRANSFER_ENCODING)
                && !headers.contains_key(header::CONTENT_LENGTH);
            let verbatim = Verbatim { access_key_id: claimed.access_key_id, request, chunked };
            (Origin::Verbatim(Box::new(verbatim)), headers, query)
        }
    }
}

/// Brings the head of a request that is signed anew into the form in which it is sent on: without
/// the headers about the body's framing, with one spelling of its copy source, and for an anonymous
/// read with only those query parameters that S3 defines.
fn settle(request: &mut Request, effect: Effect, source: Option<&CopySource>) {
    if request.origin.is_verbatim() {
        return;
    }
    if request.promise.payload.is_chunked() {
        // These headers describe the transfer of the body, not what is stored (AWS: SigV4
        // streaming).
        unframe(&mut request.headers);
    }
    if let Some(source) = source.and_then(CopySource::header_value) {
        request.headers.insert(X_AMZ_COPY_SOURCE, source);
    }
    if effect == Effect::Read && request.origin.is_anonymous() {
        request.query.retain(is_of_a_read);
    }
}

/// The kind of request, by which the handler is chosen.
fn sort(
    proxy: &Proxy,
    effect: Effect,
    mut request: Box<Request>,
    target: Target,
    terms: Terms,
) -> Result<Admitted, S3Error> {
    use Operation as Op;
    let verbatim = request.origin.is_verbatim();
    let unguarded = terms.policy.unguarded;
    Ok(match (effect, target, request.operation) {
        (Effect::WritesKey(_) | Effect::UnknownWrite(_), Target::Object(name), _) => {
            let Terms { preconditions, source, retry, .. } = terms;
            Admitted::Write(KeyWrite { request, name, preconditions, unguarded, source, retry })
        }
        (Effect::WritesKeysInBody, Target::Bucket(bucket), Op::PostObject) if verbatim => {
            Admitted::FormVerbatim(request, bucket)
        }
        (Effect::WritesKeysInBody, Target::Bucket(bucket), Op::PostObject) => {
            let Request { headers, expects_continue, .. } = *request;
            Admitted::Form(Form { bucket, headers, expects_continue })
        }
        (Effect::WritesKeysInBody, Target::Bucket(bucket), _) => {
            let batch = Batch { request, bucket, retry: terms.retry };
            if verbatim { Admitted::BatchVerbatim(batch) } else { Admitted::Batch(batch) }
        }
        (Effect::Streams, Target::Object(name), Op::CreateMultipartUpload) if !unguarded => {
            Admitted::UploadStart(UploadStart { request, name })
        }
        (Effect::Streams, Target::Object(name), Op::UploadPartCopy) if !verbatim => {
            Admitted::PartCopy(PartCopy { request, name, source: terms.source, unguarded })
        }
        (Effect::Streams, target, _) if is_buffered(proxy, &request, terms.unknown_length) => {
            Admitted::Buffered(Passed { request, target })
        }
        (Effect::Read, Target::Object(name), Op::GetObject | Op::HeadObject) if !verbatim => {
            let consistent = terms.policy.consistent;
            Admitted::ObjectRead(ObjectRead { request, name, unguarded, consistent })
        }
        (
            Effect::Read,
            Target::Bucket(bucket),
            Op::ListObjects | Op::ListObjectsV2 | Op::ListObjectVersions,
        ) if !verbatim && is_corrected(proxy, &request, &bucket) => {
            let wanted = match request.operation {
                Op::ListObjectVersions => VersionsRequest::of(&request.query).map(Wanted::Versions),
                operation => ListRequest::of(operation, &request.query)?.map(Wanted::Keys),
            };
            let wanted = wanted.unwrap_or(Wanted::OfTheStore);
            Admitted::Listing(Listing { request, bucket, wanted })
        }
        (Effect::Read | Effect::Streams, target, _) => {
            // The store says whether a body that is signed for it may come.
            request.expects_continue &= !verbatim;
            let is_safe = request.method.is_safe();
            let passed = Passed { request, target };
            if is_safe { Admitted::Read(passed) } else { Admitted::Stream(passed) }
        }
        // No operation is classified like this.
        (Effect::WritesKey(_) | Effect::UnknownWrite(_) | Effect::WritesKeysInBody, ..) => {
            return Err(S3Error::new(Code::AccessDenied));
        }
    })
}

/// Whether a listing may have keys whose reads are consistent, or goes on where one had: only this
/// proxy can read such a token.
fn is_corrected(proxy: &Proxy, request: &Request, bucket: &BucketName) -> bool {
    let prefix = request.query.get("prefix").unwrap_or_default();
    proxy.rules.may_be_consistent(bucket, prefix)
        || request.query.get("continuation-token").is_some_and(Start::is_token)
}

/// Whether this request, which is not guarded, has its body buffered. That is so for a document
/// that is read here, for an upload part with a trailing checksum (old stores do not read one), and
/// for an upload part without a declared length.
fn is_buffered(proxy: &Proxy, request: &Request, unknown_length: bool) -> bool {
    if request.origin.is_read(request.content) {
        return true;
    }
    if request.origin.is_verbatim() {
        return false;
    }
    let trails = matches!(request.promise.checksum, Some(PromisedChecksum::Trailer(_)));
    let Some(length_bytes) = request.promise.length else { return unknown_length };
    trails && !proxy.store.drops_checksums() && length_bytes <= proxy.body_bytes_max
}

/// RFC 9110 §10.1.1, §15.2: false for HTTP/1.0, which has no informational responses.
fn expects_continue(head: RequestHead<'_>, version: Version) -> bool {
    let said = head.header(&header::EXPECT);
    version == Version::HTTP_11
        && said.is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
}

/// Notes the bucket whose CORS rules apply to the answer, whatever the request's outcome.
fn note_bucket(proxy: &Proxy, context: &mut Context, head: RequestHead<'_>) {
    let Some((bucket, by_host)) = Target::bucket_named(head, &proxy.naming) else { return };
    context.host_style = by_host;
    if proxy.reserved.check(&bucket).is_ok() {
        context.cors = Asking::of(&proxy.cors, &bucket, head.method, head.headers);
    }
}

/// Refuses a `Connection` header that names a header of the request itself: that header would be
/// judged here and then removed as a hop-by-hop header (RFC 9110 §7.6.1).
fn check_nominations(head: RequestHead<'_>) -> Result<(), S3Error> {
    let nominated = head.headers.get_all(header::CONNECTION);
    let is_ours = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        ["x-amz-", "content-", "if-"].iter().any(|prefix| name.starts_with(prefix))
            || matches!(name.as_str(), "host" | "authorization" | "range" | "expect")
    };
    for value in nominated {
        if value.to_str().unwrap_or_default().split(',').any(is_ours) {
            return Err(S3Error::new(Code::InvalidRequest)
                .because("The Connection header names a header of the request itself."));
        }
    }
    Ok(())
}

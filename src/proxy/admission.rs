//! Admission: what is asked, by whom, and what the head promises. Nothing is answered about a key
//! before its caller has proved who he is (L6).

use http::header::{self, HeaderName};
use http::{HeaderMap, Version};
use pingora::proxy::Session;

use super::access::{Asked, Caller, is_of_a_read};
use super::context::Context;
use super::cors::Asking;
use super::rules::Treatment;
pub(super) use super::signed::Signed;
use super::state::Proxy;
use crate::backend::headers::{is_of_body, may_go_unsigned};
use crate::config::Signatures;
use crate::s3::copy_source::X_AMZ_COPY_SOURCE;
use crate::s3::{
    BucketName, Code, Condition, CopySource, Effect, Operation, Query, RequestHead, S3Error,
    Target, check_arguments, classify, refusal_at,
};
use crate::sigv4::{EffectiveRequest, unframe};

/// A request whose sender is known and may do what it asks.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) target: Target,
    /// What is meant of the query.
    pub(super) query: Query,
    pub(super) operation: Operation,
    /// What the operation does to objects, at this store.
    pub(super) effect: Effect,
    pub(super) condition: Condition,
    /// How its key is treated; of a request that names none, as if no rule were.
    pub(super) treatment: Treatment,
    pub(super) copy_source: Option<CopySource>,
    /// `None` where the head is not what is signed: a browser's form carries its signature inside,
    /// and its preflight has none.
    pub(super) signed: Option<Signed>,
    pub(super) retry: Retry,
    pub(super) expects_continue: bool,
    /// Has the request a body whose length nothing says? It is taken whole first.
    pub(super) unknown_length: bool,
}

/// Which attempt of which call this is, as AWS's SDKs say it.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    /// `amz-sdk-invocation-id`: the same for all attempts of one call.
    pub(super) invocation: Option<String>,
    /// From `amz-sdk-request: attempt=2; max=3`; 1 where nothing is said.
    pub(super) attempt: u32,
}

impl Admitted {
    pub(super) fn new(
        proxy: &Proxy,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<Self, S3Error> {
        let request = session.req_header();
        let target =
            std::str::from_utf8(request.raw_path()).map_err(|_| S3Error::new(Code::InvalidUri))?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(query);
        let sent =
            RequestHead { method: &request.method, path, query: &query, headers: &request.headers };
        note_bucket(proxy, context, sent);
        let target = Target::parse(sent, &proxy.naming)?;
        context.log.target(&target);
        query.check()?;
        // What is meant is read from here on; what was sent only by the signature.
        let mut meant = EffectiveRequest::of(&sent)?;
        let head = RequestHead { query: &meant.query, headers: &meant.headers, ..sent };
        let operation = classify(head, &target);
        context.log.operation = Some(operation);
        target.bucket().map_or(Ok(()), |bucket| proxy.reserved.check(bucket))?;
        let effect = operation.effect_at(proxy.understanding.understood());
        check_nominations(head)?;
        if operation == Operation::Preflight {
            return Ok(Self::preflight(target));
        }
        let signed = match proxy.signatures {
            Signatures::Resign => Signed::check(proxy, sent, head, operation)?,
            Signatures::Passthrough => Some(Signed::unproved(proxy, sent, head, operation)?),
        };
        let body = signed.as_ref().map(|signed| signed.check_body(proxy, head, operation));
        let unknown_length = body.transpose()?.unwrap_or_default();
        let copy_source = CopySource::from_head(head, proxy.naming.segments)?;
        if let Some(source) = &copy_source {
            proxy.reserved.check(&source.name.bucket)?;
        }
        if let Some(signed) = &signed {
            signed.caller.access_key_id().clone_into(&mut context.log.access_key_id);
            let asked = Asked {
                operation,
                effect,
                target: &target,
                of_version: head.query.has("versionId"),
                source: copy_source.as_ref(),
            };
            proxy.clients.authorize(&signed.caller, &asked)?;
        }
        check_request(proxy, head, &target, (operation, effect))?;
        let retry = Retry::from_head(head);
        context.log.attempt = retry.attempt;
        // Of a caller who is not known nothing was remembered: to the gate his retry is a request
        // like every other. What he copies from is between him and the store.
        let known = proxy.signatures == Signatures::Resign;
        let retry = if known { retry } else { Retry { invocation: None, attempt: 1 } };
        let copy_source = copy_source.filter(|_| known);
        let treatment = target.object().map(|name| proxy.rules.treatment(name)).unwrap_or_default();
        let condition = condition_of(proxy, head, (operation, effect), treatment)?;
        treatment.check_effect(operation, effect, &condition)?;
        let mut admitted = Self {
            query: Query::default(),
            effect,
            condition,
            treatment,
            target,
            operation,
            copy_source,
            signed,
            retry,
            expects_continue: expects_continue(head, request.version),
            unknown_length,
        };
        if admitted.is_a_stranger_s_read() {
            meant.query.retain(is_of_a_read);
        }
        admitted.leave(session, meant)?;
        Ok(admitted)
    }

    /// Leaves what is meant, the headers in the session, as everything after this reads it. What its sender has signed for the store stays as it was sent, less what is not signed.
    fn leave(&mut self, session: &mut Session, mut meant: EffectiveRequest) -> Result<(), S3Error> {
        self.query = std::mem::take(&mut meant.query);
        let request = session.req_header_mut();
        if let Some(Signed { claimed: Some(claimed), .. }) = &self.signed {
            let names: Vec<HeaderName> = request.headers.keys().cloned().collect();
            let goes =
                |name: &str| claimed.covers(name) || may_go_unsigned(name) || is_of_body(name);
            for name in names.iter().filter(|name| !goes(name.as_str())) {
                request.remove_header(name);
            }
            return Ok(());
        }
        if self.signed.as_ref().is_some_and(|signed| signed.promise.payload.is_chunked()) {
            // It says how the body travels, not what is stored (AWS: SigV4 streaming).
            unframe(&mut meant.headers);
        }
        let sent: Vec<HeaderName> = request.headers.keys().cloned().collect();
        for name in sent.iter().filter(|name| !meant.headers.contains_key(*name)) {
            request.remove_header(name);
        }
        let unwritable = |_| S3Error::internal_error();
        for (name, value) in &meant.headers {
            let alone = meant.headers.get_all(name).iter().count() == 1;
            if alone && request.headers.get(name) != Some(value) {
                request.insert_header(name.clone(), value.clone()).map_err(unwritable)?;
            }
        }
        Ok(())
    }

    /// A browser's question, which nobody signs: a signature in its URL is that of the request that
    /// may follow.
    fn preflight(target: Target) -> Self {
        Self {
            target,
            query: Query::default(),
            operation: Operation::Preflight,
            effect: Effect::Read,
            condition: Condition::None,
            treatment: Treatment::default(),
            copy_source: None,
            signed: None,
            retry: Retry { invocation: None, attempt: 1 },
            expects_continue: false,
            unknown_length: false,
        }
    }

    /// May the sender be told what stands at the key? The holder of a presigned URL may write, not
    /// read, and of one whose signature is not checked here nothing is known.
    pub(super) fn may_read(&self) -> bool {
        !self.is_as_sent() && !self.signed.as_ref().is_some_and(|signed| signed.presigned)
    }

    fn is_a_stranger_s_read(&self) -> bool {
        let caller = self.signed.as_ref().map(|signed| &signed.caller);
        self.effect == Effect::Read && caller == Some(&Caller::Anonymous)
    }

    /// Does the request go to the store as its sender signed it?
    pub(super) fn is_as_sent(&self) -> bool {
        let caller = self.signed.as_ref().map(|signed| &signed.caller);
        matches!(caller, Some(Caller::Unproved(_)))
    }

    /// Spells the copy's source in one way, among the headers for the store.
    pub(super) fn spell_copy_source(&self, headers: &mut HeaderMap) {
        if let Some(value) = self.copy_source.as_ref().and_then(CopySource::header_value) {
            headers.insert(X_AMZ_COPY_SOURCE, value);
        }
    }

    /// The bucket of a browser's form, which names its key inside.
    pub(super) fn form_bucket(&self) -> Option<BucketName> {
        match (&self.target, self.operation) {
            (Target::Bucket(bucket), Operation::PostObject) => Some(bucket.clone()),
            _ => None,
        }
    }
}

/// RFC 9110 §10.1.1, §15.2: not of HTTP/1.0, which knows no informational answers.
fn expects_continue(head: RequestHead<'_>, version: Version) -> bool {
    let said = head.header(&header::EXPECT);
    version == Version::HTTP_11
        && said.is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
}

/// Whether what is asked can be done through this proxy at all, whoever asks.
fn check_request(
    proxy: &Proxy,
    head: RequestHead<'_>,
    target: &Target,
    (operation, effect): (Operation, Effect),
) -> Result<(), S3Error> {
    let as_sent = proxy.signatures == Signatures::Passthrough;
    if let Some(refused) = refusal_at(head, operation, effect, as_sent) {
        return Err(refused);
    }
    check_arguments(head, operation)?;
    match (operation, target.bucket()) {
        (Operation::ConfigureBucket(name), Some(bucket)) => {
            proxy.rules.check_configuration(bucket.as_str(), name)
        }
        _ => Ok(()),
    }
}

/// The condition that the gate judges. Of what is known to leave the content alone, the conditions are
/// the store's to judge.
fn condition_of(
    proxy: &Proxy,
    head: RequestHead<'_>,
    (operation, effect): (Operation, Effect),
    treatment: Treatment,
) -> Result<Condition, S3Error> {
    match (operation.subresource(), effect) {
        (Some(_), Effect::Read | Effect::Streams) => Ok(Condition::None),
        _ => treatment.condition(head, operation, proxy.dialect),
    }
}

impl Retry {
    fn from_head(head: RequestHead<'_>) -> Self {
        let invocation = head.header(&HeaderName::from_static("amz-sdk-invocation-id"));
        let attempt = head
            .header(&HeaderName::from_static("amz-sdk-request"))
            .into_iter()
            .flat_map(|value| value.split(';'))
            .find_map(|pair| pair.trim().strip_prefix("attempt=")?.parse().ok());
        Self {
            invocation: invocation.filter(|id| !id.is_empty()).map(str::to_owned),
            attempt: attempt.unwrap_or(1),
        }
    }
}

/// Notes whose rules say what a page may see, whatever comes of the request.
fn note_bucket(proxy: &Proxy, context: &mut Context, head: RequestHead<'_>) {
    let Some((bucket, by_host)) = Target::bucket_named(head, &proxy.naming) else { return };
    context.host_style = by_host;
    if proxy.reserved.check(&bucket).is_ok() {
        context.cors = Asking::of(&proxy.cors, &bucket, head.method, head.headers);
    }
}

/// A `Connection` header may only nominate headers of the connection: one that is part of the
/// request's meaning would be judged here and then taken off (RFC 9110 §7.6.1).
fn check_nominations(head: RequestHead<'_>) -> Result<(), S3Error> {
    let nominated = head.headers.get_all(header::CONNECTION).iter();
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

//! Requests that go to the store as their senders signed them (`signatures = "passthrough"`). What
//! is judged and leased here is read from the very bytes that the store will read, so whatever the
//! two could read differently is refused. Who the sender is, the store says, and only at the end.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::proxy::Session;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Proxy;
use super::admission::{Admitted, foreign};
use super::batch::delete_of;
use super::context::Context;
use super::form_as_sent;
use super::respond;
use crate::backend::headers::{self, for_head, is_of_a_vendor, is_of_body, is_reserved};
use crate::backend::{Signing, StoreRequest};
use crate::body::Body;
use crate::gate::{Outcome, Reply, Write};
use crate::random;
use crate::register::WriteId;
use crate::s3::content::IN_CHUNKS;
use crate::s3::delete_objects::{
    DeleteEntry, DeleteOutcome, DeleteRequest, Deleted, delete_result, parse_delete_objects_as_sent,
};
use crate::s3::target::without_port;
use crate::s3::{
    AMBIGUOUS, BucketName, Code, Condition, Effect, ObjectKey, ObjectName, Operation, RequestHead,
    S3Error,
};
use crate::sigv4::{CHOOSING, Claimed, Mechanism};

/// The hosts by which the store may be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hosts<'a> {
    /// Those under which a bucket is named by the host.
    pub(super) domains: &'a [String],
    /// The store's own.
    pub(super) store: &'a str,
}

/// Refuses what the store might read otherwise than we do: 400 for a host that may or may not name
/// a bucket, for a path with characters that servers differ over, and for a `+` or `;` in the query
/// of a request that changes something; 501 for a signed header of a store's own invention or with
/// `_` in its name, and for a parameter that some stores take for the header that makes another
/// request of it. 403 for what should be signed and is not.
pub(super) fn check(
    head: RequestHead<'_>,
    claimed: &Claimed,
    hosts: Hosts<'_>,
    operation: Operation,
) -> Result<(), S3Error> {
    let host = head.header(&header::HOST).unwrap_or_default();
    if !hosts.is_known(host) {
        return Err(S3Error::new(Code::InvalidRequest).because(UNKNOWN_HOST));
    }
    let plain = operation.effect() == Effect::Read || is_plain_query(head);
    if !is_plain(head.path) || head.query.contains('#') || !plain {
        return Err(S3Error::new(Code::InvalidUri));
    }
    let mut names = head.headers.keys().map(HeaderName::as_str);
    // A presigned URL may carry a header as a parameter.
    let in_query = head.parameters().map(|(name, _)| name.into_owned());
    let in_head = head.headers.keys().map(ToString::to_string);
    if let Some(name) = in_head.chain(in_query).find(|name| is_reserved(name)) {
        return Err(S3Error::not_implemented(&name, Some(RESERVED)));
    }
    if let Some(name) = names.find(|name| is_of_a_vendor(name) && claimed.covers(name)) {
        return Err(S3Error::not_implemented(name, Some(OF_A_VENDOR)));
    }
    let mut names = head.headers.keys().map(HeaderName::as_str);
    let ambiguous = |name: &str| name.contains('_') && !name.starts_with("x-amz-meta-");
    if let Some(name) = names.find(|name| ambiguous(name) && claimed.covers(name)) {
        return Err(S3Error::not_implemented(name, Some(AMBIGUOUS)));
    }
    let mut parameters = head.parameters().map(|(name, _)| name.to_ascii_lowercase());
    if let Some(name) = parameters.find(|name| differs_in_query(name, claimed.mechanism)) {
        return Err(S3Error::not_implemented(&name, Some(IN_QUERY)));
    }
    claimed.check_covers(head.headers, is_of_body).map_err(|e| foreign(&e))
}

const UNKNOWN_HOST: &str = "Whether this Host names a bucket to the store is not known to the proxy: \
     the hosts that clients use, also a bare name such as \"proxy\", stand in its setting `domains`, \
     in lower case and without a dot at the end.";
pub(super) const RESERVED: &str =
    "These metadata are the proxy's own, and cannot be left out of what is signed";

/// Whether stores differ over a parameter that stands for a header: all do where no signature says
/// that it does, and some over one that makes a PUT another operation.
fn differs_in_query(name: &str, mechanism: Mechanism) -> bool {
    let is_presigned = mechanism.is_presigned();
    (name.starts_with("x-amz-") && !is_presigned)
        || CHOOSING.iter().any(|choosing| name.starts_with(choosing))
}

const IN_QUERY: &str = "Not every store reads this in a query: send it as a header";

const OF_A_VENDOR: &str =
    "S3 gives this header no meaning, and the signature does not let it be left out";

impl Hosts<'_> {
    /// Addresses, `localhost` and the store's own name are no bucket's; a domain and what is under
    /// it are understood here as there. Any other name may be a bucket's: s3rver, for one, takes a
    /// name without a dot for one. Nor does every store compare names as DNS does, which knows no
    /// case and lets a name end in a dot.
    fn is_known(self, host: &str) -> bool {
        let name = without_port(host);
        if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            return address.parse::<Ipv6Addr>().is_ok();
        }
        if name.parse::<Ipv4Addr>().is_ok() {
            return true;
        }
        let is_under = |domain: &String| {
            name.strip_suffix(domain.as_str())
                .is_some_and(|left| left.is_empty() || left.ends_with('.'))
        };
        let is_canonical = !name.ends_with('.') && !name.bytes().any(|b| b.is_ascii_uppercase());
        is_canonical
            && (name == "localhost" || name == self.store || self.domains.iter().any(is_under))
    }
}

/// A path that every server reads alike. `+` is a space to some, `;` begins a parameter to some,
/// `\\` is a `/` to some; all may stand there encoded.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%!$&'()*,:=@".contains(&b))
}

/// A query that every server takes apart alike: `+` is a space or is not, and `;` parts two parameters
/// (older Python, Ruby) or makes a server drop the one it stands in (Go), part number and all. Some
/// signers leave it between the names of signed headers, which choose nothing.
fn is_plain_query(head: RequestHead<'_>) -> bool {
    let parted = |(name, value): (&str, &str)| {
        name.contains(';') || (value.contains(';') && name != "X-Amz-SignedHeaders")
    };
    !head.query.contains('+') && !head.query_pairs().any(parted)
}

/// How many bytes a body may have as it is sent, of which this many are content.
pub(super) fn bytes_max(session: &Session, content_bytes: u64) -> u64 {
    let said = session.req_header().headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    // AWS: chunks have 8 KiB at least, and a chunk's size and signature take about 90 bytes.
    let framed = content_bytes.saturating_mul(2).saturating_add(64 << 10);
    said.map_or(framed, |said: u64| said.min(framed))
}

/// The request as it came, its body taken whole.
pub(super) fn as_sent(session: &Session) -> StoreRequest {
    let request = session.req_header();
    StoreRequest {
        signing: Signing::AsSent,
        method: request.method.clone(),
        // Admission has read it as text.
        path: String::from_utf8_lossy(request.raw_path()).into_owned(),
        query: Vec::new(),
        headers: headers::as_sent(&request.headers),
        sha256: None,
    }
}

/// The request as it came, its body yet to come.
pub(super) fn streamed(session: &Session) -> StoreRequest {
    let mut request = as_sent(session);
    let sent = &session.req_header().headers;
    if sent.contains_key(header::TRANSFER_ENCODING) && !sent.contains_key(header::CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    request
}

/// Serves a request whose body names the keys: a form, or a batch that is of one key. The body is
/// covered by the sender's signature and can be neither taken apart nor put together anew.
pub(super) async fn serve(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    admitted: Admitted,
) -> pingora::Result<()> {
    match (admitted.target.bucket().cloned(), admitted.operation) {
        (Some(bucket), Operation::PostObject) => {
            form_as_sent::serve(proxy, session, context, bucket, admitted.expects_continue).await
        }
        (Some(bucket), _) => batch_of_one(proxy, session, context, bucket, admitted).await,
        (None, _) => {
            respond::error(session, context, &S3Error::new(Code::AccessDenied), None).await
        }
    }
}

async fn batch_of_one(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    bucket: BucketName,
    admitted: Admitted,
) -> pingora::Result<()> {
    let Some(signed) = admitted.signed else {
        return respond::error(session, context, &S3Error::new(Code::AccessDenied), None).await;
    };
    if signed.promise.payload.is_chunked() {
        let error = S3Error::not_implemented("Content-Encoding", Some(IN_CHUNKS));
        return respond::error(session, context, &error, None).await;
    }
    let taken = super::batch::take(proxy, session, &signed, admitted.expects_continue).await;
    let document = match taken {
        Ok(document) => document,
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let (request, name, condition) = match only_entry(proxy, &document, bucket) {
        Ok(found) => found,
        Err(error) => return respond::error(session, context, &error, None).await,
    };
    let entry = &request.objects[0];
    name.key.as_str().clone_into(&mut context.log.key);
    let write = Guarded {
        name: &name,
        operation: Operation::DeleteObjects,
        condition: &condition,
        version_id: entry.version_id.as_deref(),
        attempt: admitted.retry.attempt,
        body: &Body::from(document),
    };
    match write.pass(proxy, session, context).await {
        Reply::Error(error, _) => {
            let document = failed(&request, entry, &error);
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            respond::write(session, context, StatusCode::OK, headers, document.into()).await
        }
        Reply::Replayed(_, generation, told) => {
            let deleted = DeleteOutcome::Deleted(Deleted {
                key: entry.key.clone(),
                version_id: entry.version_id.clone(),
                delete_marker: false,
                delete_marker_version_id: None,
            });
            let mut headers = respond::replay_headers(generation.as_ref(), &told);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            let document = delete_result(request.quiet, &[deleted]).into();
            respond::write(session, context, StatusCode::OK, headers, document).await
        }
        Reply::Store(answer) => respond::store(session, context, answer).await,
    }
}

/// The entry of a batch that has no other, its name and its condition.
fn only_entry(
    proxy: &Proxy,
    document: &[u8],
    bucket: BucketName,
) -> Result<(DeleteRequest, ObjectName, Condition), S3Error> {
    let request = parse_delete_objects_as_sent(document)?;
    let [entry] = &request.objects[..] else {
        return Err(S3Error::not_implemented("delete", Some(ONE_KEY)));
    };
    let key = ObjectKey::parse(&entry.key, proxy.naming.segments)?;
    entry.check_version()?;
    let condition = entry.condition(proxy.dialect)?;
    Ok((request, ObjectName { bucket, key }, condition))
}

const ONE_KEY: &str = "Each key is guarded on its own, and a request that the client has signed \
                       cannot be divided: name one key in each request, or use DeleteObject";

fn failed(request: &DeleteRequest, entry: &DeleteEntry, error: &S3Error) -> Vec<u8> {
    delete_result(request.quiet, &[DeleteOutcome::failed(entry, error)])
}

/// A write that goes on as it came.
pub(super) struct Guarded<'a> {
    pub(super) name: &'a ObjectName,
    pub(super) operation: Operation,
    pub(super) condition: &'a Condition,
    pub(super) version_id: Option<&'a str>,
    pub(super) attempt: u32,
    pub(super) body: &'a Body,
}

impl Guarded<'_> {
    pub(super) async fn pass(
        self,
        proxy: &Proxy,
        session: &Session,
        context: &mut Context,
    ) -> Reply {
        let request = as_sent(session);
        let treatment = proxy.rules.treatment(self.name);
        let changes = match self.operation {
            Operation::DeleteObjects => delete_of(self.version_id),
            operation => operation,
        };
        if let Err(refused) = treatment.check(changes, self.condition) {
            return Reply::Error(refused, None);
        }
        if treatment.passes {
            return proxy.gate.pass(self.operation, &request, self.body, None).await.reply;
        }
        let head_headers = for_head(&session.req_header().headers);
        let write = Write {
            name: self.name,
            operation: self.operation,
            condition: self.condition,
            request: &request,
            body: self.body,
            write_id: WriteId::alone(&random::id()),
            attempt: self.attempt,
            arrived: context.arrived,
            head_headers: &head_headers,
            version_id: self.version_id,
            upload_id: None,
            inscribed: false,
            keep_alive: None,
        };
        let outcome: Outcome = proxy.gate.write(&write).await;
        context.log.gate(&outcome);
        if let Some(commit) = outcome.commit {
            commit.record().await;
        }
        outcome.reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_may_name_a_bucket_the_proxy_does_not_see_is_not_known() {
        let domains = ["s3.test".to_owned(), "proxy".to_owned()];
        let hosts = Hosts { domains: &domains, store: "garage.internal" };
        for host in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "[::1]:9000",
            "proxy",
            "proxy:9000",
            "s3.test",
            "localhost:9000",
            "s3.test:80",
            "bucket.s3.test",
            "a.b.s3.test:1",
            "garage.internal:3900",
        ] {
            assert!(hosts.is_known(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "[]",
            "[127.0.0.1]",
            "xs3.test",
            "bucket.garage.internal",
            "s3.test.evil",
            "1.2.3",
            "bucket",
            "atk:9000",
            "bucket.localhost",
            // Known to DNS by the same name, but not to every store.
            "S3.test",
            "s3.test.",
            "LOCALHOST",
            "127.0.0.1.",
        ] {
            assert!(!hosts.is_known(host), "{host}");
        }
    }

    #[test]
    fn a_query_is_taken_that_all_servers_take_apart_alike() {
        let is_plain = |query| {
            let (method, headers) = (http::Method::PUT, HeaderMap::new());
            is_plain_query(RequestHead { method: &method, path: "/b/k", query, headers: &headers })
        };
        for query in ["", "uploadId=a%3Bb&partNumber=1", "X-Amz-SignedHeaders=host;x-amz-acl&acl"] {
            assert!(is_plain(query), "{query}");
        }
        for query in ["uploadId=a;b&partNumber=1", "tagging;", "x-id=a;acl", "a=b+c", "x;y=1&acl"] {
            assert!(!is_plain(query), "{query}");
        }
    }

    #[test]
    fn a_path_is_taken_that_all_servers_read_alike() {
        for path in ["/", "/b/a%20b/%C3%A9", "/b/dt=2020:01,02@x!$&'()*~"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["/b/a+b", "/b/a;b", "/b/a\\b", "/b/a#b", "/b/a b", "/b/\u{e9}", "/b/a|b"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}

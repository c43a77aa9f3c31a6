//! The classification of requests: docs/requests.md, line by line; and whether there is one that could change an
//! object past the gate, at stores that read it in every way that stores are known to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::access::{Asked, Clients};
use super::origin::Caller;
use super::outgoing::name_document;
use crate::config::{Buckets, Client, Rights};
use crate::http1::fields::Fields;
use crate::s3::encoding::decode;
use crate::s3::{
    CopySource, Effect, Naming, Operation, Query, RequestHead, Reserved, Segments, Subresource,
    Target, Understood, classify, inadmissible_at,
};
use crate::secret::Secret;

/// A request without its body.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    path: String,
    query: Query,
    headers: Fields,
}

impl Request {
    /// `PUT /bucket/key?tagging name:value`
    fn of_line(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let method = words.next().unwrap().parse().unwrap();
        let uri = words.next().unwrap();
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let headers = words.map(|header| {
            let (name, value) = header.split_once(':').unwrap();
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        });
        Self {
            method,
            path: path.to_owned(),
            query: Query::parse(query),
            headers: headers.collect(),
        }
    }

    fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
        }
    }
}

// === the table ===

/// What a line of the table says of a request, as the code has it.
fn here(request: &Request) -> (&'static str, Option<Operation>) {
    let head = request.head();
    let Ok(target) = Target::parse(head, &Naming::default()) else { return ("refused", None) };
    let reserved = Reserved::new(&["admin".to_owned()]);
    let source = CopySource::from_head(head, Segments::default()).unwrap();
    let buckets = target.bucket().into_iter().chain(source.as_ref().map(|s| &s.name.bucket));
    if buckets.into_iter().any(|bucket| reserved.check(bucket).is_err()) {
        return ("refused", None);
    }
    let operation = classify(head, &target);
    let refused = |understood, as_sent| {
        inadmissible_at(head, operation, operation.effect_at(understood), as_sent).is_some()
    };
    let all = Understood::from_iter(Subresource::ALL);
    assert_eq!(refused(all, true), refused(all, false), "in both modes: {request:?}");
    if refused(all, true) {
        return ("refused", None);
    }
    let what = match (operation.effect(), operation.effect_at(all)) {
        (Effect::Read, Effect::Read) => "read",
        (Effect::UnknownWrite(_), Effect::Read) if refused(Understood::NONE, true) => {
            "read if named"
        }
        (Effect::UnknownWrite(_), Effect::Streams) => "write, if not understood",
        (Effect::UnknownWrite(_), Effect::UnknownWrite(_)) => "write, unknown",
        (Effect::WritesKey(_), Effect::WritesKey(_)) => "write",
        (Effect::WritesKeysInBody, Effect::WritesKeysInBody) => "keys in the body",
        (Effect::Streams, Effect::Streams) => "past the gate",
        both => panic!("{request:?}: {both:?}"),
    };
    (what, Some(operation))
}

/// The smallest class of callers that may send the request, as the table names it.
fn allowed_for(request: &Request, operation: Operation) -> &'static str {
    let rights =
        |read_only, configure| Rights { buckets: Buckets::default(), read_only, configure };
    let may = |anonymous: Option<Rights>, client: Option<Rights>| {
        let caller = client.as_ref().map_or(Caller::Anonymous, |_| Caller::Client("k".to_owned()));
        let clients: Vec<_> = client
            .into_iter()
            .map(|rights| Client {
                access_key_id: "k".to_owned(),
                secret_access_key: Secret::new("s"),
                rights,
                ..Client::default()
            })
            .collect();
        let target = Target::parse(request.head(), &Naming::default()).unwrap();
        let understood = Understood::from_iter([Subresource::Select]);
        let asked = Asked {
            operation,
            effect: operation.effect_at(understood),
            target: &target,
            of_version: request.query.has("versionId"),
            source: None,
        };
        Clients::new(&clients, anonymous).authorize(&caller, None, &asked).is_ok()
    };
    let found = [
        ("anonymous", may(Some(rights(true, false)), None)),
        ("anonymous writers", may(Some(rights(false, false)), None)),
        ("readers", may(None, Some(rights(true, false)))),
        ("writers", may(None, Some(rights(false, false)))),
        ("configure", may(None, Some(rights(false, true)))),
    ];
    // A browser's preflight comes before any authentication.
    if operation == Operation::Preflight {
        return "all";
    }
    let (least, _) = found.iter().find(|(_, may)| *may).unwrap_or(&("none", false));
    least
}

#[test]
fn every_line_of_the_table_is_what_the_code_does() {
    let page = include_str!("../../docs/requests.md");
    let table = page.split_once("## Every operation").unwrap().1;
    let mut lines = 0;
    for line in table.lines().filter(|line| line.contains('`')) {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").map(str::trim).collect();
        let [_, request, class, allowed] = cells[..] else { panic!("four cells: {line}") };
        let request = Request::of_line(request.trim_matches('`'));
        let (what, operation) = here(&request);
        assert_eq!(what, class, "{line}");
        assert_eq!(
            operation.map_or("none", |found| allowed_for(&request, found)),
            allowed,
            "{line}"
        );
        lines += 1;
    }
    assert!(lines > 120, "the page was not read: {lines}");
}

// === no way past the gate ===

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Nothing,
    Document,
    /// A form whose `key` is [`OTHER`].
    Form,
    /// A list of one key to delete, [`OTHER`].
    DeleteList,
}

const OTHER: &str = "bucket/other";

/// A request as a store gets it.
struct Arrived<'a> {
    request: &'a Request,
    content: Content,
    /// Subresources that the store understands, all multipart ones apart.
    understood: Understood,
}

impl Arrived<'_> {
    fn names(&self) -> Vec<(String, String)> {
        let plain = |text: &str| {
            let text = text.replace('+', " ");
            decode(&text).unwrap_or(text)
        };
        let pairs = self.request.query.pairs_as_sent();
        pairs.map(|(name, value)| (plain(name), plain(value))).collect()
    }

    fn has(&self, wanted: &str) -> bool {
        self.names().iter().any(|(name, _)| name == wanted)
    }

    fn is_filled(&self, wanted: &str) -> bool {
        self.names().iter().any(|(name, value)| name == wanted && !value.is_empty())
    }

    /// Bucket and key of the path, read as laxly as can be.
    fn named(&self) -> Option<String> {
        let (bucket, key) = self.request.path.trim_start_matches('/').split_once('/')?;
        (!key.is_empty()).then(|| format!("{bucket}/{}", decode(key).unwrap_or_default()))
    }

    /// A form by whatever may be taken for its name, in any of the headers.
    fn is_form(&self) -> bool {
        let mut values = self.request.headers.get_all(CONTENT_TYPE);
        self.content == Content::Form
            && values.any(|value| {
                let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
                text.contains("form")
            })
    }
}

/// A store: the keys whose content the request may change.
type Store = fn(&Arrived<'_>) -> BTreeSet<String>;

/// Knows multipart uploads, and the subresources that it understands; any other query is nothing.
fn ignores_queries(arrived: &Arrived<'_>) -> BTreeSet<String> {
    let Some(name) = arrived.named() else { return BTreeSet::new() };
    let understood =
        Subresource::ALL.into_iter().any(|s| arrived.understood.has(s) && arrived.has(s.name()));
    let method = arrived.request.method.as_str();
    let multipart = match method {
        "PUT" => arrived.is_filled("uploadId") && arrived.is_filled("partNumber"),
        "DELETE" => arrived.is_filled("uploadId"),
        "POST" => arrived.has("uploads"),
        _ => false,
    };
    let reads = matches!(method, "GET" | "HEAD" | "OPTIONS");
    if understood || multipart || reads { BTreeSet::new() } else { BTreeSet::from([name]) }
}

/// Takes the form of any POST, whatever path and query say.
fn takes_every_form(arrived: &Arrived<'_>) -> BTreeSet<String> {
    let post = arrived.request.method == Method::POST && arrived.is_form();
    if post { BTreeSet::from([OTHER.to_owned()]) } else { BTreeSet::new() }
}

/// Deletes what any POST with `delete` among its parameters lists.
fn deletes_anywhere(arrived: &Arrived<'_>) -> BTreeSet<String> {
    let post = arrived.request.method == Method::POST && arrived.has("delete");
    if post && arrived.content == Content::DeleteList {
        BTreeSet::from([OTHER.to_owned()])
    } else {
        BTreeSet::new()
    }
}

/// Copies and appends by the header, whatever the query says of anything but a part.
fn looks_at_headers_first(arrived: &Arrived<'_>) -> BTreeSet<String> {
    let headers = &arrived.request.headers;
    let part = arrived.is_filled("uploadId") && arrived.is_filled("partNumber");
    let copies = headers.contains_key("x-amz-copy-source") && !part;
    let chosen = copies || headers.contains_key("x-amz-write-offset-bytes");
    let put = arrived.request.method == Method::PUT;
    arrived.named().filter(|_| put && chosen).into_iter().collect()
}

const STORES: [Store; 4] =
    [ignores_queries, takes_every_form, deletes_anywhere, looks_at_headers_first];

/// The keys that pass the gate before the store is sent anything; `None` when it is sent nothing.
fn gated(
    request: &mut Request,
    content: Content,
    understood: Understood,
    as_sent: bool,
) -> Option<BTreeSet<String>> {
    let target = Target::parse(request.head(), &Naming::default()).ok()?;
    request.query.check().ok()?;
    let operation = classify(request.head(), &target);
    let effect = operation.effect_at(understood);
    if inadmissible_at(request.head(), operation, effect, as_sent).is_some() {
        return None;
    }
    if !as_sent {
        name_document(&mut request.headers, &request.method, operation);
    }
    Some(match effect {
        Effect::Read | Effect::Streams => BTreeSet::new(),
        Effect::WritesKey(_) | Effect::UnknownWrite(_) => {
            target.object().map(ToString::to_string).into_iter().collect()
        }
        // What is sent is composed of keys that each have passed, or names just the one that has.
        Effect::WritesKeysInBody => match (operation, content) {
            (Operation::PostObject, Content::Form)
            | (Operation::DeleteObjects, Content::DeleteList) => BTreeSet::from([OTHER.to_owned()]),
            // Neither a form nor a list: refused when it is read.
            _ => return None,
        },
    })
}

fn a_method() -> impl Strategy<Value = Method> {
    let known =
        prop::sample::select(vec!["GET", "HEAD", "PUT", "POST", "POST", "DELETE", "OPTIONS"]);
    prop_oneof![9 => known, 1 => prop::sample::select(vec!["PATCH", "COPY", "post", "TRACE"])]
        .prop_map(|method| method.parse().unwrap())
}

fn a_parameter() -> impl Strategy<Value = String> {
    let names = [
        "acl",
        "tagging",
        "retention",
        "legal-hold",
        "restore",
        "select",
        "select-type",
        "annotation",
        "encryption",
        "append",
        "position",
        "renameObject",
        "torrent",
        "attributes",
        "uploads",
        "uploadId",
        "uploadId",
        "partNumber",
        "partNumber",
        "versionId",
        "delete",
        "delete",
        "policy",
        "lifecycle",
        "metadataTable",
        "metadataConfiguration",
        "id",
        "x-id",
        "X-Amz-Signature",
        "x-amz-acl",
        "response-content-type",
        "key",
        "nothing",
        "",
        "Tagging",
        "list-type",
    ];
    let name = (prop::sample::select(names.to_vec()), any::<u32>(), 0..4u8);
    let value = prop::sample::select(vec!["", "=", "=1", "=u", "=%31", "=once/k", "=%zz", "=a=b"]);
    (name, value).prop_map(|((name, mask, spelling), value)| {
        let spelled: String = name
            .chars()
            .enumerate()
            .map(|(i, c)| {
                let encoded = spelling == 0 && mask >> (i % 32) & 1 == 1;
                if encoded { format!("%{:02x}", c as u32) } else { c.to_string() }
            })
            .collect();
        format!("{spelled}{value}")
    })
}

fn a_content_type() -> impl Strategy<Value = Vec<String>> {
    let types = prop::sample::select(vec![
        "multipart/form-data; boundary=B",
        "Multipart/Form-Data;boundary=B",
        " multipart/form-data",
        "multipart/mixed; boundary=B",
        "multipart / form-data; boundary=B",
        "text/plain, multipart/form-data; boundary=B",
        "text/plain; x=multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/xml",
        "text/xml; charset=utf-8",
        "",
        "form-data",
    ]);
    prop::collection::vec(types.prop_map(str::to_owned), 0..3)
}

fn a_request() -> impl Strategy<Value = Request> {
    let path = prop::sample::select(vec![
        "/",
        "/bucket",
        "/bucket/",
        "/bucket/key",
        "/bucket/k%65y",
        "/bucket/a/b",
        "/bucket/other",
    ]);
    let headers = prop::sample::select(vec!["", "x-amz-copy-source", "x-amz-write-offset-bytes"]);
    let query = prop::collection::vec(a_parameter(), 0..4).prop_map(|all| all.join("&"));
    (a_method(), path, query, a_content_type(), headers, any::<bool>()).prop_map(
        |(method, path, query, types, header, has_length)| {
            let mut headers = Fields::new();
            for value in types {
                headers.append(CONTENT_TYPE, HeaderValue::from_str(&value).unwrap());
            }
            if !header.is_empty() {
                headers
                    .insert(HeaderName::from_static(header), HeaderValue::from_static("bucket/k"));
            }
            let length = if has_length {
                (CONTENT_LENGTH, "5")
            } else {
                (http::header::TRANSFER_ENCODING, "chunked")
            };
            headers.insert(length.0, HeaderValue::from_static(length.1));
            Request { method, path: path.to_owned(), query: Query::parse(&query), headers }
        },
    )
}

fn a_content() -> impl Strategy<Value = Content> {
    prop::sample::select(vec![
        Content::Nothing,
        Content::Document,
        Content::Form,
        Content::Form,
        Content::DeleteList,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_request_changes_an_object_past_the_gate(
        mut request in a_request(),
        content in a_content(),
        bits in any::<u8>(),
        as_sent in any::<bool>(),
    ) {
        if content == Content::Nothing {
            request.headers.remove(http::header::TRANSFER_ENCODING);
            request.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let understood = Subresource::ALL.into_iter().filter(|s| bits & (1 << *s as u8) != 0).collect();
        if let Some(passed) = gated(&mut request, content, understood, as_sent) {
            for store in STORES {
                let changed = store(&Arrived { request: &request, content, understood });
                prop_assert!(changed.is_subset(&passed), "{changed:?} past {passed:?}");
            }
        }
    }
}

/// The same stores, and what they do with what once went past the gate.
#[test]
fn the_model_stores_do_what_real_ones_did() {
    let changed = |store: Store, line: &str, content| {
        let request = Request::of_line(line);
        store(&Arrived { request: &request, content, understood: Understood::NONE })
    };
    let form = "POST /bucket?metadataTable content-type:multipart/form-data;boundary=B";
    assert_eq!(changed(takes_every_form, form, Content::Form).len(), 1);
    assert_eq!(changed(ignores_queries, "PUT /bucket/k?retention", Content::Document).len(), 1);
    assert_eq!(changed(ignores_queries, "DELETE /bucket/k?tagging", Content::Nothing).len(), 1);
    assert_eq!(changed(deletes_anywhere, "POST /bucket?acl&delete", Content::DeleteList).len(), 1);
    assert!(
        changed(ignores_queries, "PUT /bucket/k?uploadId=u&partNumber=1", Content::Nothing)
            .is_empty()
    );
}

// === one reading of a query ===

/// The sources under this directory that are no tests.
fn sources(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            sources(&path, found);
        } else if !name.ends_with("tests.rs") && !matches!(name, "fixture.rs" | "properties.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
            found.push((path, code));
        }
    }
}

/// All other code is handed the parsed query: two parsers could differ over a request. The embedded store is
/// a server of its own.
#[test]
fn the_query_of_a_request_is_parsed_once_and_by_admission_alone() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let of_proxy = found.iter().filter(|(path, _)| !path.iter().any(|name| name == "embedded"));
    let parsing = of_proxy.flat_map(|(path, code)| {
        code.matches("Query::parse(").map(move |_| path.file_name().unwrap().to_str().unwrap())
    });
    assert_eq!(parsing.collect::<Vec<_>>(), ["admission.rs"]);
}

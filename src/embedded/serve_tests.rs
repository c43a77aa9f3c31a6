//! The store over real HTTP, with signed requests.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use http::{HeaderName, HeaderValue, Method};
use md5::{Digest as _, Md5};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::*;
use crate::embedded::Misbehaviour;
use crate::http1::fields::Fields;
use crate::secret::Secret;
use crate::sigv4::{Outgoing, SigningKeys, UNSIGNED_PAYLOAD, sign};

/// A served store and its client.
struct Store {
    dir: tempfile::TempDir,
    served: EmbeddedStore,
    stop: oneshot::Sender<()>,
    credential: Credential,
}

/// An answer: status, header fields in lower case, body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn etag(&self) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix("etag: "));
        line.expect("the answer has an ETag")
    }

    fn element(&self, name: &str) -> &str {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let rest = self.body.split_once(&open).expect("the element is there").1;
        rest.split_once(&close).expect("the element ends").0
    }
}

impl Store {
    async fn start(ignore_conditions: bool) -> Self {
        let store = Self::begin(Options { ignore_conditions, ..Options::default() }).await;
        assert_eq!(store.send("PUT", "/bucket", &[], "").await.status, 200);
        store
    }

    /// A store without a bucket.
    async fn begin(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let credential = Credential {
            access_key_id: "key".to_owned(),
            secret: Secret::new("secret"),
            session_token: None,
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let served = serve(dir.path().join("made"), &credential, options, shutdown).await.unwrap();
        Self { dir, served, stop, credential }
    }

    /// One of the counts of what it did wrong.
    async fn count(&self, name: &str) -> u64 {
        let counts = self.send("GET", "/-/chaos", &[], "").await.body;
        let counts: serde_json::Value = serde_json::from_str(&counts).unwrap();
        counts[name].as_u64().unwrap()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("made")
    }

    async fn send(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.send_as(&self.credential, method, target, fields, body).await
    }

    async fn send_as(
        &self,
        credential: &Credential,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut stream = self.begin_as(credential, method, target, fields, body).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect("an answer has a status");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Sends a request, and leaves its answer to the caller.
    async fn begin_as(
        &self,
        credential: &Credential,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        let mut headers = Fields::new();
        headers.insert("host", self.served.addr.to_string().parse().unwrap());
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let outgoing = Outgoing { method: &method, path, query: &query, payload: UNSIGNED_PAYLOAD };
        let now = crate::clock::unix_seconds();
        sign(&outgoing, &mut headers, credential, "us-east-1", &SigningKeys::default(), now)
            .unwrap();

        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let fields: String = fields.flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n{fields}");
        let mut stream = TcpStream::connect(self.served.addr).await.unwrap();
        let text = format!("{head}content-length: {length}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn status(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> u16 {
        self.send(method, target, fields, "").await.status
    }

    /// Whether an object has the ETag of other bytes than its own.
    async fn is_torn(&self, target: &str) -> bool {
        let read = self.send("GET", target, &[], "").await;
        let md5 = hex::encode(Md5::digest(&read.body));
        read.status == 200 && read.etag().trim_matches('"') != md5
    }

    /// Creates an upload of `key` with one part; returns what completes it.
    async fn upload(&self, key: &str) -> (String, String) {
        let created = self.send("POST", &format!("/bucket/{key}?uploads"), &[], "").await;
        let id = created.element("UploadId");
        let part = format!("/bucket/{key}?partNumber=1&uploadId={id}");
        let part = self.send("PUT", &part, &[], "the part").await;
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             </CompleteMultipartUpload>",
            part.etag().replace('"', "&quot;")
        );
        (format!("/bucket/{key}?uploadId={id}"), list)
    }
}

/// minio-py and restic list so.
#[tokio::test]
async fn an_empty_delimiter_is_none() {
    let store = Store::start(false).await;
    store.send("PUT", "/bucket/a/b", &[], "x").await;
    for query in ["list-type=2&delimiter=", "delimiter="] {
        let listed = store.send("GET", &format!("/bucket?{query}"), &[], "").await;
        assert_eq!(listed.element("Key"), "a/b", "{query}: {}", listed.body);
    }
}

#[tokio::test]
async fn objects_are_put_read_listed_copied_and_deleted() {
    let store = Store::start(false).await;
    let meta = [("x-amz-meta-colour", "red"), ("content-type", "text/x")];
    let put = store.send("PUT", "/bucket/a/b", &meta, "hello").await;
    assert_eq!((put.status, put.etag()), (200, "\"5d41402abc4b2a76b9719d911017c592\""));
    let head = store.send("HEAD", "/bucket/a/b", &[], "").await;
    assert_eq!((head.status, head.etag()), (200, put.etag()));
    assert!(head.head.contains("x-amz-meta-colour: red\r\n"), "{}", head.head);
    let got = store.send("GET", "/bucket/a/b", &[], "").await;
    assert_eq!((got.status, got.body.as_str()), (200, "hello"));

    let copied = store.send("PUT", "/bucket/c", &[("x-amz-copy-source", "/bucket/a/b")], "").await;
    assert_eq!(copied.status, 200, "{}", copied.body);
    let listed = store.send("GET", "/bucket?list-type=2", &[], "").await;
    assert_eq!(listed.element("KeyCount"), "2");
    assert_eq!(listed.element("Key"), "a/b");

    assert_eq!(store.status("DELETE", "/bucket/a/b", &[]).await, 204);
    assert_eq!(store.status("HEAD", "/bucket/a/b", &[]).await, 404);
    assert_eq!(store.status("GET", "/nowhere/a", &[]).await, 404);
}

#[tokio::test]
async fn conditions_of_puts_and_completes_are_judged() {
    let store = Store::start(false).await;
    let (create, stale) = ([("if-none-match", "*")], [("if-match", "\"stale\"")]);
    let first = store.send("PUT", "/bucket/k", &create, "one").await;
    assert_eq!(first.status, 200);
    assert_eq!(store.send("PUT", "/bucket/k", &create, "two").await.status, 412);
    assert_eq!(store.send("PUT", "/bucket/k", &stale, "two").await.status, 412);
    let current = [("if-match", first.etag())];
    assert_eq!(store.send("PUT", "/bucket/k", &current, "two").await.status, 200);
    let (target, parts) = store.upload("k").await;
    assert_eq!(store.send("POST", &target, &create, &parts).await.status, 412);
    assert_eq!(store.send("GET", "/bucket/k", &[], "").await.body, "two");
    assert_eq!(store.send("POST", &target, &[], &parts).await.status, 200);
    assert_eq!(store.send("GET", "/bucket/k", &[], "").await.body, "the part");
}

/// `"*"` is an ETag like any other (RFC 9110 §8.8.3): only `*` without quotes is any object.
#[tokio::test]
async fn a_star_in_quotes_is_no_wildcard() {
    let store = Store::start(false).await;
    assert_eq!(store.send("PUT", "/bucket/k", &[], "kept").await.status, 200);
    let quoted = [("if-match", "\"*\"")];
    assert_eq!(store.send("PUT", "/bucket/k", &quoted, "lost").await.status, 412);
    assert_eq!(store.status("DELETE", "/bucket/k", &quoted).await, 412);
    assert_eq!(store.send("GET", "/bucket/k", &quoted, "").await.status, 412);
    assert_eq!(store.send("GET", "/bucket/k", &[], "").await.body, "kept");
}

#[tokio::test]
async fn conditions_are_ignored_on_request() {
    let store = Store::start(true).await;
    let (create, stale) = (("if-none-match", "*"), ("if-match", "\"stale\""));
    for (body, condition) in [("one", create), ("two", create), ("three", stale)] {
        let put = store.send("PUT", "/bucket/k", &[condition], body).await;
        assert_eq!(put.status, 200, "{body}");
        assert_eq!(store.send("GET", "/bucket/k", &[], "").await.body, body);
    }
    let source = ("x-amz-copy-source", "/bucket/k");
    assert_eq!(store.status("PUT", "/bucket/copy", &[source]).await, 200);
    for condition in [create, stale] {
        assert_eq!(store.status("PUT", "/bucket/copy", &[source, condition]).await, 200);
        let (target, parts) = store.upload("k").await;
        assert_eq!(store.send("POST", &target, &[condition], &parts).await.status, 200);
    }
    assert_eq!(store.status("DELETE", "/bucket/k", &[stale]).await, 204);
    assert_eq!(store.status("HEAD", "/bucket/k", &[]).await, 404);
}

#[tokio::test]
async fn only_the_one_credential_is_let_in() {
    let store = Store::start(false).await;
    let other = Credential { secret: Secret::new("guessed"), ..store.credential.clone() };
    assert_eq!(store.send_as(&other, "PUT", "/bucket/k", &[], "x").await.status, 403);
    let unknown = Credential { access_key_id: "other".to_owned(), ..store.credential.clone() };
    assert_eq!(store.send_as(&unknown, "PUT", "/bucket/k", &[], "x").await.status, 403);
    let mut stream = TcpStream::connect(store.served.addr).await.unwrap();
    let unsigned = b"GET /bucket/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(unsigned).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn a_completed_upload_does_not_keep_the_checksum_of_the_bytes_it_replaced() {
    let store = Store::start(false).await;
    let crc = [("x-amz-checksum-crc32", "NhCmhg==")];
    assert_eq!(store.send("PUT", "/bucket/k", &crc, "hello").await.status, 200);
    let with_checksum = [("x-amz-checksum-mode", "ENABLED")];
    let before = store.send("HEAD", "/bucket/k", &with_checksum, "").await;
    assert!(before.head.contains("x-amz-checksum-crc32: nhcmhg=="), "{}", before.head);
    let (target, parts) = store.upload("k").await;
    assert_eq!(store.send("POST", &target, &[], &parts).await.status, 200);
    let after = store.send("HEAD", "/bucket/k", &with_checksum, "").await;
    assert!(!after.head.contains("x-amz-checksum"), "{}", after.head);
    assert!(after.etag().ends_with("-1\""), "{}", after.etag());
}

/// A client that hangs up at any moment leaves the object as it was, or writes it whole: the bytes
/// and the ETag, one after the other.
#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_object_with_the_etag_of_another() {
    let store = Store::start(true).await;
    for round in 0..200 {
        let target = format!("/bucket/{round}");
        assert_eq!(store.send("PUT", &target, &[], "before").await.status, 200);
        let sent = store.begin_as(&store.credential, "PUT", &target, &[], "after").await;
        let until = Instant::now() + round * Duration::from_micros(10);
        while Instant::now() < until {
            tokio::task::yield_now().await;
        }
        drop(sent);
        let whole = async { while store.is_torn(&target).await {} };
        let in_time = tokio::time::timeout(Duration::from_secs(2), whole).await;
        assert!(in_time.is_ok(), "round {round}: the bytes of one write, the ETag of another");
    }
}

#[tokio::test]
async fn it_ends_when_told_and_objects_are_there_at_the_next_start() {
    let store = Store::start(false).await;
    assert_eq!(store.send("PUT", "/bucket/k", &[], "kept").await.status, 200);
    // An idle connection must not hold up the end.
    let _idle = TcpStream::connect(store.served.addr).await.unwrap();
    let path = store.path();
    let addr = store.served.addr;
    store.stop.send(()).unwrap();
    store.served.task.await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());

    let options = Options { listen: addr, ..Options::default() };
    let served = serve(path, &store.credential, options, std::future::pending()).await.unwrap();
    assert_eq!(served.addr, addr);
    let (stop, _) = oneshot::channel();
    let again = Store { dir: store.dir, served, stop, credential: store.credential };
    assert_eq!(again.send("GET", "/bucket/k", &[], "").await.body, "kept");
}

#[tokio::test]
async fn what_keeps_it_from_serving_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let credential =
        Credential { access_key_id: "k".into(), secret: Secret::new("s"), session_token: None };
    let start = |dir: &Path, options| {
        serve(dir.to_path_buf(), &credential, options, std::future::pending())
    };
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = start(&file, Options::default()).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Directory { .. }), "{error}");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let options = Options { listen: taken.local_addr().unwrap(), ..Options::default() };
    let error = start(&dir.path().join("store"), options).await.unwrap_err();
    assert!(matches!(error, EmbeddedError::Listen { .. }), "{error}");
}

/// How many files the objects are in.
fn files(dir: &Path) -> usize {
    let directories = fs::read_dir(dir.join("objects")).unwrap();
    directories.map(|sub| fs::read_dir(sub.unwrap().path()).unwrap().count()).sum()
}

/// Waits until so many files are there: they are removed a moment after their objects.
async fn until_files(dir: &Path, count: usize) {
    let all_gone = async {
        while files(dir) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), all_gone).await;
    assert!(in_time.is_ok(), "{} files, not {count}", files(dir));
}

#[tokio::test]
async fn the_space_of_what_was_replaced_deleted_or_refused_is_given_back() {
    let store = Store::start(false).await;
    for round in 0..10 {
        store.send("PUT", "/bucket/k", &[], &format!("round {round}")).await;
    }
    until_files(&store.path(), 1).await;
    let stale = [("if-match", "\"stale\"")];
    assert_eq!(store.send("PUT", "/bucket/k", &stale, "x").await.status, 412);
    let wrong = [("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")];
    assert_eq!(store.send("PUT", "/bucket/k", &wrong, "x").await.status, 400);
    until_files(&store.path(), 1).await;
    let (target, parts) = store.upload("k").await;
    until_files(&store.path(), 2).await;
    assert_eq!(store.send("POST", &target, &[], &parts).await.status, 200);
    until_files(&store.path(), 1).await;
    let (target, _) = store.upload("k").await;
    assert_eq!(store.status("DELETE", &target, &[]).await, 204);
    assert_eq!(store.status("DELETE", "/bucket/k", &[]).await, 204);
    until_files(&store.path(), 0).await;
}

#[tokio::test]
async fn a_key_is_never_a_path() {
    let store = Store::start(false).await;
    fs::write(store.path().join(".ifmatch-secret"), "hidden").unwrap();
    let target = "/bucket/../.ifmatch-secret";
    assert_eq!(store.status("GET", target, &[]).await, 404);
    assert_eq!(store.send("PUT", target, &[], "mine").await.status, 200);
    assert_eq!(store.send("GET", target, &[], "").await.body, "mine");
    let listed = store.send("GET", "/", &[], "").await;
    assert_eq!(listed.body.matches("<Bucket>").count(), 1, "{}", listed.body);
    assert_eq!(fs::read(store.path().join(".ifmatch-secret")).unwrap(), b"hidden");
}

#[tokio::test]
async fn a_process_that_was_killed_leaves_files_that_the_next_one_removes() {
    let store = Store::start(false).await;
    assert_eq!(store.send("PUT", "/bucket/k", &[], "kept").await.status, 200);
    // What a kill leaves is what is in the directory at one moment.
    let killed = store.dir.path().join("killed");
    copy_all(&store.path(), &killed);
    fs::write(killed.join("objects/ab/0123456789abcdef0000000000ab"), "half").unwrap();
    assert_eq!(files(&killed), 2);
    let options = Options::default();
    let again = serve(killed.clone(), &store.credential, options, std::future::pending());
    let again = again.await.unwrap();
    until_files(&killed, 1).await;
    let (stop, _) = oneshot::channel();
    let again = Store { dir: store.dir, served: again, stop, credential: store.credential };
    assert_eq!(again.send("GET", "/bucket/k", &[], "").await.body, "kept");
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy_all(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_directory_is_served_by_one_process_and_only_if_it_is_a_store() {
    let store = Store::start(false).await;
    let start =
        |dir: PathBuf| serve(dir, &store.credential, Options::default(), std::future::pending());
    let error = start(store.path()).await.unwrap_err().to_string();
    assert!(error.contains("already open"), "{error}");
    let old = store.dir.path().join("old");
    fs::create_dir_all(old.join("bucket")).unwrap();
    let error = start(old.clone()).await.unwrap_err().to_string();
    assert!(error.contains("\"bucket\"") && error.contains("ifmatch 0.1.0"), "{error}");
    assert_eq!(fs::read_dir(old).unwrap().count(), 1, "nothing was made in it");
}

/// A reader that is in the middle of an object reads on what it has begun.
#[tokio::test]
async fn a_reader_gets_one_whole_object_while_it_is_replaced() {
    let store = Store::start(false).await;
    let (before, after) = ("b".repeat(8 << 20), "a".repeat(8 << 20));
    let target = "/bucket/large";
    assert_eq!(store.send("PUT", target, &[], &before).await.status, 200);
    let mut reading = store.begin_as(&store.credential, "GET", target, &[], "").await;
    let mut got = vec![0; 1000];
    reading.read_exact(&mut got).await.unwrap();
    assert_eq!(store.send("PUT", target, &[], &after).await.status, 200);
    until_files(&store.path(), 1).await;
    reading.read_to_end(&mut got).await.unwrap();
    assert!(got.ends_with(before.as_bytes()));
    assert_eq!(store.send("GET", target, &[], "").await.body, after);
}

#[tokio::test]
async fn concurrent_conditional_writes_have_one_winner() {
    let store = Arc::new(Store::start(false).await);
    for round in 0..20 {
        let target = format!("/bucket/{round}");
        let writers = (0..8).map(|number: usize| {
            let (store, target) = (Arc::clone(&store), target.clone());
            tokio::spawn(async move {
                let create = [("if-none-match", "*")];
                store.send("PUT", &target, &create, &number.to_string()).await.status
            })
        });
        let mut statuses = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            statuses.push(writer.await.unwrap());
        }
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    }
}

#[tokio::test]
async fn a_subresource_that_is_not_known_is_not_the_object() {
    let store = Store::start(false).await;
    assert_eq!(store.send("PUT", "/bucket/k", &[], "kept").await.status, 200);
    for (method, target) in [
        ("PUT", "/bucket/k?encryption"),
        ("PUT", "/bucket/k?renameObject"),
        ("DELETE", "/bucket/k?annotation"),
        ("GET", "/bucket/k?annotation"),
        ("PUT", "/other?metadataTable"),
        ("DELETE", "/bucket?abac"),
    ] {
        let answer = store.send(method, target, &[], "").await;
        assert_eq!(answer.status, 501, "{method} {target}: {}", answer.body);
    }
    assert_eq!(store.send("GET", "/bucket/k?x-id=GetObject", &[], "").await.body, "kept");
    assert_eq!(store.status("HEAD", "/other", &[]).await, 404);
}

async fn misbehaving(misbehaviour: Misbehaviour) -> Store {
    Store::begin(Options { misbehaviour, ..Options::default() }).await
}

#[tokio::test]
async fn a_store_that_lags_shows_the_past_and_judges_by_the_present() {
    let lag = Duration::from_hours(1);
    let store = misbehaving(Misbehaviour { lag, ..Misbehaviour::default() }).await;
    assert_eq!(store.status("PUT", "/bucket", &[]).await, 200);
    assert_eq!(store.send("PUT", "/bucket/k", &[], "x").await.status, 200);
    let mut seen = 0;
    for _ in 0..20 {
        seen += u64::from(store.status("GET", "/bucket/k", &[]).await == 200);
        store.send("GET", "/bucket?list-type=2", &[], "").await;
    }
    assert_eq!(store.count("lagging_reads").await, 20 - seen);
    assert!(seen < 20 && store.count("lagging_listings").await > 0);
    let create = [("if-none-match", "*")];
    assert_eq!(store.send("PUT", "/bucket/k", &create, "y").await.status, 412);
}

#[tokio::test]
async fn a_late_write_lands_after_its_connection_was_cut() {
    let late = Duration::from_millis(100);
    let wanted = Misbehaviour { late, late_share: 1.0, ..Misbehaviour::default() };
    let store = misbehaving(wanted).await;
    let mut cut = store.begin_as(&store.credential, "PUT", "/bucket", &[], "").await;
    let mut answer = String::new();
    cut.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "", "it is not answered");
    let landed = async { while store.status("HEAD", "/bucket", &[]).await != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), landed).await.unwrap();
    assert_eq!(store.count("late").await, 1);
}

#[tokio::test]
async fn a_store_that_fails_has_done_half_of_what_it_answers_500() {
    let store = misbehaving(Misbehaviour { fail: 1.0, ..Misbehaviour::default() }).await;
    for number in 0..20 {
        assert_eq!(store.status("PUT", &format!("/bucket-{number}"), &[]).await, 500);
    }
    let done = store.count("failed_after").await;
    assert!(done > 0 && store.count("failed_before").await == 20 - done);
}

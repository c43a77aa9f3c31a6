//! A whole proxy in one thread: each request is read once, by everything together.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HOST;
use http::{HeaderName, HeaderValue, Method};
use md5::Md5;
use pingora::apps::ServerApp;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;

use super::*;
use crate::clock;
use crate::config::{Flags, Sources};
use crate::http1::fields::Fields;
use crate::readings::{self, Readings};
use crate::sigv4::{AmzDate, Outgoing, sign};

/// More than any exchange here has.
const PIPE_BYTES: usize = 1 << 20;

/// A proxy in front of a store, both in this thread.
struct Front {
    live: LiveProxy,
    credential: Credential,
    _directory: TempDir,
}

/// A request to be signed and sent.
struct Request {
    method: Method,
    /// Path and query, plain enough to be signed as written.
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn request(method: Method, target: &str, body: &str) -> Request {
    Request { method, target: target.to_owned(), headers: Vec::new(), body: body.to_owned() }
}

impl Request {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn with_md5(self) -> Self {
        let md5 = crate::sigv4::CheckedBody::of(self.body.as_bytes()).content_md5();
        let md5 = md5.unwrap().to_str().unwrap().to_owned();
        self.header("content-md5", &md5)
    }
}

impl Front {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let embedded = Some(directory.path().join("data"));
        let flags = Flags { embedded, ..Flags::default() };
        let mut config = Config::load(Sources { flags, ..Sources::default() }).unwrap();
        let backend = &config.backend;
        let credential = Credential {
            access_key_id: backend.access_key_id.clone(),
            secret: backend.secret_access_key.clone(),
            session_token: None,
        };
        let data = config.embedded.clone().unwrap();
        let forever = std::future::pending();
        let served = embedded::serve(data, &credential, embedded::Options::default(), forever);
        config.backend.url.port = served.await.unwrap().addr.port();
        let register = open_register(&config).await.unwrap();
        register.skip_quarantine().await.unwrap();
        let keys = Arc::new(SigningKeys::default());
        let metrics = Arc::<Metrics>::default();
        let store = reachable_store(&config, Arc::clone(&keys), Arc::clone(&metrics)).await;
        let store = Arc::new(store.unwrap());
        let understanding = looked_at_store(&config, &store).await;
        let client = &config.clients[0];
        let credential = Credential {
            access_key_id: client.access_key_id.clone(),
            secret: client.secret_access_key.clone(),
            session_token: None,
        };
        let watchers = (metrics, Tracer::new(Arc::default()), Arc::default());
        let lasting = Lasting::new(&config, register, (store, understanding), keys, watchers);
        let live = LiveProxy::new(lasting.proxy(&config));
        Self { live, credential, _directory: directory }
    }

    /// Sends a request; gives the answer, whole, and what was read until then.
    async fn ask(&self, request: Request) -> (String, Readings) {
        let head = self.signed(&request);
        self.exchange(&head, &request.body).await
    }

    fn signed(&self, request: &Request) -> String {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let payload = hex::encode(&Sha256::digest(&request.body)[..]);
        let outgoing = Outgoing { method: &request.method, path, query: &query, payload: &payload };
        let mut headers = Fields::from_iter([(HOST, HeaderValue::from_static("localhost"))]);
        for (name, value) in &request.headers {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let now = clock::unix_seconds();
        let keys = SigningKeys::default();
        sign(&outgoing, &mut headers, &self.credential, "us-east-1", &keys, now).unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        for (name, value) in &headers {
            head.extend([name.as_str(), ": ", value.to_str().unwrap(), "\r\n"]);
        }
        format!("{head}content-length: {}\r\n\r\n", request.body.len())
    }

    async fn exchange(&self, head: &str, body: &str) -> (String, Readings) {
        let (mut client, server) = duplex(PIPE_BYTES);
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(body.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let readings = self.serve(server).await;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        (String::from_utf8(answer).unwrap(), readings)
    }

    /// Serves one connection.
    async fn serve(&self, server: DuplexStream) -> Readings {
        let handshakes = Handshakes::new(None, &[], &[], Arc::default());
        let door = Arc::new(Door::new(self.live.clone(), handshakes));
        let (_running, shutdown) = watch::channel(false);
        readings::take();
        door.process_new(Box::new(server), &shutdown).await;
        readings::take()
    }
}

/// What of these was read more than once.
fn twice(readings: &Readings) -> Vec<&'static str> {
    readings.iter().filter(|(_, times)| **times > 1).map(|(what, _)| *what).collect()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from} in {text}")).1;
    rest.split_once(to).unwrap().0
}

#[tokio::test]
async fn of_every_request_each_thing_is_read_once() {
    let front = Box::pin(Front::new()).await;
    let md5 = hex::encode(&Md5::digest("content")[..]);
    let etag = format!("\"{md5}\"");
    let complete = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{md5}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let delete = "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>";
    let (put, get, post) = (Method::PUT, Method::GET, Method::POST);
    let ask = async |request: Request, status: &str| {
        let line = format!("{} {}", request.method, request.target);
        let (answer, readings) = front.ask(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert_eq!(readings["query"], 1, "{line}: {readings:?}");
        assert_eq!(readings["head"], 1, "{line}: {readings:?}");
        assert_eq!(twice(&readings), Vec::<&str>::new(), "{line}: {readings:?}");
        (answer, readings)
    };
    ask(request(put.clone(), "/bucket", ""), "200").await;
    let write = request(put.clone(), "/bucket/key?x-id=PutObject", "content");
    ask(write.header("if-none-match", "*"), "200").await;
    let stale = request(put.clone(), "/bucket/key", "other").header("if-match", "\"stale\"");
    ask(stale, "412").await;
    ask(request(put.clone(), "/bucket/key", "content").header("if-match", &etag), "200").await;
    let copy = request(put.clone(), "/bucket/copy", "");
    ask(copy.header("x-amz-copy-source", "/bucket/key").header("if-none-match", "*"), "200").await;
    ask(request(get.clone(), "/bucket/key", "").header("if-match", &etag), "200").await;
    ask(request(get.clone(), "/bucket?list-type=2&prefix=k", ""), "200").await;
    ask(request(Method::HEAD, "/bucket/key", ""), "200").await;
    let (_, readings) =
        ask(request(post.clone(), "/bucket?delete", delete).with_md5(), "200").await;
    assert_eq!(readings["document"], 1);
    let (created, _) = ask(request(post.clone(), "/bucket/parts?uploads", ""), "200").await;
    let upload = between(&created, "<UploadId>", "</UploadId>");
    let part = format!("/bucket/parts?partNumber=1&uploadId={upload}");
    ask(request(put.clone(), &part, "streamed"), "200").await;
    let copied = request(put.clone(), &part, "").header("x-amz-copy-source", "/bucket/key");
    ask(copied, "200").await;
    let end = format!("/bucket/parts?uploadId={upload}");
    let (_, readings) = ask(request(post, &end, &complete), "200").await;
    assert_eq!(readings["document"], 1);
    ask(request(Method::DELETE, "/bucket/key", ""), "204").await;
}

#[tokio::test]
async fn of_a_form_each_thing_is_read_once() {
    let front = Box::pin(Front::new()).await;
    front.ask(request(Method::PUT, "/bucket", "")).await;
    let date = AmzDate::from_unix(clock::unix_seconds());
    let (day, region) = (date.day(), "us-east-1");
    let signed = ["key", "x-amz-algorithm", "x-amz-credential", "x-amz-date"];
    let conditions = signed.map(|name| serde_json::json!(["starts-with", format!("${name}"), ""]));
    let policy =
        serde_json::json!({"expiration": "2999-01-01T00:00:00Z", "conditions": conditions});
    let policy = STANDARD.encode(policy.to_string());
    let key = SigningKeys::default().key(&front.credential, day, region);
    let signature = key.sign(&[policy.as_bytes()]).to_hex();
    let claim = format!("{}/{day}/{region}/s3/aws4_request", front.credential.access_key_id);
    let fields = [
        ("key", "form"),
        ("policy", &policy),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &claim),
        ("x-amz-date", date.as_str()),
        ("x-amz-signature", signature.as_str()),
        ("file", "content"),
    ];
    let mut body = String::new();
    for (name, value) in fields {
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"");
        body.extend(["--line\r\n", &disposition, "\r\n\r\n", value, "\r\n"]);
    }
    body += "--line--\r\n";
    let head = format!(
        "POST /bucket HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\
         content-type: multipart/form-data; boundary=line\r\n\r\n",
        body.len()
    );
    let (answer, readings) = front.exchange(&head, &body).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(["form", "query", "head"].map(|what| readings[what]), [1; 3], "{readings:?}");
    assert_eq!(twice(&readings), Vec::<&str>::new(), "{readings:?}");
}

#[tokio::test]
async fn the_store_s_connection_is_free_before_the_client_has_the_whole_answer() {
    let front = Box::pin(Front::new()).await;
    front.ask(request(Method::PUT, "/bucket", "")).await;
    // One piece, and more than the client takes at once.
    let content = "x".repeat(3000);
    front.ask(request(Method::PUT, "/bucket/key", &content)).await;
    let head = front.signed(&request(Method::GET, "/bucket/key", ""));
    let (mut client, server) = duplex(1024);
    client.write_all(head.as_bytes()).await.unwrap();
    let metrics = Arc::clone(&front.live.current().metrics);
    let asked = async {
        let mut begin = [0; 15];
        client.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
        while metrics.backend_in_use.get() > 0 {
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with(&content), "{rest}");
    };
    let both = Box::pin(async { tokio::join!(front.serve(server), asked) });
    tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
}

//! The requests of a probe as lines for a shell, by curl, so that a person can do the same again. Pure.
//! The credential is named, and never written: `$AWS_ACCESS_KEY_ID` and `$AWS_SECRET_ACCESS_KEY`.

use http::Method;
use sha2::{Digest as _, Sha256};

use super::ask::{Ask, Payload};
use crate::config::{Addressing, Endpoint};
use crate::sigv4::{Hex, UNSIGNED_PAYLOAD};

/// The function that all lines call: curl, which signs with the named credential for this region.
/// `has_token`: whether the credential is a temporary one.
pub fn function(region: &str, has_token: bool) -> String {
    let scope = quoted(&format!("aws:amz:{region}:s3"));
    let token = if has_token { " -H \"x-amz-security-token: $AWS_SESSION_TOKEN\"" } else { "" };
    format!(
        "s3() {{ curl -si --path-as-is --aws-sigv4 {scope} --user \
         \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\"{token} \"$@\"; }}"
    )
}

/// The lines so far.
#[derive(Debug, Clone)]
pub struct Script {
    endpoint: Endpoint,
    addressing: Addressing,
    lines: Vec<String>,
    /// What answers told, and the text by which a shell has it.
    known: Vec<(String, String)>,
}

/// What a request is sent for besides: the shell keeps it in a variable of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The ETag in the answer's head, as `$OLD`, `$NOW` and the like.
    ETag(&'static str),
    /// The id of an upload, as `$UPLOAD`.
    UploadId,
}

impl Script {
    /// No lines yet, for requests to this endpoint.
    pub fn new(endpoint: &Endpoint, addressing: Addressing) -> Self {
        Self { endpoint: endpoint.clone(), addressing, lines: Vec::new(), known: Vec::new() }
    }

    /// The same for requests to this endpoint, without lines.
    #[must_use]
    pub fn at(&self, endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), lines: Vec::new(), ..self.clone() }
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// One more request. One in signed chunks, or by a presigned URL, has no line that curl could send, and
    /// gets a comment.
    pub fn push(&mut self, ask: &Ask) {
        let line = self.line(ask);
        self.lines.push(line);
    }

    /// A line that no request of a probe made.
    pub fn push_text(&mut self, line: String) {
        self.lines.push(line);
    }

    /// The last request has told this.
    pub fn learn(&mut self, what: Learned, value: &str) {
        let Some(last) = self.lines.pop() else { return };
        let (name, filter) = match what {
            Learned::ETag(name) => (name, "tr -d '\\r' | sed -n 's/^etag: //Ip'"),
            Learned::UploadId => ("UPLOAD", "sed -n 's:.*<UploadId>\\(.*\\)</UploadId>.*:\\1:p'"),
        };
        self.lines.push(format!("{name}=$({last} | {filter})"));
        let bare = value.trim_matches('"');
        if bare != value {
            self.known.push((value.to_owned(), format!("\"${name}\"")));
            self.known.push((bare.to_owned(), format!("\"${{{name}//\\\"/}}\"")));
        } else if !value.is_empty() {
            self.known.push((value.to_owned(), format!("\"${name}\"")));
        }
    }

    /// What a request would be as a line.
    pub fn line(&self, ask: &Ask) -> String {
        if let Payload::Chunks(chunks) = &ask.payload
            && chunks.signed
        {
            return format!(
                "# curl cannot sign chunks: send PUT {} by an SDK that does",
                ask.target(&ask.path)
            );
        }
        if ask.presigned {
            let headers: Vec<_> =
                ask.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            return format!(
                "# curl presigns nothing: send {} {} by an URL that an SDK has presigned, with {} signed and sent",
                ask.method,
                ask.target(&ask.path),
                self.known(&headers.join(", "))
            );
        }
        let mut words = vec!["s3".to_owned()];
        words.push(match ask.method {
            Method::HEAD => "-I".to_owned(),
            ref method => format!("-X {method}"),
        });
        for (name, value) in &ask.headers {
            words.push(format!("-H {}", self.known(&format!("{name}: {value}"))));
        }
        let text = String::from_utf8_lossy(&ask.framed_unsigned()).into_owned();
        let data = if text.contains('\r') { escaped(&text) } else { self.known(&text) };
        let digest = Hex::of(&Sha256::digest(&ask.content).into());
        let announced = match &ask.payload {
            // Of a text that a shell completes, the digest is not known.
            Payload::Digest if text.is_empty() || data == quoted(&text) => digest.as_str(),
            Payload::Digest | Payload::Unsigned => UNSIGNED_PAYLOAD,
            Payload::Chunks(chunks) => chunks.announced(),
        };
        words.push(format!("-H 'x-amz-content-sha256: {announced}'"));
        if !text.is_empty() {
            words.push(format!("--data-binary {data}"));
        }
        if ask.addressed(self.addressing).host_bucket.is_some() {
            // The name with the bucket in front may have no address of its own.
            words.push(format!("--connect-to '::{}'", self.endpoint.address()));
        }
        words.push(self.known(&self.url(ask)));
        words.join(" ")
    }

    fn url(&self, ask: &Ask) -> String {
        // curl signs a query as it stands, and the signature is over its names in order, each with a value.
        let mut query = ask.query.clone();
        query.sort();
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let addressed = ask.addressed(self.addressing);
        let scheme = if self.endpoint.https { "https" } else { "http" };
        format!("{scheme}://{}{}{query}", addressed.authority(&self.endpoint), addressed.path)
    }

    /// Quoted, with variables in place of what answers told.
    fn known(&self, text: &str) -> String {
        for (value, variable) in &self.known {
            if let Some((before, after)) = text.split_once(value.as_str()) {
                let parts = [before, after]
                    .map(|part| if part.is_empty() { String::new() } else { self.known(part) });
                return [parts[0].as_str(), variable, parts[1].as_str()].concat();
            }
        }
        quoted(text)
    }
}

/// In single quotes, in which a shell reads everything as it stands.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// In `$'…'`, for line ends.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("$'{}'", text.replace('\r', "\\r").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::ObjectName;

    fn script() -> Script {
        let endpoint = Endpoint { https: false, host: "s3.test".to_owned(), port: 9000 };
        Script::new(&endpoint, Addressing::Path)
    }

    fn name() -> ObjectName {
        ObjectName::try_from("bucket/it's".to_owned()).unwrap()
    }

    #[test]
    fn a_request_is_a_line_without_the_credential() {
        assert_eq!(
            function("garage", false),
            "s3() { curl -si --path-as-is --aws-sigv4 'aws:amz:garage:s3' --user \
             \"$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY\" \"$@\"; }"
        );
        assert!(function("r", true).contains("$AWS_SESSION_TOKEN"));
        let mut script = script();
        script.push(&Ask::put(&name(), "new").header("if-none-match", "*"));
        assert_eq!(
            script.lines(),
            ["s3 -X PUT -H 'if-none-match: *' \
              -H 'x-amz-content-sha256: \
              11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437' --data-binary 'new' 'http://s3.test:9000/bucket/it%27s'"]
        );
    }

    #[test]
    fn what_an_answer_told_is_a_variable_in_later_lines() {
        let mut script = script();
        script.push(&Ask::put(&name(), "old"));
        script.learn(Learned::ETag("OLD"), "\"abc\"");
        script.push(&Ask::put(&name(), "new").header("if-match", "\"abc\""));
        script.push(&Ask::put(&name(), "new").header("if-match", "abc"));
        let [first, quoted, bare] = script.lines() else { panic!("three lines") };
        assert!(first.starts_with("OLD=$(s3 ") && first.ends_with("'s/^etag: //Ip')"));
        assert!(quoted.contains("-H 'if-match: '\"$OLD\" "), "{quoted}");
        assert!(bare.contains("-H 'if-match: '\"${OLD//\\\"/}\" "), "{bare}");
    }

    #[test]
    fn a_bucket_is_in_the_host_where_it_is_configured_so() {
        let script = Script { addressing: Addressing::VirtualHost, ..script() };
        let line = script.line(&Ask::new(Method::GET, &name()));
        let end = "--connect-to '::s3.test:9000' 'http://bucket.s3.test:9000/it%27s'";
        assert!(line.ends_with(end), "{line}");
        let other = Endpoint { https: true, host: "n2.test".to_owned(), port: 443 };
        let line = script.at(&other).line(&Ask::new(Method::GET, &name()));
        let end = "--connect-to '::n2.test:443' 'https://bucket.n2.test/it%27s'";
        assert!(line.ends_with(end), "{line}");
        let odd = ObjectName::try_from("a.bucket/k".to_owned()).unwrap();
        let line = script.line(&Ask::new(Method::GET, &odd));
        assert!(line.ends_with(" 'http://s3.test:9000/a.bucket/k'"), "{line}");
    }

    #[test]
    fn what_curl_cannot_send_is_a_comment() {
        let mut script = script();
        script.learn(Learned::ETag("NOW"), "\"e\"");
        let ask = Ask { presigned: true, ..Ask::put(&name(), "new") }.header("if-none-match", "*");
        assert!(script.line(&ask).starts_with("# curl presigns nothing: send PUT /bucket/it%27s "));
    }

    #[test]
    fn quotes_and_line_ends_survive_a_shell() {
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(escaped("a\\'\r\n"), "$'a\\\\\\'\\r\\n'");
    }
}

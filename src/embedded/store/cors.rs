//! CORS: the rules of a bucket, and what they allow a page of another origin (AWS: "Using cross-origin
//! resource sharing"; Fetch, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3s::dto::{
    CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput,
    GetBucketCorsOutput, PutBucketCorsInput, PutBucketCorsOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::Store;
use super::failure::Refused;
use super::index::Read as _;
use super::records::CorsRule;

/// A rule as the other of the two types that have these fields: that of answers, and that of the index.
macro_rules! same {
    ($rule:ident, $other:ident) => {
        $other {
            id: $rule.id,
            allowed_headers: $rule.allowed_headers,
            allowed_methods: $rule.allowed_methods,
            allowed_origins: $rule.allowed_origins,
            expose_headers: $rule.expose_headers,
            max_age_seconds: $rule.max_age_seconds,
        }
    };
}

/// What a page of another origin asks for.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Asked {
    origin: String,
    /// That of the request which a preflight announces, else that of the request itself.
    method: String,
    /// The headers that a preflight announces, in lower case.
    headers: Vec<String>,
}

impl Asked {
    /// Reads a request's head. `None` without an `Origin`: no page of another origin asks.
    pub(in crate::embedded) fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let announced = text(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let announced = announced.split(',').map(|name| name.trim().to_ascii_lowercase());
        Some(Self {
            origin: text(ORIGIN)?.to_owned(),
            method: text(ACCESS_CONTROL_REQUEST_METHOD).unwrap_or(method.as_str()).to_owned(),
            headers: announced.filter(|name| !name.is_empty()).collect(),
        })
    }

    /// The method that is asked for.
    pub(in crate::embedded) fn method(&self) -> &str {
        &self.method
    }
}

/// What a bucket's rules say of a request.
#[derive(Debug)]
pub(in crate::embedded) enum Verdict {
    NoBucket,
    NoRules,
    NotAllowed,
    /// The headers that tell a browser so.
    Allowed(HeaderMap),
}

impl Store {
    /// What the rules of a bucket say of a request. They are public: no signature is needed.
    pub(in crate::embedded) async fn judge_origin(
        &self,
        bucket: String,
        asked: Asked,
    ) -> S3Result<Verdict> {
        let read = self.index.read(move |index| -> Result<_, Refused> {
            let Some(bucket) = index.bucket(&bucket)? else { return Ok(Verdict::NoBucket) };
            if bucket.cors.is_empty() {
                return Ok(Verdict::NoRules);
            }
            Ok(judge(&bucket.cors, &asked).map_or(Verdict::NotAllowed, Verdict::Allowed))
        });
        read.await.map_err(S3Error::from)
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
        let rules = rules.into_iter().map(|rule| same!(rule, CORSRule)).collect();
        Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(rules) }))
    }

    pub(super) async fn set_cors(
        &self,
        request: S3Request<PutBucketCorsInput>,
    ) -> S3Result<S3Response<PutBucketCorsOutput>> {
        let PutBucketCorsInput { bucket, cors_configuration, .. } = request.input;
        let rules = cors_configuration.cors_rules.into_iter();
        let rules: Vec<_> = rules.map(|rule| same!(rule, CorsRule)).collect();
        if rules.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        rules.iter().try_for_each(check)?;
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
}

/// AWS: PutBucketCors.
fn check(rule: &CorsRule) -> S3Result<()> {
    let allowed = ["GET", "PUT", "POST", "DELETE", "HEAD"];
    if let Some(method) = rule.allowed_methods.iter().find(|m| !allowed.contains(&m.as_str())) {
        return Err(s3_error!(
            InvalidRequest,
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        ));
    }
    let origins = rule.allowed_origins.iter().map(|origin| ("AllowedOrigin", origin));
    let headers = rule.allowed_headers.iter().flatten().map(|header| ("AllowedHeader", header));
    let mut patterns = origins.chain(headers);
    if let Some((element, text)) = patterns.find(|(_, text)| text.matches('*').count() > 1) {
        return Err(s3_error!(
            InvalidRequest,
            "{element} \"{text}\" can not have more than one wildcard."
        ));
    }
    match rule.expose_headers.iter().flatten().find(|header| header.contains('*')) {
        Some(header) => Err(s3_error!(
            InvalidRequest,
            "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for \
             ExposeHeader."
        )),
        None => Ok(()),
    }
}

/// The headers of an answer by the first rule that allows the request; `None` where none does.
fn judge(rules: &[CorsRule], asked: &Asked) -> Option<HeaderMap> {
    rules.iter().find_map(|rule| {
        let origin = rule.allowed_origins.iter().find(|origin| matches(origin, &asked.origin))?;
        let allows_header = |name: &String| {
            let mut patterns = rule.allowed_headers.iter().flatten();
            patterns.any(|pattern| matches(&pattern.to_ascii_lowercase(), name))
        };
        let allows =
            rule.allowed_methods.contains(&asked.method) && asked.headers.iter().all(allows_header);
        allows.then(|| told(rule, origin, asked))
    })
}

/// Whether a text fits a pattern, in which one `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => text.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

/// What a browser is told of a rule that allows its request. To any origin at all AWS allows no
/// credentials (Fetch, "CORS protocol and credentials").
fn told(rule: &CorsRule, origin: &str, asked: &Asked) -> HeaderMap {
    let any = origin == "*";
    let methods = rule.allowed_methods.join(", ");
    let exposed = rule.expose_headers.as_ref().map(|names| names.join(", "));
    let fields = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, Some(if any { "*" } else { &asked.origin }.to_owned())),
        (ACCESS_CONTROL_ALLOW_CREDENTIALS, (!any).then(|| "true".to_owned())),
        (ACCESS_CONTROL_ALLOW_METHODS, Some(methods)),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            (!asked.headers.is_empty()).then(|| asked.headers.join(", ")),
        ),
        (ACCESS_CONTROL_EXPOSE_HEADERS, exposed.filter(|names| !names.is_empty())),
        (ACCESS_CONTROL_MAX_AGE, rule.max_age_seconds.map(|seconds| seconds.to_string())),
        (VARY, Some(VARIES.to_owned())),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| {
        // What no header can have is not told: the browser then refuses the page.
        Some((name, HeaderValue::try_from(value?).ok()?))
    });
    fields.collect()
}

/// What the answer depends on, so that a cache does not give it to another page.
const VARIES: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CorsRule {
        CorsRule {
            allowed_origins: texts(origins),
            allowed_methods: texts(methods),
            allowed_headers: Some(texts(headers)),
            ..CorsRule::default()
        }
    }

    fn asked(origin: &str, method: &str, headers: &[&str]) -> Asked {
        Asked { origin: origin.to_owned(), method: method.to_owned(), headers: texts(headers) }
    }

    #[test]
    fn a_request_is_allowed_by_origin_method_and_all_of_its_headers() {
        let rules =
            [rule(&["http://*.a.test", "http://b.test"], &["GET", "PUT"], &["X-A", "x-b-*"])];
        for (origin, method, headers, allowed) in [
            ("http://page.a.test", "GET", &[][..], true),
            ("http://b.test", "PUT", &["x-a", "x-b-1"], true),
            ("http://a.test", "GET", &[], false),
            ("http://page.a.test/", "GET", &[], false),
            ("https://b.test", "GET", &[], false),
            ("http://B.test", "GET", &[], false),
            ("http://b.test", "DELETE", &[], false),
            ("http://b.test", "get", &[], false),
            ("http://b.test", "GET", &["x-a", "x-c"], false),
        ] {
            let judged = judge(&rules, &asked(origin, method, headers));
            assert_eq!(judged.is_some(), allowed, "{origin} {method} {headers:?}");
        }
    }

    #[test]
    fn the_first_rule_that_allows_it_speaks() {
        let mut rules = [rule(&["http://b.test"], &["PUT"], &[]), rule(&["*"], &["GET"], &["*"])];
        rules[0].max_age_seconds = Some(60);
        rules[1].expose_headers = Some(texts(&["etag", "x-amz-version-id"]));
        let own = judge(&rules, &asked("http://b.test", "PUT", &[])).unwrap();
        assert_eq!(own[ACCESS_CONTROL_ALLOW_ORIGIN], "http://b.test");
        assert_eq!(own[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(own[ACCESS_CONTROL_MAX_AGE], "60");
        assert!(!own.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS));
        let any = judge(&rules, &asked("http://b.test", "GET", &["x-a", "x-b"])).unwrap();
        assert_eq!(any[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!any.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert_eq!(any[ACCESS_CONTROL_ALLOW_HEADERS], "x-a, x-b");
        assert_eq!(any[ACCESS_CONTROL_EXPOSE_HEADERS], "etag, x-amz-version-id");
        assert!(any.contains_key(VARY));
    }
}

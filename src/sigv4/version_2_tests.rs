//! AWS's examples of Version 2 (Signing and authenticating REST requests), and each rule.

use std::collections::HashMap;

use http::Method;

use super::*;
use crate::s3::Query;
use crate::s3::encoding::encode_query;
use crate::secret::Secret;
use crate::sigv4::fixture::{ACCESS_KEY, Request, Rotating, credential};
use crate::sigv4::{AwsError, Credential, SigningKeys};

/// `Tue, 27 Mar 2007 19:36:42 +0000`
const NOW: i64 = 1_175_024_202;

fn bucket_by_host(request: &Request, bucket: &str, now: i64) -> Result<Authenticated, AuthError> {
    let clients = HashMap::from([(ACCESS_KEY.to_owned(), credential())]);
    let host_bucket = Some(bucket).filter(|bucket| !bucket.is_empty());
    let accepted = Accepted { version_2: true, host_bucket, region: None };
    let request = EffectiveRequest::of(request.head())?;
    crate::sigv4::authenticate(&request, &clients, &SigningKeys::default(), &accepted, now)
}

fn by_header(method: &Method, path: &str, query: &str, headers: &[(&str, &str)]) -> Request {
    let request = Request::new(method, path).query(query);
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

fn authorized(request: Request, signature: &str) -> Request {
    request.header("authorization", &format!("AWS {ACCESS_KEY}:{signature}"))
}

fn sign(text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(credential().secret.expose().as_bytes()).unwrap();
    mac.update(text.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

fn text_of(request: &Request, now: i64) -> String {
    match bucket_by_host(request, "", now) {
        Err(AuthError::SignatureDoesNotMatch(mismatch)) => mismatch.string_to_sign,
        other => panic!("{other:?}"),
    }
}

fn presigned(path: &str, extra: &str) -> Request {
    let query = format!("AWSAccessKeyId={ACCESS_KEY}&Signature=00&Expires=1175139620{extra}");
    Request::new(&Method::PUT, path).query(&query)
}

/// The request with the signature that it should have, learnt from the refusal of the one it has.
fn signed(mut request: Request, now: i64) -> Request {
    let signature = encode_query(&sign(&text_of(&request, now)));
    request.query = Query::parse(
        &request.query.as_sent().replace("Signature=00", &format!("Signature={signature}")),
    );
    assert!(bucket_by_host(&request, "", now).is_ok());
    request
}

fn assert_refused(request: &Request, now: i64, status: u16, code: &str, message: &str) {
    let error = bucket_by_host(request, "", now).expect_err(message);
    assert_eq!((error.status().as_u16(), error.code()), (status, code), "{error:?}");
    assert!(error.message().contains(message), "{}", error.message());
}

/// Bucket named by the host, method, path, query, headers, signature.
type Example = (&'static str, Method, &'static str, &'static str, Headers, &'static str);
type Headers = &'static [(&'static str, &'static str)];

const PUPPY: &str = "/photos/puppy.jpg";
const EXAMPLES: [Example; 7] = [
    (
        "johnsmith",
        Method::GET,
        PUPPY,
        "",
        &[("date", "Tue, 27 Mar 2007 19:36:42 +0000")],
        "bWq2s1WEIj+Ydj0vQ697zp+IXMU=",
    ),
    (
        "johnsmith",
        Method::PUT,
        PUPPY,
        "",
        &[("content-type", "image/jpeg"), ("date", "Tue, 27 Mar 2007 21:15:45 +0000")],
        "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
    ),
    (
        "johnsmith",
        Method::GET,
        "/",
        "prefix=photos&max-keys=50&marker=puppy",
        &[("date", "Tue, 27 Mar 2007 19:42:41 +0000")],
        "htDYFYduRNen8P9ZfE/s9SuKy0U=",
    ),
    (
        "johnsmith",
        Method::GET,
        "/",
        "acl",
        &[("date", "Tue, 27 Mar 2007 19:44:46 +0000")],
        "c2WLPFtWHVgbEmeEG93a4cG37dM=",
    ),
    (
        "",
        Method::DELETE,
        "/johnsmith/photos/puppy.jpg",
        "",
        &[
            ("date", "Tue, 27 Mar 2007 21:20:27 +0000"),
            ("x-amz-date", "Tue, 27 Mar 2007 21:20:26 +0000"),
        ],
        "R4dJ53KECjStyBO5iTBJZ4XVOaI=",
    ),
    (
        "static.johnsmith.net",
        Method::PUT,
        "/db-backup.dat.gz",
        "",
        &[
            ("date", "Tue, 27 Mar 2007 21:06:08 +0000"),
            ("x-amz-acl", "public-read"),
            ("content-type", "application/x-download"),
            ("content-md5", "4gJE4saaMU4BqNR0kLY+lw=="),
            ("x-amz-meta-reviewedby", "joe@johnsmith.net"),
            ("x-amz-meta-reviewedby", "jane@johnsmith.net"),
            ("x-amz-meta-filechecksum", "0x02661779"),
            ("x-amz-meta-checksumalgorithm", "crc32"),
        ],
        "ilyl83RwaSoYIEdixDQcA4OnAnc=",
    ),
    (
        "",
        Method::GET,
        "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
        "",
        &[("date", "Wed, 28 Mar 2007 01:49:49 +0000")],
        "DNEZGsoieTZ92F3bUfSPQcbGmlM=",
    ),
];

#[test]
fn the_secret_before_the_present_one_signs_too_and_the_result_says_so() {
    let request = signed(presigned("/bucket/key", ""), NOW);
    let accepted = Accepted { version_2: true, ..Accepted::default() };
    let (rotating, keys) = (Rotating::new(), SigningKeys::default());
    let present = bucket_by_host(&request, "", NOW).unwrap();
    assert_eq!(present.secret, WhichSecret::Present);
    let previous =
        crate::sigv4::authenticate(&request.effective(), &rotating, &keys, &accepted, NOW).unwrap();
    assert_eq!(previous.secret, WhichSecret::Previous);
}

#[test]
fn the_examples_of_the_documentation_are_authentic() {
    for (bucket, method, path, query, headers, signature) in EXAMPLES {
        let request = authorized(by_header(&method, path, query, headers), signature);
        let dates = ["x-amz-date", "date"].iter().find_map(|name| request.headers.get(*name));
        let at = AmzDate::from_date_header(dates.unwrap().to_str().unwrap()).unwrap().unix();
        let authenticated = bucket_by_host(&request, bucket, at).expect(signature);
        assert_eq!(authenticated.access_key_id, ACCESS_KEY);
        assert_eq!(authenticated.payload, PayloadKind::Unsigned);
        assert!(!authenticated.presigned && authenticated.seed.is_none());
        for late in [at - 901, at + 901] {
            let error = bucket_by_host(&request, bucket, late).expect_err("too far");
            assert_eq!(error.code(), "RequestTimeTooSkewed");
        }
        let error = bucket_by_host(&request, "another", at).expect_err("another bucket");
        assert_eq!(error.code(), "SignatureDoesNotMatch");
    }
}

#[test]
fn the_example_of_a_query_is_authentic_until_it_expires() {
    let query = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&\
                 Expires=1175139620";
    let request = Request::new(&Method::GET, "/photos/puppy.jpg").query(query);
    for now in [0, NOW, 1_175_139_620] {
        assert!(bucket_by_host(&request, "johnsmith", now).expect("AWS's own").presigned);
    }
    let error = bucket_by_host(&request, "johnsmith", 1_175_139_621).expect_err("late");
    assert_eq!((error.code(), &*error.message()), ("AccessDenied", "Request has expired"));
    assert_eq!(error.fields()[0], ("Expires", "2007-03-29T03:40:20Z".to_owned()));
}

#[test]
fn what_is_signed_is_what_the_request_says() {
    let request = presigned("/b/k", "&partNumber=1&uploadId=a%2Fb+c&prefix=p&x-id=UploadPart")
        .header("x-amz-meta-b", "  2 ")
        .header("x-amz-meta-a", "1")
        .header("x-amz-meta-a", "3")
        .header("content-type", "text/plain");
    let text = "PUT\n\ntext/plain\n1175139620\nx-amz-meta-a:1,3\nx-amz-meta-b:2\n\
                /b/k?partNumber=1&uploadId=a/b c";
    assert_eq!(text_of(&request, NOW), text);
    let overrides = "&response-content-type=a%2Fb&acl&versionId=";
    let text = "PUT\n\n\n1175139620\n/b/k?acl&response-content-type=a/b&versionId";
    assert_eq!(text_of(&presigned("/b/k", overrides), NOW), text);
}

#[test]
fn headers_in_the_query_are_signed_as_headers() {
    let extra = "&x-amz-meta-a=1&content-type=a%2Fb&content-md5=m%3D%3D&x-amz-security-token=t";
    let text = "PUT\nm==\na/b\n1175139620\nx-amz-meta-a:1\nx-amz-security-token:t\n/b/k";
    let clients = Credential { session_token: Some(Secret::new("t")), ..credential() };
    let clients = HashMap::from([(ACCESS_KEY.to_owned(), clients)]);
    let accepted = Accepted { version_2: true, ..Accepted::default() };
    let mut request = presigned("/b/k", extra);
    let authenticate = |request: &Request| {
        let request = EffectiveRequest::of(request.head())?;
        crate::sigv4::authenticate(&request, &clients, &SigningKeys::default(), &accepted, 0)
    };
    let Err(AuthError::SignatureDoesNotMatch(mismatch)) = authenticate(&request) else {
        panic!("00 is no signature");
    };
    assert_eq!(mismatch.string_to_sign, text);
    let signature = format!("Signature={}", encode_query(&sign(text)));
    request.query = Query::parse(&request.query.as_sent().replace("Signature=00", &signature));
    assert!(authenticate(&request).is_ok());
    // The same once more as a header says nothing else; another value does.
    assert!(authenticate(&request.clone().header("content-type", "a/b")).is_ok());
    let error = authenticate(&request.header("content-type", "text/html")).expect_err("differs");
    assert_eq!(error.code(), "InvalidArgument");
}

#[test]
fn a_bucket_may_be_signed_with_a_slash_at_its_end() {
    let request = presigned("/bucket", "&prefix=p");
    let given = text_of(&request, NOW);
    for text in [given.clone(), format!("{given}/")] {
        let mut request = request.clone();
        let signature = format!("Signature={}", encode_query(&sign(&text)));
        request.query = Query::parse(&request.query.as_sent().replace("Signature=00", &signature));
        assert!(bucket_by_host(&request, "", NOW).is_ok(), "{text}");
        request.path = "/bucket/k".into();
        assert!(bucket_by_host(&request, "", NOW).is_err(), "{text}");
    }
}

#[test]
fn a_path_and_an_empty_value_may_be_spelled_in_more_than_one_way() {
    let request = presigned("/b/a=b%2fc", "&acl=");
    let given = text_of(&request, NOW);
    for text in [given.clone(), given.replace("acl", "acl="), given.replace("a=b%2fc", "a%3Db/c")] {
        let mut request = request.clone();
        let signature = format!("Signature={}", encode_query(&sign(&text)));
        request.query = Query::parse(&request.query.as_sent().replace("Signature=00", &signature));
        assert!(bucket_by_host(&request, "", NOW).is_ok(), "{text}");
    }
}

#[test]
fn any_change_of_what_is_signed_is_noticed() {
    let request = signed(presigned("/b/k", "&versionId=1&x-amz-acl=private"), NOW);
    let changed = |change: fn(&mut Request)| {
        let mut request = request.clone();
        change(&mut request);
        request
    };
    for changed in [
        changed(|r| r.method = Method::DELETE),
        changed(|r| r.path = "/b/other".into()),
        changed(|r| {
            r.query = Query::parse(&r.query.as_sent().replace("versionId=1", "versionId=2"));
        }),
        changed(|r| r.query = Query::parse(&r.query.as_sent().replace("=private", "=public-read"))),
        changed(|r| r.query = Query::parse(&r.query.as_sent().replace("1175139620", "1175139621"))),
        changed(|r| r.query = Query::parse(&format!("{}{}", r.query, "&acl"))),
        changed(|r| r.query = Query::parse(&format!("{}{}", r.query, "&x-amz-meta-a=1"))),
        request.clone().header("x-amz-meta-a", "1"),
        request.clone().header("content-type", "text/plain"),
        request.clone().header("content-md5", "m"),
    ] {
        let error = bucket_by_host(&changed, "", NOW).expect_err("changed");
        assert_eq!(error.code(), "SignatureDoesNotMatch", "{changed:?}");
        assert_eq!(error.fields().len(), 4, "{error:?}");
    }
    // What chooses no operation may be added; what does and is not signed may not.
    let listed =
        changed(|r| r.query = Query::parse(&format!("{}{}", r.query, "&prefix=a&x-id=PutObject")));
    assert!(bucket_by_host(&listed, "", NOW).is_ok());
    for name in ["retention", "legal-hold", "attributes", "encryption", "append"] {
        let mut request = request.clone();
        request.query = Query::parse(&format!("{}&{name}", request.query));
        assert_refused(&request, NOW, 400, "InvalidRequest", "does not cover");
    }
}

#[test]
fn a_claim_that_does_not_say_what_it_must_is_told_so() {
    const PARTS: &str = "Query-string authentication requires";
    for (query, message) in [
        ("AWSAccessKeyId=A", PARTS),
        ("AWSAccessKeyId=A&Signature=s", PARTS),
        ("AWSAccessKeyId=A&Expires=1&Signature=", PARTS),
        ("AWSAccessKeyId=A&AWSAccessKeyId=B&Expires=9&Signature=s", PARTS),
        ("AWSAccessKeyId=A&Expires=soon&Signature=s", "Invalid date (should be seconds"),
        ("AWSAccessKeyId=A&Expires=-1&Signature=s", "Invalid date (should be seconds"),
        ("AWSAccessKeyId=A&Expires=99999999999999999999&Signature=s", "Invalid date"),
    ] {
        let request = Request::new(&Method::GET, "/b/k").query(query);
        assert_refused(&request, 0, 403, "AccessDenied", message);
    }
    for value in ["AWS ", "AWS AKIA", "AWS :c2ln", "AWS AKIA:", "AWS A B:c2ln"] {
        let request = by_header(&Method::GET, "/b/k", "", &[("authorization", value)]);
        assert_eq!(bucket_by_host(&request, "", NOW).expect_err(value).code(), "InvalidArgument");
    }
    let undated = authorized(Request::new(&Method::GET, "/b/k"), "c2ln");
    assert_refused(&undated, NOW, 403, "AccessDenied", "requires a valid Date");
    let unknown =
        Request::new(&Method::GET, "/b/k").query("AWSAccessKeyId=A&Expires=9&Signature=s");
    assert_refused(&unknown, 0, 403, "InvalidAccessKeyId", "does not exist");
    let both = presigned("/b/k", "").header("authorization", "AWS A:c2ln");
    assert_refused(&both, NOW, 400, "InvalidArgument", "Only one auth mechanism allowed");
}

#[test]
fn a_digest_is_held_to_and_framing_is_not_known() {
    const EMPTY: &str = crate::sigv4::fixture::EMPTY;
    let digest = signed(presigned("/b/k", &format!("&x-amz-content-sha256={EMPTY}")), NOW);
    let payload = bucket_by_host(&digest, "", NOW).expect("signed").payload;
    assert!(matches!(payload, PayloadKind::Digest(_)));
    for (name, value) in [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("content-encoding", "aws-chunked"),
    ] {
        let request = presigned("/b/k", "").header(name, value);
        let error = bucket_by_host(&request, "", NOW).expect_err(value);
        assert_eq!((error.status().as_u16(), error.code()), (400, "InvalidArgument"));
    }
}

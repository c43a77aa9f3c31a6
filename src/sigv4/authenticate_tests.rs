//! Each rule of authentication, and AWS's answer where it is broken.

use std::collections::HashMap;

use http::Method;

use super::*;
use crate::s3::Query;
use crate::secret::Secret;
use crate::sigv4::AwsError;
use crate::sigv4::Credential;
use crate::sigv4::fixture::{ACCESS_KEY, NOW, Request, Rotating, credential, key};

const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";

fn get() -> Request {
    Request::new(&Method::GET, "/bucket/key").dated().authorization(SIGNED, "00")
}

/// The request with the signature that it should have, learnt from the refusal of the one it has.
fn signed(mut request: Request) -> Request {
    let Err(AuthError::SignatureDoesNotMatch(mismatch)) = request.authenticate() else {
        panic!("{:?}", request.authenticate());
    };
    let signature = key().sign(&[mismatch.string_to_sign.as_bytes()]).to_hex();
    let signature = format!("Signature={}", signature.as_str());
    request.query = Query::parse(&request.query.as_sent().replace("Signature=00", &signature));
    if let Some(value) = request.headers.remove("authorization") {
        let value = value.to_str().expect("ASCII").replace("Signature=00", &signature);
        request = request.header("authorization", &value);
    }
    assert!(request.authenticate().is_ok(), "{:?}", request.authenticate());
    request
}

fn presigned(extra: &str) -> Request {
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ACCESS_KEY}%2F20130524%2Fus-east-1\
         %2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60\
         &X-Amz-SignedHeaders=host&X-Amz-Signature=00{extra}"
    );
    Request::new(&Method::PUT, "/bucket/key").query(&query)
}

fn assert_refused(request: &Request, status: u16, code: &str, message: &str) {
    let error = request.authenticate().expect_err(message);
    assert_eq!((error.status().as_u16(), error.code()), (status, code), "{error:?}");
    assert!(error.message().contains(message), "{}", error.message());
}

#[test]
fn a_request_that_names_nobody_is_anonymous() {
    let request = Request::new(&Method::GET, "/bucket/key").query("versionId=1&Signature=mine");
    assert_eq!(request.authenticate().expect_err("nobody"), AuthError::Anonymous);
}

#[test]
fn the_secret_before_the_present_one_signs_too_and_the_result_says_so() {
    let (request, keys) = (signed(get()), SigningKeys::default());
    assert_eq!(request.authenticate().unwrap().secret, WhichSecret::Present);
    let accepted = Accepted::default();
    let rotating = Rotating::new();
    let by_both = authenticate(&request.effective(), &rotating, &keys, &accepted, NOW).unwrap();
    assert_eq!(by_both.secret, WhichSecret::Previous);
    let seed = by_both.seed.expect("a signature in a header").key;
    assert!(
        seed.sign(&[b"chunk"]).matches(&key().sign(&[b"chunk"])),
        "chunks are signed by it too"
    );
    let wrong = get();
    let refused = authenticate(&wrong.effective(), &rotating, &keys, &accepted, NOW);
    assert!(matches!(refused, Err(AuthError::SignatureDoesNotMatch(_))), "{refused:?}");
}

#[test]
fn other_mechanisms_are_refused() {
    const SUPPORTED: &str = "Please use AWS4-HMAC-SHA256.";
    let request = Request::new(&Method::GET, "/bucket/key");
    for (value, code, message) in [
        ("AWS4-ECDSA-P256-SHA256 Credential=x", "InvalidRequest", SUPPORTED),
        ("Basic dXNlcjpwYXNz", "InvalidArgument", "Unsupported Authorization Type"),
        ("", "InvalidArgument", "Unsupported Authorization Type"),
    ] {
        let request = request.clone().header("authorization", value);
        assert_refused(&request, 400, code, message);
    }
    for version_2 in [
        request.clone().query("AWSAccessKeyId=AKIA&Signature=c2ln&Expires=1"),
        request.header("authorization", "AWS AKIA:c2lnbmF0dXJl"),
    ] {
        let clients = HashMap::<String, Credential>::new();
        let accepted = Accepted::default();
        let keys = SigningKeys::default();
        let refused = authenticate(&version_2.effective(), &clients, &keys, &accepted, NOW);
        assert_eq!(refused.expect_err("not accepted"), AuthError::UnsupportedMechanism);
    }
    let both = presigned("").authorization(SIGNED, "00");
    assert_refused(&both, 400, "InvalidArgument", "Only one auth mechanism allowed");
    let twice = get().header("authorization", "AWS4-HMAC-SHA256 x");
    assert_refused(&twice, 400, "InvalidArgument", "Unsupported Authorization Type");
}

#[test]
fn an_authorization_header_is_read_with_and_without_spaces() {
    let request = signed(get());
    let value = request.headers["authorization"].to_str().expect("ASCII").to_owned();
    for value in [value.replace(',', ", "), value.replace(',', " ,  "), format!("{value},")] {
        let request = request.clone().without("authorization").header("authorization", &value);
        assert!(request.authenticate().is_ok(), "{value}");
    }
}

#[test]
fn a_malformed_authorization_header_is_told_what_is_wrong() {
    const CREDENTIAL: &str = "AKIA/20130524/us-east-1/s3/aws4_request";
    for (components, message) in [
        ("SignedHeaders=host,Signature=00".to_owned(), "missing Credential."),
        (format!("Credential={CREDENTIAL},Signature=00"), "missing SignedHeaders."),
        (format!("Credential={CREDENTIAL},SignedHeaders=host"), "missing Signature."),
        ("Credential".to_owned(), "the authorization component \"Credential\" is malformed."),
        ("Signature=0,Signature=1".to_owned(), "component \"Signature=1\" is malformed."),
        ("Credential=AKIA/s3,SignedHeaders=host,Signature=0".into(), "Credential is mal-formed"),
        (
            "Credential=/20130524/r/s3/aws4_request,SignedHeaders=host,Signature=0".into(),
            "Credential is mal-formed",
        ),
        (
            "Credential=A/2013/r/s3/aws4_request,SignedHeaders=host,Signature=0".into(),
            "incorrect date format \"2013\"",
        ),
        (
            "Credential=A/20130524/r/ec2/aws4_request,SignedHeaders=host,Signature=0".into(),
            "incorrect service \"ec2\"",
        ),
        (
            "Credential=A/20130524/r/s3/aws5_request,SignedHeaders=host,Signature=0".into(),
            "incorrect terminal \"aws5_request\"",
        ),
        (
            "Credential=A/20130525/r/s3/aws4_request,SignedHeaders=host,Signature=0".into(),
            "Date is not the same as X-Amz-Date",
        ),
    ] {
        let value = format!("AWS4-HMAC-SHA256 {components}");
        let request = get().without("authorization").header("authorization", &value);
        assert_refused(&request, 400, "AuthorizationHeaderMalformed", message);
    }
}

#[test]
fn an_access_key_may_contain_slashes() {
    let credential = Credential { access_key_id: "a/b".into(), ..credential() };
    let clients = HashMap::from([("a/b".to_owned(), credential)]);
    let value = format!(
        "AWS4-HMAC-SHA256 Credential=a/b/20130524/us-east-1/s3/aws4_request, \
                         SignedHeaders={SIGNED}, Signature=00"
    );
    let request = get().without("authorization").header("authorization", &value);
    let result = authenticate(
        &request.effective(),
        &clients,
        &SigningKeys::default(),
        &Accepted::default(),
        NOW,
    );
    assert!(matches!(result, Err(AuthError::SignatureDoesNotMatch(_))), "{result:?}");
}

#[test]
fn a_region_is_refused_only_where_one_is_expected() {
    let request = signed(get());
    let clients = HashMap::from([(ACCESS_KEY.to_owned(), credential())]);
    let keys = SigningKeys::default();
    let with = |region| {
        let accepted = Accepted { region, ..Accepted::default() };
        authenticate(&request.effective(), &clients, &keys, &accepted, NOW)
    };
    assert!(with(None).is_ok());
    assert!(with(Some("us-east-1")).is_ok());
    let error = with(Some("eu-west-1")).expect_err("another region");
    assert_eq!(error.code(), "AuthorizationHeaderMalformed");
    assert_eq!(
        error.message(),
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting \
         'eu-west-1'"
    );
    assert_eq!(error.fields(), [("Region", "eu-west-1".to_owned())]);
}

#[test]
fn an_unknown_access_key_is_named_in_the_answer() {
    let clients = HashMap::<String, Credential>::new();
    let result = authenticate(
        &get().effective(),
        &clients,
        &SigningKeys::default(),
        &Accepted::default(),
        NOW,
    );
    let error = result.expect_err("no clients");
    assert_eq!((error.status().as_u16(), error.code()), (403, "InvalidAccessKeyId"));
    assert_eq!(error.fields(), [("AWSAccessKeyId", ACCESS_KEY.to_owned())]);
}

#[test]
fn a_clock_may_differ_by_fifteen_minutes() {
    let request = signed(get());
    for now in [NOW - 900, NOW, NOW + 900] {
        assert!(request.authenticate_at(now).is_ok());
    }
    for now in [i64::MIN, NOW - 901, NOW + 901, i64::MAX] {
        let error = request.authenticate_at(now).expect_err("too far");
        assert_eq!(error.code(), "RequestTimeTooSkewed", "{now}");
    }
}

#[test]
fn the_date_header_stands_in_for_x_amz_date() {
    let request = get()
        .without("x-amz-date")
        .header("date", "Fri, 24 May 2013 00:00:00 GMT")
        .authorization("date;host;x-amz-content-sha256", "00");
    signed(request.clone());
    for request in [request.clone().without("date"), request.header("x-amz-date", "yesterday")] {
        assert_refused(&request, 403, "AccessDenied", "requires a valid Date or x-amz-date");
    }
}

#[test]
fn the_payload_is_promised_under_the_signature() {
    let request = get().without("x-amz-content-sha256");
    assert_refused(&request, 400, "InvalidRequest", "Missing required header for this request");
    for (value, kind) in [
        ("UNSIGNED-PAYLOAD", PayloadKind::Unsigned),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", PayloadKind::UnsignedChunksTrailer),
    ] {
        let request = signed(request.clone().header("x-amz-content-sha256", value));
        let authenticated = request.authenticate().expect("signed");
        assert_eq!((authenticated.payload, authenticated.presigned), (kind, false));
    }
    let other = request.header("x-amz-content-sha256", "none");
    assert_refused(&other, 400, "InvalidArgument", "x-amz-content-sha256 must be");
}

#[test]
fn a_plus_in_a_query_is_signed_as_the_space_that_it_is() {
    let signed = signed(get().query("list-type=2&prefix=foo%20bar%2F"));
    for spelling in ["list-type=2&prefix=foo+bar%2F", "prefix=foo+bar/&list-type=2"] {
        assert!(signed.clone().query(spelling).authenticate().is_ok(), "{spelling}");
    }
    let plus = signed.query("list-type=2&prefix=foo%2Bbar%2F");
    assert!(matches!(plus.authenticate(), Err(AuthError::SignatureDoesNotMatch(_))));
}

#[test]
fn every_header_that_aws_gives_meaning_to_must_be_signed() {
    let request = signed(get());
    // What is no x-amz-* header may be added by anybody on the way.
    assert!(request.clone().header("x-amzn-trace-id", "1").authenticate().is_ok());
    let extended = request.header("x-amz-tagging", "a=b").header("x-amz-acl", "private");
    let error = extended.authenticate().expect_err("unsigned");
    assert_eq!((error.status().as_u16(), error.code()), (403, "AccessDenied"));
    assert_eq!(error.fields(), [("HeadersNotSigned", "x-amz-acl, x-amz-tagging".to_owned())]);
    for request in [get(), get().without("host")] {
        let request = request.authorization("x-amz-content-sha256;x-amz-date", "00");
        let error = request.authenticate().expect_err("no host");
        assert_eq!(error.fields(), [("HeadersNotSigned", "host".to_owned())]);
    }
}

#[test]
fn a_path_signed_as_it_was_sent_is_authentic_too() {
    // Each signs `/bucket/a+b` as it is; S3's own rule would sign `/bucket/a%2Bb`.
    for path in ["/bucket/a+b", "/bucket/a=b,c"] {
        let mut request = get();
        request.path = path.into();
        let Err(AuthError::SignatureDoesNotMatch(mismatch)) = request.authenticate() else {
            panic!("00 is no signature");
        };
        let sent = mismatch.canonical_request.replace(&*canonical::path(path), path);
        let signature = canonical::signature(&AmzDate::from_unix(NOW), &key(), sent.as_bytes());
        let request = request.authorization(SIGNED, signature.to_hex().as_str());
        assert!(request.authenticate().is_ok(), "{path}");
    }
}

#[test]
fn a_session_token_must_belong_to_the_access_key() {
    let credential = Credential { session_token: Some(Secret::new("token")), ..credential() };
    let temporary = HashMap::from([(ACCESS_KEY.to_owned(), credential)]);
    let keys = SigningKeys::default();
    let with = |token: &str| {
        get()
            .header("x-amz-security-token", token)
            .authorization("host;x-amz-content-sha256;x-amz-date;x-amz-security-token", "00")
    };
    let error = |request: &Request| {
        authenticate(&request.effective(), &temporary, &keys, &Accepted::default(), NOW)
            .expect_err("00")
            .code()
    };
    assert_eq!(error(&with("token")), "SignatureDoesNotMatch", "the token was accepted");
    assert_eq!(error(&with("other")), "InvalidToken");
    assert_eq!(error(&get()), "InvalidAccessKeyId");
    assert_eq!(error(&presigned("&X-Amz-Security-Token=token")), "SignatureDoesNotMatch");
    assert_eq!(error(&presigned("&X-Amz-Security-Token=other")), "InvalidToken");
    assert_refused(&with("token"), 400, "InvalidToken", "malformed or otherwise invalid");
}

#[test]
fn a_presigned_request_is_good_from_its_date_to_its_end() {
    let request = signed(presigned("&x-id=PutObject"));
    for now in [NOW - 900, NOW, NOW + 60] {
        let authenticated = request.authenticate_at(now).expect("in time");
        assert!(authenticated.presigned);
    }
    for now in [NOW + 61, i64::MAX] {
        let error = request.authenticate_at(now).expect_err("late");
        assert_eq!((error.code(), &*error.message()), ("AccessDenied", "Request has expired"));
        assert_eq!(error.fields()[0], ("X-Amz-Expires", "60".to_owned()));
        assert_eq!(error.fields()[1], ("Expires", "2013-05-24T00:01:00Z".to_owned()));
    }
    for now in [i64::MIN, NOW - 901] {
        let error = request.authenticate_at(now).expect_err("early");
        assert_eq!((error.code(), &*error.message()), ("AccessDenied", "Request is not valid yet"));
    }
}

#[test]
fn a_presigned_request_promises_the_payload_it_names() {
    for (extra, kind) in [
        ("", PayloadKind::Unsigned),
        ("&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", PayloadKind::Unsigned),
        (
            "&X-Amz-Content-Sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            PayloadKind::UnsignedChunksTrailer,
        ),
    ] {
        let authenticated = signed(presigned(extra)).authenticate().expect("signed");
        assert_eq!(authenticated.payload, kind, "{extra}");
    }
    let unsigned = presigned("").header("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert_refused(&unsigned, 403, "AccessDenied", "not signed");
}

#[test]
fn a_malformed_presigned_query_is_told_what_is_wrong() {
    for (from, to, message) in [
        ("Algorithm=AWS4-HMAC-SHA256", "Algorithm=AWS4", "X-Amz-Algorithm only supports"),
        ("&X-Amz-Signature=00", "", "Query-string authentication version 4 requires"),
        ("&X-Amz-Expires=60", "", "Query-string authentication version 4 requires"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", "", "Query-string authentication version 4"),
        ("Expires=60", "Expires=soon", "X-Amz-Expires should be a number"),
        ("Expires=60", "Expires=-1", "X-Amz-Expires must be non-negative"),
        ("Expires=60", "Expires=604801", "must be less than a week"),
        ("Expires=60", "Expires=99999999999", "must be less than a week"),
        ("Date=20130524T000000Z", "Date=20130524", "ISO8601 Long Format"),
        ("Date=20130524T", "Date=20130525T", "Invalid credential date \"20130524\"."),
        (
            "%2Fs3%2F",
            "%2Fec2%2F",
            "Error parsing the X-Amz-Credential parameter; incorrect service",
        ),
        ("%2F20130524%2F", "%2F", "the Credential is mal-formed"),
    ] {
        let mut request = presigned("");
        request.query = Query::parse(&request.query.as_sent().replace(from, to));
        assert_refused(&request, 400, "AuthorizationQueryParametersError", message);
    }
    let mut never = presigned("");
    never.query = Query::parse(&never.query.as_sent().replace("Expires=60", "Expires=0"));
    assert_refused(&never, 403, "AccessDenied", "Request has expired");
}

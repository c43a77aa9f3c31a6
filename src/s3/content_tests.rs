use http::{HeaderName, HeaderValue, Method};

use super::*;
use crate::http1::fields::Fields;
use crate::s3::Query;
use crate::s3::{EmptySegments, Naming, Target, classify};

/// What becomes of the body of `line`, such as `PUT /buck?versioning`: the code of its refusal, or what
/// is sent on in its place.
fn anew(line: &str, header: Option<&'static str>, body: &str) -> Result<Option<String>, String> {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Fields::new();
    headers.insert(http::header::HOST, HeaderValue::from_static("proxy"));
    if let Some(name) = header {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("b/k"));
    }
    let method: Method = method.parse().unwrap();
    let head =
        RequestHead { method: &method, path, query: &Query::parse(query), headers: &headers };
    let naming = Naming { domains: Vec::new(), segments: EmptySegments::Kept.into() };
    let operation = classify(head, &Target::parse(head, &naming).unwrap());
    let sent = Content::of(head, operation).read(body.as_bytes(), true);
    sent.map(|sent| sent.anew.map(|sent| String::from_utf8(sent).unwrap()))
        .map_err(|error| error.code().to_owned())
}

#[test]
fn a_document_is_written_anew_as_it_was_read() {
    let written = |root: &str, inside: &str| {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        let namespace = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
        Ok(Some(format!("{head}<{root} {namespace}>{inside}</{root}>")))
    };
    let enabled = "<Status>Enabled</Status>";
    for body in [
        format!("<VersioningConfiguration>{enabled}</VersioningConfiguration>"),
        format!(
            "<a:VersioningConfiguration xmlns:a='x' b='c'> {enabled}<!-- c -->\n\
                 </a:VersioningConfiguration>"
        ),
        "<VersioningConfiguration><Status><![CDATA[Enabled]]></Status></VersioningConfiguration>"
            .to_owned(),
    ] {
        let sent = anew("PUT /buck?versioning", None, &body);
        assert_eq!(sent, written("VersioningConfiguration", enabled), "{body}");
    }
    // A document whose inside is not known.
    let metrics = "<Id>i</Id><Filter><Prefix>p&amp;</Prefix></Filter>";
    let body = format!("<MetricsConfiguration>{metrics}</MetricsConfiguration>");
    assert_eq!(
        anew("PUT /buck?metrics&id=i", None, &body),
        written("MetricsConfiguration", metrics)
    );
    let acl = "<AccessControlList><Grant><Grantee \
               xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\">\
               <URI>u</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList>";
    for line in ["PUT /buck?acl", "PUT /buck/k?acl"] {
        let body = format!("<AccessControlPolicy>{acl}</AccessControlPolicy>");
        assert_eq!(anew(line, None, &body), written("AccessControlPolicy", acl));
    }
    let policy = anew("PUT /buck?policy", None, " {\"b\": [1, 1.5, \"\\u0041\"],\n\"a\":null} ");
    assert_eq!(policy, Ok(Some("{\"a\":null,\"b\":[1,1.5,\"A\"]}".to_owned())));
}

#[test]
fn what_has_no_body_is_sent_none() {
    let nothing = Ok(Some(String::new()));
    for line in [
        "DELETE /buck/k",
        "DELETE /buck/k?versionId=v",
        "DELETE /buck/k?uploadId=u",
        "DELETE /buck?lifecycle",
        "POST /buck/k?uploads",
        "DELETE /buck",
    ] {
        assert_eq!(anew(line, None, "<Delete/>"), nothing, "{line}");
    }
    assert_eq!(anew("PUT /buck/k", Some("x-amz-copy-source"), "content"), nothing);
    assert_eq!(anew("PUT /buck", None, ""), nothing);
    for line in ["PUT /buck?acl", "PUT /buck/k?acl"] {
        assert_eq!(anew(line, Some("x-amz-grant-read"), ""), nothing, "{line}");
        assert_eq!(anew(line, None, ""), Err("MalformedXML".to_owned()), "{line}");
    }
    for line in ["PUT /buck/k", "PUT /buck/k?uploadId=u&partNumber=1", "PUT /buck/k?unheard-of"] {
        assert_eq!(anew(line, None, "<a"), Ok(None), "{line}");
    }
}

#[test]
fn a_wrong_document_is_refused_with_the_code_of_aws() {
    let tags = |n: usize| {
        let tag = |i| format!("<Tag><Key>{i}</Key><Value/></Tag>");
        let tags: String = (0..n).map(tag).collect();
        format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
    };
    let status = |root: &str, status: &str| format!("<{root}><Status>{status}</Status></{root}>");
    let (object, bucket) = ("PUT /buck/k?tagging", "PUT /buck?tagging");
    assert!(anew(object, None, &tags(10)).is_ok() && anew(bucket, None, &tags(50)).is_ok());
    let versioning = "VersioningConfiguration";
    let cors = |inside: &str| {
        format!("<CORSConfiguration><CORSRule>{inside}</CORSRule></CORSConfiguration>")
    };
    for (line, body, expected) in [
        (object, tags(11), "BadRequest"),
        (bucket, tags(51), "BadRequest"),
        (object, tags(1).replace(">0<", "><"), "InvalidTag"),
        (object, tags(2).replace(">1<", ">0<"), "InvalidTag"),
        (object, "<Tagging/>".to_owned(), "MalformedXML"),
        (object, String::new(), "MalformedXML"),
        ("PUT /buck?versioning", String::new(), "MalformedXML"),
        ("PUT /buck?versioning", status("Versioning", "Enabled"), "MalformedXML"),
        ("PUT /buck?versioning", status(versioning, "On"), "MalformedXML"),
        ("PUT /buck?versioning", status(versioning, "<b>Enabled</b>"), "MalformedXML"),
        (
            "PUT /buck?versioning",
            format!("<{versioning}/>"),
            "IllegalVersioningConfigurationException",
        ),
        ("PUT /buck?accelerate", status("AccelerateConfiguration", "x"), "MalformedXML"),
        ("PUT /buck/k?legal-hold", status("LegalHold", "on"), "MalformedXML"),
        ("PUT /buck/k?legal-hold", "text".to_owned(), "MalformedXML"),
        (
            "PUT /buck/k?retention",
            "<Retention><Mode>GOVERNANCE</Mode></Retention>".to_owned(),
            "MalformedXML",
        ),
        ("PUT /buck/k?acl", "<AccessControlPolicy/>".to_owned(), "MalformedACLError"),
        ("PUT /buck?cors", "<CORSConfiguration/>".to_owned(), "MalformedXML"),
        (
            "PUT /buck?cors",
            cors("<AllowedMethod>PATCH</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"),
            "InvalidRequest",
        ),
        ("PUT /buck?lifecycle", "<LifecycleConfiguration/>".to_owned(), "MalformedXML"),
        ("PUT /buck?policy", "<Policy/>".to_owned(), "MalformedPolicy"),
        ("PUT /buck?policy", "{} {}".to_owned(), "MalformedPolicy"),
        ("PUT /buck?policy", "[]".to_owned(), "MalformedPolicy"),
        ("PUT /buck?website", "<!DOCTYPE a><WebsiteConfiguration/>".to_owned(), "MalformedXML"),
        ("PUT /buck", "<Bucket/>".to_owned(), "MalformedXML"),
        (
            "POST /buck/k?restore",
            "<RestoreRequest><OutputLocation/></RestoreRequest>".to_owned(),
            "NotImplemented",
        ),
        (
            "POST /buck/k?restore",
            "<RestoreRequest><Days>0</Days></RestoreRequest>".to_owned(),
            "MalformedXML",
        ),
        ("POST /buck/k?uploadId=u", "garbage".to_owned(), "MalformedXML"),
    ] {
        assert_eq!(anew(line, None, &body), Err(expected.to_owned()), "{line} {body}");
    }
    let retention = "<Retention><Mode>COMPLIANCE</Mode>\
                     <RetainUntilDate>2030-01-01T00:00:00.000Z</RetainUntilDate></Retention>";
    for body in [retention, "<Retention/>"] {
        assert!(anew("PUT /buck/k?retention", None, body).is_ok(), "{body}");
    }
}

#[test]
fn every_configuration_has_a_document() {
    for (name, _) in crate::s3::configuration::CONFIGURATIONS {
        assert!(ROOTS.iter().any(|(known, _)| known == name), "{name}");
        let refused = anew(&format!("PUT /buck?{name}"), None, "garbage");
        assert!(
            matches!(refused.unwrap_err().as_str(), "MalformedXML" | "MalformedPolicy"),
            "{name}"
        );
    }
}

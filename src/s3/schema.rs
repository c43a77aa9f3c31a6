//! Checks of configuration documents against AWS's schema, where an invalid document can be refused
//! without the store. For documents that are not listed here only the root is checked.

use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::code::Code;
use super::error::S3Error;
use super::xml::Element;

/// Checks a document by its root's name. Errors: AWS's, for violations of its published schema.
pub(super) fn check(document: &Element) -> Result<(), S3Error> {
    let sound = match document.name.as_str() {
        "AccelerateConfiguration" => is_one_of(document, "Status", &["Enabled", "Suspended"]),
        "AccessControlPolicy" => return acl(document),
        "CORSConfiguration" => cors(document)?,
        "LegalHold" => is_one_of(document, "Status", &["ON", "OFF"]),
        "LifecycleConfiguration" => {
            let sound = |rule: &Element| is_one_of(rule, "Status", &["Enabled", "Disabled"]);
            all_rules(document, "Rule", &sound)
        }
        "RequestPaymentConfiguration" => {
            is_one_of(document, "Payer", &["Requester", "BucketOwner"])
        }
        "RestoreRequest" => return restore(document),
        "Retention" => retention(document),
        "VersioningConfiguration" => return versioning(document),
        _ => true,
    };
    if sound { Ok(()) } else { Err(S3Error::malformed_xml()) }
}

/// The only child of this name.
fn only<'a>(element: &'a Element, name: &str) -> Option<&'a Element> {
    let mut found = element.children.iter().filter(|child| child.name == name);
    found.next().filter(|_| found.next().is_none())
}

fn is_one_of(element: &Element, name: &str, values: &[&str]) -> bool {
    only(element, name).is_some_and(|child| values.contains(&child.text.trim_ascii()))
}

fn all_rules(document: &Element, name: &str, sound: &dyn Fn(&Element) -> bool) -> bool {
    let rules = &document.children;
    !rules.is_empty() && rules.iter().all(|rule| rule.name == name && sound(rule))
}

/// AWS: PutBucketAcl, PutObjectAcl.
fn acl(document: &Element) -> Result<(), S3Error> {
    const PERMISSIONS: [&str; 5] = ["FULL_CONTROL", "READ", "READ_ACP", "WRITE", "WRITE_ACP"];
    let grants = only(document, "AccessControlList").map(|list| &list.children);
    let sound = grants.is_some_and(|grants| {
        grants.iter().all(|grant| {
            let to = only(grant, "Grantee").is_some_and(|grantee| !grantee.children.is_empty());
            grant.name == "Grant" && to && is_one_of(grant, "Permission", &PERMISSIONS)
        })
    });
    if sound { Ok(()) } else { Err(S3Error::new(Code::MalformedAcl)) }
}

/// AWS: PutBucketCors.
fn cors(document: &Element) -> Result<bool, S3Error> {
    const METHODS: [&str; 5] = ["DELETE", "GET", "HEAD", "POST", "PUT"];
    let named = |rule: &Element, name: &str| rule.children.iter().any(|child| child.name == name);
    let sound = |rule: &Element| named(rule, "AllowedMethod") && named(rule, "AllowedOrigin");
    if !all_rules(document, "CORSRule", &sound) {
        return Ok(false);
    }
    let mut methods = document.children.iter().flat_map(|rule| &rule.children);
    let unknown = methods
        .find(|child| child.name == "AllowedMethod" && !METHODS.contains(&child.text.trim_ascii()));
    match unknown {
        None => Ok(true),
        Some(method) => Err(S3Error::new(Code::InvalidRequest).because(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {}",
            method.text.trim_ascii()
        ))),
    }
}

/// AWS: RestoreObject. An output location in another bucket would be written under keys that are
/// not in the request.
fn restore(document: &Element) -> Result<(), S3Error> {
    if document.children.iter().any(|child| child.name == "OutputLocation") {
        return Err(S3Error::not_implemented("OutputLocation", Some(RESTORE_ELSEWHERE)));
    }
    let mut days = document.children.iter().filter(|child| child.name == "Days");
    let is_count =
        |days: &Element| days.text.trim_ascii().parse::<u32>().is_ok_and(|days| days > 0);
    if days.all(is_count) { Ok(()) } else { Err(S3Error::malformed_xml()) }
}

const RESTORE_ELSEWHERE: &str =
    "A restore to another place writes objects that the request does not name";

/// AWS: PutObjectRetention. An empty document removes the retention.
fn retention(document: &Element) -> bool {
    document.children.is_empty()
        || (is_one_of(document, "Mode", &["COMPLIANCE", "GOVERNANCE"])
            && only(document, "RetainUntilDate")
                .is_some_and(|date| parse_date(date.text.trim_ascii()).is_some()))
}

/// A time in ISO 8601, in seconds since 1970.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Iso8601::DEFAULT).ok().map(OffsetDateTime::unix_timestamp)
}

/// AWS: PutBucketVersioning.
fn versioning(document: &Element) -> Result<(), S3Error> {
    if document.children.iter().all(|child| child.name != "Status") {
        return Err(S3Error::new(Code::IllegalVersioningConfiguration));
    }
    let sound = is_one_of(document, "Status", &["Enabled", "Suspended"]);
    if sound { Ok(()) } else { Err(S3Error::malformed_xml()) }
}

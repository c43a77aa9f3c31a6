//! POST policies: the conditions that the owner of a browser's upload form has signed (AWS: POST
//! policy). The signature is checked elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::code::Code;
use super::error::S3Error;
use super::form::PostForm;

/// A policy, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostPolicy {
    expires_unix: i64,
    conditions: Vec<PolicyCondition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PolicyCondition {
    /// Names in lower case, without `$`.
    Field { rule: Rule, name: String, value: String },
    /// Bytes of the file, both limits included.
    ContentLengthRange(u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Equals,
    StartsWith,
}

impl PostPolicy {
    /// Parses the value of the form's `policy` field: JSON in base64. 400 `InvalidPolicyDocument`
    /// when it is invalid.
    pub fn parse(encoded: &str) -> Result<Self, S3Error> {
        let packed: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let json = STANDARD.decode(packed).map_err(|_| invalid("Invalid base64 encoding."))?;
        let document: Value =
            serde_json::from_slice(&json).map_err(|_| invalid("Invalid JSON."))?;
        let expiration = document.get("expiration").and_then(Value::as_str);
        let expiration = expiration.ok_or_else(|| invalid("Policy missing expiration."))?;
        // The parser takes a space for the `T` of ISO 8601.
        let expires = Some(expiration).filter(|text| text.get(10..11) == Some("T"));
        let expires = expires.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let expires = expires.ok_or_else(|| invalid("Invalid 'expiration' value."))?;
        let conditions = document.get("conditions").and_then(Value::as_array);
        let conditions = conditions.ok_or_else(|| invalid("Policy missing conditions."))?;
        Ok(Self {
            expires_unix: expires.unix_timestamp(),
            conditions: conditions.iter().map(PolicyCondition::of).collect::<Result<_, _>>()?,
        })
    }

    /// Whether this form may be uploaded to this bucket at `now_unix` (seconds). 403 `AccessDenied`
    /// when the policy has expired, a condition fails, or no condition covers a field.
    /// [`PostPolicy::check_size`] checks the file's size.
    pub fn check(&self, form: &PostForm, bucket: &str, now_unix: i64) -> Result<(), S3Error> {
        if now_unix >= self.expires_unix {
            return Err(denied("Policy expired."));
        }
        for condition in &self.conditions {
            condition.check(form, bucket)?;
        }
        let extra: Vec<_> =
            form.fields().map(|(name, _)| name).filter(|name| !self.covers(name)).collect();
        if extra.is_empty() {
            Ok(())
        } else {
            Err(denied(&format!("Extra input fields: {}", extra.join(", "))))
        }
    }

    /// Whether the policy allows a file of at least and at most this many bytes. 400
    /// `EntityTooSmall` or `EntityTooLarge` when it certainly does not.
    pub fn check_size(&self, least: u64, most: u64) -> Result<(), S3Error> {
        for condition in &self.conditions {
            if let PolicyCondition::ContentLengthRange(min, max) = condition {
                check_range(*min, *max, least, most)?;
            }
        }
        Ok(())
    }

    fn covers(&self, field: &str) -> bool {
        matches!(field, "x-amz-signature" | "policy" | "awsaccesskeyid" | "signature")
            || field.starts_with("x-ignore-")
            || self.conditions.iter().any(|condition| match condition {
                PolicyCondition::Field { name, .. } => name == field,
                PolicyCondition::ContentLengthRange(..) => false,
            })
    }
}

impl PolicyCondition {
    fn of(value: &Value) -> Result<Self, S3Error> {
        match value {
            Value::Object(members) => {
                let mut members = members.iter();
                match (members.next(), members.next()) {
                    (Some((name, Value::String(value))), None) => Ok(Self::Field {
                        rule: Rule::Equals,
                        name: name.to_ascii_lowercase(),
                        value: value.clone(),
                    }),
                    (Some(_), None) => {
                        Err(invalid("Invalid Simple-Condition: value must be a string."))
                    }
                    _ => Err(invalid(
                        "Invalid Simple-Condition: Simple-Conditions must have exactly one \
                         property specified.",
                    )),
                }
            }
            Value::Array(items) => Self::of_items(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Err(invalid("Invalid Condition: must be an object or a list."))
            }
        }
    }

    fn of_items(items: &[Value]) -> Result<Self, S3Error> {
        let [Value::String(operator), first, second] = items else {
            return Err(invalid("Invalid Condition: a list must have three elements."));
        };
        let operator = operator.to_ascii_lowercase();
        match (operator.as_str(), first, second) {
            ("content-length-range", min, max) => match (bytes(min), bytes(max)) {
                (Some(min), Some(max)) => Ok(Self::ContentLengthRange(min, max)),
                _ => Err(invalid("Invalid content-length-range: must be two whole numbers.")),
            },
            ("eq" | "starts-with", Value::String(name), Value::String(value)) => {
                let name = name.strip_prefix('$').filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| {
                    invalid("Invalid Condition: the field's name must begin with '$'.")
                })?;
                let rule = if operator == "eq" { Rule::Equals } else { Rule::StartsWith };
                Ok(Self::Field { rule, name: name.to_ascii_lowercase(), value: value.clone() })
            }
            ("eq" | "starts-with", _, _) => {
                Err(invalid("Invalid Condition: name and value must be strings."))
            }
            _ => Err(invalid("Invalid Condition: unknown operation.")),
        }
    }

    fn check(&self, form: &PostForm, bucket: &str) -> Result<(), S3Error> {
        match self {
            Self::ContentLengthRange(..) => Ok(()),
            Self::Field { rule, name, value } => {
                // The bucket is the one in the request's path or host, whatever a field says.
                let given = if name == "bucket" { Some(bucket) } else { form.field(name) };
                if given.is_some_and(|given| rule.holds(name, given, value)) {
                    return Ok(());
                }
                let (operator, name) = (rule.as_str(), Value::from(format!("${name}")));
                let value = Value::from(value.as_str());
                Err(denied(&format!("Policy Condition failed: [\"{operator}\", {name}, {value}]")))
            }
        }
    }
}

impl Rule {
    /// A `Content-Type` with commas is a list, each element of which must have the prefix (AWS:
    /// POST policy, condition matching).
    fn holds(self, name: &str, given: &str, value: &str) -> bool {
        match self {
            Self::Equals => given == value,
            Self::StartsWith if name == "content-type" => {
                given.split(',').all(|item| item.trim().starts_with(value))
            }
            Self::StartsWith => given.starts_with(value),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "eq",
            Self::StartsWith => "starts-with",
        }
    }
}

fn check_range(min: u64, max: u64, least: u64, most: u64) -> Result<(), S3Error> {
    let out_of_range = |code, proposed: u64, limit: &'static str, bytes: u64| {
        Err(S3Error::new(code)
            .with("ProposedSize", proposed.to_string())
            .with(limit, bytes.to_string()))
    };
    if most < min {
        out_of_range(Code::EntityTooSmall, most, "MinSizeAllowed", min)
    } else if least > max {
        out_of_range(Code::EntityTooLarge, least, "MaxSizeAllowed", max)
    } else {
        Ok(())
    }
}

/// A number, or a string with one, as form generators write both.
fn bytes(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn invalid(why: &str) -> S3Error {
    S3Error::new(Code::InvalidPolicyDocument).because(format!("Invalid Policy: {why}"))
}

fn denied(why: &str) -> S3Error {
    S3Error::access_denied().because(format!("Invalid according to Policy: {why}"))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

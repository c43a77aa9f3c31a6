//! What a browser's form claims about its signature, from its fields.

use super::canonical::ALGORITHM;
use super::post_policy::PolicyClaim;
use crate::s3::{PostForm, S3Error};

/// The fields that AWS requires beside the policy for Signature Version 4.
const VERSION_4: [(&str, &str); 4] = [
    ("x-amz-algorithm", "X-Amz-Algorithm"),
    ("x-amz-credential", "X-Amz-Credential"),
    ("x-amz-date", "X-Amz-Date"),
    ("x-amz-signature", "X-Amz-Signature"),
];

/// The same for Version 2.
const VERSION_2: [(&str, &str); 2] =
    [("awsaccesskeyid", "AWSAccessKeyId"), ("signature", "Signature")];

impl<'a> PolicyClaim<'a> {
    /// What the form claims about its signature; `None` when it has no field of one (AWS: a form
    /// without a policy is an anonymous one). 400 `InvalidArgument` where some fields are missing; it
    /// names the missing one.
    pub fn of(form: &'a PostForm) -> Result<Option<Self>, S3Error> {
        let has = |(field, _): &(&str, &str)| form.field(field).is_some();
        // A date and a token belong to both versions.
        let of_version_4 = [VERSION_4[0], VERSION_4[1], VERSION_4[3]].iter().any(has);
        let of_version_2 = VERSION_2.iter().any(has);
        let traces = of_version_4
            || of_version_2
            || ["policy", "x-amz-date", "x-amz-security-token"].iter().any(|f| has(&(f, "")));
        if !traces {
            return Ok(None);
        }
        let policy = form.field("policy").ok_or_else(|| missing("policy"))?;
        let needed = if of_version_4 { &VERSION_4[..] } else { &VERSION_2[..] };
        if let Some((_, name)) = needed.iter().find(|field| !has(field)) {
            return Err(missing(name));
        }
        if let Some(algorithm) = form.field("x-amz-algorithm").filter(|it| *it != ALGORITHM) {
            return Err(S3Error::invalid_argument(ONLY_ALGORITHM, "X-Amz-Algorithm", algorithm));
        }
        Ok(Some(Self {
            policy,
            algorithm: form.field("x-amz-algorithm"),
            credential: form.field("x-amz-credential"),
            date: form.field("x-amz-date"),
            signature: form.field("x-amz-signature"),
            security_token: form.field("x-amz-security-token"),
            version_2: form.field("awsaccesskeyid").zip(form.field("signature")),
        }))
    }
}

fn missing(name: &str) -> S3Error {
    let sentence = format!(
        "Bucket POST must contain a field named '{name}'.  If it is specified, please check the \
         order of the fields."
    );
    S3Error::invalid_argument(sentence, name, "")
}

const ONLY_ALGORITHM: &str = "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::form::tests::form_of;

    fn form(fields: &[(&str, &str)]) -> PostForm {
        form_of(&[&[("key", "k")], fields].concat(), "f", "x").unwrap().0
    }

    #[test]
    fn a_part_of_a_signature_is_refused_by_the_name_of_what_is_missing() {
        let missing = |fields: &[(&str, &str)]| match PolicyClaim::of(&form(fields)) {
            Ok(claim) => claim.map_or("anonymous", |_| "signed").to_owned(),
            Err(error) => {
                assert_eq!((error.status().as_u16(), error.code()), (400, "InvalidArgument"));
                error.field("ArgumentName").unwrap_or_default().to_owned()
            }
        };
        let policy = ("policy", "e30=");
        let v4 = [
            ("x-amz-algorithm", ALGORITHM),
            ("x-amz-credential", "c"),
            ("x-amz-date", "d"),
            ("x-amz-signature", "s"),
        ];
        let v2 = [("AWSAccessKeyId", "a"), ("signature", "s")];
        assert_eq!(missing(&[]), "anonymous");
        assert_eq!(missing(&[&[policy], &v4[..]].concat()), "signed");
        assert_eq!(missing(&[&[policy], &v2[..]].concat()), "signed");
        let token = ("x-amz-security-token", "t");
        assert_eq!(missing(&[&[policy, token], &v2[..]].concat()), "signed");
        assert_eq!(missing(&[policy]), "AWSAccessKeyId");
        assert_eq!(missing(&[policy, v2[0]]), "Signature");
        assert_eq!(missing(&[policy, v2[1]]), "AWSAccessKeyId");
        for (lacking, (_, name)) in VERSION_4.iter().enumerate() {
            let mut fields = v4.to_vec();
            fields.remove(lacking);
            assert_eq!(missing(&[&[policy], &fields[..]].concat()), *name);
        }
        assert_eq!(missing(&v4), "policy");
        assert_eq!(missing(&v2), "policy");
        assert_eq!(missing(&[token]), "policy");
        let mut other = v4;
        other[0].1 = "AWS4-HMAC-SHA1";
        assert_eq!(missing(&[&[policy], &other[..]].concat()), "X-Amz-Algorithm");
    }
}

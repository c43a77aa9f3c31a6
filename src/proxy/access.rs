//! Authorization: the known clients, and what each may do.

use ahash::HashMap;

use super::origin::Caller;
use crate::clock;
use crate::config::{Client, Rights};
use crate::s3::{BucketName, Code, CopySource, Effect, Operation, S3Error, Target};
use crate::seldom::Seldom;
use crate::sigv4::{Credential, CredentialLookup, WhichSecret};
use crate::tls::{CertificateName, NotProved, Shown};

/// The known clients, and the rights of requests without a signature.
#[derive(Debug)]
pub struct Clients {
    known: HashMap<String, Known>,
    anonymous: Option<Rights>,
}

/// What is known of a client.
#[derive(Debug)]
struct Known {
    /// Its credential, and while it changes its secret the one before.
    credentials: Vec<Credential>,
    rights: Rights,
    /// Its connections have to show a certificate with one of these names, where there are some.
    certificate_names: Option<Vec<CertificateName>>,
    /// Limits the messages about its previous secret.
    told_previous: Seldom,
    /// Limits the messages about its certificates.
    told_certificate: Seldom,
}

impl Clients {
    /// The configured clients, each access key once; and the rights of anonymous requests, if they
    /// have any.
    pub fn new(clients: &[Client], anonymous: Option<Rights>) -> Self {
        let known = clients.iter().map(|client| {
            let secrets = [&client.secret_access_key].into_iter();
            let secrets = secrets.chain(&client.previous_secret_access_key);
            let credentials = secrets.map(|secret| Credential {
                access_key_id: client.access_key_id.clone(),
                secret: secret.clone(),
                session_token: client.session_token.clone(),
            });
            let known = Known {
                credentials: credentials.collect(),
                rights: client.rights.clone(),
                certificate_names: client.certificate_names.clone(),
                told_previous: Seldom::new(),
                told_certificate: Seldom::new(),
            };
            (client.access_key_id.clone(), known)
        });
        Self { known: known.collect(), anonymous }
    }

    /// What a request names as its access key, if that is a configured client's; otherwise nothing,
    /// since somebody may have written a secret in its place.
    pub(super) fn if_known(&self, claimed: String) -> String {
        if self.known.contains_key(&claimed) { claimed } else { String::new() }
    }

    /// Logs, now and then, that a client still signs with its previous secret.
    pub(super) fn note_secret(&self, access_key_id: &str, secret: WhichSecret) {
        if secret == WhichSecret::Previous
            && let Some(left_out) =
                self.known.get(access_key_id).and_then(|it| it.told_previous.due())
        {
            tracing::debug!(access_key_id, left_out, "a client signed with its previous secret");
        }
    }

    /// Whether anonymous requests may do anything at all.
    pub(super) fn admit_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    /// 403 when this caller may not do this operation on this target, or not read the bucket that
    /// it copies from; or not by its connection, which has shown this certificate.
    pub(super) fn authorize(
        &self,
        caller: &Caller,
        shown: Option<&Shown>,
        asked: &Asked<'_>,
    ) -> Result<(), S3Error> {
        let denied = || S3Error::new(Code::AccessDenied);
        self.check_certificate(caller, shown)?;
        let rights = match caller {
            Caller::Client(access_key_id) => {
                self.known.get(access_key_id).map(|known| &known.rights)
            }
            Caller::Anonymous => self.anonymous.as_ref().filter(|_| asked.is_for_everybody()),
        };
        let rights = rights.ok_or_else(denied)?;
        // A request without a bucket lists the buckets: only for callers that may touch all of them
        // (`*`).
        let may_touch = rights.may_touch(asked.target.bucket().map_or("", BucketName::as_str));
        let may_read_source =
            asked.source.is_none_or(|source| rights.may_touch(source.name.bucket.as_str()));
        let may_write = !rights.read_only || asked.effect == Effect::Read;
        if !(may_touch && may_read_source && may_write) {
            return Err(denied());
        }
        match asked.operation {
            Operation::ConfigureBucket(name) if !rights.configure => {
                Err(denied().because(format!("{NO_RIGHT} ({name})")))
            }
            _ => Ok(()),
        }
    }
}

impl Clients {
    /// 403 where the client has `certificate_names`, and its connection proves none of them.
    fn check_certificate(&self, caller: &Caller, shown: Option<&Shown>) -> Result<(), S3Error> {
        let Caller::Client(access_key_id) = caller else { return Ok(()) };
        let Some(known) = self.known.get(access_key_id) else { return Ok(()) };
        let Some(names) = &known.certificate_names else { return Ok(()) };
        let checked = shown.ok_or(NotProved::None);
        let now = clock::unix_seconds();
        let checked = checked.and_then(|shown| shown.check(names, now));
        let Err(why) = checked.map_err(NotProved::as_str) else { return Ok(()) };
        if let Some(left_out) = known.told_certificate.due() {
            let shown = shown.map(tracing::field::debug);
            tracing::warn!(access_key_id, why, shown, left_out, "{NO_CERTIFICATE}");
        }
        let sentence = format!("This access key needs a client certificate of its own. {why}");
        Err(S3Error::new(Code::AccessDenied).because(sentence))
    }
}

impl CredentialLookup for Clients {
    fn credentials(&self, access_key_id: &str) -> &[Credential] {
        self.known.get(access_key_id).map_or(&[], |known| &known.credentials)
    }
}

/// The operation that a caller asks for, and its target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    /// Its effect on objects, at this store.
    pub(super) effect: Effect,
    pub(super) target: &'a Target,
    /// Whether the request names a version of the object.
    pub(super) of_version: bool,
    /// The source of a copy.
    pub(super) source: Option<&'a CopySource>,
}

impl<'a> Asked<'a> {
    /// An operation that has the same effect at every store, and is no copy.
    pub(super) fn of(operation: Operation, target: &'a Target) -> Self {
        let effect = operation.effect();
        Self { operation, effect, target, of_version: false, source: None }
    }
}

impl Asked<'_> {
    /// Anonymous requests see the present content of an open bucket. Earlier versions, the
    /// configuration of the bucket and its objects, uploads under way, and the list of buckets are
    /// for the owner alone. The proxy would sign these requests as the owner (AWS: the permissions
    /// that are not s3:GetObject and s3:ListBucket).
    fn is_for_everybody(&self) -> bool {
        use Operation as Op;
        let reads = matches!(
            self.operation,
            Op::GetObject | Op::HeadObject | Op::ListObjects | Op::ListObjectsV2 | Op::HeadBucket
        );
        let writes_an_object = matches!(self.operation, Op::DeleteObjects | Op::PostObject)
            || (self.target.object().is_some() && self.effect != Effect::Read);
        // A copy of a version reads that version.
        let of_now = self.source.is_none_or(|source| source.version_id().is_none());
        (reads && !self.of_version) || (writes_an_object && of_now)
    }
}

/// Whether a parameter of this name belongs to an anonymous read (AWS: GetObject, ListObjects,
/// ListObjectsV2). AWS gives other parameters no meaning, and web pages add some to avoid caches. A
/// store may give such a parameter a meaning of its own, and the proxy would then ask for that as
/// the owner.
pub(super) fn is_of_a_read(name: &str) -> bool {
    const KNOWN: [&str; 10] = [
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "list-type",
        "marker",
        "max-keys",
        "partNumber",
        "prefix",
        "start-after",
    ];
    KNOWN.contains(&name)
}

const NO_CERTIFICATE: &str =
    "a request was refused: its connection proves no name of the client's certificate_names";

const NO_RIGHT: &str = "By this configuration the store itself may later write or delete objects, or \
                        lets others do so around this proxy. It takes the right to configure";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Buckets;
    use crate::s3::Query;
    use http::{HeaderValue, Method};

    use crate::s3::copy_source::X_AMZ_COPY_SOURCE;
    use crate::s3::{EmptySegments, ObjectKey, ObjectName, RequestHead, Segments, Understood};
    use crate::secret::Secret;

    fn bucket() -> Target {
        Target::Bucket(BucketName::parse("open").unwrap())
    }

    fn object() -> Target {
        let bucket = BucketName::parse("open").unwrap();
        let key = ObjectKey::parse("key", EmptySegments::Kept).unwrap();
        Target::Object(ObjectName { bucket, key })
    }

    fn rights(read_only: bool, configure: bool) -> Rights {
        Rights { buckets: Buckets::default(), read_only, configure }
    }

    fn asked(operation: Operation, target: &Target) -> Asked<'_> {
        let effect = operation.effect_at(Understood::NONE);
        Asked { operation, effect, target, of_version: false, source: None }
    }

    fn copied(value: &'static str) -> CopySource {
        let headers = [(X_AMZ_COPY_SOURCE, HeaderValue::from_static(value))].into_iter().collect();
        let head = RequestHead {
            method: &Method::PUT,
            path: "/",
            query: &Query::default(),
            headers: &headers,
        };
        CopySource::from_head(head, Segments::default()).unwrap().unwrap()
    }

    #[test]
    fn everybody_may_use_what_an_open_bucket_holds_and_nothing_else() {
        use Operation as Op;
        let (bucket, object) = (bucket(), object());
        let may = |read_only, asked: Asked<'_>| {
            let clients = Clients::new(&[], Some(rights(read_only, true)));
            clients.authorize(&Caller::Anonymous, None, &asked).is_ok()
        };
        for operation in [Op::GetObject, Op::HeadObject] {
            assert!(may(true, asked(operation, &object)), "{operation:?}");
            let version = Asked { of_version: true, ..asked(operation, &object) };
            assert!(!may(false, version), "{operation:?} of a version");
        }
        for operation in [Op::ListObjects, Op::ListObjectsV2, Op::HeadBucket] {
            assert!(may(true, asked(operation, &bucket)), "{operation:?}");
        }
        for operation in [Op::PutObject, Op::UploadPart, Op::CopyObject, Op::DeleteObject] {
            let asked = asked(operation, &object);
            assert_eq!([true, false].map(|r| may(r, asked)), [false, true], "{operation:?}");
        }
        for operation in [Op::CopyObject, Op::UploadPartCopy] {
            for (source, is_open) in [("open/k", true), ("open/k?versionId=v", false)] {
                let copied = copied(source);
                let asked = Asked { source: Some(&copied), ..asked(operation, &object) };
                assert_eq!(may(false, asked), is_open, "{operation:?} of {source}");
            }
        }
        for operation in [Op::DeleteObjects, Op::PostObject] {
            let asked = asked(operation, &bucket);
            assert_eq!([true, false].map(|r| may(r, asked)), [false, true], "{operation:?}");
        }
        for operation in [
            Op::BucketRead,
            Op::BucketWrite,
            Op::ConfigureBucket("lifecycle"),
            Op::CreateBucket,
            Op::DeleteBucket,
            Op::GetBucketLocation,
            Op::ListObjectVersions,
            Op::ListMultipartUploads,
        ] {
            assert!(!may(false, asked(operation, &bucket)), "{operation:?}");
        }
        for operation in [
            Op::GetObjectAcl,
            Op::GetObjectAnnotation,
            Op::GetObjectAttributes,
            Op::GetObjectLegalHold,
            Op::GetObjectRetention,
            Op::GetObjectTagging,
            Op::GetObjectTorrent,
            Op::ListParts,
        ] {
            assert!(!may(false, asked(operation, &object)), "{operation:?}");
        }
        assert!(!may(false, asked(Op::ListBuckets, &Target::Service)));
        let closed = Clients::new(&[], None);
        let denied = closed.authorize(&Caller::Anonymous, None, &asked(Op::GetObject, &object));
        assert_eq!(denied.unwrap_err().code(), "AccessDenied");
    }

    #[test]
    fn what_lets_the_store_act_on_its_own_takes_a_right_of_its_own() {
        let bucket = bucket();
        let client = |configure| Client {
            access_key_id: "k".to_owned(),
            secret_access_key: Secret::new("s"),
            rights: rights(false, configure),
            ..Client::default()
        };
        let may = |configure, operation| {
            let clients = Clients::new(&[client(configure)], None);
            let caller = Caller::Client("k".to_owned());
            clients.authorize(&caller, None, &asked(operation, &bucket)).is_ok()
        };
        for name in crate::s3::configuration::reaching() {
            let operation = Operation::ConfigureBucket(name);
            assert_eq!([true, false].map(|c| may(c, operation)), [true, false], "{name}");
        }
        for operation in [Operation::BucketWrite, Operation::CreateBucket, Operation::BucketRead] {
            assert!(may(false, operation), "{operation:?}");
        }
    }

    #[test]
    fn a_client_with_names_of_a_certificate_can_do_nothing_without_one() {
        let bucket = bucket();
        let names = Some(vec!["DNS:app.test".to_owned().try_into().unwrap()]);
        let client = |access_key_id: &str, certificate_names| Client {
            access_key_id: access_key_id.to_owned(),
            certificate_names,
            ..Client::default()
        };
        let clients = Clients::new(&[client("named", names), client("free", None)], None);
        let try_as = |key: &str| {
            let caller = Caller::Client(key.to_owned());
            clients.authorize(&caller, None, &asked(Operation::ListObjects, &bucket))
        };
        assert!(try_as("free").is_ok());
        let denied = try_as("named").unwrap_err();
        assert_eq!(denied.code(), "AccessDenied");
        let document = String::from_utf8(denied.to_xml(None, "", "")).unwrap();
        assert!(document.contains("has shown no client certificate"), "{document}");
    }
}

//! Subresources of objects, such as `?tagging` in `PUT /b/k?tagging`. A store that does not
//! understand one ignores the query, and the request then replaces or deletes the object.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::documents::parse_store_error;
use super::etag::ETag;
use super::xml;

/// A subresource that can be changed without a change of the object's content.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "AWS's names")]
pub enum Subresource {
    Acl,
    Annotation,
    LegalHold,
    Restore,
    Retention,
    Select,
    Tagging,
}

impl Subresource {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Acl,
        Self::Annotation,
        Self::LegalHold,
        Self::Restore,
        Self::Retention,
        Self::Select,
        Self::Tagging,
    ];

    /// Its name in a query.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Annotation => "annotation",
            Self::LegalHold => "legal-hold",
            Self::Restore => "restore",
            Self::Retention => "retention",
            Self::Select => "select",
            Self::Tagging => "tagging",
        }
    }

    /// The subresource of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subresource| subresource.name() == name)
    }

    /// What proves in the answer to `GET /b/k?<name>` that the store understands it: the root of
    /// the document, and error codes that belong to it alone (AWS: GetObjectAcl, GetObjectTagging,
    /// GetObjectRetention, GetObjectLegalHold). `None` where no read proves anything: restore and
    /// select are POSTs, and an annotation is not a document.
    pub const fn proofs(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Acl => Some(("AccessControlPolicy", &[])),
            Self::LegalHold => Some(("LegalHold", NO_LOCK)),
            Self::Retention => Some(("Retention", NO_LOCK)),
            Self::Tagging => Some(("Tagging", &["NoSuchTagSet", "NoSuchTagSetError"])),
            Self::Annotation | Self::Restore | Self::Select => None,
        }
    }
}

const NO_LOCK: &[&str] = &["NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"];

/// The subresources that a store understands. In the configuration it is a list of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Vec<Subresource>", into = "Vec<Subresource>")]
pub struct Understood(u8);

impl Understood {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether this one is understood.
    pub const fn has(self, subresource: Subresource) -> bool {
        self.0 & (1 << subresource as u8) != 0
    }

    /// These with one more.
    #[must_use]
    pub const fn with(self, subresource: Subresource) -> Self {
        Self(self.0 | (1 << subresource as u8))
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = Subresource::ALL.into_iter();
        all.filter(move |subresource| self.has(*subresource)).map(Subresource::name)
    }

    /// As one number, which many threads can read.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The inverse of [`Self::bits`].
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl From<Vec<Subresource>> for Understood {
    fn from(all: Vec<Subresource>) -> Self {
        all.into_iter().collect()
    }
}

impl From<Understood> for Vec<Subresource> {
    fn from(understood: Understood) -> Self {
        Subresource::ALL.into_iter().filter(|known| understood.has(*known)).collect()
    }
}

impl FromIterator<Subresource> for Understood {
    fn from_iter<I: IntoIterator<Item = Subresource>>(all: I) -> Self {
        all.into_iter().fold(Self::NONE, Self::with)
    }
}

/// An object's ETag and length by a HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its ETag, if the answer has one.
    pub etag: Option<ETag>,
    /// Its length in bytes, if the answer has one.
    pub size_bytes: Option<u64>,
}

/// The store's answer to a read of a subresource.
#[derive(Debug, Clone, Copy)]
pub struct SubresourceAnswer<'a> {
    /// Status.
    pub status: u16,
    /// ETag, if it has one.
    pub etag: Option<&'a ETag>,
    /// Body.
    pub body: &'a [u8],
}

/// Whether the answer to `GET /b/k?<subresource>` proves that the store understands the
/// subresource. An answer that may be the object itself proves nothing, whatever its content: one
/// with the object's ETag or length, or without a known length.
pub fn is_understood(
    subresource: Subresource,
    object: &Described,
    answer: SubresourceAnswer<'_>,
) -> bool {
    let Some((root, codes)) = subresource.proofs() else { return false };
    match answer.status {
        200 => {
            let may_be_the_object = object.size_bytes.is_none_or(|s| s == answer.body.len() as u64)
                || (answer.etag.is_some() && answer.etag == object.etag.as_ref());
            !may_be_the_object && xml::parse(answer.body).is_some_and(|found| found.name == root)
        }
        400..=499 => {
            let error = parse_store_error(answer.body);
            error.is_some_and(|error| codes.contains(&error.code.as_str()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proves(subresource: Subresource, status: u16, etag: Option<&str>, body: &str) -> bool {
        let object = Described { etag: Some(ETag::parse(b"\"object\"")), size_bytes: Some(5) };
        let etag = etag.map(|etag| ETag::parse(etag.as_bytes()));
        let answer = SubresourceAnswer { status, etag: etag.as_ref(), body: body.as_bytes() };
        is_understood(subresource, &object, answer)
    }

    #[test]
    fn only_what_a_store_could_not_say_without_understanding_is_proof() {
        use Subresource::{Acl, Annotation, LegalHold, Restore, Retention, Select, Tagging};
        let tagging = "<Tagging><TagSet/></Tagging>";
        let error = |code: &str| format!("<Error><Code>{code}</Code></Error>");
        for (subresource, status, body, expected) in [
            (Tagging, 200, tagging.to_owned(), true),
            (Tagging, 404, error("NoSuchTagSet"), true),
            (Acl, 200, "<AccessControlPolicy/>".to_owned(), true),
            (LegalHold, 200, "<LegalHold><Status>ON</Status></LegalHold>".to_owned(), true),
            (LegalHold, 404, error("NoSuchObjectLockConfiguration"), true),
            (Retention, 404, error("NoSuchObjectLockConfiguration"), true),
            (Retention, 200, "<Retention/>".to_owned(), true),
            // Stores also give this answer when they do not know the subresource, or for other
            // reasons.
            (Retention, 400, error("InvalidRequest"), false),
            (Retention, 501, error("NotImplemented"), false),
            (Tagging, 403, error("AccessDenied"), false),
            (Tagging, 404, error("NoSuchKey"), false),
            (Tagging, 405, error("MethodNotAllowed"), false),
            (Tagging, 500, error("NoSuchTagSet"), false),
            (Tagging, 404, String::new(), false),
            (Acl, 404, error("NoSuchTagSet"), false),
            // The document of another subresource, or none.
            (Retention, 200, tagging.to_owned(), false),
            (Tagging, 200, error("NoSuchTagSet"), false),
            (Tagging, 200, String::new(), false),
            (Tagging, 200, "{\"TagSet\":[]}".to_owned(), false),
            (Tagging, 206, tagging.to_owned(), false),
            // For these, no answer proves anything.
            (Annotation, 200, "<Annotation/>".to_owned(), false),
            (Restore, 200, "<Restore/>".to_owned(), false),
            (Select, 200, "<Select/>".to_owned(), false),
        ] {
            assert_eq!(
                proves(subresource, status, None, &body),
                expected,
                "{subresource:?} {body}"
            );
        }
    }

    #[test]
    fn an_object_that_looks_like_the_document_proves_nothing() {
        let document = "<Tagging><TagSet/></Tagging>";
        let object = |size_bytes| Described { etag: Some(ETag::parse(b"\"e\"")), size_bytes };
        let etag = ETag::parse(b"\"e\"");
        let says = |size_bytes, etag| {
            let answer = SubresourceAnswer { status: 200, etag, body: document.as_bytes() };
            is_understood(Subresource::Tagging, &object(size_bytes), answer)
        };
        assert!(says(Some(5), None));
        assert!(!says(Some(5), Some(&etag)), "the object's ETag");
        assert!(!says(Some(document.len() as u64), None), "the object's length");
        assert!(!says(None, None), "of an unknown length");
    }

    #[test]
    fn names_and_sets_are_what_they_were_made_of() {
        for subresource in Subresource::ALL {
            assert_eq!(Subresource::named(subresource.name()), Some(subresource));
            let only = Understood::NONE.with(subresource);
            assert_eq!(only.names().collect::<Vec<_>>(), [subresource.name()]);
            assert_eq!(Understood::from_bits(only.bits()), only);
        }
        assert_eq!(Subresource::named("uploadId"), None);
        let two: Understood = [Subresource::Tagging, Subresource::Acl].into_iter().collect();
        assert_eq!(two.names().collect::<Vec<_>>(), ["acl", "tagging"]);
    }
}

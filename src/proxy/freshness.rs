//! What an answer of a store that lags shows, beside what the register knows: pure.

use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};

use crate::gate::{Expected, Sight, VersionSight};
use crate::http1::fields::Fields;
use crate::s3::listing::VersionId;
use crate::s3::{Current, ETag};

/// What a read asks for, as far as the register knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// The current object.
    Current(Sight),
    /// One version, with this id.
    Version(VersionSight, VersionId),
}

/// What an answer of the store shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What was written last; or no state at all.
    Fresh,
    /// What was written last, or what a write has left since: the register has to be asked again.
    Since,
    /// An object, or a version, that was deleted.
    Deleted,
    /// Something older.
    Stale,
    /// That a range is not within an object whose ETag it does not say.
    NotInRange,
    /// No state, and for a reason that may lie in an older one: an encryption, an archive, a missing
    /// right to see that nothing is there. Or that there is no version of which the register does not
    /// know whether there is one.
    Unclear,
}

impl Known {
    /// Whether nothing is known that the store might not show yet.
    pub(super) fn is_settled(&self) -> bool {
        match self {
            Self::Current(sight) => matches!(sight.expected, Expected::Settled(_)),
            Self::Version(sight, _) => *sight == VersionSight::Anything,
        }
    }

    /// Whether a write is under way or in doubt, and what was there before it is not young; and if so,
    /// whether it is under way.
    pub(super) fn unsettled(&self) -> Option<bool> {
        match self {
            Self::Current(Sight { expected: Expected::Unsettled { under_way, .. }, .. }) => {
                Some(*under_way)
            }
            Self::Current(_) | Self::Version(..) => None,
        }
    }

    /// Whether the store's answer has to do, although it may be old.
    pub(super) fn is_unknown(&self) -> bool {
        match self {
            Self::Current(sight) => sight.expected == Expected::Unknown,
            Self::Version(sight, _) => *sight == VersionSight::Unknown,
        }
    }

    /// The id of the current object, where that is known and names one state for ever.
    pub(super) fn current_id(&self) -> Option<&VersionId> {
        match self {
            Self::Current(Sight {
                expected: Expected::This(Current::Present(_)),
                version: Some(id),
            }) => Some(id),
            Self::Current(_) | Self::Version(..) => None,
        }
    }

    /// The id of the delete marker that is the current version.
    pub(super) fn marker_id(&self) -> Option<&VersionId> {
        match self {
            Self::Current(Sight {
                expected: Expected::This(Current::Absent),
                version: Some(id),
            }) => Some(id),
            Self::Current(_) | Self::Version(..) => None,
        }
    }

    /// Judges an answer with this status and these headers.
    pub(super) fn verdict(&self, status: StatusCode, headers: &Fields) -> Verdict {
        let shown = Shown::of(status, headers);
        match self {
            Self::Current(sight) => shown.beside(sight),
            Self::Version(sight, id) => shown.beside_version(sight, id),
        }
    }
}

/// An answer, as far as it counts here.
struct Shown<'a> {
    status: StatusCode,
    shows_object: bool,
    etag: Option<ETag>,
    version: Option<&'a HeaderValue>,
    says_marker: bool,
}

impl<'a> Shown<'a> {
    fn of(status: StatusCode, headers: &'a Fields) -> Self {
        Self {
            status,
            shows_object: shows_object(status),
            etag: headers.get(header::ETAG).map(|etag| ETag::parse(etag.as_bytes())),
            version: headers.get(X_AMZ_VERSION_ID),
            says_marker: headers.get(X_AMZ_DELETE_MARKER).is_some_and(|marker| marker == "true"),
        }
    }

    fn beside(&self, Sight { expected, version }: &Sight) -> Verdict {
        let expected = match expected {
            Expected::Unknown => return Verdict::Fresh,
            Expected::Settled(known) => return self.beside_old(known.as_ref(), false),
            Expected::Unsettled { before, .. } => return self.beside_old(Some(before), true),
            Expected::This(expected) => expected,
        };
        let is_another = |id: &VersionId| self.version.is_some_and(|named| named != id.as_str());
        match (expected, self.status) {
            (Current::Absent, _) if self.shows_object => Verdict::Deleted,
            (Current::Absent, StatusCode::RANGE_NOT_SATISFIABLE) => Verdict::Deleted,
            (Current::Present(written), _) if self.shows_object => {
                // The same bytes may have been written before, with other metadata.
                let is_this = self.etag.as_ref() == Some(written)
                    && !version.as_ref().is_some_and(is_another);
                if is_this { Verdict::Fresh } else { Verdict::Stale }
            }
            (Current::Present(_), StatusCode::NOT_FOUND) => Verdict::Stale,
            (Current::Present(_), StatusCode::RANGE_NOT_SATISFIABLE) => Verdict::NotInRange,
            (_, status) if hides_state(status) => Verdict::Unclear,
            (_, _) => Verdict::Fresh,
        }
    }

    /// Beside what is not young. The store shows that, or what was written since.
    fn beside_old(&self, known: Option<&Current>, unsettled: bool) -> Verdict {
        let is_this = match known {
            Some(Current::Present(etag)) => self.shows_object && self.etag.as_ref() == Some(etag),
            Some(Current::Absent) => self.status == StatusCode::NOT_FOUND,
            None => false,
        };
        let may_differ = match self.status {
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => true,
            status => self.shows_object || unsettled && hides_state(status),
        };
        if may_differ && !is_this { Verdict::Since } else { Verdict::Fresh }
    }

    fn beside_version(&self, sight: &VersionSight, id: &VersionId) -> Verdict {
        let is_missing = self.status == StatusCode::NOT_FOUND;
        match sight {
            // Other versions are never replaced, and of one that is deleted nothing is known here.
            VersionSight::Anything if id.is_null() => self.beside_old(None, false),
            VersionSight::Unknown if is_missing => Verdict::Unclear,
            VersionSight::Anything | VersionSight::Unknown => Verdict::Fresh,
            VersionSight::Object(written) => self.beside_object(written, id),
            VersionSight::Marker => self.beside_marker(),
            VersionSight::Gone if self.is_there() => Verdict::Deleted,
            VersionSight::Gone => self.without_state(),
        }
    }

    /// A version with an id of its own is there as it was written, or not at all.
    fn beside_object(&self, written: &ETag, id: &VersionId) -> Verdict {
        match self.status {
            _ if self.shows_object && self.etag.as_ref() == Some(written) => Verdict::Fresh,
            StatusCode::RANGE_NOT_SATISFIABLE if id.is_null() => Verdict::NotInRange,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Verdict::Stale,
            _ if self.shows_object => Verdict::Stale,
            _ => self.without_state(),
        }
    }

    /// AWS answers 405 where the id is that of a delete marker, and other stores 404.
    fn beside_marker(&self) -> Verdict {
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => Verdict::Fresh,
            StatusCode::NOT_FOUND if self.says_marker => Verdict::Fresh,
            StatusCode::NOT_FOUND => Verdict::Unclear,
            _ if self.is_there() => Verdict::Stale,
            _ => self.without_state(),
        }
    }

    /// Whether there is a version.
    fn is_there(&self) -> bool {
        let status = self.status;
        self.shows_object
            || matches!(status, StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::METHOD_NOT_ALLOWED)
    }

    /// An answer without a state, or that nothing is there.
    fn without_state(&self) -> Verdict {
        if hides_state(self.status) { Verdict::Unclear } else { Verdict::Fresh }
    }
}

/// Whether an answer to a read with this status is about an object that is there.
pub(super) fn shows_object(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_MODIFIED
}

fn hides_state(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED
    )
}

/// Does this one range begin at or after the end of an object of so many bytes? (RFC 9110 §14.1.2)
pub(super) fn starts_after(range: &str, length: u64) -> bool {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return false;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), _) => first >= length,
        (Err(_), Ok(suffix)) => first.trim().is_empty() && (suffix == 0 || length == 0),
        (Err(_), Err(_)) => false,
    }
}

/// AWS: GetObject.
pub(super) const X_AMZ_VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
/// AWS: GetObject.
pub(super) const X_AMZ_DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> VersionId {
        VersionId::parse(text).unwrap()
    }

    fn headers(named: &[(HeaderName, &'static str)]) -> Fields {
        let pairs = named.iter();
        pairs.map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn judged(known: &Known, status: u16, named: &[(HeaderName, &'static str)]) -> Verdict {
        known.verdict(StatusCode::from_u16(status).unwrap(), &headers(named))
    }

    fn current(expected: &Current, version: Option<&str>) -> Known {
        let (expected, version) = (Expected::This(expected.clone()), version.map(id));
        Known::Current(Sight { expected, version })
    }

    fn of(expected: &Current, status: u16, etag: Option<&'static str>) -> Verdict {
        let etag = etag.map(|etag| (header::ETAG, etag));
        judged(&current(expected, None), status, etag.as_slice())
    }

    #[test]
    fn an_answer_is_fresh_that_shows_what_was_written_or_no_state_at_all() {
        let written = Current::Present(ETag::parse(b"a"));
        for status in [200, 206, 304] {
            assert_eq!(of(&written, status, Some("\"a\"")), Verdict::Fresh, "{status}");
            assert_eq!(of(&written, status, Some("\"b\"")), Verdict::Stale, "{status}");
            assert_eq!(of(&written, status, None), Verdict::Stale, "{status}");
            assert_eq!(of(&Current::Absent, status, Some("\"a\"")), Verdict::Deleted, "{status}");
        }
        assert_eq!(of(&written, 404, None), Verdict::Stale);
        assert_eq!(of(&written, 416, None), Verdict::NotInRange);
        assert_eq!(of(&Current::Absent, 404, None), Verdict::Fresh);
        assert_eq!(of(&Current::Absent, 416, None), Verdict::Deleted);
        for status in [400, 403, 405] {
            assert_eq!(of(&written, status, None), Verdict::Unclear, "{status}");
        }
        for status in [301, 500, 503] {
            for expected in [&written, &Current::Absent] {
                assert_eq!(of(expected, status, None), Verdict::Fresh, "{status} shows no state");
            }
        }
    }

    #[test]
    fn what_is_not_known_to_be_acknowledged_is_asked_for_again() {
        use Verdict::{Fresh, Since};
        let a = Some(Current::Present(ETag::parse(b"a")));
        let of = |expected: &Expected, status, etag: Option<&'static str>| {
            let known = Known::Current(Sight { expected: expected.clone(), version: None });
            judged(&known, status, etag.map(|etag| (header::ETAG, etag)).as_slice())
        };
        for (known, [of_a, of_b, of_nothing]) in [
            (None, [Since, Since, Since]),
            (a, [Fresh, Since, Since]),
            (Some(Current::Absent), [Since, Since, Fresh]),
        ] {
            let before =
                known.clone().map(|before| Expected::Unsettled { before, under_way: true });
            for expected in [Some(Expected::Settled(known)), before].into_iter().flatten() {
                for status in [200, 206, 304] {
                    assert_eq!(of(&expected, status, Some("\"a\"")), of_a, "{expected:?} {status}");
                    assert_eq!(of(&expected, status, Some("\"b\"")), of_b, "{expected:?} {status}");
                    assert_eq!(of(&expected, status, None), Since, "{expected:?} {status}");
                }
                assert_eq!(of(&expected, 404, None), of_nothing, "{expected:?}");
                assert_eq!(of(&expected, 416, None), Since, "{expected:?}");
                assert_eq!(of(&expected, 503, None), Fresh, "it shows no state: {expected:?}");
                let hidden = if matches!(expected, Expected::Settled(_)) { Fresh } else { Since };
                assert_eq!(of(&expected, 403, None), hidden, "{expected:?}");
            }
        }
        assert_eq!(of(&Expected::Unknown, 404, None), Fresh);
        let version = |id| judged(&Known::Version(VersionSight::Anything, id), 200, &[]);
        assert_eq!((version(id("v")), version(VersionId::null())), (Fresh, Since));
    }

    #[test]
    fn the_same_bytes_under_another_id_are_older() {
        let written = Current::Present(ETag::parse(b"a"));
        let shown = |known: &Known, version| {
            judged(known, 200, &[(header::ETAG, "\"a\""), (X_AMZ_VERSION_ID, version)])
        };
        let known = current(&written, Some("v2"));
        assert_eq!(shown(&known, "v2"), Verdict::Fresh);
        assert_eq!(shown(&known, "v1"), Verdict::Stale);
        assert_eq!(judged(&known, 200, &[(header::ETAG, "\"a\"")]), Verdict::Fresh);
        assert_eq!(shown(&current(&written, None), "v1"), Verdict::Fresh);
    }

    #[test]
    fn an_object_has_an_id_to_ask_for_and_a_delete_marker_one_to_tell() {
        let written = Current::Present(ETag::parse(b"a"));
        let ids = |known: &Known| {
            let text = |id: Option<&VersionId>| id.map(|id| id.as_str().to_owned());
            (text(known.current_id()), text(known.marker_id()))
        };
        let v = || Some("v".to_owned());
        assert_eq!(ids(&current(&written, Some("v"))), (v(), None));
        assert_eq!(ids(&current(&Current::Absent, Some("v"))), (None, v()));
        assert_eq!(ids(&current(&written, None)), (None, None));
        assert_eq!(ids(&Known::Version(VersionSight::Marker, id("v"))), (None, None));
    }

    #[test]
    fn a_version_that_was_written_is_waited_for_and_one_that_was_deleted_is_not_shown() {
        use Verdict::{Deleted, Fresh, NotInRange, Stale, Unclear};
        let written = VersionSight::Object(ETag::parse(b"a"));
        let anything = VersionSight::Anything;
        let (unknown, marker, gone) =
            (VersionSight::Unknown, VersionSight::Marker, VersionSight::Gone);
        let (a, b) = ([(header::ETAG, "\"a\"")], [(header::ETAG, "\"b\"")]);
        let says_marker = [(X_AMZ_DELETE_MARKER, "true")];
        for (status, named, [of_anything, of_unknown, of_written, of_marker, of_gone]) in [
            (200, &a[..], [Fresh, Fresh, Fresh, Stale, Deleted]),
            (304, &a[..], [Fresh, Fresh, Fresh, Stale, Deleted]),
            (206, &b[..], [Fresh, Fresh, Stale, Stale, Deleted]),
            (404, &[], [Fresh, Unclear, Stale, Unclear, Fresh]),
            (404, &says_marker[..], [Fresh, Unclear, Stale, Fresh, Fresh]),
            (405, &[], [Fresh, Fresh, Stale, Fresh, Deleted]),
            (416, &[], [Fresh, Fresh, Fresh, Stale, Deleted]),
            (403, &[], [Fresh, Fresh, Unclear, Unclear, Unclear]),
            (503, &[], [Fresh, Fresh, Fresh, Fresh, Fresh]),
        ] {
            for (sight, expected) in [
                (&anything, of_anything),
                (&unknown, of_unknown),
                (&written, of_written),
                (&marker, of_marker),
                (&gone, of_gone),
            ] {
                let known = Known::Version(sight.clone(), id("v"));
                assert_eq!(judged(&known, status, named), expected, "{sight:?} {status}");
            }
        }
        let null = Known::Version(written, VersionId::null());
        assert_eq!(judged(&null, 416, &[]), NotInRange, "the version null may have been shorter");
    }

    #[test]
    fn a_range_begins_after_an_object_of_this_length() {
        for (range, length, after) in [
            ("bytes=5-", 5, true),
            ("bytes=5-9", 5, true),
            ("bytes=4-9", 5, false),
            ("bytes=-0", 5, true),
            ("bytes=-3", 5, false),
            ("bytes=-3", 0, true),
            ("bytes=0-", 0, true),
            ("bytes=a-", 5, false),
            ("lines=9-", 5, false),
        ] {
            assert_eq!(starts_after(range, length), after, "{range} of {length}");
        }
    }
}

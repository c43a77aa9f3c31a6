//! The conditions that are tried: of each operation each form of condition, where it holds and where it
//! does not. Pure.

/// An operation whose condition is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// PutObject.
    Put,
    /// PutObject by a presigned URL whose signature covers the condition.
    PresignedPut,
    /// CompleteMultipartUpload.
    Complete,
    /// CopyObject, with a condition on its destination.
    Copy,
    /// DeleteObject.
    Delete,
    /// DeleteObjects, with a condition on one key.
    BatchDelete,
}

/// A form of condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `If-None-Match: *`.
    NoneMatchAny,
    /// `If-Match: "etag"`.
    MatchQuoted,
    /// `If-Match: etag`.
    MatchBare,
    /// `If-Match: *`.
    MatchAny,
    /// `If-None-Match: "etag"`, which AWS refuses.
    NoneMatchETag,
}

/// Which ETag a condition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// That of the object.
    Current,
    /// That of the object before it.
    Old,
}

/// One thing that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The operation.
    pub operation: Operation,
    /// The form of its condition.
    pub form: Form,
    /// Whether there is an object; and the ETag that the condition names, where it names one.
    pub object: bool,
    /// As above.
    pub named: Named,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Put,
        Self::PresignedPut,
        Self::Complete,
        Self::Copy,
        Self::Delete,
        Self::BatchDelete,
    ];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PresignedPut => "presigned put",
            Self::Complete => "complete",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::BatchDelete => "batch delete",
        }
    }

    /// The forms that AWS documents for it, and those that other stores have.
    pub fn forms(self) -> &'static [Form] {
        match self {
            Self::Put | Self::Complete | Self::Copy => {
                &[Form::NoneMatchAny, Form::MatchQuoted, Form::MatchBare, Form::NoneMatchETag]
            }
            Self::PresignedPut => &[Form::NoneMatchAny, Form::MatchQuoted],
            Self::Delete => &[Form::MatchQuoted, Form::MatchBare, Form::MatchAny],
            Self::BatchDelete => &[Form::MatchQuoted, Form::MatchBare],
        }
    }
}

impl Form {
    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoneMatchAny => "If-None-Match: *",
            Self::MatchQuoted => "If-Match: \"etag\"",
            Self::MatchBare => "If-Match: etag",
            Self::MatchAny => "If-Match: *",
            Self::NoneMatchETag => "If-None-Match: \"etag\"",
        }
    }

    /// For names of objects.
    pub fn slug(self) -> &'static str {
        match self {
            Self::NoneMatchAny => "none-match-any",
            Self::MatchQuoted => "match-quoted",
            Self::MatchBare => "match-bare",
            Self::MatchAny => "match-any",
            Self::NoneMatchETag => "none-match-etag",
        }
    }

    /// Whether AWS refuses it with 501, whatever stands at the key.
    pub fn is_refused_by_aws(self) -> bool {
        self == Self::NoneMatchETag
    }

    /// The header.
    pub fn header(self) -> &'static str {
        match self {
            Self::NoneMatchAny | Self::NoneMatchETag => "if-none-match",
            Self::MatchQuoted | Self::MatchBare | Self::MatchAny => "if-match",
        }
    }

    /// Its value, where the condition names this ETag.
    pub fn value(self, etag: &str) -> String {
        let bare = etag.trim_matches('"');
        match self {
            Self::NoneMatchAny | Self::MatchAny => "*".to_owned(),
            Self::MatchQuoted | Self::NoneMatchETag => format!("\"{bare}\""),
            Self::MatchBare => bare.to_owned(),
        }
    }
}

impl Case {
    /// What is tried of a form.
    pub fn all(operation: Operation, form: Form) -> Vec<Self> {
        let case = |object, named| Self { operation, form, object, named };
        match form {
            Form::NoneMatchAny | Form::MatchAny => {
                vec![case(false, Named::Current), case(true, Named::Current)]
            }
            Form::MatchQuoted | Form::MatchBare => {
                vec![case(true, Named::Current), case(true, Named::Old), case(false, Named::Old)]
            }
            Form::NoneMatchETag => vec![case(true, Named::Current), case(true, Named::Old)],
        }
    }

    /// Whether the condition holds.
    pub fn holds(self) -> bool {
        match self.form {
            Form::NoneMatchAny => !self.object,
            Form::MatchAny => self.object,
            Form::MatchQuoted | Form::MatchBare => self.object && self.named == Named::Current,
            Form::NoneMatchETag => !(self.object && self.named == Named::Current),
        }
    }

    /// For the table.
    pub fn name(self) -> &'static str {
        match (self.form, self.object, self.named) {
            (_, false, _) => "absent",
            (Form::NoneMatchAny | Form::MatchAny, true, _) => "present",
            (Form::NoneMatchETag, true, Named::Current) => "equal",
            (Form::NoneMatchETag, true, Named::Old) => "different",
            (_, true, Named::Current) => "right",
            (_, true, Named::Old) => "stale",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_tried_where_it_holds_and_where_it_does_not() {
        for operation in Operation::ALL {
            for form in operation.forms() {
                let cases = Case::all(operation, *form);
                assert!(cases.iter().any(|case| case.holds()), "{operation:?} {form:?}");
                assert!(cases.iter().any(|case| !case.holds()), "{operation:?} {form:?}");
                let mut names: Vec<_> = cases.iter().map(|case| case.name()).collect();
                names.dedup();
                assert_eq!(names.len(), cases.len(), "{names:?}");
            }
        }
    }

    #[test]
    fn a_value_names_the_etag_as_its_form_wants_it() {
        assert_eq!(Form::MatchQuoted.value("\"e\""), "\"e\"");
        assert_eq!(Form::MatchBare.value("\"e\""), "e");
        assert_eq!(Form::NoneMatchAny.value("\"e\""), "*");
    }
}

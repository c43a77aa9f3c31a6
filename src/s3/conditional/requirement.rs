//! Conditions that writes of some keys must carry (AWS: "Enforce conditional writes on Amazon S3
//! buckets": policies with `s3:if-none-match` and `s3:if-match`).

use super::preconditions::{Preconditions, Shape};
use crate::s3::error::S3Error;
use crate::s3::operation::{Effect, Operation};

/// The condition that a write must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// `If-None-Match: *`: an object that was written is never overwritten and never deleted.
    CreateOnly,
    /// A condition: `If-Match` on a delete, any condition on other writes.
    Conditional,
    /// No condition is enough: only the proxies themselves write the key.
    Untouchable,
}

impl Requirement {
    /// Whether this operation on a key, with this effect at this store, may be done with these
    /// preconditions. 403 `AccessDenied` when the required condition is missing. Only changes of a
    /// key's content are checked: as at AWS, an upload is judged when it is completed, not when it
    /// is created or when its parts arrive.
    pub fn check(
        self,
        operation: Operation,
        effect: Effect,
        preconditions: &Preconditions,
    ) -> Result<(), S3Error> {
        match effect {
            Effect::Streams if self == Self::Untouchable => {}
            Effect::Read | Effect::Streams => return Ok(()),
            Effect::WritesKey(_) | Effect::WritesKeysInBody | Effect::UnknownWrite(_) => {}
        }
        match self {
            Self::CreateOnly | Self::Conditional if operation.subresource().is_some() => {
                Err(S3Error::access_denied().because(NOT_UNDERSTOOD))
            }
            Self::CreateOnly
                if creates(operation) && preconditions.shape() == Shape::IfNoneMatchAny =>
            {
                Ok(())
            }
            Self::CreateOnly => Err(S3Error::access_denied().because(CREATE_ONLY)),
            Self::Conditional if !preconditions.is_empty() => Ok(()),
            Self::Conditional => Err(S3Error::access_denied().because(CONDITIONAL)),
            Self::Untouchable => Err(S3Error::access_denied().because(UNTOUCHABLE)),
        }
    }
}

/// Whether `If-None-Match: *` turns this operation into a creation.
const fn creates(operation: Operation) -> bool {
    use Operation as Op;
    matches!(operation, Op::PutObject | Op::CopyObject | Op::CompleteMultipartUpload)
}

const CREATE_ONLY: &str = "A rule of this proxy lets this key be written once: a write must carry \
                           If-None-Match: *, and nothing may change or delete what is there.";
const CONDITIONAL: &str = "A rule of this proxy lets this key be changed under a condition only: a \
                           write must carry If-Match or If-None-Match, a delete If-Match.";
const NOT_UNDERSTOOD: &str = "A rule of this proxy lets this key be changed under a condition only, \
                              and this store is not known to understand the subresource: it may \
                              take the request for a write of the object. If it does understand \
                              it, name it in backend.subresources.";
const UNTOUCHABLE: &str = "This object names the register that keeps the locks of this store. Only the \
                           proxies write it.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::{ETag, Understood};

    fn is_allowed(
        requirement: Requirement,
        operation: Operation,
        condition: &Preconditions,
    ) -> bool {
        match requirement.check(operation, operation.effect(), condition) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!((error.status().as_u16(), error.code()), (403, "AccessDenied"));
                false
            }
        }
    }

    #[test]
    fn a_write_carries_what_is_required_of_it() {
        use Requirement::{Conditional, CreateOnly};
        let if_match = Preconditions::if_match(ETag::parse(b"\"e\""));
        for (operation, condition, create_only, conditional) in [
            (Operation::PutObject, &Preconditions::NONE, false, false),
            (Operation::PutObject, &Preconditions::IF_NONE_MATCH_ANY, true, true),
            (Operation::PutObject, &if_match, false, true),
            (Operation::CopyObject, &Preconditions::NONE, false, false),
            (Operation::CopyObject, &Preconditions::IF_NONE_MATCH_ANY, true, true),
            (Operation::CompleteMultipartUpload, &Preconditions::NONE, false, false),
            (Operation::CompleteMultipartUpload, &Preconditions::IF_NONE_MATCH_ANY, true, true),
            // A form cannot carry a condition.
            (Operation::PostObject, &Preconditions::NONE, false, false),
            (Operation::DeleteObject, &Preconditions::NONE, false, false),
            (Operation::DeleteObject, &if_match, false, true),
            (Operation::DeleteObject, &Preconditions::IF_MATCH_ANY, false, true),
            // The dialect `rfc` allows this on a delete.
            (Operation::DeleteObject, &Preconditions::IF_NONE_MATCH_ANY, false, true),
            (Operation::DeleteObjectVersion, &Preconditions::NONE, false, false),
            (Operation::AppendObject, &Preconditions::NONE, false, false),
            (Operation::UnknownWrite, &Preconditions::NONE, false, false),
        ] {
            let what = format!("{operation:?} {condition:?}");
            assert_eq!(is_allowed(CreateOnly, operation, condition), create_only, "{what}");
            assert_eq!(is_allowed(Conditional, operation, condition), conditional, "{what}");
        }
    }

    #[test]
    fn nothing_but_reading_is_allowed_of_what_nobody_may_touch() {
        for operation in [
            Operation::PutObject,
            Operation::CopyObject,
            Operation::DeleteObject,
            Operation::DeleteObjectVersion,
            Operation::CompleteMultipartUpload,
            Operation::CreateMultipartUpload,
            Operation::UploadPart,
            Operation::PutObjectTagging,
            Operation::UnknownWrite,
        ] {
            let condition = &Preconditions::IF_NONE_MATCH_ANY;
            assert!(!is_allowed(Requirement::Untouchable, operation, condition), "{operation:?}");
        }
        for operation in [Operation::GetObject, Operation::HeadObject] {
            assert!(is_allowed(Requirement::Untouchable, operation, &Preconditions::NONE));
        }
    }

    #[test]
    fn what_leaves_the_content_alone_needs_no_condition() {
        for operation in [
            Operation::GetObject,
            Operation::CreateMultipartUpload,
            Operation::UploadPart,
            Operation::UploadPartCopy,
            Operation::AbortMultipartUpload,
        ] {
            for requirement in [Requirement::CreateOnly, Requirement::Conditional] {
                assert!(is_allowed(requirement, operation, &Preconditions::NONE), "{operation:?}");
            }
        }
    }

    #[test]
    fn a_subresource_needs_no_condition_where_the_store_understands_it() {
        for operation in [
            Operation::PutObjectAcl,
            Operation::PutObjectRetention,
            Operation::PutObjectLegalHold,
            Operation::PutObjectTagging,
            Operation::DeleteObjectTagging,
            Operation::RestoreObject,
        ] {
            let understood: Understood = operation.subresource().into_iter().collect();
            for requirement in [Requirement::CreateOnly, Requirement::Conditional] {
                let check =
                    |effect| requirement.check(operation, effect, &Preconditions::NONE).is_ok();
                assert!(check(operation.effect_at(understood)), "{operation:?}");
                assert!(!check(operation.effect_at(Understood::NONE)), "{operation:?}");
                // No condition helps: the effect of the request at the store is unknown.
                for condition in [&Preconditions::IF_NONE_MATCH_ANY, &Preconditions::IF_MATCH_ANY] {
                    assert!(!is_allowed(requirement, operation, condition), "{operation:?}");
                }
            }
        }
    }
}

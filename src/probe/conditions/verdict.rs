//! What became of a condition, judged by the answer and by what stands at the key afterwards. Pure.

use http::StatusCode;

use crate::backend::Answer;
use crate::probe::finding::{Level, is_unclear};
use crate::s3::documents::{
    SuccessBody, late_refusal, outcome_of_delete_result, outcome_of_success_body, parse_store_error,
};

/// What a store does with a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it says: carried out where it holds, refused where it does not.
    Honoured,
    /// Carried out although it does not hold.
    Ignored,
    /// Acknowledged although it does not hold; there was nothing to carry out.
    Acknowledged,
    /// The request is not accepted with such a condition, and nothing is changed.
    Refused,
    /// Refused, and carried out all the same.
    HalfHonoured,
    /// Refused although it holds.
    Denied,
    /// Acknowledged, and not carried out.
    NotDone,
    /// The answer does not say what became of it.
    Unclear,
}

/// What the answer to a write says, wherever it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The status, or the one that belongs to the error in a document of a 200.
    pub status: u16,
    /// The code of the error; empty where there is none.
    pub code: String,
}

impl Said {
    /// Of a write whose status decides.
    pub fn by_status(answer: &Answer) -> Self {
        let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
        Self { status: answer.status.as_u16(), code }
    }

    /// Of a complete or a copy, which may fail in a 200.
    pub fn by_document(answer: &Answer) -> Self {
        if answer.status != StatusCode::OK {
            return Self::by_status(answer);
        }
        Self::of_outcome(outcome_of_success_body(&answer.body))
    }

    /// Of a DeleteObjects of one key.
    pub fn by_entry(answer: &Answer) -> Self {
        if answer.status != StatusCode::OK {
            return Self::by_status(answer);
        }
        Self::of_outcome(outcome_of_delete_result(&answer.body))
    }

    fn of_outcome(outcome: SuccessBody) -> Self {
        match outcome {
            SuccessBody::Result { .. } => Self { status: 200, code: String::new() },
            SuccessBody::Unreadable => {
                Self { status: 200, code: "a document that cannot be read".to_owned() }
            }
            SuccessBody::Error(error) => {
                let status = match error.code.as_str() {
                    "NotImplemented" => StatusCode::NOT_IMPLEMENTED,
                    "ConditionalRequestConflict" => StatusCode::CONFLICT,
                    code => late_refusal(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                };
                Self { status: status.as_u16(), code: error.code }
            }
        }
    }

    /// Whether the answer leaves open what became of the request.
    pub fn is_unclear(&self) -> bool {
        is_unclear(self.status)
    }

    /// Status and code.
    pub fn shown(&self) -> String {
        format!("{} {}", self.status, self.code).trim_end().to_owned()
    }
}

/// Judges one case. `holds`: whether the condition does. `changed`: whether what stands there afterwards
/// shows that the request was carried out; `None` where there was nothing to change.
pub fn judge(holds: bool, said: &Said, changed: Option<bool>) -> Verdict {
    match (said.status, changed) {
        (200..=299, None) if !holds => Verdict::Acknowledged,
        (200..=299, Some(false)) => Verdict::NotDone,
        (200..=299, _) if holds => Verdict::Honoured,
        (200..=299, _) => Verdict::Ignored,
        // It may have been carried out before it failed, as any other write.
        (status, _) if is_unclear(status) => Verdict::Unclear,
        (_, Some(true)) => Verdict::HalfHonoured,
        // AWS: 412, 404 where there is no object, 409 for another writer. A 304 is for reads, and yet a
        // refusal.
        (304 | 404 | 409 | 412, _) if holds => Verdict::Denied,
        (304 | 404 | 409 | 412, _) => Verdict::Honoured,
        _ => Verdict::Refused,
    }
}

impl Verdict {
    /// For the table.
    pub fn shown(self, said: &Said) -> String {
        let status = said.status;
        match self {
            Self::Honoured => "honoured".to_owned(),
            Self::Ignored => "IGNORED".to_owned(),
            Self::Acknowledged => format!("{status}, nothing to do"),
            Self::Refused => format!("refused {status}"),
            Self::HalfHonoured => format!("HALF: {status} and done"),
            Self::Denied => format!("DENIED {status}"),
            Self::NotDone => format!("NOT DONE: {status}"),
            Self::Unclear => format!("unclear {status}"),
        }
    }

    /// How good it is. A form that AWS refuses (`aws_refuses`) may be refused.
    pub fn level(self, aws_refuses: bool) -> Level {
        match self {
            Self::Honoured => Level::Good,
            Self::Refused if aws_refuses => Level::Good,
            // Nothing was lost; a client that deletes what is not there cannot tell it apart.
            Self::Refused | Self::Denied | Self::Acknowledged => Level::Safe,
            Self::Unclear => Level::Unknown,
            Self::Ignored | Self::HalfHonoured | Self::NotDone => Level::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::http1::fields::Fields;

    fn said(status: u16) -> Said {
        Said { status, code: String::new() }
    }

    fn answer(status: u16, body: &'static str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: Fields::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn each_combination_of_answer_and_effect_has_its_word() {
        use Verdict::*;
        for (holds, status, changed, verdict) in [
            (true, 200, Some(true), Honoured),
            (true, 204, Some(true), Honoured),
            (false, 412, Some(false), Honoured),
            (false, 404, None, Honoured),
            (false, 409, Some(false), Honoured),
            (false, 200, Some(true), Ignored),
            (false, 204, None, Acknowledged),
            (false, 412, Some(true), HalfHonoured),
            (true, 501, Some(true), HalfHonoured),
            (true, 412, Some(false), Denied),
            (true, 200, Some(false), NotDone),
            (false, 200, Some(false), NotDone),
            (true, 501, Some(false), Refused),
            (false, 400, Some(false), Refused),
            (false, 405, None, Refused),
            (true, 500, Some(true), Unclear),
            (false, 503, Some(false), Unclear),
        ] {
            assert_eq!(
                judge(holds, &said(status), changed),
                verdict,
                "{holds} {status} {changed:?}"
            );
        }
    }

    #[test]
    fn what_loses_updates_is_bad_and_what_refuses_them_is_safe() {
        for verdict in [Verdict::Ignored, Verdict::HalfHonoured, Verdict::NotDone] {
            assert_eq!(verdict.level(false), Level::Bad);
        }
        assert_eq!(Verdict::Refused.level(false), Level::Safe);
        assert_eq!(Verdict::Refused.level(true), Level::Good, "AWS refuses it too");
        assert_eq!(Verdict::Ignored.level(true), Level::Bad);
    }

    #[test]
    fn an_error_inside_a_success_is_found() {
        let failed = "<Error><Code>PreconditionFailed</Code></Error>";
        assert_eq!(Said::by_document(&answer(200, failed)).status, 412);
        let conflict = "<Error><Code>ConditionalRequestConflict</Code></Error>";
        assert_eq!(Said::by_document(&answer(200, conflict)).status, 409);
        let done = "<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>";
        assert_eq!(Said::by_document(&answer(200, done)), said(200));
        let entry = "<DeleteResult><Error><Key>k</Key><Code>PreconditionFailed</Code></Error></DeleteResult>";
        assert_eq!(Said::by_entry(&answer(200, entry)).shown(), "412 PreconditionFailed");
        let gone = "<DeleteResult><Error><Key>k</Key><Code>NoSuchKey</Code></Error></DeleteResult>";
        assert_eq!(Said::by_entry(&answer(200, gone)).status, 404);
        assert_eq!(Said::by_entry(&answer(200, "<DeleteResult/>")), said(200));
        let whole = answer(501, "<Error><Code>NotImplemented</Code></Error>");
        assert_eq!(Said::by_status(&whole).shown(), "501 NotImplemented");
    }
}

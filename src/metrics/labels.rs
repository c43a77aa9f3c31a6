//! The labels of the metrics. Their values are words of the code: no bucket, key, client or text
//! from outside is ever a label, so the number of series is bounded.

use super::label::{Label, label};
use crate::s3::{Code, Effect, Operation, Precondition, WriteClass};

label! {
    /// How a request ended, as its log line says.
    Outcome = "outcome" {
        /// 2xx or 3xx.
        Ok = "ok",
        /// 4xx.
        Refused = "refused",
        /// 5xx, or no answer.
        Failed = "failed",
        /// The success of an earlier attempt of the same write was answered again.
        Replayed = "replayed",
        /// The client left before the end.
        ClientGone = "client gone",
        /// The store broke off its answer.
        StoreBrokeOff = "store broke off",
    }
}

label! {
    /// What became of a span of a trace.
    SpanEnd = "result" {
        /// The collector took it.
        Exported = "exported",
        /// There was no room for it, or no time at the end of the process.
        Dropped = "dropped",
        /// The collector refused it.
        Refused = "refused",
    }
}

label! {
    /// Operations that take about as long as each other.
    OperationClass = "operation_class" {
        /// GetObject and HeadObject.
        Read = "read",
        /// Lists of objects, versions, uploads, parts and buckets.
        List = "list",
        /// Guarded writes that the store does soon: PutObject, DeleteObject.
        Write = "write",
        /// Guarded writes that may take minutes: CopyObject, CompleteMultipartUpload.
        LongWrite = "long_write",
        /// Writes of keys that the body names: DeleteObjects, PostObject.
        Batch = "batch",
        /// Parts of uploads.
        Part = "part",
        /// All others, and requests that could not be read.
        Other = "other",
    }
}

impl OperationClass {
    /// The class of an operation.
    pub const fn of(operation: Operation) -> Self {
        match operation {
            Operation::GetObject | Operation::HeadObject => Self::Read,
            Operation::ListBuckets
            | Operation::ListObjects
            | Operation::ListObjectsV2
            | Operation::ListObjectVersions
            | Operation::ListMultipartUploads
            | Operation::ListParts => Self::List,
            Operation::UploadPart | Operation::UploadPartCopy => Self::Part,
            _ => match operation.effect() {
                Effect::WritesKey(WriteClass::Plain) => Self::Write,
                Effect::WritesKey(WriteClass::Long) => Self::LongWrite,
                Effect::WritesKeysInBody => Self::Batch,
                Effect::Read | Effect::Streams | Effect::UnknownWrite(_) => Self::Other,
            },
        }
    }
}

label! {
    /// The part of the proxy that refused a request, or the store.
    RefusedBy = "by" {
        /// The request itself is at fault: its head, its body, its arguments.
        Request = "request",
        /// The signature.
        Signature = "signature",
        /// The client's rights.
        Access = "access",
        /// A `[[rule]]`.
        Rule = "rule",
        /// A limit of this proxy.
        Limit = "limit",
        /// The early look, before the body.
        Early = "early",
        /// The gate.
        Gate = "gate",
        /// The store.
        Store = "store",
    }
}

/// The code of an error answer: one of those that the proxy itself answers with, or `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(usize);

/// The codes of signature errors, which have a table of their own (`sigv4/auth_error.rs`).
const SIGNATURE_CODES: [&str; 7] = [
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "XAmzContentSHA256Mismatch",
];

/// The answer has no document: that of a HEAD.
const NO_CODE: &str = "none";

/// A code that only the store knows.
const OTHER_CODE: &str = "other";

impl ErrorCode {
    /// The code with this spelling.
    pub fn spelled(spelling: &str) -> Self {
        let spelling = if spelling.is_empty() { NO_CODE } else { spelling };
        let known = Self::known().position(|known| known == spelling);
        Self(known.unwrap_or_else(|| Self::known().count()))
    }

    fn known() -> impl Iterator<Item = &'static str> {
        let codes = Code::ALL.iter().copied().map(Code::as_str);
        [NO_CODE].into_iter().chain(SIGNATURE_CODES).chain(codes)
    }
}

impl Label for ErrorCode {
    const NAME: &'static str = "code";

    fn values() -> Vec<&'static str> {
        Self::known().chain([OTHER_CODE]).collect()
    }

    fn number(self) -> usize {
        self.0
    }
}

/// The operation of a request, or `none` where its head could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationName(pub Option<Operation>);

impl Label for OperationName {
    const NAME: &'static str = "operation";

    fn values() -> Vec<&'static str> {
        Operation::NAMES.iter().copied().chain(["none"]).collect()
    }

    fn number(self) -> usize {
        self.0.map_or(Operation::NAMES.len(), Operation::number)
    }
}

impl Label for Precondition {
    const NAME: &'static str = "kind";

    fn values() -> Vec<&'static str> {
        Self::ALL.map(Self::as_str).to_vec()
    }

    fn number(self) -> usize {
        self as usize
    }
}

label! {
    /// Whether a condition held.
    Verdict = "verdict" {
        /// It held.
        Held = "held",
        /// It did not.
        Failed = "failed",
    }
}

label! {
    /// How a doubt about a write ended, for its client.
    DoubtEnd = "how" {
        /// The write was found to have landed.
        Landed = "landed",
        /// It had not landed, and was judged again.
        NotApplied = "not_applied",
        /// A write without a condition was sent again.
        SentAgain = "sent_again",
        /// It stayed unknown: the client got a 503 that says so.
        Unknown = "unknown",
    }
}

label! {
    /// A log line that begins with `ALARM`.
    Alarm = "which" {
        /// This process stood still while a write was under way.
        StoodStill = "stood_still",
        /// A write landed after its lease was taken over.
        Overtaken = "overtaken",
        /// The clock of a server of Redis has jumped.
        ClockJumped = "clock_jumped",
        /// The store's marker names another register.
        OtherRegister = "other_register",
        /// The store showed another state than was written longer ago than `register.lag`.
        LagExceeded = "lag_exceeded",
    }
}

label! {
    /// How a read of a key with `consistency = "guarded"` ended.
    GuardedRead = "outcome" {
        /// The store's first answer was new enough.
        First = "first",
        /// The version that was written was asked for by its id, and was there.
        ByVersion = "by_version",
        /// A later one was.
        Waited = "waited",
        /// None was in time.
        GivenUp = "given_up",
        /// The register did not know what was written: the store's answer counted.
        Unguarded = "unguarded",
    }
}

label! {
    /// How a listing with keys of `consistency = "guarded"` was answered.
    GuardedListing = "outcome" {
        /// With the store's page: nothing in it is young.
        Passed = "passed",
        /// With a page in which young keys were corrected.
        Merged = "merged",
        /// With the store's page, which may be old.
        Unguarded = "unguarded",
        /// With 503: the store did not say in time what an object is that it does not list yet.
        GivenUp = "given_up",
    }
}

label! {
    /// What a HEAD shows that contradicts the record of its key.
    StaleHead = "shows" {
        /// No object, where one was written.
        Absent = "absent",
        /// An object that was deleted.
        Undeleted = "undeleted",
        /// Another object than the one that was written.
        Other = "other",
    }
}

label! {
    /// A step of the register.
    Step = "step" {
        /// Reading a key's record.
        Observe = "observe",
        /// Reading it and giving it a generation.
        Pin = "pin",
        /// Asking for a lease.
        Acquire = "acquire",
        /// Arming it.
        Arm = "arm",
        /// Registering it again.
        Reclaim = "reclaim",
        /// Prolonging it.
        Renew = "renew",
        /// Recording a landing.
        Commit = "commit",
        /// Ending an armed lease without a landing.
        Disarm = "disarm",
        /// Ending a lease that was not armed.
        Release = "release",
        /// Resolving a doubt.
        Resolve = "resolve",
        /// Remembering the beginning of an upload.
        NoteUpload = "note_upload",
        /// Reading the young keys of a listing.
        YoungKeys = "young_keys",
    }
}

label! {
    /// How a step of the register ended.
    StepResult = "result" {
        /// It was done.
        Ok = "ok",
        /// It was not, or that is not known.
        Failed = "failed",
    }
}

label! {
    /// Why a step of the register failed.
    StepFailure = "why" {
        /// No answer.
        Unreachable = "unreachable",
        /// The server must not be used as it is.
        Unsuitable = "unsuitable",
        /// It is out of memory.
        Full = "full",
        /// It is not the register of this store.
        Disowned = "disowned",
    }
}

label! {
    /// Requests to the store that take about as long as each other.
    StoreRequestClass = "operation_class" {
        /// The proxy's own HEADs and other questions.
        Question = "question",
        /// Reads that are passed on: until the head of the answer.
        Read = "read",
        /// Writes with a buffered body: until the end of the answer.
        Write = "write",
        /// Requests whose body is passed on as it comes: until the head of the answer.
        Upload = "upload",
    }
}

label! {
    /// How a request to the store came to its connection.
    Connecting = "state" {
        /// A new connection was opened.
        Opened = "opened",
        /// A pooled connection was used again.
        Reused = "reused",
        /// No connection could be opened.
        Failed = "failed",
    }
}

label! {
    /// Why no request was read from a connection.
    HeadFault = "why" {
        /// It is not HTTP/1.1, or can be read in two ways.
        Malformed = "malformed",
        /// It is larger than 64 KiB.
        TooLarge = "too_large",
        /// It did not arrive in time.
        Slow = "slow",
        /// The connection ended in the middle of it.
        CutShort = "cut_short",
        /// Too many large heads are under way.
        NoRoom = "no_room",
        /// There are too many connections.
        Connections = "connections",
        /// There are too many connections from its address.
        ConnectionsOfAddress = "connections_of_address",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::sigv4::AuthError;

    #[test]
    fn every_operation_and_every_precondition_has_its_own_number() {
        let names = OperationName::values();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
        for operation in [
            Operation::ListBuckets,
            Operation::ConfigureBucket("lifecycle"),
            Operation::GetObject,
            Operation::UnknownWrite,
        ] {
            assert_eq!(names[OperationName(Some(operation)).number()], operation.name());
        }
        assert_eq!(names[OperationName(None).number()], "none");
        for kind in Precondition::ALL {
            assert_eq!(Precondition::values()[kind.number()], kind.as_str());
        }
    }

    #[test]
    fn a_code_of_the_proxy_is_told_and_one_of_a_store_is_not() {
        let values = ErrorCode::values();
        for code in Code::ALL {
            assert_eq!(values[ErrorCode::spelled(code.as_str()).number()], code.as_str());
        }
        let error = crate::s3::S3Error::from(AuthError::InvalidToken);
        assert_eq!(values[ErrorCode::spelled(error.code()).number()], "InvalidToken");
        assert_eq!(values[ErrorCode::spelled("").number()], "none");
        assert_eq!(values[ErrorCode::spelled("XMinioStorageFull").number()], "other");
    }

    /// A line of the log that needs an operator is counted right before it is written, and each kind
    /// of such a line is written somewhere.
    #[test]
    fn every_alarm_of_the_log_is_counted() {
        let (line, count) = (&*format!("{}ALARM", '"'), "alarms.count(Alarm::");
        let mut counted = BTreeSet::new();
        let mut rooms = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(room) = rooms.pop() {
            for entry in std::fs::read_dir(room).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    rooms.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let mut before = "";
                for piece in text.split_inclusive(line) {
                    if piece.ends_with(line) {
                        let kind = piece.rsplit_once(count);
                        let (_, kind) = kind.unwrap_or_else(|| panic!("{path:?}: {before}{piece}"));
                        counted.insert(kind.split(')').next().unwrap().to_owned());
                        before = piece;
                    }
                }
            }
        }
        let kinds = ["ClockJumped", "LagExceeded", "OtherRegister", "Overtaken", "StoodStill"];
        assert_eq!(counted, BTreeSet::from(kinds.map(str::to_owned)));
        assert_eq!(kinds.len(), Alarm::values().len());
    }

    #[test]
    fn operations_are_in_the_class_of_their_effect() {
        for (operation, class) in [
            (Operation::PutObject, OperationClass::Write),
            (Operation::CompleteMultipartUpload, OperationClass::LongWrite),
            (Operation::DeleteObjects, OperationClass::Batch),
            (Operation::UploadPart, OperationClass::Part),
            (Operation::HeadObject, OperationClass::Read),
            (Operation::ListObjectsV2, OperationClass::List),
            (Operation::GetObjectTagging, OperationClass::Other),
        ] {
            assert_eq!(OperationClass::of(operation), class, "{operation:?}");
        }
    }
}

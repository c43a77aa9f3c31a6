//! The origin of a request, which decides the form in which the request is sent on: its signature
//! is verified here and the request is signed anew, or it is sent on as its sender signed it, for
//! the store to judge (`signatures = "passthrough"`). After admission, all differences between the
//! two are decided here.

use http::header;

use crate::backend::StoreRequest;
use crate::body::Expected;
use crate::s3::content::Reading;
use crate::s3::{Content, S3Error};

/// The sender of a request whose signature is checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// The client with this access key, proved by its signature.
    Client(String),
    /// The request is not signed.
    Anonymous,
}

impl Caller {
    /// The access key; empty where there is none.
    pub(super) fn access_key_id(&self) -> &str {
        match self {
            Self::Client(access_key_id) => access_key_id,
            Self::Anonymous => "",
        }
    }
}

/// The origin of an admitted request.
#[derive(Debug)]
pub(super) enum Origin {
    /// The proxy has authenticated the sender, and signs the request anew.
    Verified(Verified),
    /// The store judges the sender.
    Verbatim(Box<Verbatim>),
}

/// The sender, as the signature checked here proves it.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    /// Signed by a presigned URL: its holder may do that one thing, and is not told more.
    pub(super) presigned: bool,
}

/// A request that is sent on as it came.
#[derive(Debug)]
pub(super) struct Verbatim {
    /// The access key that its sender claims; empty where there is none.
    pub(super) access_key_id: String,
    /// The whole request, without its body.
    pub(super) request: StoreRequest,
    /// Whether its body is chunked, without a declared length.
    pub(super) chunked: bool,
}

impl Origin {
    /// The access key, proved or claimed; empty where there is none.
    pub(super) fn access_key_id(&self) -> &str {
        match self {
            Self::Verified(verified) => verified.caller.access_key_id(),
            Self::Verbatim(verbatim) => &verbatim.access_key_id,
        }
    }

    /// Whether the request goes to the store as its sender signed it.
    pub(super) const fn is_verbatim(&self) -> bool {
        matches!(self, Self::Verbatim(_))
    }

    /// Whether the sender may learn the key's state. The holder of a presigned URL may write, not
    /// read; and a sender whose signature is not checked here is unknown.
    pub(super) const fn may_tell(&self) -> bool {
        matches!(self, Self::Verified(Verified { presigned: false, .. }))
    }

    /// Whether the sender has proved to be a client, by more than a presigned URL.
    pub(super) const fn is_client(&self) -> bool {
        matches!(self, Self::Verified(Verified { caller: Caller::Client(_), presigned: false }))
    }

    /// Whether the request is anonymous.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Self::Verified(Verified { caller: Caller::Anonymous, .. }))
    }

    /// The name of a call across its attempts, where its outcome may be told again: only to its own
    /// sender, which must be authenticated for that.
    pub(super) fn remembered<'a>(&self, call: Option<&'a str>) -> Option<&'a str> {
        call.filter(|_| !self.is_verbatim())
    }

    /// How much buffer space a body of this length needs, by its head.
    pub(super) const fn expected(&self, bytes: u64) -> Expected {
        match self {
            Self::Verified(_) => Expected::Known(bytes),
            Self::Verbatim(_) => Expected::Claimed(bytes),
        }
    }

    /// How many bytes a framed body with this many bytes of content may have; `None` where its
    /// framing is removed here.
    pub(super) fn framed_bytes_max(&self, content_bytes: u64) -> Option<u64> {
        let Self::Verbatim(verbatim) = self else { return None };
        let said = verbatim.request.headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // AWS: chunks have 8 KiB at least, and a chunk's size and signature take about 90 bytes.
        let framed = content_bytes.saturating_mul(2).saturating_add(64 << 10);
        Some(said.map_or(framed, |said: u64| said.min(framed)))
    }

    /// Whether a document of this kind is read here. A document that its sender signed for the
    /// store is read only for the other names in it.
    pub(super) fn is_read(&self, content: Content) -> bool {
        match self {
            Self::Verified(_) => content.is_written_anew(),
            Self::Verbatim(_) => content.is_read_as_sent(),
        }
    }

    /// Reads a document. `checksums`: whether the store gets checksums. A document that is sent on
    /// as it was signed must have the one spelling that every reader understands alike. Errors: as
    /// for [`Content::read`] and [`Content::read_as_sent`].
    pub(super) fn read(
        &self,
        content: Content,
        document: &[u8],
        (chunked, checksums): (bool, bool),
    ) -> Result<Reading, S3Error> {
        match self {
            Self::Verified(_) => content.read(document, checksums),
            Self::Verbatim(_) => content.read_as_sent(document, chunked),
        }
    }
}

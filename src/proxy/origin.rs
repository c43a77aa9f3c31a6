//! Where a request comes from, and so in which form it goes on: verified here and signed anew, or sent
//! on as its sender signed it, for the store to judge (`signatures = "passthrough"`). All that differs
//! between the two after admission is asked here.

use http::header;

use crate::backend::StoreRequest;
use crate::body::Expected;
use crate::s3::content::Reading;
use crate::s3::{Content, S3Error};

/// Who sent a request whose signature is checked here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// The client with this access key: its signature proves it.
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
    /// The proxy knows the sender, and signs anew.
    Verified(Verified),
    /// The store is to judge the sender.
    Verbatim(Box<Verbatim>),
}

/// What a signature that was checked here has proved.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    /// Signed by a URL: its holder may do that one thing, and is not told more.
    pub(super) presigned: bool,
}

/// A request that goes on as it came.
#[derive(Debug)]
pub(super) struct Verbatim {
    /// The access key that its sender claims; empty where there is none.
    pub(super) access_key_id: String,
    /// The whole of it, but for its body.
    pub(super) request: StoreRequest,
    /// Whether its body is chunked, of a length that is not said.
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

    /// Whether the sender may be told what stands at the key. The holder of a presigned URL may write,
    /// not read, and of one whose signature is not checked here nothing is known.
    pub(super) const fn may_tell(&self) -> bool {
        matches!(self, Self::Verified(Verified { presigned: false, .. }))
    }

    /// Whether the sender has proved to be a client, by more than a URL that was given to it.
    pub(super) const fn is_client(&self) -> bool {
        matches!(self, Self::Verified(Verified { caller: Caller::Client(_), presigned: false }))
    }

    /// Whether anybody may have sent the request.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Self::Verified(Verified { caller: Caller::Anonymous, .. }))
    }

    /// What names a call across its attempts, where what became of it may be told again: only to its own
    /// sender, who has to be known for that.
    pub(super) fn remembered<'a>(&self, call: Option<&'a str>) -> Option<&'a str> {
        call.filter(|_| !self.is_verbatim())
    }

    /// How much room a body of this length takes, by its head.
    pub(super) const fn expected(&self, bytes: u64) -> Expected {
        match self {
            Self::Verified(_) => Expected::Known(bytes),
            Self::Verbatim(_) => Expected::Claimed(bytes),
        }
    }

    /// How many bytes a body may have as it is sent, of which this many are content; `None` where its
    /// framing is undone here.
    pub(super) fn framed_bytes_max(&self, content_bytes: u64) -> Option<u64> {
        let Self::Verbatim(verbatim) = self else { return None };
        let said = verbatim.request.headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // AWS: chunks have 8 KiB at least, and a chunk's size and signature take about 90 bytes.
        let framed = content_bytes.saturating_mul(2).saturating_add(64 << 10);
        Some(said.map_or(framed, |said: u64| said.min(framed)))
    }

    /// Whether a document of this kind is read here. What its sender has signed for the store is read
    /// only for what else it names.
    pub(super) fn is_read(&self, content: Content) -> bool {
        match self {
            Self::Verified(_) => content.is_written_anew(),
            Self::Verbatim(_) => content.is_read_as_sent(),
        }
    }

    /// Reads a document. `checksums`: whether the store is told of checksums. One that goes on as it was
    /// signed has to be in the one spelling that every reader takes alike. Errors: as for
    /// [`Content::read`] and [`Content::read_as_sent`].
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

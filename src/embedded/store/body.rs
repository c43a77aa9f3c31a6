//! A request's body on its way into a file: written, hashed, and held to what its request declares.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::HeaderMap;
use md5::{Digest as _, Md5};
use s3s::checksum::ChecksumHasher;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};
use tokio::task::spawn_blocking;

use super::checksums;
use super::failure::{broken_off, internal};
use super::files::{Files, NewFile};
use super::records::{Algorithm, Checksum, Content, Description, Object};

/// The largest body (AWS: PutObject, UploadPart), in bytes.
pub(super) const BODY_BYTES_MAX: u64 = 5 << 30;
/// Pieces are gathered up to this size before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// What a request says of its body.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) length: Option<i64>,
    /// In base64 (`Content-MD5`).
    pub(super) md5: Option<String>,
    pub(super) checksum: Option<Checksum>,
    /// The algorithm whose sum is in the trailer.
    pub(super) announced: Option<Algorithm>,
    /// The algorithm whose sum is wanted where none is declared.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) trailers: Option<TrailingHeaders>,
}

impl Declared {
    /// What a request's head says of its checksum, of which the fields have this one.
    pub(super) fn of(headers: &HeaderMap, checksum: Option<Checksum>) -> S3Result<Self> {
        let announced = checksums::announced(headers)?;
        let declared = checksum.as_ref().map(|checksum| checksum.algorithm).or(announced);
        // AWS: "Checking object integrity". A request that names an algorithm has its sum.
        match (checksums::named(headers)?, declared) {
            (Some(_), None) => Err(s3_error!(
                InvalidRequest,
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
                 x-amz-trailer headers were found."
            )),
            (Some(named), Some(declared)) if named != declared => Err(s3_error!(
                InvalidRequest,
                "Value for x-amz-sdk-checksum-algorithm header is invalid."
            )),
            _ => Ok(Self { checksum, announced, ..Self::default() }),
        }
    }
}

/// A body that is in a file and is what its request declared.
#[derive(Debug)]
pub(super) struct Received {
    /// `None` where it is empty.
    pub(super) file: Option<NewFile>,
    pub(super) size: u64,
    /// In hex.
    pub(super) md5: String,
    pub(super) checksum: Option<Checksum>,
}

impl Received {
    /// The object that it is, with this description.
    pub(super) fn object(&self, described: Description) -> Object {
        Object {
            size: self.size,
            etag: self.md5.clone(),
            content: self.file_name().map_or(Content::Empty, Content::File),
            described,
            checksum: self.checksum.clone(),
        }
    }

    /// The name of its file.
    pub(super) fn file_name(&self) -> Option<String> {
        self.file.as_ref().map(|file| file.name().to_owned())
    }
}

/// Takes a body. What is refused leaves no file.
pub(super) async fn receive(
    files: &Arc<Files>,
    body: Option<StreamingBlob>,
    declared: Declared,
) -> S3Result<Received> {
    if declared.length.is_some_and(|length| u64::try_from(length).is_ok_and(is_too_large)) {
        return Err(too_large());
    }
    let algorithm = declared.checksum.as_ref().map(|checksum| checksum.algorithm);
    let algorithm = algorithm.or(declared.announced).or(declared.algorithm);
    let mut writing = Writing::new(Arc::clone(files), algorithm);
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            writing.push(piece.map_err(broken_off)?).await?;
        }
    }
    let received = writing.finish().await?;
    check(&received, declared)?;
    Ok(received)
}

/// Holds a document to what its request declares (AWS: "Checking object integrity"): its MD5, and its
/// sum unless that is another's.
pub(in crate::embedded) fn check_document(
    headers: &HeaderMap,
    trailers: Option<TrailingHeaders>,
    document: &[u8],
    has_sum: bool,
) -> S3Result<()> {
    let md5 = headers.get("content-md5").and_then(|md5| md5.to_str().ok()).map(str::to_owned);
    let declared = if has_sum {
        Declared::of(headers, checksums::in_fields(headers)?)?
    } else {
        Declared::default()
    };
    let declared = Declared { md5, trailers, ..declared };
    let algorithm = declared.checksum.as_ref().map(|checksum| checksum.algorithm);
    let algorithm = algorithm.or(declared.announced);
    if declared.md5.is_none() && algorithm.is_none() {
        return Ok(());
    }
    let mut hasher = algorithm.map(Algorithm::hasher).unwrap_or_default();
    hasher.update(document);
    let received = Received {
        file: None,
        size: document.len() as u64,
        md5: hex::encode(Md5::digest(document)),
        checksum: checksums::sum(hasher),
    };
    check(&received, declared)
}

/// Refuses a document of which nothing is declared (AWS: DeleteObjects).
pub(super) fn must_be_declared(headers: &HeaderMap) -> S3Result<()> {
    // What they say was checked in front.
    let has_sum = Algorithm::ALL.iter().any(|known| headers.contains_key(known.field()));
    if has_sum || headers.contains_key("content-md5") || headers.contains_key("x-amz-trailer") {
        return Ok(());
    }
    Err(s3_error!(InvalidRequest, "Missing required header for this request: Content-MD5"))
}

fn check(received: &Received, declared: Declared) -> S3Result<()> {
    if declared.length.is_some_and(|length| u64::try_from(length) != Ok(received.size)) {
        return Err(s3_error!(IncompleteBody));
    }
    if let Some(md5) = declared.md5 {
        match BASE64_STANDARD.decode(&md5) {
            Ok(digest) if digest.len() == 16 => {
                if hex::encode(digest) != received.md5 {
                    return Err(bad_digest("Content-MD5"));
                }
            }
            _ => return Err(s3_error!(InvalidDigest)),
        }
    }
    let trailer = |trailers: TrailingHeaders| trailers.take();
    let trailers: Option<HeaderMap> = declared.trailers.and_then(trailer);
    let trailing = trailers.as_ref().map(checksums::in_fields).transpose()?.flatten();
    if let Some(announced) = declared.announced
        && trailing.is_none()
    {
        let name = announced.name();
        return Err(s3_error!(InvalidRequest, "The trailer has no checksum {name}."));
    }
    match declared.checksum.or(trailing) {
        Some(promised) if Some(&promised) != received.checksum.as_ref() => {
            Err(bad_digest(promised.algorithm.name()))
        }
        _ => Ok(()),
    }
}

fn bad_digest(what: &str) -> S3Error {
    s3_error!(BadDigest, "The {what} you specified did not match what we received.")
}

const fn is_too_large(bytes: u64) -> bool {
    bytes > BODY_BYTES_MAX
}

/// AWS: EntityTooLarge.
pub(super) fn too_large() -> S3Error {
    s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size")
}

struct Writing {
    files: Arc<Files>,
    file: Option<(File, NewFile)>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    size: u64,
    md5: Md5,
    hasher: ChecksumHasher,
}

impl Writing {
    fn new(files: Arc<Files>, algorithm: Option<Algorithm>) -> Self {
        Self {
            files,
            file: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            size: 0,
            md5: Md5::new(),
            hasher: algorithm.map(Algorithm::hasher).unwrap_or_default(),
        }
    }

    async fn push(&mut self, piece: Bytes) -> S3Result<()> {
        self.md5.update(&piece);
        self.hasher.update(&piece);
        self.size += piece.len() as u64;
        if is_too_large(self.size) {
            return Err(too_large());
        }
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        if self.waiting_bytes >= WRITE_BYTES { self.write_out(false).await } else { Ok(()) }
    }

    async fn write_out(&mut self, last: bool) -> S3Result<()> {
        let pieces = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let (files, file) = (Arc::clone(&self.files), self.file.take());
        let written = spawn_blocking(move || {
            let (mut file, named) = file.map_or_else(|| files.create(), Ok)?;
            pieces.iter().try_for_each(|piece| file.write_all(piece))?;
            if last {
                files.sync(&file, &named)?;
            }
            Ok::<_, std::io::Error>((file, named))
        });
        self.file = Some(written.await.map_err(internal)?.map_err(internal)?);
        Ok(())
    }

    async fn finish(mut self) -> S3Result<Received> {
        if self.size > 0 {
            self.write_out(true).await?;
        }
        Ok(Received {
            file: self.file.map(|(_, named)| named),
            size: self.size,
            md5: hex::encode(self.md5.finalize()),
            checksum: checksums::sum(self.hasher),
        })
    }
}

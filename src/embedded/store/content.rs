//! The bytes of an object on their way to a reader: one content, whole, also while the object is
//! replaced; and never more of it in memory than one piece.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use s3s::dto::StreamingBlob;
use tokio::task::spawn_blocking;

use super::failure::{Refused, internal};
use super::files::{Files, Pinned};
use super::find::Found;
use super::index::{Read, Snapshot};
use super::records::{Content, Part};

/// The largest piece that is read at once, in bytes.
const PIECE_BYTES: u64 = 256 * 1024;

/// A version whose bytes stay readable.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) found: Found,
    /// The parts it is made of, if it is.
    pub(super) parts: Vec<(u16, Part)>,
    bytes: Source,
}

#[derive(Debug)]
enum Source {
    Nothing,
    File(Arc<File>),
    Parts(Pinned),
}

/// Finds a version by `find` and opens its bytes. `find` is asked again with a new look where
/// the version it found was replaced before its files could be opened. Blocks.
pub(super) fn open(
    files: &Arc<Files>,
    look: impl Fn() -> Result<Arc<Snapshot>, Refused>,
    find: impl Fn(&Snapshot) -> Result<Found, Refused>,
) -> Result<Opened, Refused> {
    loop {
        let index = look()?;
        let found = find(&index)?;
        let (parts, bytes) = match &found.object.content {
            Content::Empty => (Vec::new(), Source::Nothing),
            Content::File(name) => match files.read(name) {
                Ok(file) => (Vec::new(), Source::File(Arc::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    is_replaced(&*look()?, &find, &found)?;
                    continue;
                }
                Err(error) => return Err(internal(error).into()),
            },
            Content::Parts(upload_id, count) => {
                let parts = index.parts_of(upload_id)?;
                let size: u64 = parts.iter().map(|(_, part)| part.size).sum();
                if parts.len() != usize::from(*count) || size != found.object.size {
                    let why = format!("parts of an object are missing: {upload_id}");
                    return Err(internal(why).into());
                }
                let names = parts.iter().filter_map(|(_, part)| part.file.clone()).collect();
                let pinned = files.pin(names);
                let now = find(&*look()?)?;
                if !now.is(&found) {
                    continue;
                }
                (parts, Source::Parts(pinned))
            }
        };
        return Ok(Opened { found, parts, bytes });
    }
}

/// A file is missing: if the version is still there, bytes are lost, and looking again would not
/// end.
fn is_replaced(
    index: &Snapshot,
    find: impl Fn(&Snapshot) -> Result<Found, Refused>,
    found: &Found,
) -> Result<(), Refused> {
    if find(index)?.is(found) {
        let why = format!("the file of an object is missing: {:?}", found.object.content);
        return Err(internal(why).into());
    }
    Ok(())
}

/// A run of bytes in one file.
#[derive(Debug)]
struct Run {
    file: Place,
    range: Range<u64>,
}

#[derive(Debug)]
enum Place {
    Open(Arc<File>),
    Named(String),
}

impl Opened {
    /// The bytes of a range, which must lie within the object.
    pub(super) fn stream(self, files: Arc<Files>, range: Range<u64>) -> StreamingBlob {
        let length = range.end - range.start;
        let (runs, pinned) = self.runs(range);
        let state = (files, runs.into_iter(), None::<Run>, pinned);
        let pieces = stream::unfold(state, async |(files, mut runs, current, pinned)| {
            let run = current.or_else(|| runs.next())?;
            let read = spawn_blocking({
                let files = Arc::clone(&files);
                move || read_piece(&files, run)
            });
            let (piece, rest) = match read.await.map_err(io::Error::other).flatten() {
                Ok(read) => read,
                // The connection is cut: its client sees that the object is not whole.
                Err(error) => {
                    tracing::error!(%error, "the embedded store cannot read an object");
                    return Some((Err(error), (files, Vec::new().into_iter(), None, pinned)));
                }
            };
            Some((Ok(piece), (files, runs, rest, pinned)))
        });
        StreamingBlob::new(super::sized::Sized::new(Box::pin(pieces), length))
    }

    fn runs(self, range: Range<u64>) -> (Vec<Run>, Option<Pinned>) {
        if range.is_empty() {
            return (Vec::new(), None);
        }
        match self.bytes {
            Source::Nothing => (Vec::new(), None),
            Source::File(file) => (vec![Run { file: Place::Open(file), range }], None),
            Source::Parts(pinned) => {
                let (mut runs, mut start) = (Vec::new(), 0);
                for (_, part) in self.parts {
                    let (from, to) = (range.start.max(start), range.end.min(start + part.size));
                    if let Some(name) = part.file
                        && from < to
                    {
                        let range = from - start..to - start;
                        runs.push(Run { file: Place::Named(name), range });
                    }
                    start += part.size;
                }
                (runs, Some(pinned))
            }
        }
    }
}

/// Reads the first piece of a run, and returns what is left of it.
fn read_piece(files: &Files, run: Run) -> io::Result<(Bytes, Option<Run>)> {
    let Run { file, range } = run;
    let file = match file {
        Place::Open(file) => file,
        Place::Named(name) => Arc::new(files.read(&name)?),
    };
    let end = range.end.min(range.start + PIECE_BYTES);
    let mut piece = vec![0; usize::try_from(end - range.start).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, range.start)?;
    let rest = (end < range.end).then(|| Run { file: Place::Open(file), range: end..range.end });
    Ok((piece.into(), rest))
}

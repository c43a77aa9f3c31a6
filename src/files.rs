//! Bounded reads of the files that settings name: whatever the path leads to (a directory, an
//! endless device, a pipe without a writer), the result is content or an error sentence.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// A file's content and what the system says of it.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) metadata: Metadata,
}

/// How long a read may take of anything that is not a file on disk. A pipe that a shell has made
/// (`--config <(decrypt …)`) works like a file, once its writer has written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads all of a file of at most `bytes_max` bytes. The error is a sentence to put after the
/// file's name.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Content, String> {
    let cannot = |error: &io::Error| format!("cannot be read: {error}");
    let found = std::fs::metadata(path).map_err(|error| cannot(&error))?;
    let content = if found.is_file() {
        read_whole(path, bytes_max)
    } else {
        read_patiently(path.to_owned(), bytes_max)?
    };
    let content = content.map_err(|error| cannot(&error))?;
    if content.bytes.len() as u64 > bytes_max {
        return Err(format!("is longer than {bytes_max} bytes, so it is another file than meant"));
    }
    Ok(content)
}

/// Reads up to one byte more than wanted.
fn read_whole(path: &Path, bytes_max: u64) -> io::Result<Content> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(Content { bytes, metadata })
}

/// The same in a thread of its own, since opening a pipe may block for ever.
fn read_patiently(path: PathBuf, bytes_max: u64) -> Result<io::Result<Content>, String> {
    let (told, hears) = mpsc::channel();
    std::thread::spawn(move || {
        // The receiver is gone after the time limit.
        let _ = told.send(read_whole(&path, bytes_max));
    });
    let seconds = PATIENCE.as_secs();
    hears.recv_timeout(PATIENCE).map_err(|_| {
        format!("cannot be read: it is not a file on disk, and had no end after {seconds} s")
    })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn said(path: &Path) -> String {
        match read(path, 100) {
            Ok(content) => format!("{} bytes", content.bytes.len()),
            Err(why) => why,
        }
    }

    #[test]
    fn whatever_a_path_leads_to_ends_in_content_or_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("whole"), [b'x'; 100]).unwrap();
        std::fs::write(at("long"), [b'x'; 101]).unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(said(&at("whole")), "100 bytes");
        assert_eq!(said(&at("empty")), "0 bytes");
        assert_eq!(said(Path::new("/dev/null")), "0 bytes");
        for (path, sentence) in [
            (at("long"), "is longer than 100 bytes, so it is another file than meant"),
            (PathBuf::from("/dev/zero"), "is longer than 100 bytes"),
            (at("missing"), "cannot be read: No such file"),
            (at("whole").join("below"), "cannot be read: Not a directory"),
            (at("loop"), "cannot be read: Too many levels"),
            (dir.path().to_owned(), "cannot be read: Is a directory"),
            (at("pipe"), "cannot be read: it is not a file on disk, and had no end after 5 s"),
        ] {
            assert!(said(&path).starts_with(sentence), "{}: {}", path.display(), said(&path));
        }
    }

    #[test]
    fn a_pipe_with_a_writer_is_as_good_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, "secret").unwrap()
        });
        assert_eq!(read(&pipe, 100).unwrap().bytes, b"secret");
        writer.join().unwrap();
    }
}

//! The file layout of `s3s-fs`, as far as requests must be judged by it: the object `a/b` of
//! `bucket` is the file `bucket/a/b`, and the root directory has files for its metadata.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::{S3Result, s3_error};
use tempfile::NamedTempFile;

/// The store's directory.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    /// `root` is the directory without symbolic links.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Checks a key that is read or copied from. For a directory `s3s-fs` would answer 500, and it
    /// would resolve `..` up to the files beside the buckets.
    pub(super) fn check_source(&self, bucket: &str, key: &str) -> S3Result<()> {
        match self.path(bucket, key) {
            Some(path) if !path.is_dir() => Ok(()),
            Some(_) | None => Err(s3_error!(NoSuchKey)),
        }
    }

    /// Checks a key that is deleted.
    pub(super) fn check_deleted(&self, bucket: &str, key: &str) -> S3Result<()> {
        match self.path(bucket, key) {
            Some(path) if !path.is_dir() => Ok(()),
            Some(_) | None => Err(s3_error!(InvalidRequest, "{NO_FILE_NAME}")),
        }
    }

    /// Checks a key that is written: its path must be free or a file. Directories without files are
    /// removed first.
    pub(super) fn check_target(&self, bucket: &str, key: &str) -> S3Result<()> {
        let Some(path) = self.path(bucket, key) else {
            return Err(s3_error!(InvalidRequest, "{NO_FILE_NAME}"));
        };
        let side_file_bytes = side_file(bucket, key).len() + UPLOAD_SUFFIX_BYTES;
        let mut parts = key.split('/');
        if side_file_bytes > NAME_BYTES_MAX || parts.any(|part| part.len() > NAME_BYTES_MAX) {
            return Err(s3_error!(KeyTooLongError));
        }
        let bucket = self.root.join(bucket);
        // `s3s-fs` would create the bucket.
        if !bucket.is_dir() {
            return Err(s3_error!(NoSuchBucket));
        }
        let below_a_file =
            path.ancestors().skip(1).take_while(|above| *above != bucket).any(Path::is_file);
        if below_a_file || (path.is_dir() && !remove_if_hollow(&path).unwrap_or(false)) {
            return Err(s3_error!(InvalidRequest, "{FILE_AND_DIRECTORY}"));
        }
        Ok(())
    }

    /// Checks a bucket that is deleted: `s3s-fs` would delete its objects too.
    pub(super) fn check_deleted_bucket(&self, bucket: &str) -> S3Result<()> {
        let bucket = self.root.join(bucket);
        let entries = fs::read_dir(bucket).into_iter().flatten().flatten();
        let mut hollow = entries.map(|entry| remove_if_hollow(&entry.path()).unwrap_or(false));
        if hollow.all(|hollow| hollow) { Ok(()) } else { Err(s3_error!(BucketNotEmpty)) }
    }

    /// Removes the checksums from an object's metadata before a multipart upload replaces the
    /// object: `s3s-fs` would keep them for the new bytes, and clients would refuse the download.
    pub(super) fn forget_checksums(&self, bucket: &str, key: &str) -> io::Result<()> {
        let path = self.root.join(format!("{}.internal.json", side_file(bucket, key)));
        let Ok(text) = fs::read(&path) else { return Ok(()) };
        let mut known: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text)?;
        known.retain(|name, _| !name.starts_with("checksum"));
        let mut file = NamedTempFile::with_prefix_in(".ifmatch-", &self.root)?;
        file.write_all(&serde_json::to_vec(&known)?)?;
        file.persist(&path)?;
        Ok(())
    }

    /// The object's file; `None` for a key whose path would be another key's file, or outside of
    /// the bucket.
    fn path(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        key.split('/').all(plain).then(|| self.root.join(bucket).join(key))
    }
}

/// The prefix of the names of the files beside the buckets.
fn side_file(bucket: &str, key: &str) -> String {
    let encode = |name: &str| BASE64_URL_SAFE_NO_PAD.encode(name);
    format!(".bucket-{}.object-{}", encode(bucket), encode(key))
}

/// Removes a directory that contains no file at any depth, and returns whether it did. Only empty
/// directories are removed, so a file that appears meanwhile is safe.
fn remove_if_hollow(path: &Path) -> io::Result<bool> {
    if !path.symlink_metadata()?.is_dir() {
        return Ok(false);
    }
    for entry in fs::read_dir(path)? {
        if !remove_if_hollow(&entry?.path())? {
            return Ok(false);
        }
    }
    fs::remove_dir(path)?;
    Ok(true)
}

/// The longest name of one file, on all file systems in use.
const NAME_BYTES_MAX: usize = 255;

/// The longest suffix of a file beside the buckets is that of an upload's metadata; an upload id is
/// a UUID.
const UPLOAD_SUFFIX_BYTES: usize =
    ".upload-00000000-0000-0000-0000-000000000000.metadata.json".len();

const NO_FILE_NAME: &str = "The embedded store keeps objects as files: a key may not end in \"/\", \
                            be that of a directory, or have empty, \".\" or \"..\" segments.";
const FILE_AND_DIRECTORY: &str = "The embedded store keeps objects as files: \"a\" and \"a/b\" \
                                  cannot be there at the same time.";

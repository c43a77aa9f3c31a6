//! What stands at a key when a write of it is judged, and the one way to replace it. It is read once
//! for each write, by the index's only writer.

use super::failure::Refused;
use super::index::{Broken, Placed, Read, Writing};
use super::records::{Bucket, NULL, Object, Version, Versioning};
use super::{Now, find};
use crate::random;

/// A key's bucket and its latest version.
#[derive(Debug)]
pub(super) struct Standing<'k> {
    bucket_name: &'k str,
    key: &'k str,
    bucket: Bucket,
    latest: Option<Placed>,
}

impl<'k> Standing<'k> {
    /// Reads it. Refuses a key of a bucket that is not there.
    pub(super) fn at(
        index: &impl Read,
        (bucket_name, key): (&'k str, &'k str),
    ) -> Result<Self, Refused> {
        let bucket = find::bucket(index, bucket_name)?;
        Ok(Self { bucket_name, key, bucket, latest: index.latest(bucket_name, key)? })
    }

    /// The latest version; a delete marker is one too.
    pub(super) fn version(&self) -> Option<&Version> {
        self.latest.as_ref().map(|latest| &latest.version)
    }

    /// The sequence number of the latest version; 0 where there is none.
    pub(super) fn sequence(&self) -> u64 {
        self.latest.as_ref().map_or(0, |latest| latest.sequence)
    }

    /// Makes an object, or a delete marker, the latest version. Returns its id, if answers are to
    /// name it. The caller has judged the conditions.
    pub(super) fn replace(
        self,
        tables: &mut Writing<'_>,
        now: Now,
        object: Option<Object>,
    ) -> Result<Option<String>, Broken> {
        // Also where the clock was set back, a later version comes behind an earlier one.
        let sequence = self.latest.as_ref().map_or(0, |latest| latest.sequence + 1);
        let sequence = sequence.max(now.microseconds());
        let id = if self.bucket.versioning == Versioning::Enabled {
            Some(format!("{sequence:016x}{}", &random::id()[..16]))
        } else {
            let replaced = match self.latest {
                Some(latest) if latest.version.id.is_none() => Some(latest),
                Some(_) => tables.version(self.bucket_name, self.key, NULL)?,
                None => None,
            };
            if let Some(replaced) = replaced {
                tables.remove_version(self.bucket_name, &replaced)?;
            }
            None
        };
        let version = Version { id, modified_ms: now.milliseconds(), object };
        let shown = find::shown_id(&self.bucket, &version);
        tables.put_version(
            self.bucket_name,
            &Placed { key: self.key.to_owned(), sequence, version },
        )?;
        Ok(shown)
    }

    /// Deletes the key: hides it behind a delete marker, whose id it returns, or removes its only
    /// version where the bucket was never versioned.
    pub(super) fn delete(
        self,
        tables: &mut Writing<'_>,
        now: Now,
    ) -> Result<Option<String>, Broken> {
        if self.bucket.versioning != Versioning::Off {
            return self.replace(tables, now, None);
        }
        if let Some(latest) = &self.latest {
            tables.remove_version(self.bucket_name, latest)?;
            self.note_in_uploads(tables)?;
        }
        Ok(None)
    }

    /// Notes in the key's uploads that it was deleted: nothing else is left of it.
    fn note_in_uploads(&self, tables: &mut Writing<'_>) -> Result<(), Broken> {
        let mut from = String::new();
        while let Some((key, id, mut upload)) =
            tables.upload_from(self.bucket_name, self.key.as_bytes(), &from)?
        {
            if key != self.key {
                break;
            }
            upload.key_deleted = true;
            tables.put_upload((self.bucket_name, self.key, &id), &upload)?;
            from = format!("{id}\0");
        }
        Ok(())
    }
}

/// The id of a version in the answer to the PutObject or the complete that made it: that of the null
/// version is not told (AWS: PutObject, the examples). That of a copy or a delete marker is.
pub(super) fn told(id: Option<String>) -> Option<String> {
    id.filter(|id| id != NULL)
}

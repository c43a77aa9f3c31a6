//! The tables of the index, and what is read and written in them. All functions are about rows; what
//! a request means is decided by their callers.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::broken::Broken;
use super::undo::{Before, Place, exchange};
use crate::embedded::store::files::NewFile;
use crate::embedded::store::records::{Bucket, Content, Part, Upload, Version};

/// Rows by their place in the table; the value is JSON.
type Rows<K> = TableDefinition<'static, K, &'static [u8]>;
/// A version's place: its bucket, its key, and [`order`] of its sequence number.
type VersionKey = (&'static str, &'static [u8], u64);
type UploadKey = (&'static str, &'static [u8], &'static str);
type PartKey = (&'static str, u16);

const META: Rows<&str> = TableDefinition::new("meta");
const BUCKETS: Rows<&str> = TableDefinition::new("buckets");
const VERSIONS: Rows<VersionKey> = TableDefinition::new("versions");
const UPLOADS: Rows<UploadKey> = TableDefinition::new("uploads");
const PARTS: Rows<PartKey> = TableDefinition::new("parts");

/// Later versions of a key come first.
const fn order(sequence: u64) -> u64 {
    u64::MAX - sequence
}

/// The bytes that come behind all keys that begin with this one: no UTF-8 contains 0xff.
pub(in crate::embedded::store) fn behind_all_with(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff]].concat()
}

/// The first bytes behind this key.
pub(in crate::embedded::store) fn just_behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// A row with its place.
#[derive(Debug, Clone)]
pub(in crate::embedded::store) struct Placed {
    pub(in crate::embedded::store) key: String,
    pub(in crate::embedded::store) sequence: u64,
    pub(in crate::embedded::store) version: Version,
}

impl Placed {
    fn place(&self, bucket: &str) -> Place {
        let key = self.key.as_bytes().to_vec();
        Place::Version(bucket.to_owned(), key, order(self.sequence))
    }
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Broken> {
    serde_json::from_slice(bytes).map_err(Broken::row)
}

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, Broken> {
    serde_json::to_vec(value).map_err(Broken::row)
}

fn text(key: &[u8]) -> Result<String, Broken> {
    String::from_utf8(key.to_vec()).map_err(Broken::row)
}

/// What can be read, in a transaction of either kind.
pub(in crate::embedded::store) trait Read {
    type Buckets: ReadableTable<&'static str, &'static [u8]>;
    type Versions: ReadableTable<VersionKey, &'static [u8]>;
    type Uploads: ReadableTable<UploadKey, &'static [u8]>;
    type Parts: ReadableTable<PartKey, &'static [u8]>;

    fn buckets(&self) -> &Self::Buckets;
    fn versions(&self) -> &Self::Versions;
    fn uploads(&self) -> &Self::Uploads;
    fn parts(&self) -> &Self::Parts;

    fn bucket(&self, name: &str) -> Result<Option<Bucket>, Broken> {
        self.buckets().get(name)?.map(|row| decoded(row.value())).transpose()
    }

    fn all_buckets(&self) -> Result<Vec<(String, Bucket)>, Broken> {
        let rows = self.buckets().iter()?;
        rows.map(|row| {
            let (name, bucket) = row?;
            Ok((name.value().to_owned(), decoded(bucket.value())?))
        })
        .collect()
    }

    /// The first version at or behind this place, in the order of keys and, for one key, from the
    /// latest version to the first.
    fn version_from(
        &self,
        bucket: &str,
        key: &[u8],
        sequence: u64,
    ) -> Result<Option<Placed>, Broken> {
        let from = (bucket, key, order(sequence));
        let Some(row) = self.versions().range(from..)?.next() else { return Ok(None) };
        let (place, version) = row?;
        let (of, key, at) = place.value();
        if of != bucket {
            return Ok(None);
        }
        let version = decoded(version.value())?;
        Ok(Some(Placed { key: text(key)?, sequence: order(at), version }))
    }

    /// The latest version of a key; a delete marker is one too.
    fn latest(&self, bucket: &str, key: &str) -> Result<Option<Placed>, Broken> {
        let found = self.version_from(bucket, key.as_bytes(), u64::MAX)?;
        Ok(found.filter(|found| found.key == key))
    }

    /// All versions of a key, the latest first.
    fn versions_of(&self, bucket: &str, key: &str) -> Result<Vec<Placed>, Broken> {
        let whole = (bucket, key.as_bytes(), 0)..=(bucket, key.as_bytes(), u64::MAX);
        let rows = self.versions().range(whole)?;
        rows.map(|row| {
            let (place, version) = row?;
            let sequence = order(place.value().2);
            Ok(Placed { key: key.to_owned(), sequence, version: decoded(version.value())? })
        })
        .collect()
    }

    /// The version of a key with this id, as AWS shows it.
    fn version(&self, bucket: &str, key: &str, id: &str) -> Result<Option<Placed>, Broken> {
        let named = |placed: &Placed| placed.key == key && placed.version.id() == id;
        // An id begins with the version's sequence number; only `null` has to be looked for.
        match id.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            Some(sequence) => {
                Ok(self.version_from(bucket, key.as_bytes(), sequence)?.filter(named))
            }
            None => Ok(self.versions_of(bucket, key)?.into_iter().find(named)),
        }
    }

    fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<Option<Upload>, Broken> {
        let row = self.uploads().get((bucket, key.as_bytes(), id))?;
        row.map(|row| decoded(row.value())).transpose()
    }

    /// The first upload at or behind this place: its key, its id and what is known of it.
    fn upload_from(
        &self,
        bucket: &str,
        key: &[u8],
        id: &str,
    ) -> Result<Option<(String, String, Upload)>, Broken> {
        let Some(row) = self.uploads().range((bucket, key, id)..)?.next() else { return Ok(None) };
        let (place, upload) = row?;
        let (of, key, id) = place.value();
        if of != bucket {
            return Ok(None);
        }
        Ok(Some((text(key)?, id.to_owned(), decoded(upload.value())?)))
    }

    fn part(&self, upload_id: &str, number: u16) -> Result<Option<Part>, Broken> {
        self.parts().get((upload_id, number))?.map(|row| decoded(row.value())).transpose()
    }

    /// The parts of an upload, or of the object that was made of it.
    fn parts_of(&self, upload_id: &str) -> Result<Vec<(u16, Part)>, Broken> {
        let rows = self.parts().range((upload_id, 0)..=(upload_id, u16::MAX))?;
        rows.map(|row| {
            let (place, part) = row?;
            Ok((place.value().1, decoded(part.value())?))
        })
        .collect()
    }

    /// Calls `name` with the name of each file that a row names.
    fn each_file(&self, mut name: impl FnMut(&str)) -> Result<(), Broken> {
        for row in self.versions().iter()? {
            let version: Version = decoded(row?.1.value())?;
            if let Some(Content::File(file)) = version.object.map(|object| object.content) {
                name(&file);
            }
        }
        for row in self.parts().iter()? {
            let part: Part = decoded(row?.1.value())?;
            part.file.as_deref().map(&mut name);
        }
        Ok(())
    }
}

macro_rules! reads {
    ($type:ty, $table:ident) => {
        impl<'t> Read for $type {
            type Buckets = $table!(&'static str);
            type Versions = $table!(VersionKey);
            type Uploads = $table!(UploadKey);
            type Parts = $table!(PartKey);

            fn buckets(&self) -> &Self::Buckets {
                &self.buckets
            }

            fn versions(&self) -> &Self::Versions {
                &self.versions
            }

            fn uploads(&self) -> &Self::Uploads {
                &self.uploads
            }

            fn parts(&self) -> &Self::Parts {
                &self.parts
            }
        }
    };
}

macro_rules! read_only {
    ($key:ty) => { redb::ReadOnlyTable<$key, &'static [u8]> };
}

macro_rules! writable {
    ($key:ty) => { Table<'t, $key, &'static [u8]> };
}

/// The index as it was at one moment.
pub(in crate::embedded::store) struct Snapshot {
    buckets: read_only!(&'static str),
    versions: read_only!(VersionKey),
    uploads: read_only!(UploadKey),
    parts: read_only!(PartKey),
}

impl Snapshot {
    pub(super) fn of(transaction: &ReadTransaction) -> Result<Self, TableError> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS)?,
            versions: transaction.open_table(VERSIONS)?,
            uploads: transaction.open_table(UPLOADS)?,
            parts: transaction.open_table(PARTS)?,
        })
    }
}

reads!(Snapshot, read_only);

/// The index in a transaction that writes. What several requests write becomes visible at once.
pub(in crate::embedded::store) struct Writing<'t> {
    buckets: writable!(&'static str),
    versions: writable!(VersionKey),
    uploads: writable!(UploadKey),
    parts: writable!(PartKey),
    meta: writable!(&'static str),
    /// What stood where the present request has changed a row.
    before: Vec<Before>,
    /// Files that rows name from now on.
    pub(super) named: Vec<NewFile>,
    /// Files that no row names any more.
    pub(super) unnamed: Vec<String>,
}

impl<'t> Writing<'t> {
    pub(super) fn of(transaction: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS)?,
            versions: transaction.open_table(VERSIONS)?,
            uploads: transaction.open_table(UPLOADS)?,
            parts: transaction.open_table(PARTS)?,
            meta: transaction.open_table(META)?,
            before: Vec::new(),
            named: Vec::new(),
            unnamed: Vec::new(),
        })
    }

    /// Does what one request wants. Where that fails, nothing of it is left.
    pub(super) fn whole<T, E: From<Broken>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let files = (self.named.len(), self.unnamed.len());
        self.before.clear();
        let done = work(self);
        if done.is_err() {
            while let Some(Before { place, row }) = self.before.pop() {
                self.exchange(&place, row.as_deref())?;
            }
            self.named.truncate(files.0);
            self.unnamed.truncate(files.1);
        }
        done
    }

    /// Stores a row, or removes it; returns what stood there.
    fn exchange(&mut self, place: &Place, row: Option<&[u8]>) -> Result<Option<Vec<u8>>, Broken> {
        match place {
            Place::Bucket(name) => exchange(&mut self.buckets, name.as_str(), row),
            Place::Version(bucket, key, order) => {
                exchange(&mut self.versions, (bucket.as_str(), key.as_slice(), *order), row)
            }
            Place::Upload(bucket, key, id) => {
                exchange(&mut self.uploads, (bucket.as_str(), key.as_slice(), id.as_str()), row)
            }
            Place::Part(upload_id, number) => {
                exchange(&mut self.parts, (upload_id.as_str(), *number), row)
            }
        }
    }

    fn change(&mut self, place: Place, row: Option<&[u8]>) -> Result<(), Broken> {
        let before = self.exchange(&place, row)?;
        self.before.push(Before { place, row: before });
        Ok(())
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<String>, Broken> {
        self.meta.get(name)?.map(|row| decoded(row.value())).transpose()
    }

    pub(super) fn set_meta(&mut self, name: &str, value: &str) -> Result<(), Broken> {
        self.meta.insert(name, encoded(&value)?.as_slice())?;
        Ok(())
    }

    pub(in crate::embedded::store) fn put_bucket(
        &mut self,
        name: &str,
        bucket: &Bucket,
    ) -> Result<(), Broken> {
        self.change(Place::Bucket(name.to_owned()), Some(&encoded(bucket)?))
    }

    pub(in crate::embedded::store) fn remove_bucket(&mut self, name: &str) -> Result<(), Broken> {
        self.change(Place::Bucket(name.to_owned()), None)
    }

    pub(in crate::embedded::store) fn put_version(
        &mut self,
        bucket: &str,
        placed: &Placed,
    ) -> Result<(), Broken> {
        self.change(placed.place(bucket), Some(&encoded(&placed.version)?))
    }

    /// Removes a version and, after the commit, its bytes.
    pub(in crate::embedded::store) fn remove_version(
        &mut self,
        bucket: &str,
        placed: &Placed,
    ) -> Result<(), Broken> {
        self.change(placed.place(bucket), None)?;
        match placed.version.object.as_ref().map(|object| &object.content) {
            Some(Content::File(file)) => self.unnamed.push(file.clone()),
            Some(Content::Parts(upload_id, _)) => self.remove_parts(upload_id, |_| true)?,
            Some(Content::Empty) | None => {}
        }
        Ok(())
    }

    pub(in crate::embedded::store) fn put_upload(
        &mut self,
        upload: (&str, &str, &str),
        row: &Upload,
    ) -> Result<(), Broken> {
        self.change(place_of(upload), Some(&encoded(row)?))
    }

    /// Removes an upload; its parts stay.
    pub(in crate::embedded::store) fn remove_upload(
        &mut self,
        upload: (&str, &str, &str),
    ) -> Result<(), Broken> {
        self.change(place_of(upload), None)
    }

    /// Stores a part in the place of an earlier one of its number.
    pub(in crate::embedded::store) fn put_part(
        &mut self,
        upload_id: &str,
        number: u16,
        part: &Part,
    ) -> Result<(), Broken> {
        let replaced = self.part(upload_id, number)?;
        self.unnamed.extend(replaced.and_then(|part| part.file));
        self.change(Place::Part(upload_id.to_owned(), number), Some(&encoded(part)?))
    }

    /// Removes the parts with these numbers and, after the commit, their bytes.
    pub(in crate::embedded::store) fn remove_parts(
        &mut self,
        upload_id: &str,
        unwanted: impl Fn(u16) -> bool,
    ) -> Result<(), Broken> {
        for (number, part) in self.parts_of(upload_id)? {
            if unwanted(number) {
                self.change(Place::Part(upload_id.to_owned(), number), None)?;
                self.unnamed.extend(part.file);
            }
        }
        Ok(())
    }

    /// Keeps a file, if the transaction is committed.
    pub(in crate::embedded::store) fn keep(&mut self, file: Option<NewFile>) {
        self.named.extend(file);
    }
}

/// The place of an upload: its bucket, its key and its id.
fn place_of((bucket, key, id): (&str, &str, &str)) -> Place {
    Place::Upload(bucket.to_owned(), key.as_bytes().to_vec(), id.to_owned())
}

reads!(Writing<'t>, writable);

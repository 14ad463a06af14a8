//! The store on one file of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::{
    Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition,
};

/// The form of everything in the file.
const SCHEMA: &[u8] = b"1";
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
/// Pages that are kept in memory, in bytes.
const CACHE: usize = 32 << 20;
/// Devices that are looked at in each commit, for those that nobody would miss.
const SWEPT: usize = 8;

/// What belongs together in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// Devices by client id. At most ten million.
    Device,
    /// Bans by network. At most 100,000.
    Ban,
    /// What operators said of endpoints. At most 100,000.
    Standing,
}

impl Space {
    const ALL: [Self; 3] = [Self::Device, Self::Ban, Self::Standing];

    fn table(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Device => "device",
            Self::Ban => "ban",
            Self::Standing => "standing",
        })
    }

    /// The most values.
    fn most(self) -> u64 {
        match self {
            Self::Device => 10_000_000,
            Self::Ban | Self::Standing => 100_000,
        }
    }
}

/// The longest key and value, in bytes.
const KEY: usize = 512;
const VALUE: usize = 8192;

/// Why the store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Its folder is missing and could not be made.
    #[error("store {}: folder cannot be made; make it, or set another `[store] file`: {why}", file.display())]
    Folder {
        /// The file.
        file: PathBuf,
        /// The system's word.
        why: Box<str>,
    },
    /// Another process has it open.
    #[error("store {} is in use by another process; one gateway, one store: stop the other, or set another `[store] file`", .0.display())]
    InUse(PathBuf),
    /// It is no store, or one of another version.
    #[error("store {} is of another version of this program, or no store; set another `[store] file`, or move it away", .0.display())]
    Foreign(PathBuf),
    /// It cannot be opened.
    #[error("store {}: cannot be opened; check its owner and mode, or set another `[store] file`: {why}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The system's word.
        why: Box<str>,
    },
    /// It cannot be read or written.
    #[error("the store cannot be read or written: {0}")]
    Broken(Box<str>),
    /// It could not be used just now, and is left alone for a second.
    #[error("the store could not be used a moment ago")]
    Away,
    /// There is no room for another value.
    #[error("the store has as many values of this kind as it may have, or one is too long")]
    Full,
    /// Too much waits for it.
    #[error("too much waits for the store")]
    Busy,
    /// It was closed.
    #[error("the store is closed")]
    Ended,
}

impl StoreError {
    /// Is it the file that failed?
    pub(super) fn is_the_files(&self) -> bool {
        !matches!(self, Self::Away | Self::Full | Self::Busy | Self::Ended)
    }
}

/// The one conversion for everything that goes wrong with an open file.
fn broken(error: impl std::error::Error) -> StoreError {
    StoreError::Broken(error.to_string().into())
}

/// An open file.
pub(super) struct Embedded {
    base: Database,
    /// After which device the sweep goes on.
    swept: String,
}

impl Embedded {
    /// Opens the file at `path`, and makes it and its folder where they are missing. Mode 0600: what is in it
    /// is nobody's business.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)
                .map_err(|error| StoreError::Folder { file: path.into(), why: error.to_string().into() })?;
        }
        let why = |error: &dyn std::error::Error| StoreError::Open {
            file: path.into(),
            why: error.to_string().into(),
        };
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            options.open(path).map_err(|error| why(&error))?;
        }
        let base = redb::Builder::new().set_cache_size(CACHE).create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.into()),
            DatabaseError::UpgradeRequired(_) | DatabaseError::LockProtocolMismatch => {
                StoreError::Foreign(path.into())
            }
            DatabaseError::Storage(redb::StorageError::Io(error))
                if matches!(error.kind(), io::ErrorKind::InvalidData) =>
            {
                StoreError::Foreign(path.into())
            }
            other => why(&other),
        })?;
        let store = Self { base, swept: String::new() };
        store.settle(path)?;
        Ok(store)
    }

    /// Makes what every store has, and sees that this one is of this version.
    fn settle(&self, path: &Path) -> Result<(), StoreError> {
        let writing = self.base.begin_write().map_err(broken)?;
        {
            let mut about = writing.open_table(ABOUT).map_err(broken)?;
            let schema = about.get("schema").map_err(broken)?.map(|found| found.value().to_vec());
            match schema {
                Some(schema) if schema != SCHEMA => return Err(StoreError::Foreign(path.into())),
                Some(_) => {}
                None => drop(about.insert("schema", SCHEMA).map_err(broken)?),
            }
            for space in Space::ALL {
                writing.open_table(space.table()).map_err(broken)?;
            }
        }
        writing.commit().map_err(broken)
    }

    /// Begins a batch on what is on disk now.
    pub(super) fn begin(&self) -> Result<Batch, StoreError> {
        let reading = self.base.begin_read().map_err(broken)?;
        let table = |space: Space| reading.open_table(space.table()).map_err(broken);
        let tables = [table(Space::Device)?, table(Space::Ban)?, table(Space::Standing)?];
        Ok(Batch { tables, changes: BTreeMap::new(), added: [0; 3] })
    }

    /// Puts a batch on disk, whole or not at all, and returns how many devices there are. `is_over` tells which
    /// devices nobody would miss; a few are looked at each time.
    pub(super) fn commit(
        &mut self,
        batch: Batch,
        is_over: &dyn Fn(&[u8]) -> bool,
    ) -> Result<u64, StoreError> {
        let changes = batch.changes;
        drop(batch.tables);
        let writing = self.base.begin_write().map_err(broken)?;
        let devices = {
            let [mut devices, mut bans, mut standings] = [
                writing.open_table(Space::Device.table()).map_err(broken)?,
                writing.open_table(Space::Ban.table()).map_err(broken)?,
                writing.open_table(Space::Standing.table()).map_err(broken)?,
            ];
            for ((space, key), value) in &changes {
                let table = match space {
                    Space::Device => &mut devices,
                    Space::Ban => &mut bans,
                    Space::Standing => &mut standings,
                };
                match value {
                    Some(value) => drop(table.insert(&**key, &**value).map_err(broken)?),
                    None => drop(table.remove(&**key).map_err(broken)?),
                }
            }
            let (mut over, mut seen) = (Vec::new(), 0);
            let from = (Bound::Excluded(self.swept.as_str()), Bound::Unbounded);
            for entry in devices.range::<&str>(from).map_err(broken)?.take(SWEPT) {
                let (key, value) = entry.map_err(broken)?;
                seen += 1;
                let key = key.value().to_owned();
                if is_over(value.value()) {
                    over.push(key.clone());
                }
                self.swept = key;
            }
            if seen < SWEPT {
                self.swept.clear();
            }
            for key in over {
                devices.remove(key.as_str()).map_err(broken)?;
            }
            devices.len().map_err(broken)?
        };
        writing.commit().map_err(broken)?;
        Ok(devices)
    }
}

/// Reads what is on disk and gathers what is to be.
pub(crate) struct Batch {
    tables: [ReadOnlyTable<&'static str, &'static [u8]>; 3],
    changes: BTreeMap<(Space, Box<str>), Option<Box<[u8]>>>,
    /// How many values it adds, by space; what it removes is not counted.
    added: [u64; 3],
}

impl Batch {
    /// The value of a key, as this batch leaves it.
    pub(crate) fn get(&self, space: Space, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(changed) = self.changes.get(&(space, key.into())) {
            return Ok(changed.as_deref().map(<[u8]>::to_vec));
        }
        let found = self.tables[space as usize].get(key).map_err(broken)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    /// Sets or removes a value.
    pub(crate) fn put(
        &mut self,
        space: Space,
        key: &str,
        value: Option<Box<[u8]>>,
    ) -> Result<(), StoreError> {
        if key.len() > KEY || value.as_ref().is_some_and(|value| value.len() > VALUE) {
            return Err(StoreError::Full);
        }
        if value.is_some() && self.get(space, key)?.is_none() {
            let there = self.tables[space as usize].len().map_err(broken)?;
            let added = &mut self.added[space as usize];
            if there + *added >= space.most() {
                return Err(StoreError::Full);
            }
            *added += 1;
        }
        self.changes.insert((space, key.into()), value);
        Ok(())
    }

    /// Was this value changed by this batch?
    pub(crate) fn has_changed(&self, space: Space, key: &str) -> bool {
        self.changes.contains_key(&(space, key.into()))
    }

    /// Everything of a space on disk.
    pub(super) fn all(&self, space: Space) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let entries = self.tables[space as usize].iter().map_err(broken)?;
        entries
            .map(|entry| {
                let (key, value) = entry.map_err(broken)?;
                Ok((key.value().to_owned(), value.value().to_vec()))
            })
            .collect()
    }

    pub(super) fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }
}

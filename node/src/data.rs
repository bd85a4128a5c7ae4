//! The directory in which a node keeps what is its own: private, and for one running node at a time.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use decury_common::base::id::UserName;
use etcetera::BaseStrategy as _;
use thiserror::Error;

/// A node that has just been killed may not be quite gone: its directory is waited for so long.
const FREE_WITHIN: Duration = Duration::from_millis(1_000);
/// How often it is tried meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataError {
    /// Another node runs on it.
    #[error("another running node uses the data directory {0} (--data names another)")]
    Taken(PathBuf),
    /// The system refuses.
    #[error("the data directory {0} cannot be used: {1}")]
    Unusable(PathBuf, io::Error),
    /// There is no home directory to put it in.
    #[error("there is no place for a data directory ({0}); --data names one")]
    Homeless(#[from] etcetera::HomeDirError),
}

/// A data directory that is ours until this value is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if it is missing, readable for its owner only, and locks it. Blocks for up to a second
    /// while another one has it.
    pub fn open(path: &Path) -> Result<DataDir, DataError> {
        let unusable = |error| DataError::Unusable(path.to_owned(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let lock = File::options().create(true).write(true).truncate(false).open(path.join("lock"));
        let lock = lock.map_err(unusable)?;
        let deadline = Instant::now() + FREE_WITHIN;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(DataDir { path: path.to_owned(), _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
                Err(TryLockError::WouldBlock) => return Err(DataError::Taken(path.to_owned())),
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a person's data is kept unless told otherwise: below the XDG state directory.
    pub fn default_path(name: UserName) -> Result<PathBuf, DataError> {
        let strategy = etcetera::base_strategy::Xdg::new()?;
        let state = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
        Ok(state.join("decury").join(directory_name(name)))
    }
}

/// A name may be `.` or `..`, a directory's may not; no name has a `%` in it.
fn directory_name(name: UserName) -> String {
    match name.as_str() {
        dots @ ("." | "..") => format!("%{dots}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_is_private_and_used_by_one_at_a_time() {
        let parent = std::env::temp_dir().join(format!("decury-data-{}", std::process::id()));
        let path = parent.join("ann");
        let first = DataDir::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let second = DataDir::open(&path).unwrap_err();
        assert!(matches!(second, DataError::Taken(_)));
        assert!(second.to_string().contains("another running node"));
        drop(first);
        assert!(DataDir::open(&path).is_ok());
        std::fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for (name, directory) in [("ann", "ann"), ("..", "%.."), (".", "%."), ("...", "..."), (".x", ".x")] {
            assert_eq!(directory_name(name.parse().unwrap()), directory);
        }
    }
}

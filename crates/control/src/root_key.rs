//! Keys that an installation makes at its first start, each in a file of its own that only its owner may read.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use longshore_services::vault;
use longshore_wire::Fault;

use crate::Error;

/// The access key of the account's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

const ROOT_KEY_FILE: &str = "root-key";
const PAGE_KEY_FILE: &str = "page-key";

impl RootKey {
    /// Read the key of a data directory, or make it.
    pub fn ensure(data_dir: &Path) -> Result<Self, Error> {
        let text = ensure(data_dir, ROOT_KEY_FILE, || {
            let (id, secret) = (vault::access_key_id("AKIA")?, vault::secret_key()?);
            Ok(format!("{id}\n{secret}\n").into_bytes())
        })?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// Read the key of a data directory that has one.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(data_dir.join(ROOT_KEY_FILE)).ok()?;
        Some(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(str::to_owned);
        let access_key_id = lines.next().unwrap_or_default();
        Self { access_key_id, secret_access_key: lines.next().unwrap_or_default() }
    }
}

/// The key that pagination tokens are sealed with.
pub(crate) fn page_key(data_dir: &Path) -> Result<[u8; 32], Error> {
    let bytes = ensure(data_dir, PAGE_KEY_FILE, fresh_key)?;
    let mut key = [0; 32];
    let length = bytes.len().min(32);
    key[..length].copy_from_slice(&bytes[..length]);
    Ok(key)
}

/// The bytes of a file, made and written first if it is not there.
pub(crate) fn ensure(data_dir: &Path, name: &str, make: impl Fn() -> Result<Vec<u8>, Fault>) -> Result<Vec<u8>, Error> {
    let path = data_dir.join(name);
    let read_or_make = || match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes = make().map_err(std::io::Error::other)?;
            write_private(&path, &bytes)?;
            Ok(bytes)
        }
        other => other,
    };
    read_or_make().map_err(|source| Error::File { path: path.clone(), source })
}

/// Whole or not at all, and for good: written beside, synced, renamed, and the directory synced.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside: PathBuf = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}

/// A key of 256 bits.
pub(crate) fn fresh_key() -> Result<Vec<u8>, Fault> {
    vault::random::<32>().map(|bytes| bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let dir = std::env::temp_dir().join(format!("longshore-root-key-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let key = RootKey::ensure(&dir).unwrap();
        assert_eq!(key.access_key_id.len(), 20);
        assert_eq!(key.secret_access_key.len(), 40);
        assert_eq!(RootKey::ensure(&dir).unwrap(), key);
        assert_eq!(RootKey::read(&dir), Some(key));
        let mode = fs::metadata(dir.join(ROOT_KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }
}

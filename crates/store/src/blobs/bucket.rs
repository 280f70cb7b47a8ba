//! Blobs as objects of a bucket: S3, Google's, Azure's, or whatever else `object_store` speaks to.
//!
//! Credentials and endpoints come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`,
//! `AZURE_STORAGE_ACCOUNT_NAME` and so on). An object is visible when it is whole: single writes are atomic, and parts are
//! put together by their completion.

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::runtime::Handle;

use super::address::SEALED;
use super::{Address, Error, Reader, SealId, Shelf};

/// Bytes of a part of a large object; a bucket takes ten thousand parts.
const PART: u64 = 8 * 1024 * 1024;

/// Bytes that are read at a time: each is a request.
const READ: u64 = 4 * 1024 * 1024;

pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    runtime: Handle,
}

impl Bucket {
    pub fn open(url: &str) -> Result<Self, Error> {
        let unread = |source| Error::Bucket(object_store::Error::Generic { store: "URL", source: Box::new(source) });
        let url = url::Url::parse(url).map_err(unread)?;
        let environment = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, prefix) = object_store::parse_url_opts(&url, environment).map_err(Error::Bucket)?;
        Ok(Self { store: store.into(), prefix, runtime: Handle::try_current().map_err(|_| Error::NoRuntime)? })
    }

    fn run<T>(&self, request: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
        self.runtime.block_on(request).map_err(error)
    }

    fn path(&self, address: &Address) -> Path {
        self.below(&address.shelf()).join(address.digest.hex())
    }

    fn below(&self, path: &str) -> Path {
        path.split('/').fold(self.prefix.clone(), Path::join)
    }

    /// Bytes of the object.
    pub fn size(&self, address: &Address) -> Result<u64, Error> {
        Ok(self.run(self.store.head(&self.path(address)))?.size)
    }

    pub fn reader(&self, address: &Address) -> Result<Reader, Error> {
        let object = Object { store: self.store.clone(), path: self.path(address), runtime: self.runtime.clone() };
        Ok(Reader::of_object(object, self.size(address)?))
    }

    pub fn put(&self, address: &Address, bytes: Bytes) -> Result<(), Error> {
        self.run(self.store.put(&self.path(address), PutPayload::from(bytes))).map(drop)
    }

    /// Sends a file in parts, unless the object is there.
    pub fn keep(&self, address: &Address, file: &File, size: u64) -> Result<(), Error> {
        if self.size(address).is_ok_and(|found| found == size) {
            return Ok(());
        }
        if size <= PART {
            return self.put(address, piece(file, 0, size)?);
        }
        let part = PART.max(size.div_ceil(10_000));
        let mut parts = self.run(self.store.put_multipart(&self.path(address)))?;
        let mut send = || {
            let mut at = 0;
            while at < size {
                let bytes = piece(file, at, part.min(size - at))?;
                at += bytes.len() as u64;
                self.run(parts.put_part(bytes.into()))?;
            }
            self.run(parts.complete()).map(drop)
        };
        let sent = send();
        if sent.is_err() {
            let _ = self.run(parts.abort());
        }
        sent
    }

    pub fn remove(&self, address: &Address) -> Result<(), Error> {
        match self.run(self.store.delete(&self.path(address))) {
            Err(Error::Missing) => Ok(()),
            removed => removed,
        }
    }

    pub fn on(&self, shelf: &Shelf) -> Result<Vec<Address>, Error> {
        let listed = self.store.list(Some(&self.below(&shelf.path())));
        let named = |path: &Path| shelf.address(path.filename()?);
        let addresses = listed.try_filter_map(|object| std::future::ready(Ok(named(&object.location))));
        self.run(addresses.try_collect())
    }

    /// Data keys under which anything was sealed.
    pub fn seals(&self) -> Result<Vec<SealId>, Error> {
        let listed = self.run(self.store.list_with_delimiter(Some(&self.below(SEALED))))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| SealId::parse(path.filename()?)).collect())
    }
}

fn piece(file: &File, at: u64, length: u64) -> Result<Bytes, Error> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| Error::Full)?];
    file.read_exact_at(&mut bytes, at).map_err(|source| Error::File { path: "an upload".into(), source })?;
    Ok(bytes.into())
}

fn error(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::Missing,
        error => Error::Bucket(error),
    }
}

/// An object that is read.
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    runtime: Handle,
}

impl Object {
    pub fn read(&self, at: u64, most: u64) -> Result<Bytes, Error> {
        if most == 0 {
            return Err(Error::Missing);
        }
        let range = at..at + most.min(READ);
        self.runtime.block_on(self.store.get_range(&self.path, range)).map_err(error)
    }
}

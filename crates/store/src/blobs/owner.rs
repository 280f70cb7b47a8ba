//! Whose a bucket is: an object in it names the installation whose records speak for its bytes.
//!
//! ```text
//!     PREFIX/longshore-owner      the installation's id, put where nothing is yet, and never overwritten
//! ```
//! What no record holds is removed, so an installation with other records (a new data directory, a wrong URL) must not touch
//! these bytes: it does not start, or, where the bucket did not answer then, writes and removes nothing. A data directory and
//! its copy are the same installation.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, Result};

/// The name of the mark.
const MARK: &str = "longshore-owner";

/// What bytes are kept under, beside the mark.
const KEPT: [&str; 2] = ["blobs", "sealed"];

/// Bytes of a mark that are read.
const LONGEST: u64 = 64;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    Ours,
    /// Another's: what the mark says.
    Foreign(String),
    /// There are bytes and no mark.
    Unmarked,
}

/// Whose the bytes under a prefix are; ours from now on, if there are none.
pub(super) async fn claim(store: &dyn ObjectStore, prefix: &Path, owner: &str) -> Result<Ownership> {
    let mark = prefix.clone().join(MARK);
    if let Some(found) = read(store, &mark, owner).await? {
        return Ok(found);
    }
    for kept in KEPT {
        if store.list(Some(&prefix.clone().join(kept))).try_next().await?.is_some() {
            return Ok(Ownership::Unmarked);
        }
    }
    let put = |mode: PutMode| store.put_opts(&mark, PutPayload::from(Bytes::from(owner.to_owned())), mode.into());
    match put(PutMode::Create).await {
        // Of two that come at once one reads what the other wrote.
        Ok(_) | Err(Error::AlreadyExists { .. }) => {}
        // A store that cannot tell.
        Err(Error::NotImplemented { .. }) => drop(put(PutMode::Overwrite).await?),
        Err(error) => return Err(error),
    }
    Ok(read(store, &mark, owner).await?.unwrap_or(Ownership::Unmarked))
}

async fn read(store: &dyn ObjectStore, mark: &Path, owner: &str) -> Result<Option<Ownership>> {
    let size = match store.head(mark).await {
        Err(Error::NotFound { .. }) => return Ok(None),
        found => found?.size,
    };
    // Of nothing there is no range.
    let found = match size {
        0 => Bytes::new(),
        _ => store.get_range(mark, 0..size.min(LONGEST)).await?,
    };
    let found = String::from_utf8_lossy(&found);
    Ok(Some(match found == owner {
        true => Ownership::Ours,
        false => Ownership::Foreign(found.escape_debug().to_string()),
    }))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn claimed(store: &InMemory, prefix: &str, owner: &str) -> Ownership {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(claim(store, &Path::from(prefix), owner)).unwrap()
    }

    fn put(store: &InMemory, path: &str, bytes: &'static str) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.put(&Path::from(path), bytes.into())).unwrap();
    }

    #[test]
    fn who_comes_first_to_an_empty_prefix_owns_it() {
        let store = InMemory::new();
        put(&store, "elsewhere/blobs/x", "another's");
        put(&store, "images/README", "nobody's");
        for _ in 0..2 {
            assert_eq!(claimed(&store, "images", "one"), Ownership::Ours);
            assert_eq!(claimed(&store, "images", "two"), Ownership::Foreign("one".to_owned()));
        }
        assert_eq!(claimed(&store, "elsewhere", "one"), Ownership::Unmarked);
        put(&store, "elsewhere/longshore-owner", "one");
        assert_eq!(claimed(&store, "elsewhere", "one"), Ownership::Ours);
        put(&store, "images/longshore-owner", "");
        assert_eq!(claimed(&store, "images", "one"), Ownership::Foreign(String::new()));
        put(&store, "images/longshore-owner", "one of many\n");
        assert_eq!(claimed(&store, "images", "one"), Ownership::Foreign("one of many\\n".to_owned()));
    }
}

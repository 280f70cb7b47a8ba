//! Lets bytes go that no record holds, and uploads that nobody goes on with.
//!
//! Bytes go soon after the last record that held them, which durable commits tell of; what a process left behind that ended
//! in between is found by looking through all of them, at the start and now and then.

use std::sync::Arc;
use std::time::Duration;

use longshore_model::{Change, TableName};
use longshore_store::blobs::{Address, Blobs, Error, SealId};
use longshore_store::{Commit, Missed, Watch};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::Server;

/// Between looks at everything.
const PERIOD: Duration = Duration::from_secs(3600);

/// How long an upload is waited for.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Before bytes are looked at again that could not be removed.
const PAUSE: Duration = Duration::from_secs(60);

pub(crate) async fn run(server: Arc<Server>) {
    let mut commits = server.store.read_and_watch().1;
    let mut due = Instant::now();
    loop {
        if Instant::now() >= due {
            due = Instant::now() + if everything(&server).await.is_ok() { PERIOD } else { PAUSE };
        }
        let freed = tokio::select! {
            commit = commits.next() => commit.and_then(|commit| freed(&mut commits, &commit)),
            () = tokio::time::sleep_until(due) => continue,
        };
        match freed {
            Ok(addresses) if addresses.is_empty() => {}
            Ok(addresses) => {
                let server = server.clone();
                aside(move || addresses.iter().try_for_each(|address| remove(&server, address))).await;
            }
            Err(Missed::Compacted(_)) => {
                commits = server.store.read_and_watch().1;
                due = Instant::now();
            }
            Err(Missed::Closed(_)) => return,
        }
    }
}

/// Bytes that some record held and holds no more, of a commit and of all that queued up behind it.
fn freed(commits: &mut Watch, first: &Commit) -> Result<Vec<Address>, Missed> {
    let mut addresses = Vec::new();
    note(&mut addresses, &first.changes);
    while let Some(commit) = commits.try_next()? {
        note(&mut addresses, &commit.changes);
    }
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn note(addresses: &mut Vec<Address>, changes: &[Change]) {
    for change in changes {
        let Change::Delete(TableName::Layer | TableName::Image, key) = change else { continue };
        addresses.extend(Address::of_content(key));
    }
}

/// Looks through everything.
async fn everything(server: &Arc<Server>) -> Result<(), ()> {
    let blobs = server.blobs.clone();
    aside(move || {
        let swept = blobs.sweep(ABANDONED);
        if swept > 0 {
            tracing::info!(swept, "abandoned uploads were ended");
        }
        Ok(())
    })
    .await;
    room(server, None).await?;
    let blobs = server.blobs.clone();
    let seals = tokio::task::spawn_blocking(move || blobs.seals()).await;
    let Ok(Ok(seals)) = seals else {
        tracing::error!("the sealed bytes of the registry were not looked through");
        return Err(());
    };
    for seal in &seals {
        room(server, Some(seal)).await?;
    }
    Ok(())
}

/// Looks through what lies as it came, or what is sealed under one data key.
async fn room(server: &Arc<Server>, seal: Option<&SealId>) -> Result<(), ()> {
    for shelf in Blobs::shelves(seal) {
        let server = server.clone();
        let look = move || {
            let found = server.blobs.on(&shelf)?;
            found.iter().try_for_each(|address| remove(&server, address))
        };
        if !aside(look).await {
            return Err(());
        }
    }
    let Some(seal) = seal.filter(|seal| is_over(server, seal)).cloned() else { return Ok(()) };
    let blobs = server.blobs.clone();
    match aside(move || blobs.clear(&seal)).await {
        true => Ok(()),
        false => Err(()),
    }
}

/// Whether the repository of a data key is gone: its id comes never again.
fn is_over(server: &Server, seal: &SealId) -> bool {
    server.store.read().repository_of(seal.as_str()).is_none()
}

/// Returns whether it worked; that it did not is logged.
async fn aside(work: impl FnOnce() -> Result<(), Error> + Send + 'static) -> bool {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "bytes of the registry were not removed");
            false
        }
        Err(_) => false,
    }
}

/// Removes bytes unless a record holds them; one that does not reach the disk holds them too, or its end does not.
fn remove(server: &Server, address: &Address) -> Result<(), Error> {
    let text = address.to_string();
    let held = || server.store.read().index.registry.is_held(&text);
    if held() {
        return Ok(());
    }
    let needed = || {
        let (held_now, revision) = {
            let state = server.store.read();
            (state.index.registry.is_held(&text), state.revision())
        };
        held_now || Handle::current().block_on(server.store.durable(revision)).is_err() || held()
    };
    if server.blobs.remove_unless(address, needed)? {
        tracing::debug!(%address, "bytes that nothing holds were removed");
    }
    Ok(())
}

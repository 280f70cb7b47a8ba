//! Lets bytes go that no record holds, and uploads that nobody goes on with.
//!
//! Bytes go soon after the last record that held them, which durable commits tell of; what a process left behind that ended
//! in between is found by looking through all of them, at the start and now and then. A bucket is looked through only as long as
//! it says that it is this installation's.

use std::sync::Arc;
use std::time::Duration;

use longshore_model::{Change, TableName};
use longshore_store::blobs::{ALGORITHMS, Digest, Error, PARTS};
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
            Ok(digests) if digests.is_empty() => {}
            Ok(digests) => {
                let server = server.clone();
                if !aside(move || digests.iter().try_for_each(|digest| remove(&server, digest))).await {
                    due = due.min(Instant::now() + PAUSE);
                }
            }
            Err(Missed::Compacted(_)) => {
                commits = server.store.read_and_watch().1;
                due = Instant::now();
            }
            Err(Missed::Closed(_)) => return,
        }
    }
}

/// Digests that some record held and holds no more, of a commit and of all that queued up behind it.
fn freed(commits: &mut Watch, first: &Commit) -> Result<Vec<Digest>, Missed> {
    let mut digests = Vec::new();
    note(&mut digests, &first.changes);
    while let Some(commit) = commits.try_next()? {
        note(&mut digests, &commit.changes);
    }
    digests.sort();
    digests.dedup();
    Ok(digests)
}

fn note(digests: &mut Vec<Digest>, changes: &[Change]) {
    for change in changes {
        let Change::Delete(TableName::Layer | TableName::Image, key) = change else { continue };
        let digest = key.split_once('@').and_then(|(_, digest)| Digest::parse(digest).ok());
        digests.extend(digest);
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
    let blobs = server.blobs.clone();
    if !aside(move || blobs.confirm()).await {
        return Err(());
    }
    for (algorithm, part) in ALGORITHMS.into_iter().flat_map(|algorithm| (0..=PARTS).map(move |part| (algorithm, part)))
    {
        let server = server.clone();
        let look = move || {
            let found = server.blobs.part(algorithm, part)?;
            found.iter().try_for_each(|digest| remove_lone(&server, digest))
        };
        if !aside(look).await {
            return Err(());
        }
    }
    Ok(())
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

/// As [`remove`], of bytes that no commit told of.
fn remove_lone(server: &Server, digest: &Digest) -> Result<(), Error> {
    let is_held = server.store.read().index.registry.is_held(&digest.to_string());
    match is_held || !server.blobs.is_settled(digest)? {
        true => Ok(()),
        false => remove(server, digest),
    }
}

/// Removes bytes unless a record holds them; one that does not reach the disk holds them too, or its end does not.
fn remove(server: &Server, digest: &Digest) -> Result<(), Error> {
    let text = digest.to_string();
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
    if server.blobs.remove_unless(digest, needed)? {
        tracing::debug!(%digest, "bytes that nothing holds were removed");
    }
    Ok(())
}

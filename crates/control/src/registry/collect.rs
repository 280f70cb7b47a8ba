//! Lets bytes go that no record holds, and uploads that nobody goes on with.
//!
//! Bytes go soon after the last record that held them, which durable commits tell of; what a process left behind that ended
//! in between is found by looking through all of them, at the start and now and then. A bucket is looked through only as long as
//! it says that it is this installation's.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use longshore_model::registry::{ImageScan, content_key};
use longshore_model::{Change, Record, State, TableName};
use longshore_store::blobs::{Address, Error, SealId};
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
    let (mut loose, mut commits) = begin(&server);
    let mut due = Instant::now();
    loop {
        if Instant::now() >= due {
            let is_done = loose.let_go(&server).await & everything(&server).await;
            due = Instant::now() + if is_done { PERIOD } else { PAUSE };
        }
        let seen = tokio::select! {
            commit = commits.next() => commit.and_then(|commit| loose.note_all(&mut commits, &commit)),
            () = tokio::time::sleep_until(due) => continue,
        };
        match seen {
            Ok(()) if loose.let_go(&server).await => {}
            Ok(()) => due = due.min(Instant::now() + PAUSE),
            Err(Missed::Compacted(_)) => {
                let left = std::mem::take(&mut loose.addresses);
                (loose, commits) = begin(&server);
                loose.addresses = left;
                due = Instant::now();
            }
            Err(Missed::Closed(_)) => return,
        }
    }
}

fn begin(server: &Server) -> (Loose, Watch) {
    let (state, commits) = server.store.read_and_watch();
    (Loose::of(&state), commits)
}

/// Bytes that some record held and holds no more.
#[derive(Debug, Default)]
struct Loose {
    addresses: BTreeSet<Address>,
    /// Whether a repository was deleted, whose uploads go.
    repository: bool,
    /// What is held by scans, by their keys: a record that is gone does not say what it held.
    findings: HashMap<String, Address>,
}

impl Loose {
    fn of(state: &State) -> Self {
        let findings = state.image_scans.iter();
        let findings = findings.filter_map(|(key, scan)| Some((key.to_string(), found(scan)?)));
        Self { findings: findings.collect(), ..Self::default() }
    }

    /// Notes what a commit lets go, and all that queued up behind it.
    fn note_all(&mut self, commits: &mut Watch, first: &Commit) -> Result<(), Missed> {
        first.changes.iter().for_each(|change| self.note(change));
        while let Some(commit) = commits.try_next()? {
            commit.changes.iter().for_each(|change| self.note(change));
        }
        Ok(())
    }

    fn note(&mut self, change: &Change) {
        self.repository |= matches!(change, Change::Delete(TableName::Repository, _));
        let old = match change {
            Change::Delete(TableName::Layer | TableName::Image, key) => Address::of_content(key),
            Change::Delete(TableName::ImageScan, key) => self.findings.remove(key),
            Change::Put(Record::ImageScan(scan)) => match found(scan) {
                Some(found) => self.findings.insert(scan.key(), found.clone()).filter(|old| *old != found),
                None => self.findings.remove(&scan.key()),
            },
            _ => None,
        };
        self.addresses.extend(old);
    }

    /// Removes what no record holds. What could not be removed is tried again. Returns whether nothing is left.
    async fn let_go(&mut self, server: &Arc<Server>) -> bool {
        let repository = std::mem::take(&mut self.repository);
        if self.addresses.is_empty() && !repository {
            return true;
        }
        let (server, mut addresses) = (server.clone(), std::mem::take(&mut self.addresses));
        let work = move || {
            if repository {
                forget(&server);
            }
            let done = each(addresses.clone(), |address| {
                remove(&server, &address)?;
                addresses.remove(&address);
                Ok(())
            });
            (addresses, done)
        };
        let Ok((left, done)) = tokio::task::spawn_blocking(work).await else { return false };
        self.addresses = left;
        is_done(done)
    }
}

/// Where what a scan found lies.
fn found(scan: &ImageScan) -> Option<Address> {
    Address::of_content(&content_key(&scan.repository, scan.findings.as_deref()?))
}

/// Ends the uploads of repositories that are gone for good.
fn forget(server: &Server) {
    // First who has uploads, then who is there: one that is made meanwhile is there.
    let mut repositories = server.blobs.uploading();
    let revision = {
        let state = server.store.read();
        repositories.retain(|id| state.repository_of(id).is_none());
        state.revision()
    };
    if repositories.is_empty() || Handle::current().block_on(server.store.durable(revision)).is_err() {
        return;
    }
    let forgotten = server.blobs.forget(&repositories);
    tracing::debug!(forgotten, "uploads went with their repositories");
}

/// Does something for each, also where it fails for another, unless it would fail for all. Returns the first error.
fn each<T>(of: impl IntoIterator<Item = T>, mut work: impl FnMut(T) -> Result<(), Error>) -> Result<(), Error> {
    let mut done = Ok(());
    for one in of {
        match work(one) {
            Err(error) if error.is_of_all() => return Err(error),
            worked => done = done.and(worked),
        }
    }
    done
}

/// Looks through everything. Returns whether it worked, all of it.
async fn everything(server: &Arc<Server>) -> bool {
    let sweeper = server.clone();
    let is_ours = move || {
        forget(&sweeper);
        let swept = sweeper.blobs.sweep(ABANDONED);
        if swept > 0 {
            tracing::info!(swept, "abandoned uploads were ended");
        }
        sweeper.blobs.confirm()
    };
    if !is_done(aside(is_ours).await) {
        return false;
    }
    let blobs = server.blobs.clone();
    let mut is_all = is_done(aside(move || blobs.abort_left().map(drop)).await);
    let blobs = server.blobs.clone();
    let sealed = match aside(move || blobs.seals()).await {
        Ok(sealed) => sealed,
        Err(error) => return is_done(Err(error)),
    };
    for seal in std::iter::once(None).chain(sealed.into_iter().map(Some)) {
        match room(server, seal.as_ref()).await {
            Ok(is_whole) => is_all &= is_whole,
            Err(error) => return is_done(Err(error)),
        }
    }
    is_all
}

/// Looks through what lies as it came, or what is sealed under one data key. Returns whether it worked, all of it.
///
/// # Errors
/// What would fail for everything else too.
async fn room(server: &Arc<Server>, seal: Option<&SealId>) -> Result<bool, Error> {
    let mut is_all = true;
    for shelf in server.blobs.shelves(seal) {
        let server = server.clone();
        let look = move || each(server.blobs.on(&shelf), |address| remove_lone(&server, &address?));
        match aside(look).await {
            Err(error) if error.is_of_all() => return Err(error),
            looked => is_all &= is_done(looked),
        }
    }
    if let Some(seal) = seal.filter(|seal| is_over(server, seal)).cloned() {
        let blobs = server.blobs.clone();
        is_all &= is_done(aside(move || blobs.clear(&seal)).await);
    }
    Ok(is_all)
}

/// Whether the repository of a data key is gone: its id comes never again.
fn is_over(server: &Server, seal: &SealId) -> bool {
    server.store.read().repository_of(seal.as_str()).is_none()
}

/// Does what waits for the disk or the bucket.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::File { path: "a thread".into(), source: io::Error::other(error) }))
}

/// Whether it worked; that it did not is logged.
fn is_done(done: Result<(), Error>) -> bool {
    if let Err(error) = &done {
        tracing::error!(error = error as &dyn std::error::Error, "bytes of the registry were not removed");
    }
    done.is_ok()
}

/// As [`remove`], of bytes that no commit told of.
fn remove_lone(server: &Server, address: &Address) -> Result<(), Error> {
    let is_held = server.store.read().index.registry.is_held(&address.to_string());
    match is_held || !server.blobs.is_settled(address)? {
        true => Ok(()),
        false => remove(server, address),
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

#[cfg(test)]
mod tests {
    use longshore_api::ecr::ScanStatus;
    use longshore_store::blobs::{Algorithm, Digest, digest_of};
    use longshore_wire::Timestamp;

    use super::*;

    fn digest(of: &str) -> Digest {
        digest_of(Algorithm::Sha256, of.as_bytes())
    }

    fn scan_in(repository: &str, of: &str, findings: Option<&str>) -> ImageScan {
        let findings = findings.map(|of| digest(of).to_string());
        let pending = ImageScan::pending(repository, digest(of).as_str(), Timestamp::from_millis(0));
        ImageScan { status: ScanStatus::Complete, findings, ..pending }
    }

    #[test]
    fn what_a_scan_found_goes_when_it_is_replaced_and_when_it_is_deleted() {
        for repository in ["r", "k1"] {
            replaced_and_deleted(repository);
        }
    }

    fn replaced_and_deleted(repository: &str) {
        let scan = |of: &str, findings: Option<&str>| scan_in(repository, of, findings);
        let mut state = State::default();
        state.apply(&scan("image", Some("first")).into());
        let mut loose = Loose::of(&state);
        let mut check = |change: Change, gone: &[&str]| {
            loose.note(&change);
            let gone: BTreeSet<Address> =
                gone.iter().map(|of| Address { seal: SealId::parse(repository), digest: digest(of) }).collect();
            assert_eq!(std::mem::take(&mut loose.addresses), gone, "{change:?}");
        };
        check(scan("image", Some("first")).into(), &[]);
        check(scan("image", Some("second")).into(), &["first"]);
        check(scan("image", None).into(), &["second"]);
        check(scan("image", Some("third")).into(), &[]);
        check(scan("other", Some("fourth")).into(), &[]);
        check(Change::Delete(TableName::ImageScan, scan("image", None).key()), &["third"]);
        check(Change::Delete(TableName::ImageScan, scan("none", None).key()), &[]);
        check(Change::Delete(TableName::Image, scan("image", None).key()), &["image"]);
    }

    #[test]
    fn one_that_fails_does_not_keep_the_others() {
        let failed = |path: &str| Error::File { path: path.into(), source: io::Error::other("why") };
        let mut done = Vec::new();
        let worked = each(0..4, |number| match number {
            1 => Err(failed("first")),
            2 => Err(failed("second")),
            _ => {
                done.push(number);
                Ok(())
            }
        });
        assert!(matches!(worked, Err(Error::File { path, .. }) if path.ends_with("first")));
        assert_eq!(done, [0, 3]);
        let mut tried = 0;
        let worked = each(0..4, |_| {
            tried += 1;
            Err(Error::Unmarked)
        });
        assert!(matches!(worked, Err(Error::Unmarked)) && tried == 1);
    }
}

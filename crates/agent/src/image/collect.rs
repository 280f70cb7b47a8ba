//! Letting images go: those that no task has used for a while, and content that no image name leads to.
//!
//! ```text
//!   every half hour:  pulled, last used an hour ago or more, used longest ago first
//!                       └──► held by a task that starts, or run by one? stays, and counts as used now
//!                       └──► else its record goes, five a cycle at most
//!                     then views, snapshots and content without a name
//! ```
//!
//! Numbers and order are the ECS agent's. When an image was used last is the time of its record's last change, which
//! outlives the agent and is seen by other agents of the same containerd.
//!
//! An image that was imported stays until it is removed: there is no registry to have it from again. So does one that
//! somebody else has put there.
//!
//! Left out: letting images go because the disk is nearly full.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use containerd_client::services::v1::Image as Record;

use super::error::Error;
use super::hold::Hold;
use super::in_use::InUse;
use super::reference::Name;
use super::transfer::{self, CHAIN_LABEL};
use super::{Auth, Image, Images, LEASE, Progress, VIEW, lock};

/// A use is noted if the last one was noted longer ago than this, so ages are right but for these seconds.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// When images that are not used go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Time between two cycles.
    pub every: Duration,
    /// How long ago the last use of an image has to be.
    pub least_age: Duration,
    /// The most images that one cycle lets go.
    pub per_cycle: usize,
}

impl Default for Cleanup {
    /// Every half hour at most five that were not used for an hour.
    fn default() -> Self {
        Self { every: Duration::from_secs(1800), least_age: Duration::from_secs(3600), per_cycle: 5 }
    }
}

impl Images {
    /// As [`Images::ensure`]; the image stays here while the [`Hold`] lives, which is to be until a supervisor runs on it.
    ///
    /// # Errors
    /// As there.
    pub async fn ensure_held(
        &self,
        reference: &str,
        auth: &Auth,
        on_progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<(Image, Hold), Error> {
        let hold = self.0.holds.hold(Name::parse(reference)?.to_string());
        let image = self.ensure(reference, auth, on_progress).await?;
        hold.found(&image);
        Ok((image, hold))
    }

    /// Lets images go by `rules`, for ever.
    pub async fn clean(&self, rules: Cleanup) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(rules.every).await;
            match self.collect(&rules, SystemTime::now()).await {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, "images that were not used are gone"),
                Err(error) => tracing::warn!(%error, "images that are not used could not be let go"),
            }
        }
    }

    /// One cycle at the time `now`. The number of names let go.
    ///
    /// # Errors
    /// `Containerd` when containerd does not answer.
    pub async fn collect(&self, rules: &Cleanup, now: SystemTime) -> Result<usize, Error> {
        let records = self.0.store.list_images().await?;
        let age = |record: &Record| now.duration_since(last_use(record)).unwrap_or_default();
        let idle = |record: &Record| transfer::is_pulled(record) && age(record) >= rules.least_age;
        let mut idle: Vec<Record> = records.into_iter().filter(idle).collect();
        idle.sort_by_key(last_use);
        let mut gone = 0;
        for record in idle {
            if gone == rules.per_cycle {
                break;
            }
            gone += usize::from(self.let_name_go(&record).await?);
        }
        self.prune().await?;
        self.sweep().await?;
        Ok(gone)
    }

    /// Lets go of the views no image name leads to, unless a task runs on one or starts on it, and of all content that
    /// only they kept. The number of views let go.
    ///
    /// # Errors
    /// `Containerd` when containerd does not answer.
    pub async fn prune(&self) -> Result<usize, Error> {
        let leases = self.0.store.list_leases().await?;
        let wanted = self.chains().await?;
        let views = leases.iter().filter_map(|lease| lease.strip_prefix(VIEW)).map(|hex| format!("sha256:{hex}"));
        let mut gone = 0;
        for chain in views.filter(|chain| !wanted.contains(chain)) {
            gone += usize::from(self.let_view_go(&chain).await?);
        }
        if gone > 0 {
            self.sweep().await?;
        }
        Ok(gone)
    }

    /// The topmost snapshots of all images.
    async fn chains(&self) -> Result<Vec<String>, Error> {
        let records = self.0.store.list_images().await?;
        Ok(records.into_iter().filter_map(|mut record| record.labels.remove(CHAIN_LABEL)).collect())
    }

    /// Deletes a record unless it is needed or has changed. Nothing is looked for meanwhile: who asks for the image later
    /// does not find it.
    async fn let_name_go(&self, record: &Record) -> Result<bool, Error> {
        let _alone = self.0.gate.write().await;
        let now = self.0.store.image(&record.name).await?;
        let unchanged = now.is_some_and(|now| now.updated_at == record.updated_at && now.target == record.target);
        if !unchanged || self.0.holds.has_name(&record.name) {
            return Ok(false);
        }
        let chain = record.labels.get(CHAIN_LABEL).map_or("", String::as_str);
        if self.is_run(self.uppermost(chain).await.as_deref()).await? {
            self.0.store.note_use(&record.name).await?;
            return Ok(false);
        }
        let gone = self.0.store.delete_image(&record.name).await?;
        tracing::info!(image = record.name, "no task used this image for some time; it is gone");
        Ok(gone)
    }

    async fn let_view_go(&self, chain: &str) -> Result<bool, Error> {
        let _alone = self.0.gate.write().await;
        let uppermost = self.uppermost(chain).await;
        if self.chains().await?.iter().any(|wanted| wanted == chain) || self.is_run(uppermost.as_deref()).await? {
            return Ok(false);
        }
        let lease = view_id(chain);
        lock(&self.0.loaded).retain(|_, image| image.lowers.first() != uppermost.as_ref());
        self.0.store.remove_snapshot(&lease).await?;
        self.0.store.delete_lease(&lease, false).await?;
        Ok(true)
    }

    /// The directory of the snapshot `chain`, which tells it from all others; none if it is not there.
    async fn uppermost(&self, chain: &str) -> Option<PathBuf> {
        self.view(chain).await.unwrap_or_default().into_iter().next()
    }

    /// Whether a task runs on a snapshot, or starts on it. Holds are looked at first: who lets go of one later has a
    /// supervisor that is seen.
    async fn is_run(&self, uppermost: Option<&Path>) -> Result<bool, Error> {
        let Some(uppermost) = uppermost.map(Path::to_owned) else {
            return Ok(false);
        };
        if self.0.holds.has_directory(&uppermost) {
            return Ok(true);
        }
        let mounted = tokio::task::spawn_blocking(move || InUse::read().uses(&uppermost)).await;
        mounted.map_err(|error| Error::malformed("process table", error))
    }

    /// Has containerd collect what nothing leads to any more, leases of transfers that are past their time included.
    async fn sweep(&self) -> Result<(), Error> {
        let lease = transfer::unique("longshore-sweep");
        self.0.store.create_lease(&lease, Some(LEASE)).await?;
        self.0.store.delete_lease(&lease, true).await
    }

    /// Notes that a pulled image is used, if that was not done lately.
    pub(super) async fn note_use(&self, record: &Record) {
        let lately = SystemTime::now().duration_since(last_use(record)).unwrap_or_default() < NOTE_EVERY;
        if !lately && let Err(error) = self.0.store.note_use(&record.name).await {
            tracing::debug!(image = record.name, %error, "the use of an image could not be noted");
        }
    }
}

/// The lease of a view, which is named as the view is.
pub(super) fn view_id(chain: &str) -> String {
    format!("{VIEW}{}", chain.trim_start_matches("sha256:"))
}

fn last_use(record: &Record) -> SystemTime {
    let seconds = record.updated_at.as_ref().or(record.created_at.as_ref()).map_or(0, |time| time.seconds);
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

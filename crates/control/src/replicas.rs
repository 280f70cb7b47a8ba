//! The loop that copies images to other registries, where the rules of their own say so.
//!
//! ```text
//!     due? ──► durable? ──► pushed to the peer ──► written down: complete, to be tried again, given up
//! ```
//! What is to be copied is in the records, and what is there is asked of the peer each time: a copy that was cut short, by
//! whatever, is made again and finds there what was sent before. One goes to each registry at a time.

pub(crate) mod peers;
mod push;
mod upload;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use longshore_model::registry::{Destination, ImageReplication};
use longshore_model::{AccountId, Change, State};
use longshore_plan::replicate::{Errand, Outcome, due, gone, tried};
use tokio::task::{Id, JoinSet};

use crate::{Server, clock};

/// How soon a copy is begun.
const PERIOD: Duration = Duration::from_millis(500);

/// The header of a push that brings a copy: `SOURCE REGISTRY/REGION`, the account that it comes from and where it is to go.
pub(crate) const HEADER: http::HeaderName = http::HeaderName::from_static("x-longshore-replication");

/// What such a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brought {
    pub source: AccountId,
    pub registry: AccountId,
    pub region: String,
}

impl Brought {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (source, to) = text.split_once(' ')?;
        let (registry, region) = to.split_once('/')?;
        let (source, registry) = (AccountId::parse(source)?, AccountId::parse(registry)?);
        Some(Self { source, registry, region: region.to_owned() })
    }
}

/// How a try ended.
#[derive(Clone, Debug)]
enum Tried {
    /// What came of it, and the version of the record when it began.
    Ended(i64, Outcome),
    /// There is nothing to be copied any more.
    Gone,
}

pub(crate) async fn run(server: Arc<Server>) {
    let mut going = Going::default();
    loop {
        let errands = due(&server.store.read(), &going.busy, clock::now());
        errands.into_iter().for_each(|errand| going.begin(&server, errand));
        let ended = tokio::select! {
            Some(ended) = going.set.join_next_with_id() => going.end(ended),
            () = tokio::time::sleep(PERIOD) => continue,
        };
        let Some((errand, tried)) = ended else { continue };
        if !write(&server, &errand, tried) {
            tokio::time::sleep(PERIOD).await;
        }
    }
}

/// Copies that are on their way.
#[derive(Default)]
struct Going {
    set: JoinSet<Tried>,
    errands: HashMap<Id, Errand>,
    /// Where they go.
    busy: BTreeSet<Destination>,
}

impl Going {
    fn begin(&mut self, server: &Arc<Server>, errand: Errand) {
        self.busy.insert(errand.to.clone());
        let (server, given) = (server.clone(), errand.clone());
        let begun = self.set.spawn(async move { push::carry(&server, &given).await });
        self.errands.insert(begun.id(), errand);
    }

    /// One that broke off has failed.
    fn end(&mut self, ended: Result<(Id, Tried), tokio::task::JoinError>) -> Option<(Errand, Tried)> {
        let (id, tried) = match ended {
            Ok((id, tried)) => (id, Ok(tried)),
            Err(error) => (error.id(), Err(error)),
        };
        let errand = self.errands.remove(&id)?;
        self.busy.remove(&errand.to);
        let tried = tried.unwrap_or_else(|error| {
            tracing::error!(%error, "a replication broke off");
            Tried::Ended(i64::MAX, push::broken())
        });
        Some((errand, tried))
    }
}

/// Writes down what came of a try. Returns whether it could.
fn write(server: &Server, errand: &Errand, ended: Tried) -> bool {
    if let Tried::Ended(_, outcome) = &ended {
        tell(errand, outcome);
    }
    let written = server.store.transact(|state, changes: &mut Vec<Change>| {
        if let Some(known) = state.image_replications.get(&errand.key) {
            changes.extend(written_down(state, known, errand, &ended));
        }
        Ok::<_, longshore_store::Full>(())
    });
    written.is_ok()
}

fn written_down(state: &State, known: &ImageReplication, errand: &Errand, ended: &Tried) -> Option<Change> {
    match ended {
        // One that broke off does not know what it began with.
        Tried::Ended(version, outcome) => {
            tried(known, &errand.to, (*version).min(known.version), outcome, clock::now()).map(Change::from)
        }
        Tried::Gone => gone(state, known, &errand.to),
    }
}

fn tell(errand: &Errand, outcome: &Outcome) {
    let (image, to) = (&*errand.key, &errand.to);
    match outcome {
        Outcome::Complete => tracing::debug!(image, %to, "an image is replicated"),
        Outcome::Failed { code, why } => tracing::info!(image, %to, code, why, "a replication is to be tried again"),
        Outcome::Refused { code, why } => tracing::warn!(image, %to, code, why, "a replication was refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_whose_image_comes_and_to_where() {
        let brought = Brought::parse("111111111111 222222222222/eu-west-1").unwrap();
        let texts = (brought.source.as_str(), brought.registry.as_str(), &*brought.region);
        assert_eq!(texts, ("111111111111", "222222222222", "eu-west-1"));
        for text in ["", "111111111111", "111111111111 222222222222", "1 222222222222/r", "111111111111 2/r"] {
            assert_eq!(Brought::parse(text), None, "{text}");
        }
    }
}

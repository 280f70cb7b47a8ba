//! Images that tasks are starting on: between the moment one is asked for and the moment its supervisor runs nothing
//! else tells that it is needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Image;

/// Keeps an image from being let go for as long as it lives.
#[derive(Debug)]
pub struct Hold {
    holds: Holds,
    id: u64,
}

/// All holds of an agent. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    held: HashMap<u64, Held>,
}

/// The name first, the uppermost directory as soon as it is known: a name may lead elsewhere by then.
#[derive(Debug)]
struct Held {
    name: String,
    uppermost: Option<PathBuf>,
}

impl Holds {
    /// Holds whatever the full name `name` leads to.
    pub(super) fn hold(&self, name: String) -> Hold {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        state.held.insert(id, Held { name, uppermost: None });
        drop(state);
        Hold { holds: self.clone(), id }
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.state().held.values().any(|held| held.name == name)
    }

    pub(super) fn has_directory(&self, uppermost: &Path) -> bool {
        self.state().held.values().any(|held| held.uppermost.as_deref() == Some(uppermost))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// The name turned out to lead to `image`.
    pub(super) fn found(&self, image: &Image) {
        if let Some(held) = self.holds.state().held.get_mut(&self.id) {
            held.uppermost = image.lowers.first().cloned();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.state().held.remove(&self.id);
    }
}

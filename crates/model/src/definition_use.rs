//! What refers to task definitions, and which of those are to be deleted: what must be known to let one go. Derived, and
//! kept up to date by [`State::apply`](crate::State::apply).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::definition::TaskDefinition;
use crate::service::{Service, ServiceStatus};
use crate::task::Task;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DefinitionUses {
    /// By the definition's key: task records, stopped or not, and deployments of services that are not INACTIVE.
    counts: HashMap<String, usize>,
    /// Keys of definitions in DELETE_IN_PROGRESS.
    deleting: BTreeSet<Arc<str>>,
}

impl DefinitionUses {
    pub fn count(&self, definition: &str) -> usize {
        self.counts.get(definition).copied().unwrap_or(0)
    }

    /// Keys of definitions in DELETE_IN_PROGRESS that nothing refers to.
    pub fn deletable(&self) -> impl Iterator<Item = &Arc<str>> {
        self.deleting.iter().filter(|key| self.count(key) == 0)
    }

    pub fn replace_definition(&mut self, key: &Arc<str>, new: Option<&TaskDefinition>) {
        match new.is_some_and(TaskDefinition::is_being_deleted) {
            true => self.deleting.insert(key.clone()),
            false => self.deleting.remove(key),
        };
    }

    pub fn replace_task(&mut self, old: Option<&Task>, new: Option<&Task>) {
        if !old.zip(new).is_some_and(|(old, new)| is_same_revision(old, new)) {
            self.replace(old.map(Task::definition_key), new.map(Task::definition_key));
        }
    }

    pub fn replace_service(&mut self, old: Option<&Service>, new: Option<&Service>) {
        self.replace(old.into_iter().flat_map(keys), new.into_iter().flat_map(keys));
    }

    fn replace(&mut self, old: impl IntoIterator<Item = String>, new: impl IntoIterator<Item = String>) {
        for key in new {
            *self.counts.entry(key).or_default() += 1;
        }
        for key in old {
            let Some(count) = self.counts.get_mut(&key) else { continue };
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }
}

fn is_same_revision(old: &Task, new: &Task) -> bool {
    (&old.account, &old.family, old.revision) == (&new.account, &new.family, new.revision)
}

fn keys(service: &Service) -> impl Iterator<Item = String> {
    let deployments = service.deployments.iter().filter(|_| service.status != ServiceStatus::Inactive);
    deployments.map(|deployment| service.definition_key(deployment))
}

//! What load balancers and their target groups have to do with each other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::AddressUse;
use crate::balancer::{Listener, LoadBalancer, Target};
use crate::task::Task;

/// Keys of listeners by the key of something that they use.
type Uses = HashMap<String, BTreeSet<Arc<str>>>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Balancing {
    /// Keys of listeners by the key of a group that they forward to.
    uses: Uses,
    /// The same by the key of a certificate.
    certificates: Uses,
    /// Numbers of targets, those that drain too, by `ACCOUNT/ID` of their group.
    targets: HashMap<String, usize>,
    /// Keys of the tasks that have not stopped, by the keys of the targets that they are.
    tasks: HashMap<String, Arc<str>>,
    addresses: AddressUse,
}

impl Balancing {
    /// Keys of the listeners that forward to the group with this key.
    pub fn listeners<'a>(&'a self, group: &str) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.uses.get(group).into_iter().flatten()
    }

    /// Keys of the listeners that have the certificate with this key.
    pub fn listeners_with<'a>(&'a self, certificate: &str) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.certificates.get(certificate).into_iter().flatten()
    }

    /// Certificates that listeners have.
    pub fn certificates(&self) -> impl Iterator<Item = &String> {
        self.certificates.keys()
    }

    /// Groups that listeners forward to.
    pub fn groups(&self) -> impl Iterator<Item = &String> {
        self.uses.keys()
    }

    /// How many targets a group has.
    pub fn targets(&self, account: &str, group: &str) -> usize {
        self.targets.get(&format!("{account}/{group}")).copied().unwrap_or(0)
    }

    /// The key of the task that is the target with this key while it runs.
    pub fn task(&self, target: &str) -> Option<&Arc<str>> {
        self.tasks.get(target)
    }

    /// Keys of targets and of the tasks that they are.
    pub fn tasks(&self) -> impl Iterator<Item = (&String, &Arc<str>)> {
        self.tasks.iter()
    }

    /// Addresses that balancers listen on.
    pub fn addresses(&self) -> &AddressUse {
        &self.addresses
    }

    pub(crate) fn add_task(&mut self, key: &Arc<str>, task: &Task) {
        self.tasks.extend(task.target_keys().map(|target| (target, key.clone())));
    }

    pub(crate) fn remove_task(&mut self, key: &Arc<str>, task: &Task) {
        for target in task.target_keys() {
            if self.tasks.get(&target) == Some(key) {
                self.tasks.remove(&target);
            }
        }
    }

    pub(crate) fn replace_balancer(&mut self, old: Option<&LoadBalancer>, new: Option<&LoadBalancer>) {
        let addresses = |row: &LoadBalancer| row.addresses().map(|(_, address)| address.into()).collect();
        let (old, new): (Vec<u32>, Vec<u32>) =
            (old.map(addresses).unwrap_or_default(), new.map(addresses).unwrap_or_default());
        for gone in old.iter().filter(|address| !new.contains(address)) {
            self.addresses.taken.remove(*gone);
        }
        new.into_iter().filter(|address| !old.contains(address)).for_each(|come| self.addresses.give(come));
    }

    pub(crate) fn replace_listener(&mut self, key: &Arc<str>, old: Option<&Listener>, new: Option<&Listener>) {
        let groups = |row: Option<&Listener>| row.map(Listener::group_keys).unwrap_or_default();
        replace(&mut self.uses, key, &groups(old), &groups(new));
        let certificates = |row: Option<&Listener>| row.map(Listener::certificate_keys).unwrap_or_default();
        replace(&mut self.certificates, key, &certificates(old), &certificates(new));
    }

    pub(crate) fn replace_target(&mut self, old: Option<&Target>, new: Option<&Target>) {
        let group = |row: &Target| format!("{}/{}", row.account, row.group);
        if let Some(new) = new {
            *self.targets.entry(group(new)).or_default() += 1;
        }
        let Some(old) = old.map(group) else { return };
        let left = self.targets.get(&old).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(self.targets.remove(&old)),
            left => drop(self.targets.insert(old, left)),
        }
    }
}

/// What the listener with this key uses is other than it was.
fn replace(uses: &mut Uses, key: &Arc<str>, old: &BTreeSet<String>, new: &BTreeSet<String>) {
    for gone in old.difference(new) {
        let Some(listeners) = uses.get_mut(gone) else { continue };
        listeners.remove(key);
        if listeners.is_empty() {
            uses.remove(gone);
        }
    }
    for come in new.difference(old) {
        uses.entry(come.clone()).or_default().insert(key.clone());
    }
}

//! What time alone will end, the next first: client tokens, inactive services, nodes that are gone or away, keys and secrets
//! whose deletion is scheduled, parameters that expire, targets that drain.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use longshore_wire::Timestamp;

use crate::balancer::Target;
use crate::kms::EncryptionKey;
use crate::node::Node;
use crate::parameter::Parameter;
use crate::secret::Secret;
use crate::service::{Service, ServiceStatus};
use crate::setting::Token;

/// Keys by a time.
type Timeline = BTreeSet<(Timestamp, Arc<str>)>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ages {
    /// By [`Token::end`].
    tokens: Timeline,
    /// The token that made a task, both by key.
    token_of: HashMap<Arc<str>, Arc<str>>,
    /// By when they became INACTIVE.
    services: Timeline,
    /// Nodes without a session that are INACTIVE or never had one, by when that began.
    idle_nodes: Timeline,
    /// Nodes without a session that are not INACTIVE, by when the last one ended.
    away_nodes: Timeline,
    /// By when they go.
    encryption_keys: Timeline,
    secrets: Timeline,
    /// Secrets that are rotated, by when they need a look.
    rotations: Timeline,
    inactive_nodes: BTreeSet<Arc<str>>,
    /// Nodes that take no tasks: away, DRAINING or INACTIVE. Few, most of the time none.
    closed_nodes: BTreeSet<Arc<str>>,
    /// Parameters that expire, by when.
    parameters: Timeline,
    /// Targets that were deregistered, by when they go.
    targets: Timeline,
}

impl Ages {
    pub fn tokens(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.tokens)
    }

    /// The key of the token that made the task with this key.
    pub fn token_of(&self, task: &str) -> Option<&Arc<str>> {
        self.token_of.get(task)
    }

    pub fn inactive_services(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.services)
    }

    pub fn idle_nodes(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.idle_nodes)
    }

    pub fn away_nodes(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.away_nodes)
    }

    /// Keys of KMS with a deletion date.
    pub fn doomed_encryption_keys(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.encryption_keys)
    }

    /// Secrets with a deletion date.
    pub fn doomed_secrets(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.secrets)
    }

    /// Secrets by when rotating them needs a look, those first whose task runs.
    pub fn rotations(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.rotations)
    }

    pub fn inactive_nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.inactive_nodes.iter()
    }

    /// Whether the node is there and takes no tasks: it is away, DRAINING or INACTIVE.
    pub fn is_closed(&self, node: &str) -> bool {
        !self.closed_nodes.is_empty() && self.closed_nodes.contains(node)
    }

    pub fn expiring_parameters(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.parameters)
    }

    pub fn draining_targets(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        pairs(&self.targets)
    }

    pub(crate) fn replace_target(&mut self, key: &Arc<str>, old: Option<&Target>, new: Option<&Target>) {
        let end = |target: &Target| target.draining.as_ref().map(|draining| draining.until);
        replace(&mut self.targets, key, old.and_then(end), new.and_then(end));
    }

    pub(crate) fn replace_parameter(&mut self, key: &Arc<str>, old: Option<&Parameter>, new: Option<&Parameter>) {
        let end = |parameter: &Parameter| parameter.expires_at;
        replace(&mut self.parameters, key, old.and_then(end), new.and_then(end));
    }

    pub(crate) fn replace_token(&mut self, key: &Arc<str>, old: Option<&Token>, new: Option<&Token>) {
        if let Some(old) = old {
            self.tokens.remove(&(old.end(), key.clone()));
            old.task_keys().for_each(|task| drop(self.token_of.remove(task.as_str())));
        }
        if let Some(new) = new {
            self.tokens.insert((new.end(), key.clone()));
            self.token_of.extend(new.task_keys().map(|task| (task.into(), key.clone())));
        }
    }

    pub(crate) fn replace_service(&mut self, key: &Arc<str>, old: Option<&Service>, new: Option<&Service>) {
        let since = |service: &Service| service.inactive_at.unwrap_or(service.created_at);
        let inactive = |service: &&Service| service.status == ServiceStatus::Inactive;
        replace(&mut self.services, key, old.filter(inactive).map(since), new.filter(inactive).map(since));
    }

    pub(crate) fn replace_encryption_key(
        &mut self,
        key: &Arc<str>,
        old: Option<&EncryptionKey>,
        new: Option<&EncryptionKey>,
    ) {
        let doom = |row: &EncryptionKey| row.delete_at;
        replace(&mut self.encryption_keys, key, old.and_then(doom), new.and_then(doom));
    }

    pub(crate) fn replace_secret(&mut self, key: &Arc<str>, old: Option<&Secret>, new: Option<&Secret>) {
        let doom = |row: &Secret| row.delete_at;
        replace(&mut self.secrets, key, old.and_then(doom), new.and_then(doom));
        replace(&mut self.rotations, key, old.and_then(Secret::rotates_at), new.and_then(Secret::rotates_at));
    }

    pub(crate) fn replace_node(&mut self, key: &Arc<str>, old: Option<&Node>, new: Option<&Node>) {
        replace(&mut self.idle_nodes, key, old.and_then(idle_since), new.and_then(idle_since));
        replace(&mut self.away_nodes, key, old.and_then(away_since), new.and_then(away_since));
        include(&mut self.inactive_nodes, key, new.is_some_and(is_inactive));
        include(&mut self.closed_nodes, key, new.is_some_and(|node| !node.takes_tasks()));
    }
}

fn pairs(timeline: &Timeline) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
    timeline.iter().map(|(at, key)| (*at, key))
}

fn replace(timeline: &mut Timeline, key: &Arc<str>, old: Option<Timestamp>, new: Option<Timestamp>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        timeline.remove(&(old, key.clone()));
    }
    if let Some(new) = new {
        timeline.insert((new, key.clone()));
    }
}

fn include(set: &mut BTreeSet<Arc<str>>, key: &Arc<str>, within: bool) {
    match within {
        true => set.insert(key.clone()),
        false => set.remove(key),
    };
}

fn is_inactive(node: &Node) -> bool {
    node.status == "INACTIVE"
}

fn idle_since(node: &Node) -> Option<Timestamp> {
    let useless = is_inactive(node) || node.epoch == 0;
    (useless && !node.connected).then(|| node.disconnected_at.unwrap_or(node.registered_at))
}

fn away_since(node: &Node) -> Option<Timestamp> {
    node.disconnected_at.filter(|_| !node.connected && !is_inactive(node))
}

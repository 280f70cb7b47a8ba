//! Forgetting what ended long ago: stopped tasks, used client tokens, inactive services, deregistered nodes, deleted task
//! definitions, secrets and keys whose deletion is due.
//!
//! Everything here comes from an index in the order in which it is due, so a turn costs what it forgets, however much there
//! is to keep.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_model::kms::grant_key;
use longshore_model::secret;
use longshore_model::setting::Token;
use longshore_model::task::Task;
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after};

const HOUR_MILLIS: i64 = 60 * 60 * 1000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

/// How long an inactive service can still be described.
const SERVICE_TTL_MILLIS: i64 = DAY_MILLIS;

/// How long a deleted task definition can be described at least, so that whoever deleted it can see that.
const DEFINITION_TTL_MILLIS: i64 = 60 * 1000;

/// Of a cluster's stopped tasks, the newest so many of services and the newest so many others are kept; older ones go even
/// before their time. At about 2 KiB for a small task a flood takes 40 MiB a cluster. AWS names no such limit.
pub const STOPPED_KEPT: usize = 10_000;

/// Plan one turn. Stopped tasks go `stopped_task_ttl_seconds` (at least an hour) after their end, or when there are
/// [`STOPPED_KEPT`] newer ones; a token after a day, or an hour after the last task it made ended; an inactive service after
/// a day; a node without tasks an hour after it was deregistered, or registered without ever connecting; a task definition
/// in DELETE_IN_PROGRESS when no task that can still be described and no service's deployment refers to it; a secret with
/// its versions, and a KMS key with its aliases and grants, at the time that its deletion was scheduled for.
pub fn turn(state: &State, now: Timestamp, stopped_task_ttl_seconds: i64) -> Plan {
    let mut turn = Turn { state, now, plan: Plan::default(), gone: BTreeSet::new(), full: false };
    turn.tasks(stopped_task_ttl_seconds.saturating_mul(1000).max(HOUR_MILLIS));
    turn.services();
    turn.tokens();
    turn.nodes();
    turn.secrets();
    turn.encryption_keys();
    definitions(state, now, &mut turn.plan);
    if turn.full || turn.plan.changes.len() == MAX_CHANGES {
        turn.plan.wake(now);
    }
    turn.plan
}

struct Turn<'a> {
    state: &'a State,
    now: Timestamp,
    plan: Plan,
    /// Keys of tasks and tokens that this turn forgets.
    gone: BTreeSet<Arc<str>>,
    /// There was more than fits into a turn.
    full: bool,
}

impl Turn<'_> {
    /// Whether so many more changes fit into the turn.
    fn fits(&mut self, changes: usize) -> bool {
        let fits = self.plan.changes.len() + changes <= MAX_CHANGES;
        self.full |= !fits;
        fits
    }

    fn forget(&mut self, table: TableName, key: &str) {
        self.plan.changes.push(Change::Delete(table, key.to_owned()));
    }

    fn tasks(&mut self, ttl: i64) {
        let state = self.state;
        for (stopped_at, key) in state.index.stopped() {
            if after(stopped_at, ttl) > self.now {
                self.plan.wake(after(stopped_at, ttl));
                break;
            }
            if !self.task(key) {
                return;
            }
        }
        for (_, key) in state.index.stopped_beyond(STOPPED_KEPT) {
            if !self.task(key) {
                return;
            }
        }
    }

    /// Forget a task; with the last one that a token made, the token's end comes into sight. Returns whether there was room.
    fn task(&mut self, key: &Arc<str>) -> bool {
        if self.gone.contains(key) {
            return true;
        }
        let token = self.state.index.ages.token_of(key);
        let token = token.and_then(|token| Some((token.clone(), self.state.tokens.get(token)?)));
        if !self.fits(if token.is_some() { 2 } else { 1 }) {
            return false;
        }
        self.forget(TableName::Task, key);
        self.gone.insert(key.clone());
        let ended = self.state.tasks.get(key).and_then(|task| task.stopped_at).unwrap_or(self.now);
        if let Some((key, token)) = token.filter(|(_, token)| self.was_last(token)) {
            self.release(&key, token, after(ended, HOUR_MILLIS));
        }
        true
    }

    /// Whether no task of the token is left.
    fn was_last(&self, token: &Token) -> bool {
        token.task_keys().all(|key| self.gone.contains(key.as_str()) || !self.state.tasks.contains(&key))
    }

    fn release(&mut self, key: &Arc<str>, token: &Token, until: Timestamp) {
        if until > self.now {
            self.plan.wake(until);
            self.plan.changes.push(Token { until: Some(until), ..token.clone() }.into());
            return;
        }
        self.forget(TableName::Token, key);
        self.gone.insert(key.clone());
    }

    fn services(&mut self) {
        for (since, key) in self.state.index.ages.inactive_services() {
            let until = after(since, SERVICE_TTL_MILLIS);
            if until > self.now {
                return self.plan.wake(until);
            }
            if !self.fits(1) {
                return;
            }
            self.forget(TableName::Service, key);
        }
    }

    fn tokens(&mut self) {
        for (until, key) in self.state.index.ages.tokens() {
            if until > self.now {
                return self.plan.wake(until);
            }
            if self.gone.contains(key) {
                continue;
            }
            if !self.fits(1) {
                return;
            }
            self.forget(TableName::Token, key);
        }
    }

    fn nodes(&mut self) {
        for (since, key) in self.state.index.ages.idle_nodes() {
            let until = after(since, HOUR_MILLIS);
            if until > self.now {
                return self.plan.wake(until);
            }
            if self.state.index.node(key).is_some_and(|used| !used.tasks.is_empty()) {
                continue;
            }
            if !self.fits(1) {
                return;
            }
            self.forget(TableName::Node, key);
        }
    }

    fn secrets(&mut self) {
        let state = self.state;
        for (at, key) in state.index.ages.doomed_secrets() {
            if at > self.now {
                return self.plan.wake(at);
            }
            let Some(secret) = state.secrets.get(key) else { continue };
            let prefix = secret::version_key(&secret.account, &secret.uid, "");
            let versions: Vec<_> = state.secret_versions.scan(&prefix).map(|(key, _)| key).collect();
            if !self.fits(versions.len() + 1) {
                return;
            }
            versions.into_iter().for_each(|key| self.forget(TableName::SecretVersion, key));
            self.forget(TableName::Secret, key);
        }
    }

    fn encryption_keys(&mut self) {
        let state = self.state;
        for (at, key) in state.index.ages.doomed_encryption_keys() {
            if at > self.now {
                return self.plan.wake(at);
            }
            let Some(row) = state.encryption_keys.get(key) else { continue };
            let prefix = format!("{}/", row.account);
            let aliases = state.key_aliases.scan(&prefix).filter(|(_, alias)| alias.key == row.id);
            let aliases: Vec<_> = aliases.map(|(key, _)| key).collect();
            let prefix = grant_key(&row.account, &row.id, "");
            let grants: Vec<_> = state.key_grants.scan(&prefix).map(|(key, _)| key).collect();
            if !self.fits(aliases.len() + grants.len() + 1) {
                return;
            }
            grants.into_iter().for_each(|key| self.forget(TableName::KeyGrant, key));
            aliases.into_iter().for_each(|key| self.forget(TableName::KeyAlias, key));
            self.forget(TableName::EncryptionKey, key);
        }
    }
}

fn definitions(state: &State, now: Timestamp, plan: &mut Plan) {
    let rows = state.index.deletable_definitions().filter_map(|key| Some((key, state.definitions.get(key)?)));
    for (key, definition) in rows {
        let until = after(definition.api.delete_requested_at.unwrap_or_default(), DEFINITION_TTL_MILLIS);
        match until <= now {
            true => plan.changes.push(Change::Delete(TableName::TaskDefinition, key.to_string())),
            false => plan.wake(until),
        }
        if plan.changes.len() >= MAX_CHANGES {
            return;
        }
    }
}

/// A token lasts a day, or until an hour after the last task it made has stopped, whichever is sooner.
pub fn expired(state: &State, token: &Token, now: Timestamp) -> bool {
    if token.end() <= now {
        return true;
    }
    // A task that is forgotten ended before those that are not; once all are, the token itself says until when it lasts.
    let left: Vec<&Arc<Task>> = token.task_keys().filter_map(|key| state.tasks.get(&key)).collect();
    let over = |task: &&Arc<Task>| task.stopped_at.is_some_and(|end| after(end, HOUR_MILLIS) <= now);
    !left.is_empty() && left.iter().all(over)
}

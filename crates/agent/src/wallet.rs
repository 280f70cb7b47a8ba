//! Credentials of tasks' roles: in memory alone, for the tasks of this node alone.
//!
//! ```text
//!   task begins ──► open ──► asked for in the session ──► put ──► found by the task's own endpoint
//!                              ▲                           └── half of their life later
//!                              └── no answer, refused, a new agent
//!   task ends   ──► forgotten
//! ```
//!
//! A container is told the path of its task's credentials, of which the last part is an id that nobody can guess. It is
//! written down with the task's order, so that the next agent knows it; the credentials are not, and are asked for anew.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_link::credentials::{
    IAMRoleCredentialsAckRequest, IAMRoleCredentialsMessage, RoleCredentials, TaskCredentialsRefusal,
    TaskCredentialsRequest,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::{clock, random};

/// A request that is not answered is repeated after so long.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What was refused is asked for again: a role may come back.
const ASK_AFTER_REFUSAL: Duration = Duration::from_secs(60);

/// Credentials are not asked for more often, however short they last by this machine's clock.
const LEAST_LIFE: Duration = Duration::from_secs(10);

/// The credentials of all tasks. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Wallet(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pockets: Mutex<Pockets>,
    /// There may be something to ask for.
    news: Notify,
}

/// ARN of a task, and the word for the role.
type Key = (String, String);

#[derive(Default)]
struct Pockets {
    by_role: HashMap<Key, Pocket>,
    /// When to ask for which credentials.
    due: BTreeSet<(Instant, Key)>,
    number: u64,
}

struct Pocket {
    id: String,
    ask_at: Instant,
    has: watch::Sender<Has>,
}

/// What is in a pocket.
#[derive(Clone)]
enum Has {
    Nothing,
    Kept(Arc<Kept>),
    /// There were none; why.
    Refused(String),
}

/// Credentials, and when they expire, in milliseconds since 1970.
pub(crate) struct Kept {
    pub(crate) credentials: RoleCredentials,
    expires_at: u64,
}

/// A place in the wallet, which is emptied when this is dropped.
pub(crate) struct Held {
    wallet: Wallet,
    key: Key,
    purse: Purse,
}

/// The credentials of one task in one role.
#[derive(Clone)]
pub(crate) struct Purse {
    id: String,
    has: watch::Receiver<Has>,
}

impl fmt::Debug for Purse {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Purse")
    }
}

impl Wallet {
    /// Makes a place for a task's credentials in a role (a word of [`longshore_link::credentials`]), which are asked for at
    /// once.
    pub(crate) fn open(&self, task: &str, role: &str, id: &str) -> Held {
        let (sender, has) = watch::channel(Has::Nothing);
        let (now, key) = (Instant::now(), (task.to_owned(), role.to_owned()));
        let mut pockets = self.0.pockets.lock();
        pockets.close(&key, None);
        pockets.due.insert((now, key.clone()));
        pockets.by_role.insert(key.clone(), Pocket { id: id.to_owned(), ask_at: now, has: sender });
        drop(pockets);
        self.0.news.notify_one();
        Held { wallet: self.clone(), key, purse: Purse { id: id.to_owned(), has } }
    }

    /// Waits until credentials are to be asked for. May be dropped at any point.
    pub(crate) async fn next(&self) -> TaskCredentialsRequest {
        loop {
            let due = self.0.pockets.lock().take_due(Instant::now());
            match due {
                Ok(request) => return request,
                Err(Some(at)) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.0.news.notified() => {}
                },
                Err(None) => self.0.news.notified().await,
            }
        }
    }

    /// Keeps credentials that have come, if somebody here waits for them, and acknowledges them.
    pub(crate) fn put(&self, message: IAMRoleCredentialsMessage) -> Option<IAMRoleCredentialsAckRequest> {
        let IAMRoleCredentialsMessage { message_id, task_arn, role_type, role_credentials: credentials } = message;
        let expires: Timestamp = credentials.expiration.parse().ok()?;
        let (expires_at, key) = (u64::try_from(expires.as_millisecond()).ok()?, (task_arn, role_type));
        let mut pockets = self.0.pockets.lock();
        if pockets.by_role.get(&key).is_none_or(|pocket| pocket.id != credentials.credentials_id) {
            return None;
        }
        pockets.ask(&key, Instant::now() + half_of(expires_at, clock::now()));
        let (credentials_id, expiration) = (credentials.credentials_id.clone(), credentials.expiration.clone());
        if let Some(pocket) = pockets.by_role.get(&key) {
            pocket.has.send_replace(Has::Kept(Arc::new(Kept { credentials, expires_at })));
        }
        drop(pockets);
        // Whoever waits for the next that is due waits for another now.
        self.0.news.notify_one();
        Some(IAMRoleCredentialsAckRequest { message_id, credentials_id, expiration })
    }

    /// There are no credentials for a task, for now. Those that it has are good for as long as they are.
    pub(crate) fn refused(&self, refusal: TaskCredentialsRefusal) {
        tracing::warn!(task = refusal.task_arn, reason = refusal.reason, "a task has no credentials");
        let key = (refusal.task_arn, refusal.role_type);
        let mut pockets = self.0.pockets.lock();
        pockets.ask(&key, Instant::now() + ASK_AFTER_REFUSAL);
        if let Some(pocket) = pockets.by_role.get(&key) {
            pocket.has.send_if_modified(|has| {
                let none = !matches!(has, Has::Kept(_));
                if none {
                    *has = Has::Refused(refusal.reason);
                }
                none
            });
        }
        drop(pockets);
        self.0.news.notify_one();
    }
}

/// How long credentials are kept before others are asked for.
fn half_of(expires_at: u64, now: u64) -> Duration {
    (Duration::from_millis(expires_at.saturating_sub(now)) / 2).max(LEAST_LIFE)
}

impl Pockets {
    /// The next request; if none is due, when one will be.
    fn take_due(&mut self, now: Instant) -> Result<TaskCredentialsRequest, Option<Instant>> {
        let (at, key) = self.due.first().cloned().ok_or(None)?;
        if at > now {
            return Err(Some(at));
        }
        self.ask(&key, now + ASK_AGAIN);
        self.number += 1;
        let credentials_id = self.by_role.get(&key).map(|pocket| pocket.id.clone()).unwrap_or_default();
        let (task_arn, role_type) = key;
        let message_id = format!("credentials-{}", self.number);
        Ok(TaskCredentialsRequest { message_id, task_arn, role_type, credentials_id })
    }

    /// Puts off the next request.
    fn ask(&mut self, key: &Key, at: Instant) {
        let Some(pocket) = self.by_role.get_mut(key) else { return };
        let before = std::mem::replace(&mut pocket.ask_at, at);
        self.due.remove(&(before, key.clone()));
        self.due.insert((at, key.clone()));
    }

    /// Empties a place, of this id if one is given.
    fn close(&mut self, key: &Key, id: Option<&str>) {
        let other = |pocket: &Pocket| id.is_some_and(|id| pocket.id != id);
        if self.by_role.get(key).is_none_or(other) {
            return;
        }
        if let Some(pocket) = self.by_role.remove(key) {
            self.due.remove(&(pocket.ask_at, key.clone()));
        }
    }
}

impl Held {
    pub(crate) fn purse(&self) -> Purse {
        self.purse.clone()
    }

    pub(crate) fn id(&self) -> &str {
        &self.purse.id
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.wallet.0.pockets.lock().close(&self.key, Some(&self.purse.id));
    }
}

impl Purse {
    pub(crate) fn is_under(&self, id: &str) -> bool {
        self.id == id
    }

    /// The credentials, as soon as there are some that have not expired; none if the task ends before.
    pub(crate) async fn take(&mut self) -> Option<Arc<Kept>> {
        let good = |has: &Has| matches!(has, Has::Kept(kept) if kept.expires_at > clock::now());
        match &*self.has.wait_for(good).await.ok()? {
            Has::Kept(kept) => Some(Arc::clone(kept)),
            Has::Nothing | Has::Refused(_) => None,
        }
    }

    /// The credentials, or why there are none.
    pub(crate) async fn settle(&mut self) -> Result<Arc<Kept>, String> {
        match self.has.wait_for(|has| !matches!(has, Has::Nothing)).await.as_deref() {
            Ok(Has::Kept(kept)) => Ok(Arc::clone(kept)),
            Ok(Has::Refused(reason)) => Err(reason.clone()),
            Ok(Has::Nothing) | Err(_) => Err("the task is over".to_owned()),
        }
    }
}

/// An id that nobody can guess, in the form of a UUID.
///
/// # Errors
/// When the kernel gives no randomness.
pub(crate) fn fresh_id() -> std::io::Result<String> {
    let mut bytes = random::bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    Ok(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use longshore_link::credentials::{TASK_APPLICATION, TASK_EXECUTION};

    use super::*;

    const TASK: &str = "arn:aws:ecs:us-east-1:000000000000:task/prod/1";

    fn issued(task: &str, id: &str, seconds: u64) -> IAMRoleCredentialsMessage {
        IAMRoleCredentialsMessage {
            message_id: "m".to_owned(),
            task_arn: task.to_owned(),
            role_type: TASK_APPLICATION.to_owned(),
            role_credentials: RoleCredentials {
                credentials_id: id.to_owned(),
                secret_access_key: "secret".to_owned(),
                expiration: clock::rfc3339(clock::now() + seconds * 1000),
                ..RoleCredentials::default()
            },
        }
    }

    fn refusal() -> TaskCredentialsRefusal {
        let (task_arn, role_type) = (TASK.to_owned(), TASK_APPLICATION.to_owned());
        TaskCredentialsRefusal { task_arn, role_type, reason: "no role".to_owned(), ..Default::default() }
    }

    fn secret(held: &Held) -> Option<String> {
        let kept = held.purse().take().now_or_never().flatten();
        kept.map(|kept| kept.credentials.secret_access_key.clone())
    }

    #[tokio::test]
    async fn credentials_are_asked_for_once_and_given_to_their_task() {
        let wallet = Wallet::default();
        assert!(wallet.next().now_or_never().is_none());
        let held = wallet.open(TASK, TASK_APPLICATION, "a");
        let asked = wallet.next().await;
        assert_eq!((asked.task_arn.as_str(), asked.credentials_id.as_str()), (TASK, "a"));
        assert!(wallet.next().now_or_never().is_none(), "an answer is waited for");
        assert_eq!(secret(&held), None);
        assert_eq!(wallet.put(issued(TASK, "b", 3600)), None, "of another id");
        assert_eq!(wallet.put(issued("arn:other", "a", 3600)), None, "of another task");
        let of_execution = IAMRoleCredentialsMessage { role_type: TASK_EXECUTION.into(), ..issued(TASK, "a", 3600) };
        assert_eq!(wallet.put(of_execution), None, "of another role");
        assert_eq!(secret(&held), None);
        let ack = wallet.put(issued(TASK, "a", 3600)).unwrap();
        assert_eq!((ack.message_id.as_str(), ack.credentials_id.as_str()), ("m", "a"));
        assert_eq!(secret(&held).as_deref(), Some("secret"));
        assert!(wallet.next().now_or_never().is_none());
        let mut purse = held.purse();
        drop(held);
        assert!(wallet.0.pockets.lock().by_role.is_empty() && wallet.0.pockets.lock().due.is_empty());
        assert_eq!(wallet.put(issued(TASK, "a", 3600)), None, "the task is over");
        assert!(purse.has.has_changed().is_err() && purse.settle().now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_next_are_asked_for_when_half_of_their_life_has_passed() {
        let wallet = Wallet::default();
        let _held = wallet.open(TASK, TASK_APPLICATION, "a");
        wallet.next().await;
        wallet.put(issued(TASK, "a", 3600)).unwrap();
        let mut pockets = wallet.0.pockets.lock();
        let now = Instant::now();
        assert!(pockets.take_due(now + Duration::from_secs(1795)).is_err());
        assert_eq!(pockets.take_due(now + Duration::from_secs(1801)).unwrap().task_arn, TASK);
        assert!(pockets.take_due(now + Duration::from_secs(1803)).is_err(), "an answer is waited for");
        assert!(pockets.take_due(now + Duration::from_secs(1807)).is_ok());
        assert_eq!(half_of(3_600_000, 0), Duration::from_secs(1800));
        assert_eq!(half_of(0, 10), LEAST_LIFE, "this machine's clock may be ahead");
    }

    #[tokio::test]
    async fn what_is_refused_is_asked_for_later_and_what_has_expired_is_not_given() {
        let wallet = Wallet::default();
        let held = wallet.open(TASK, TASK_APPLICATION, "a");
        wallet.next().await;
        wallet.refused(refusal());
        assert_eq!(held.purse().settle().await.err().as_deref(), Some("no role"));
        let now = Instant::now();
        assert!(wallet.0.pockets.lock().take_due(now + Duration::from_secs(58)).is_err());
        assert!(wallet.0.pockets.lock().take_due(now + Duration::from_secs(61)).is_ok());
        wallet.put(issued(TASK, "a", 0)).unwrap();
        assert_eq!(secret(&held), None);
        wallet.put(issued(TASK, "a", 60)).unwrap();
        assert_eq!(secret(&held).as_deref(), Some("secret"));
        wallet.refused(refusal());
        assert_eq!(secret(&held).as_deref(), Some("secret"), "what it has is good");
    }

    #[tokio::test]
    async fn a_task_that_is_opened_again_leaves_the_later_place_alone() {
        let wallet = Wallet::default();
        let first = wallet.open(TASK, TASK_APPLICATION, "a");
        let second = wallet.open(TASK, TASK_APPLICATION, "b");
        drop(first);
        assert_eq!(wallet.next().await.credentials_id, "b");
        wallet.put(issued(TASK, "b", 60)).unwrap();
        assert_eq!(secret(&second).as_deref(), Some("secret"));
    }

    #[test]
    fn ids_are_uuids_and_no_two_alike() {
        let (one, other) = (fresh_id().unwrap(), fresh_id().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}

//! Reports on their way through the session in which orders come: many in one message, where the API takes one a call.
//!
//! ```text
//!   courier ──► letter ──► session: all that wait in one message ──► acknowledged: durable ──► courier
//!                             └──► ends: the letters are void, the courier calls the API
//! ```
//! Only a control plane that says that it takes them gets them.

use std::collections::HashMap;

use longshore_link::acs::{MAX_REPORTS, TaskStateChangesAck, TaskStateChangesMessage};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::report::TaskChange;

/// Letters that may wait for the session to send them.
const QUEUE: usize = 256;

/// A report, and whoever waits for what becomes of it: taken, or refused for good with the reason.
struct Letter {
    task: String,
    change: Value,
    answered: oneshot::Sender<Result<(), String>>,
}

/// Where letters are handed in, while a session takes them.
#[derive(Default)]
pub(crate) struct Post(Mutex<Option<mpsc::Sender<Letter>>>);

impl Post {
    /// A session begins to take letters; an older one gets no more.
    pub(crate) fn open(&self) -> Bag {
        let (hand_in, waiting) = mpsc::channel(QUEUE);
        *self.0.lock() = Some(hand_in);
        Bag { waiting, sent: HashMap::new(), number: 0 }
    }

    /// Sends a report. `None` if no session takes it, or the one that did has ended.
    pub(super) async fn send(&self, change: &TaskChange) -> Option<Result<(), String>> {
        let hand_in = self.0.lock().clone()?;
        let (answered, answer) = oneshot::channel();
        let letter = Letter { task: change.task.clone(), change: serde_json::json!(change), answered };
        hand_in.send(letter).await.ok()?;
        answer.await.ok()
    }
}

/// The letters of one session. Those that are not acknowledged when it is dropped are void.
pub(crate) struct Bag {
    waiting: mpsc::Receiver<Letter>,
    /// By message id.
    sent: HashMap<String, Vec<Letter>>,
    number: u64,
}

impl Bag {
    /// Waits for letters; the message to send. May be dropped at any point.
    pub(crate) async fn next(&mut self) -> TaskStateChangesMessage {
        let mut letters = Vec::new();
        if self.waiting.recv_many(&mut letters, MAX_REPORTS).await == 0 {
            // Another session takes them.
            return std::future::pending().await;
        }
        // Nobody waits any more for those that were not acknowledged in time.
        self.sent.retain(|_, letters| letters.iter().any(|letter| !letter.answered.is_closed()));
        self.number += 1;
        let message_id = self.number.to_string();
        let changes = letters.iter_mut().map(|letter| letter.change.take()).collect();
        self.sent.insert(message_id.clone(), letters);
        TaskStateChangesMessage { message_id, changes }
    }

    /// The control plane has taken a message.
    pub(crate) fn acknowledged(&mut self, ack: TaskStateChangesAck) {
        for letter in self.sent.remove(&ack.message_id).unwrap_or_default() {
            let refused = ack.refused.iter().find(|refused| refused.task == letter.task);
            let answer = refused.map_or(Ok(()), |refused| Err(refused.reason.clone()));
            // Whoever waited may have gone.
            let _ = letter.answered.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use longshore_link::acs::RefusedChange;

    use super::*;

    fn change(task: &str) -> TaskChange {
        TaskChange { task: task.to_owned(), ..TaskChange::default() }
    }

    async fn send(post: &Arc<Post>, task: &'static str) -> tokio::task::JoinHandle<Option<Result<(), String>>> {
        let post = Arc::clone(post);
        let sending = tokio::spawn(async move { post.send(&change(task)).await });
        tokio::task::yield_now().await;
        sending
    }

    #[tokio::test]
    async fn what_waits_goes_in_one_message_and_each_hears_of_its_own() {
        let post = Arc::new(Post::default());
        assert_eq!(post.send(&change("a")).await, None, "no session takes it");
        let mut bag = post.open();
        let (a, b) = (send(&post, "a").await, send(&post, "b").await);
        let message = bag.next().await;
        assert_eq!(message.changes.iter().map(|change| &change["task"]).collect::<Vec<_>>(), ["a", "b"]);
        let late = send(&post, "late").await;
        bag.acknowledged(TaskStateChangesAck { message_id: "another".into(), ..Default::default() });
        let refused = vec![RefusedChange { task: "b".into(), reason: "no such task".into() }];
        bag.acknowledged(TaskStateChangesAck { message_id: message.message_id, refused });
        assert_eq!((a.await.unwrap(), b.await.unwrap()), (Some(Ok(())), Some(Err("no such task".into()))));
        drop(bag);
        assert_eq!(late.await.unwrap(), None, "its session has ended");
    }

    #[tokio::test]
    async fn a_newer_session_takes_the_letters() {
        let post = Arc::new(Post::default());
        let _older = post.open();
        let mut newer = post.open();
        let _sending = send(&post, "a").await;
        assert_eq!(newer.next().await.changes.len(), 1);
    }
}

//! The TCS channel of each node: health reports are written, metrics are acknowledged. A node has one; a newer one ends the
//! older.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use longshore_link::{Error, Frame, Message as _, frame, tcs};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::drops::Drops;
use crate::session::{Peer, Socket};
use crate::{Server, audit, clock};

/// A node that says nothing for so long is let go; it reports in well under a minute, with tasks or without.
const SILENCE: Duration = Duration::from_secs(300);

/// The channels that are open, by node id: what ends each is dropped with its place here.
#[derive(Default)]
pub struct Channels(Mutex<HashMap<String, oneshot::Sender<()>>>);

impl Channels {
    /// A newer channel of a node takes the place of an older one. What is returned resolves when this one's is taken.
    fn open(&self, node: &str) -> oneshot::Receiver<()> {
        let (place, taken) = oneshot::channel();
        self.0.lock().insert(node.to_owned(), place);
        taken
    }

    /// Clears the place of a channel that has let go of what it got, unless a newer one has it.
    fn close(&self, node: &str) {
        let mut open = self.0.lock();
        if open.get(node).is_some_and(oneshot::Sender::is_closed) {
            open.remove(node);
        }
    }
}

struct Tcs {
    server: Arc<Server>,
    peer: Peer,
    drops: Drops,
}

/// Serve a node's TCS channel until it ends.
pub async fn serve(server: Arc<Server>, peer: Peer, socket: Socket) {
    let node = peer.id.clone();
    let taken = server.telemetry.open(&node);
    let mut channel = Tcs { server: server.clone(), peer, drops: Drops::default() };
    channel.run(socket, taken).await;
    server.telemetry.close(&node);
    audit::dropped(&server, &node, "TCS", channel.drops.rest());
}

impl Tcs {
    async fn run(&mut self, mut socket: Socket, mut taken: oneshot::Receiver<()>) {
        loop {
            let message = tokio::select! {
                message = tokio::time::timeout(SILENCE, socket.next()) => message.ok().flatten(),
                _ = &mut taken => None,
                () = self.server.stopping() => None,
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(SocketError::Capacity(_))) => return self.drops.unreadable(),
                Some(Err(_)) | None => return,
            };
            if self.peer.is_over(&self.server.store.read()) {
                return;
            }
            let answer = self.on_message(&message);
            audit::dropped(&self.server, &self.peer.id, "TCS", self.drops.due(clock::now()));
            let Some(answer) = answer else { continue };
            if socket.send(Message::text(answer)).await.is_err() {
                return;
            }
        }
    }

    fn on_message(&mut self, message: &Message) -> Option<String> {
        let heard = match message {
            Message::Text(text) => Frame::parse(tcs::body(text)).and_then(|received| self.answer(received)),
            Message::Binary(_) => Ok(self.unknown("bytes")),
            _ => return None,
        };
        heard.unwrap_or_else(|error| {
            tracing::debug!(node = self.peer.id, %error, "a node's telemetry was dropped");
            self.drops.unreadable();
            None
        })
    }

    fn answer(&mut self, received: Frame) -> Result<Option<String>, Error> {
        let done = "ok".to_owned();
        let answer = match received.kind.as_str() {
            tcs::PublishHealthRequest::TYPE => {
                let report: tcs::PublishHealthRequest = received.read()?;
                self.server.health_reported(&self.peer.id, &report, &mut self.drops);
                frame(&tcs::AckPublishHealth { message: done })
            }
            "PublishMetricsRequest" => frame(&tcs::AckPublishMetric { message: done }),
            "PublishInstanceStatusRequest" => frame(&tcs::AckPublishInstanceStatus { message: done }),
            kind => return Ok(self.unknown(kind)),
        };
        Ok(Some(answer))
    }

    fn unknown(&mut self, kind: &str) -> Option<String> {
        tracing::debug!(node = self.peer.id, kind, "telemetry of unknown type was dropped");
        self.drops.unknown();
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn a_node_has_one_channel_the_newest() {
        let channels = Channels::default();
        let (mut first, mut other) = (channels.open("n1"), channels.open("n2"));
        let mut second = channels.open("n1");
        assert_eq!(first.try_recv(), Err(TryRecvError::Closed));
        drop(first);
        channels.close("n1");
        assert_eq!(second.try_recv(), Err(TryRecvError::Empty), "the older one's end is not the newer one's");
        assert_eq!(other.try_recv(), Err(TryRecvError::Empty), "nor another node's");
        drop((second, other));
        channels.close("n1");
        channels.close("n2");
        assert!(channels.0.lock().is_empty());
    }
}

//! Sockets that listen: opened and closed as configurations say, each with the front it serves now.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::front::Front;
use crate::{http, tcp};

/// A socket with what it serves. Dropping it closes it; its connections end with the request they are at, those of TCP when
/// they end themselves.
#[derive(Debug)]
pub struct Site {
    front: Arc<ArcSwap<Front>>,
    stop: watch::Sender<bool>,
}

impl Site {
    /// Listens on `address`. `slots` are the connections that all sites have together.
    ///
    /// # Errors
    /// Those of binding the socket.
    pub async fn open(address: SocketAddr, front: Arc<Front>, slots: Arc<Semaphore>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let front = Arc::new(ArcSwap::new(front));
        let stop = watch::Sender::new(false);
        tokio::spawn(accept(listener, front.clone(), slots, stop.subscribe()));
        Ok(Self { front, stop })
    }

    /// What the next request is served by.
    pub fn swap(&self, front: Arc<Front>) {
        self.front.store(front);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    front: Arc<ArcSwap<Front>>,
    slots: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, client)) => {
                let (front, stop) = (front.clone(), stop.clone());
                tokio::spawn(async move {
                    serve(front, stream, client, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(front: Arc<ArcSwap<Front>>, stream: TcpStream, client: SocketAddr, stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let is_web = front.load().is_web();
    match is_web {
        true => http::serve(front, stream, client, stop).await,
        false => tcp::serve(&front, stream, client).await,
    }
}

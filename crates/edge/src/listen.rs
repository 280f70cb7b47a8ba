//! Sockets that listen: opened and closed as configurations say, each with the front it serves now.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::front::Front;
use crate::{http, tcp};

/// For a client's handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

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

/// Each way is boxed: a connection has the memory of its own way, not of the largest.
async fn serve(front: Arc<ArcSwap<Front>>, stream: TcpStream, client: SocketAddr, stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let (is_web, tls) = {
        let now = front.load();
        (now.is_web(), now.tls.clone())
    };
    match tls {
        Some(config) => Box::pin(secured(front, stream, client, stop, is_web, config)).await,
        None if is_web => Box::pin(http::serve(front, stream, client, stop)).await,
        None => Box::pin(tcp::serve(&front, stream, client)).await,
    }
}

async fn secured(
    front: Arc<ArcSwap<Front>>,
    stream: TcpStream,
    client: SocketAddr,
    stop: watch::Receiver<bool>,
    is_web: bool,
    config: Arc<ServerConfig>,
) {
    let accepted = Box::pin(tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream))).await;
    match accepted {
        Ok(Ok(stream)) if is_web && stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            Box::pin(http::streams::serve(front, stream, client, stop)).await;
        }
        Ok(Ok(stream)) if is_web => Box::pin(http::serve(front, stream, client, stop)).await,
        Ok(Ok(stream)) => Box::pin(tcp::serve(&front, stream, client)).await,
        Ok(Err(error)) => tracing::debug!(%error, %client, "a client's handshake failed"),
        Err(_) => tracing::debug!(%client, "a client's handshake did not end"),
    }
}

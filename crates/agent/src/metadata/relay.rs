//! A task's way to the API: its [requests] go to the control plane, and the answers back, as they are.
//!
//! Who may do what there is the control plane's to say, by signatures. It sees the node as the peer; the session that signs
//! names the task. What is Longshore's own there, nodes' channels and `/_longshore`, this way does not lead to.
//!
//! [requests]: super::requests

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::register::{Door, Register, Visit};
use super::requests::{Refusal, Requests};

/// Connections of all tasks at the same time; more wait at the door. Each takes two descriptors, and one of the control
/// plane's connections, which has eight times as many.
const CONNECTIONS: usize = 1024;

/// For the control plane to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A connection on which nothing moves for so long ends, at the latest after twice the time.
const IDLE: Duration = Duration::from_secs(60);

/// Bytes on their way in one direction.
const BUFFER: usize = 8 * 1024;

/// Takes connections until this is dropped, and with it all of them. Who is not of the register gets no answer.
pub(super) async fn accept<T: Send + Sync + 'static>(listener: TcpListener, plane: SocketAddr, register: Register<T>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok((stream, SocketAddr::V4(peer))) => (stream, *peer.ip()),
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "a task's connection to the API was lost");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(visit) = register.visit(peer, Door::Api) else { continue };
        connections.spawn(async move {
            if let Err(error) = relay(stream, plane, visit, IDLE).await {
                tracing::debug!(%error, %peer, "a task's connection to the API broke");
            }
            drop(slot);
        });
    }
}

/// Why nothing is carried any more.
enum End {
    Broken(io::Error),
    Refused(Refusal),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Carries bytes both ways until both ends have said all, nothing moves any more, a request is refused, or the task ends.
async fn relay<T>(mut task: TcpStream, plane: SocketAddr, mut visit: Visit<T>, idle: Duration) -> io::Result<()> {
    let connected = timeout(CONNECT_WITHIN, TcpStream::connect(plane)).await;
    let mut plane = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    task.set_nodelay(true)?;
    plane.set_nodelay(true)?;
    let moved = AtomicU64::new(0);
    let ((from_task, to_task), (from_plane, to_plane)) = (task.split(), plane.split());
    let ended = tokio::select! {
        both = async { tokio::try_join!(ask(from_task, to_plane, &moved), answer(from_plane, to_task, &moved)) } => {
            both.map(drop)
        }
        () = stillness(&moved, idle) => Ok(()),
        () = visit.ended() => Ok(()),
    };
    match ended {
        Ok(()) => Ok(()),
        Err(End::Broken(error)) => Err(error),
        Err(End::Refused(refusal)) => timeout(idle, task.write_all(refusal.answer().as_bytes())).await?,
    }
}

/// Carries requests to the control plane, and tells the end. What is held back has not moved.
async fn ask(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, moved: &AtomicU64) -> Result<(), End> {
    let (mut buffer, mut requests) = ([0; BUFFER], Requests::default());
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(to.shutdown().await?);
        }
        let goes_on = requests.admit(&buffer[..read]).map_err(End::Refused)?;
        to.write_all(&goes_on).await?;
        moved.fetch_add(goes_on.len() as u64, Ordering::Relaxed);
    }
}

/// Carries answers to the task, and tells the end.
async fn answer(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, moved: &AtomicU64) -> Result<(), End> {
    let mut buffer = [0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(to.shutdown().await?);
        }
        to.write_all(&buffer[..read]).await?;
        moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends when nothing has moved for a period.
async fn stillness(moved: &AtomicU64, period: Duration) {
    let mut before = u64::MAX;
    loop {
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        (listener, address)
    }

    /// What comes back from a control plane that answers everything it was told, reversed, once it was told all.
    async fn answered(address: SocketAddr, told: &[u8]) -> Vec<u8> {
        let mut task = TcpStream::connect(address).await.expect("a connection");
        let mut answer = Vec::new();
        let _ = task.write_all(told).await;
        let _ = task.shutdown().await;
        let _ = task.read_to_end(&mut answer).await;
        answer
    }

    fn request(line: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("{line} HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    fn reversed(told: &[u8]) -> Vec<u8> {
        told.iter().rev().copied().collect()
    }

    async fn reverse(plane: TcpListener) {
        while let Ok((mut stream, _)) = plane.accept().await {
            let mut told = Vec::new();
            if stream.read_to_end(&mut told).await.is_ok() {
                told.reverse();
                let _ = stream.write_all(&told).await;
            }
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways_for_those_who_are_known() {
        let ((plane, plane_address), (api, address)) = (listener().await, listener().await);
        let register = Register::<()>::default();
        let serving = [tokio::spawn(reverse(plane)), tokio::spawn(accept(api, plane_address, register.clone()))];
        let short = request("POST /", b"abc");
        assert_eq!(answered(address, &short).await, b"", "nobody has that address");
        let place = register.enter(Ipv4Addr::LOCALHOST);
        assert_eq!(answered(address, &short).await, reversed(&short));
        let body: Vec<u8> = (0..BUFFER * 9 + 1).map(|number| (number % 251) as u8).collect();
        let long = request("POST /", &body);
        assert_eq!(answered(address, &long).await, reversed(&long));
        let closed = answered(address, &request("POST /_longshore/reset", b"")).await;
        assert_eq!(String::from_utf8_lossy(&closed), Refusal::Closed.answer());
        drop(place);
        assert_eq!(answered(address, &short).await, b"");
        serving.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_task() {
        let ((plane, plane_address), (api, address)) = (listener().await, listener().await);
        let register = Register::<()>::default();
        let place = register.enter(Ipv4Addr::LOCALHOST);
        let relaying = tokio::spawn(accept(api, plane_address, register));
        let mut task = TcpStream::connect(address).await.expect("a connection");
        let (held, _) = plane.accept().await.expect("it is relayed");
        drop(place);
        assert_eq!(task.read(&mut [0]).await.unwrap_or(0), 0);
        drop(held);
        relaying.abort();
    }

    #[tokio::test]
    async fn a_connection_ends_on_which_nothing_moves() {
        let ((plane, plane_address), (api, address)) = (listener().await, listener().await);
        let register = Register::<()>::default();
        let _place = register.enter(Ipv4Addr::LOCALHOST);
        let visit = register.visit(Ipv4Addr::LOCALHOST, Door::Api).expect("a slot");
        let mut task = TcpStream::connect(address).await.expect("a connection");
        let (accepted, _) = api.accept().await.expect("its other end");
        relay(accepted, plane_address, visit, Duration::from_millis(10)).await.expect("it ends as it should");
        let (mut held, _) = plane.accept().await.expect("it was relayed");
        assert_eq!((task.read(&mut [0]).await.unwrap_or(0), held.read(&mut [0]).await.unwrap_or(0)), (0, 0));
    }
}

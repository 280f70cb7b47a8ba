//! One websocket to the control plane, speaking frames, and dead after a silence.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use longshore_link::{Frame, MAX_FRAME, Message};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Packet};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::Lost;
use crate::api::{ControlPlane, chain};
use crate::backoff::chance;
use crate::sign;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// How long the control plane may take to accept a frame.
const SEND_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// After how long a silence it is dead.
    patience: Duration,
    /// When it is, if nothing is heard until then.
    deadline: Instant,
}

/// Opens `<endpoint>/ws?<query>`, signed.
pub(super) async fn open(endpoint: &str, query: &[(&str, &str)], plane: &ControlPlane) -> Result<Socket, Lost> {
    open_with(endpoint, query, plane, MAX_FRAME).await
}

/// As [`open`], for frames of at most `longest` bytes.
pub(super) async fn open_with(
    endpoint: &str,
    query: &[(&str, &str)],
    plane: &ControlPlane,
    longest: usize,
) -> Result<Socket, Lost> {
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let uri = format!("{}/ws?{}", endpoint.trim_end_matches('/'), query.join("&"));
    let unreachable = |error: tungstenite::Error| Lost::Unreachable(chain(&error));
    let mut request = uri.into_client_request().map_err(unreachable)?;
    sign::sign(&mut request, b"", &plane.key(), plane.region(), "ecs");
    let limits = WebSocketConfig::default()
        .max_message_size(Some(longest))
        .max_frame_size(Some(longest))
        .read_buffer_size(16 * 1024)
        .write_buffer_size(16 * 1024);
    let connecting = tokio_tungstenite::connect_async_with_config(request, Some(limits), true);
    match timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok((stream, _))) => Ok(Socket::new(stream)),
        Ok(Err(tungstenite::Error::Http(answer))) => Err(refused(answer.status(), answer.body().as_deref())),
        Ok(Err(error)) => Err(unreachable(error)),
        Err(_) => Err(Lost::Unreachable("no connection in time".to_owned())),
    }
}

/// A control plane that says that the request is wrong does not have this node; all else may pass.
fn refused(status: StatusCode, body: Option<&[u8]>) -> Lost {
    let text: String = String::from_utf8_lossy(body.unwrap_or_default()).chars().take(256).collect();
    let text = format!("{status} {text}");
    match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE => Lost::Unknown(text),
        StatusCode::FORBIDDEN => Lost::Forbidden(text),
        _ => Lost::Unreachable(text),
    }
}

impl Socket {
    fn new(stream: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        let patience = Duration::from_secs(60) + Duration::from_secs(60).mul_f64(chance());
        Self { stream, patience, deadline: Instant::now() + patience }
    }

    pub(super) async fn send<M: Message>(&mut self, message: &M) -> Result<(), Lost> {
        let sending = self.stream.send(Packet::text(longshore_link::frame(message)));
        match timeout(SEND_WITHIN, sending).await {
            Ok(sent) => sent.map_err(|error| Lost::Closed(chain(&error))),
            Err(_) => Err(Lost::Silent(SEND_WITHIN)),
        }
    }

    /// The next frame; `None` for something else that shows that the other side lives. Lost, too, when nothing has been heard
    /// for as long as there is patience. May be dropped at any point.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, Lost> {
        let heard = timeout_at(self.deadline, self.stream.next()).await.map_err(|_| Lost::Silent(self.patience))?;
        self.deadline = Instant::now() + self.patience;
        match heard {
            None => Err(Lost::Closed("the connection ended".to_owned())),
            Some(Err(error)) => Err(Lost::Closed(chain(&error))),
            Some(Ok(Packet::Text(text))) => Ok(read(&text)),
            Some(Ok(Packet::Close(frame))) => {
                let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                Err(ended(reason))
            }
            Some(Ok(_)) => Ok(None),
        }
    }
}

/// What the control plane's parting words mean.
pub(super) fn ended(reason: String) -> Lost {
    match reason.contains("InactiveInstance") {
        true => Lost::Unknown(reason),
        false => Lost::Closed(reason),
    }
}

fn read(text: &str) -> Option<Frame> {
    Frame::parse(text).map_err(|error| tracing::warn!(%error, "a frame of the control plane was dropped")).ok()
}

/// Percent-encoding of everything that is not unreserved.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// Both ends of a connection.
    async fn pair() -> (Socket, WebSocketStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (other, _) = listener.accept().await.unwrap();
        let own = WebSocketStream::from_raw_socket(MaybeTlsStream::Plain(stream), Role::Client, None).await;
        (Socket::new(own), WebSocketStream::from_raw_socket(other, Role::Server, None).await)
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_is_lost_after_a_silence_however_often_it_is_asked() {
        let (mut socket, mut other) = pair().await;
        let patience = socket.patience;
        tokio::time::advance(patience / 2).await;
        other.send(Packet::Ping(Vec::new().into())).await.unwrap();
        assert!(matches!(socket.next().await, Ok(None)));
        let heard = Instant::now();
        let ended = loop {
            if let Ok(ended) = timeout(patience / 10, socket.next()).await {
                break ended;
            }
        };
        assert!(matches!(ended, Err(Lost::Silent(_))));
        let silence = heard.elapsed();
        assert!(silence >= patience && silence < patience + Duration::from_secs(1), "{silence:?} of {patience:?}");
    }

    #[test]
    fn an_arn_goes_into_a_query_encoded() {
        assert_eq!(encode("arn:aws:ecs/x y"), "arn%3Aaws%3Aecs%2Fx%20y");
    }

    #[test]
    fn only_a_control_plane_that_lacks_the_node_makes_it_register_again() {
        for (status, unknown) in
            [(400, true), (404, true), (410, true), (401, false), (403, false), (500, false), (503, false)]
        {
            let lost = refused(StatusCode::from_u16(status).unwrap(), Some(b"why"));
            assert_eq!(matches!(lost, Lost::Unknown(_)), unknown, "{status}");
        }
        assert!(matches!(ended("InactiveInstanceException: gone".to_owned()), Lost::Unknown(_)));
        assert!(matches!(ended("going down".to_owned()), Lost::Closed(_)));
    }
}

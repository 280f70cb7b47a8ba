//! The session in which a node learns what its edge serves, and tells the health of targets.

use longshore_link::edge::{EdgeConfiguration, EdgeReport};

use super::Lost;
use super::socket::Socket;
use crate::balance::Balance;

/// Until the session ends. What was given last is served on after it.
pub(super) async fn session(edge: &Balance, mut socket: Socket) -> Lost {
    tracing::info!("the edge is in session with the control plane");
    if let Some(report) = edge.whole_report().await
        && let Err(lost) = tell(&mut socket, report).await
    {
        return lost;
    }
    loop {
        let done = tokio::select! {
            heard = socket.next() => match heard {
                Err(lost) => Err(lost),
                Ok(None) => Ok(()),
                Ok(Some(frame)) => {
                    serve(edge, frame).await;
                    Ok(())
                }
            },
            report = edge.report() => tell(&mut socket, report).await,
        };
        if let Err(lost) = done {
            return lost;
        }
    }
}

async fn tell(socket: &mut Socket, report: EdgeReport) -> Result<(), Lost> {
    for part in report.parts() {
        socket.send(&part).await?;
    }
    Ok(())
}

/// What is secret in a message that does not read is not to be found in the log.
async fn serve(edge: &Balance, frame: longshore_link::Frame) {
    if frame.kind != "EdgeConfiguration" {
        let kind: String = frame.kind.chars().take(64).collect();
        return tracing::warn!(?kind, "a message of an unknown type was dropped");
    }
    let Ok(configuration) = frame.read::<EdgeConfiguration>() else {
        return tracing::warn!("a configuration that does not read was dropped; the last one is served");
    };
    if let Err(refusal) = edge.apply(configuration).await {
        tracing::warn!(%refusal, "a configuration was refused; the last one is served");
    }
}

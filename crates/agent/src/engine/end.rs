//! The end of a task that nobody follows any more: its supervisor is asked to stop it and let go, and what is left in the
//! directory is removed.

use std::path::Path;
use std::time::Duration;

use longshore_supervisor::protocol::{Command, TaskPhase};
use tokio::time::timeout;

use super::home;
use super::link::{Link, LinkError};

/// Between a container's stop signal and its end, in seconds.
const STOP_SECONDS: u32 = 3;

/// How long the last lines of a task are offered to the control plane, which may be gone for good.
const LOG_SECONDS: u32 = 2;

/// How long a task may take to stop, with its logs.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How long a stopped task may take to clean up.
const RELEASE_WITHIN: Duration = Duration::from_secs(20);

/// Ends the task of a directory and removes that. A directory that is not there is fine.
///
/// # Errors
/// What could not be ended, in words.
pub(crate) async fn end_task(directory: &Path) -> Result<(), String> {
    if let Some(link) = Link::find(directory).await
        && let Err(error) = stop_task(link).await
    {
        return Err(error.to_string());
    }
    let directory = directory.to_owned();
    let removed = tokio::task::spawn_blocking(move || home::remove(&directory)).await;
    removed.map_err(std::io::Error::other).and_then(|removed| removed).map_err(|error| error.to_string())
}

async fn stop_task(mut link: Link) -> Result<(), LinkError> {
    link.ask(Command::GiveUpLogs { after_seconds: LOG_SECONDS }).await?;
    link.ask(Command::Stop { reason: None, timeout_seconds: Some(STOP_SECONDS) }).await?;
    let stopped = async {
        while link.status().phase != TaskPhase::Stopped && !link.is_gone() {
            link.changed().await;
        }
    };
    if timeout(STOP_WITHIN, stopped).await.is_err() {
        return Err(LinkError::Refused("it does not stop".to_owned()));
    }
    if !link.is_gone() {
        link.ask(Command::Release).await?;
    }
    match timeout(RELEASE_WITHIN, link.gone()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(LinkError::Refused("it does not end".to_owned())),
    }
}

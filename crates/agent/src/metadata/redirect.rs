//! How requests to port 80 find the endpoint without it holding port 80.
//!
//! A program in the task that listens on every address takes port 80 of 169.254.170.2 too, and could not if somebody
//! listened there. So the endpoint listens on a port of its own, and one rule of the task's namespace sends what goes
//! to port 80 of that address there. The rule lives and ends with the namespace.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};

use super::{METADATA_ADDRESS, PORT, PUBLIC_PORT};

/// Puts the rule into a task's namespace.
///
/// # Errors
/// When the namespace cannot be entered, or `nft` refuses.
pub(crate) async fn redirect(netns: OwnedFd) -> io::Result<()> {
    let script = format!(
        "add table ip metadata\n\
         add chain ip metadata asking {{ type nat hook output priority -100; policy accept; }}\n\
         add rule ip metadata asking ip daddr {METADATA_ADDRESS} tcp dport {PUBLIC_PORT} dnat to {METADATA_ADDRESS}:{PORT}\n"
    );
    let applied = tokio::task::spawn_blocking(move || {
        // The thread has entered another namespace and must not be used again: it ends here.
        let inside = std::thread::spawn(move || {
            setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)?;
            apply(&script)
        });
        inside.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace of the task panicked")))
    });
    applied.await.map_err(io::Error::other)?
}

fn apply(script: &str) -> io::Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(script.as_bytes())?;
    }
    let output = nft.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

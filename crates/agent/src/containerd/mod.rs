//! The containerd a node leaves its images to: the one it is pointed at, or a private one of its own.
//!
//! A private containerd keeps its content under `<data-dir>/containerd` and its socket in a short run-time directory,
//! `/run/longshore/<8 hex digits of the data directory>/containerd`, because the path of a Unix socket holds 107 bytes.
//! It runs in a session of its own, so it outlives the agent; the next agent of the same data directory adopts it.
//!
//! ```text
//!   open ──► pointed at a socket ──────────────────────────────► connect
//!     └────► private: lock ──► alive and answering? adopt ─────► connect
//!                         └──► else start, wait until it answers ──► connect
//! ```
//!
//! Every user of a private containerd holds a shared lock on a file for as long as it lives, which the kernel drops
//! when the user dies; so `stop_if_unused` knows whether anybody else is there.
//!
//! Left out: containers and tasks (the supervisor runs them), and any containerd setting of a daemon that is not ours.

mod config;
mod process;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use containerd_client::services::v1::version_client::VersionClient;
use containerd_client::tonic::transport::Channel;
use nix::fcntl::{Flock, FlockArg};

pub use config::Layout;
use process::Daemon;

/// The containerd namespace that holds everything of Longshore.
pub const NAMESPACE: &str = "longshore";

/// How long a daemon may take from its start, or from being found alive, until it answers.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// How long a daemon may take to end after SIGTERM before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What can go wrong in finding, starting and stopping containerd.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not installed.
    #[error(
        "{0} was not found on this machine; install containerd, or point to a running one with --containerd SOCKET"
    )]
    Missing(String),
    /// A file or a process of the private daemon could not be handled.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The path of the data directory cannot stand among the options of an overlay.
    #[error(
        "the data directory {0} has a colon, a comma or a backslash in its path, which overlay mounts do not allow"
    )]
    DataDir(PathBuf),
    /// Nobody answered on the socket.
    #[error("containerd does not answer on {socket}: {reason}")]
    Silent {
        /// Path of the socket.
        socket: PathBuf,
        /// The last failure seen.
        reason: String,
    },
    /// The private daemon ended while it was starting.
    #[error("containerd ended while it was starting: {0}")]
    Ended(String),
}

impl Error {
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Which containerd to use.
#[derive(Debug, Clone)]
pub struct Options {
    /// Data directory of the instance; created when missing.
    pub data_dir: PathBuf,
    /// Socket of a running containerd to use instead of a private one (`--containerd`).
    pub socket: Option<PathBuf>,
    /// Program of the private daemon.
    pub program: PathBuf,
}

impl Options {
    /// A private containerd under `data_dir`.
    pub fn private(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), socket: None, program: PathBuf::from("containerd") }
    }

    /// The containerd that listens on `socket`, if given, else a private one under `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, socket: Option<PathBuf>) -> Self {
        Self { socket, ..Self::private(data_dir) }
    }
}

/// A connection to the containerd of this node.
///
/// Dropping it leaves a private daemon running.
#[derive(Debug)]
pub struct Containerd {
    socket: PathBuf,
    channel: Channel,
    private: Option<Private>,
}

#[derive(Debug)]
struct Private {
    layout: Layout,
    program: PathBuf,
    started: bool,
    users: Flock<std::fs::File>,
}

impl Containerd {
    /// Finds or starts the containerd of `options` and connects to it.
    ///
    /// # Errors
    /// `Missing` when there is no such program, `Ended` with the end of the log when it does not come up, `Silent` when
    /// nobody answers on the socket.
    pub async fn open(options: &Options) -> Result<Self, Error> {
        match &options.socket {
            Some(socket) => Self::connect(socket.clone(), None).await,
            None => Self::open_private(options).await,
        }
    }

    async fn open_private(options: &Options) -> Result<Self, Error> {
        let layout = Layout::of(&options.data_dir)?;
        layout.make()?;
        let _starting = lock(layout.start_lock(), FlockArg::LockExclusive).await?;
        let users = lock(layout.users_lock(), FlockArg::LockShared).await?;
        let started = match revive(&layout, &options.program).await {
            Ok(started) => started,
            Err(error) => {
                leave(&layout, users)?;
                return Err(error);
            }
        };
        let socket = layout.socket();
        let private = Private { layout, program: options.program.clone(), started, users };
        Self::connect(socket, Some(private)).await
    }

    async fn connect(socket: PathBuf, private: Option<Private>) -> Result<Self, Error> {
        let channel = reach(&socket).await.map_err(|reason| Error::Silent { socket: socket.clone(), reason })?;
        Ok(Self { socket, channel, private })
    }

    /// Path of the socket it listens on.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The connection; it reconnects by itself after a restart of the daemon.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Whether this call of `open` started the daemon.
    pub fn started(&self) -> bool {
        self.private.as_ref().is_some_and(|private| private.started)
    }

    /// Process id of a private daemon that is alive.
    pub fn pid(&self) -> Option<i32> {
        Daemon::find(&self.private.as_ref()?.layout).map(|daemon| daemon.pid())
    }

    /// Starts a private daemon again if it has died; true if that was so.
    ///
    /// A daemon that was pointed at is not ours to start: there the answer is always false.
    ///
    /// # Errors
    /// As `open`.
    pub async fn revive(&self) -> Result<bool, Error> {
        let Some(private) = &self.private else {
            return Ok(false);
        };
        if Daemon::find(&private.layout).is_some() {
            return Ok(false);
        }
        let _starting = lock(private.layout.start_lock(), FlockArg::LockExclusive).await?;
        revive(&private.layout, &private.program).await
    }

    /// Keeps a private daemon alive: looks every `period` and starts it again when it has died. Never returns.
    pub async fn keep(&self, period: Duration) {
        loop {
            tokio::time::sleep(period).await;
            match self.revive().await {
                Ok(true) => {
                    tracing::warn!(socket = %self.socket.display(), "containerd had died and was started again")
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "containerd has died and does not start"),
            }
        }
    }

    /// Stops a private daemon; one that was pointed at goes on.
    ///
    /// # Errors
    /// `Io` when the process cannot be signalled.
    pub async fn stop(self) -> Result<(), Error> {
        let Some(private) = self.private else {
            return Ok(());
        };
        let _starting = lock(private.layout.start_lock(), FlockArg::LockExclusive).await?;
        process::stop(&private.layout, STOP_WITHIN).await
    }

    /// Stops a private daemon that this handle started. If somebody else uses it meanwhile, the last of those who ask for
    /// this stops it. True if it was stopped.
    ///
    /// # Errors
    /// `Io` when the process cannot be signalled.
    pub async fn stop_if_unused(self) -> Result<bool, Error> {
        let Some(private) = self.private else {
            return Ok(false);
        };
        let _starting = lock(private.layout.start_lock(), FlockArg::LockExclusive).await?;
        if !private.started && !private.layout.passing().exists() {
            return Ok(false);
        }
        if private.users.relock(FlockArg::LockExclusiveNonblock).is_err() {
            let noted = std::fs::write(private.layout.passing(), "");
            return noted.map(|()| false).map_err(Error::io("leaving containerd to the last who uses it"));
        }
        process::stop(&private.layout, STOP_WITHIN).await?;
        leave(&private.layout, private.users)?;
        Ok(true)
    }
}

/// Removes what is left of a daemon that does not run, unless somebody else is about to use it. The caller holds the start
/// lock, which goes with the rest: see [`lock`].
fn leave(layout: &Layout, users: Flock<std::fs::File>) -> Result<(), Error> {
    let alone = users.relock(FlockArg::LockExclusiveNonblock).is_ok();
    if alone && Daemon::find(layout).is_none() { layout.remove_run_dir() } else { Ok(()) }
}

/// Makes the daemon of `layout` run and answer; true if it had to be started. The caller holds the start lock.
async fn revive(layout: &Layout, program: &Path) -> Result<bool, Error> {
    let begun = Instant::now();
    if let Some(daemon) = Daemon::find(layout) {
        let pid = daemon.pid();
        daemon.ready(&layout.socket(), READY_WITHIN).await?;
        tracing::debug!(pid, "adopted the running containerd");
        return Ok(false);
    }
    let daemon = Daemon::start(layout, program)?;
    let pid = daemon.pid();
    daemon.ready(&layout.socket(), READY_WITHIN).await?;
    tracing::info!(pid, milliseconds = begun.elapsed().as_millis() as u64, "started containerd");
    Ok(true)
}

/// Connects to `socket` and asks for the version, which proves that somebody answers.
async fn reach(socket: &Path) -> Result<Channel, String> {
    let channel = containerd_client::connect(socket).await.map_err(|error| chain(&error))?;
    let mut client = VersionClient::new(channel.clone());
    match tokio::time::timeout(Duration::from_secs(2), client.version(())).await {
        Ok(Ok(_)) => Ok(channel),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("no answer within two seconds".to_owned()),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Locks a file, made with its directory where they are missing. One that was removed while it was waited for locks nobody
/// out, so it is tried again then.
async fn lock(path: PathBuf, how: FlockArg) -> Result<Flock<std::fs::File>, Error> {
    let locking = tokio::task::spawn_blocking(move || {
        loop {
            config::make_directory(path.parent().unwrap_or(Path::new("/")))?;
            let locked = lock_file(&path, how).map_err(Error::io("locking the private containerd"))?;
            if let Some(locked) = locked {
                return Ok(locked);
            }
        }
    });
    locking.await.map_err(std::io::Error::other).map_err(Error::io("locking the private containerd"))?
}

/// `None` if the file has lost its name meanwhile.
fn lock_file(path: &Path, how: FlockArg) -> std::io::Result<Option<Flock<std::fs::File>>> {
    let file = match std::fs::File::options().create(true).truncate(false).write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let locked = Flock::lock(file, how).map_err(|(_, errno)| std::io::Error::from(errno))?;
    let named = std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let held = locked.metadata()?;
    Ok((named == Some((held.dev(), held.ino()))).then_some(locked))
}

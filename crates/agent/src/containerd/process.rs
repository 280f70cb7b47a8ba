//! The process of a private containerd: found by its pid file, started in a session of its own, stopped by signal.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::config::Layout;
use super::{Error, reach};

/// How often a starting or stopping daemon is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A log file longer than this is set aside before the next start.
const LOG_LIMIT: u64 = 10 * 1024 * 1024;

/// A daemon that runs, whether found or started.
pub(super) struct Daemon {
    pid: i32,
    child: Option<Child>,
    log: PathBuf,
}

impl Daemon {
    /// The live daemon of `layout`, if there is one.
    pub(super) fn find(layout: &Layout) -> Option<Self> {
        let pid = std::fs::read_to_string(layout.pid_file()).ok()?.trim().parse().ok()?;
        is_ours(pid, layout).then(|| Self { pid, child: None, log: layout.log() })
    }

    /// Starts the daemon of `layout`. `setsid` gives it a session of its own and then becomes it.
    pub(super) fn start(layout: &Layout, program: &Path) -> Result<Self, Error> {
        let program = find_program(program)?;
        write_config(layout)?;
        let log = open_log(&layout.log())?;
        let errors = log.try_clone().map_err(Error::io("opening containerd's log"))?;
        let child = Command::new("setsid")
            .arg(program)
            .arg("--config")
            .arg(layout.config_file())
            // It outlives this process, and what it starts may be looked at by others.
            .env_remove("LONGSHORE_MASTER_KEY")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .current_dir("/")
            .spawn()
            .map_err(Error::io("starting containerd"))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        std::fs::write(layout.pid_file(), pid.to_string()).map_err(Error::io("writing containerd's pid file"))?;
        Ok(Self { pid, child: Some(child), log: layout.log() })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until the daemon answers on `socket`, then leaves it alone (but for collecting its exit, if it is a child).
    pub(super) async fn ready(mut self, socket: &Path, within: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let reason = match reach(socket).await {
                Ok(_) => break,
                Err(reason) => reason,
            };
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                return Err(Error::Ended(format!("{status}: {}", tail(&self.log))));
            }
            if begun.elapsed() > within {
                return Err(Error::Silent { socket: socket.to_owned(), reason });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if let Some(mut child) = self.child {
            tokio::spawn(async move { child.wait().await });
        }
        Ok(())
    }
}

/// Stops the daemon of `layout`, if it lives: SIGTERM, and SIGKILL after `within`.
pub(super) async fn stop(layout: &Layout, within: Duration) -> Result<(), Error> {
    let Some(daemon) = Daemon::find(layout) else {
        return Ok(());
    };
    let begun = Instant::now();
    signal(daemon.pid, Signal::SIGTERM)?;
    while is_ours(daemon.pid, layout) && begun.elapsed() < within {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    if is_ours(daemon.pid, layout) {
        signal(daemon.pid, Signal::SIGKILL)?;
    }
    for file in [layout.pid_file(), layout.socket()] {
        remove_if_there(&file)?;
    }
    Ok(())
}

fn signal(pid: i32, signal: Signal) -> Result<(), Error> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(errno) => Err(Error::io("stopping containerd")(errno.into())),
    }
}

fn remove_if_there(file: &Path) -> Result<(), Error> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing {}", file.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Whether process `pid` lives and was started with the configuration of `layout`. A zombie has no command line.
fn is_ours(pid: i32, layout: &Layout) -> bool {
    let Ok(command_line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let config = layout.config_file();
    command_line.split(|byte| *byte == 0).any(|argument| argument == config.as_os_str().as_encoded_bytes())
}

fn find_program(program: &Path) -> Result<PathBuf, Error> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned()).ok_or_else(|| missing(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file()).ok_or_else(|| missing(program))
}

fn missing(program: &Path) -> Error {
    Error::Missing(program.display().to_string())
}

/// Writes the configuration; the daemon reads it once, at its start.
fn write_config(layout: &Layout) -> Result<(), Error> {
    std::fs::write(layout.config_file(), layout.config()).map_err(Error::io("writing containerd's configuration"))
}

fn open_log(path: &Path) -> Result<File, Error> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
        std::fs::rename(path, path.with_extension("log.1")).map_err(Error::io("setting containerd's log aside"))?;
    }
    File::options().create(true).append(true).open(path).map_err(Error::io("opening containerd's log"))
}

/// The last lines of the log, for an error message.
fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(600)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    read().unwrap_or_default()
}

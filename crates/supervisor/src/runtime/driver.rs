//! The runtime's command line. A run and an exec are started and left to end by themselves: their exit is seen by the
//! supervisor's own `waitpid`, and what they started becomes the supervisor's child, which is a subreaper.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as ProcessStdio};

use crate::error::{Error, Result};
use crate::spec::{RuntimeKind, RuntimeSpec};

/// Standard streams of what is started; `None` is `/dev/null`.
#[derive(Debug, Default)]
pub struct Stdio {
    pub input: Option<OwnedFd>,
    pub output: Option<OwnedFd>,
    pub error: Option<OwnedFd>,
}

/// A runtime with its state directory.
#[derive(Clone, Debug)]
pub struct Driver {
    runtime: RuntimeSpec,
    root: PathBuf,
}

impl Driver {
    /// `root` is the runtime's state directory, the task's own.
    pub fn new(runtime: RuntimeSpec, root: PathBuf) -> Driver {
        Driver { runtime, root }
    }

    /// Creates and starts the container of a bundle. Returns the runtime's process id; when it exits with 0, the file
    /// `pid` of the bundle holds the container's.
    pub fn run(&self, bundle: &Path, id: &str, terminal: Option<&Path>, stdio: Stdio) -> Result<u32> {
        let mut command = self.command(&bundle.join("runtime.log"));
        command.args(["run", "--detach"]);
        command.arg("--pid-file").arg(bundle.join("pid"));
        command.arg("--bundle").arg(bundle);
        if let Some(socket) = terminal {
            command.arg("--console-socket").arg(socket);
        }
        command.arg(id);
        start(command, stdio)
    }

    /// As [`Driver::run`] without streams, waiting until the container runs.
    pub fn run_to_end(&self, bundle: &Path, id: &str) -> Result<()> {
        let log = bundle.join("runtime.log");
        let mut command = self.command(&log);
        command.args(["run", "--detach"]);
        command.arg("--pid-file").arg(bundle.join("pid"));
        command.arg("--bundle").arg(bundle).arg(id);
        self.finish(command, &log)
    }

    /// Starts a process in a running container, with output thrown away. When the runtime exits with 0, `pid_file`
    /// holds the process id.
    pub fn exec(&self, process: &Path, pid_file: &Path, id: &str) -> Result<u32> {
        let mut command = self.command(&pid_file.with_extension("log"));
        command.args(["exec", "--detach"]);
        command.arg("--pid-file").arg(pid_file);
        command.arg("--process").arg(process);
        command.arg(id);
        start(command, Stdio::default())
    }

    /// Forgets a container that has ended, waiting for it; kills it if it has not.
    pub fn delete(&self, id: &str) -> Result<()> {
        let log = self.root.join("delete.log");
        let mut command = self.command(&log);
        command.args(["delete", "--force", id]);
        self.finish(command, &log)
    }

    fn finish(&self, mut command: Command, log: &Path) -> Result<()> {
        command.stdin(ProcessStdio::null()).stdout(ProcessStdio::null()).stderr(ProcessStdio::null());
        let status = command.status().map_err(Error::file("run", &self.runtime.path))?;
        if status.success() { Ok(()) } else { Err(Error::Runtime(last_words(log))) }
    }

    /// Sends a signal by the runtime, where the container's process is not the one to signal.
    pub fn signal(&self, id: &str, signal: i32) -> Option<Result<u32>> {
        if self.runtime.kind != RuntimeKind::Runsc {
            return None;
        }
        let mut command = self.command(&self.root.join("kill.log"));
        command.args(["kill", id, &signal.to_string()]);
        Some(start(command, Stdio::default()))
    }

    fn command(&self, log: &Path) -> Command {
        let mut command = Command::new(&self.runtime.path);
        command.env_clear().current_dir("/");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg("--root").arg(&self.root).arg("--log").arg(log);
        if self.runtime.kind == RuntimeKind::Crun {
            command.arg("--cgroup-manager=cgroupfs").arg("--log-format=json");
        } else {
            command.arg("--log-format").arg::<&OsStr>("json".as_ref());
        }
        command
    }
}

/// What the runtime complained of last in its log (JSON lines with `msg`), shortened to what a user needs.
pub fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let message = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        value["msg"].as_str().map(str::to_string)
    };
    let found = text.lines().rev().find_map(message);
    found.unwrap_or_else(|| "the OCI runtime failed without a word".to_string())
}

fn start(mut command: Command, stdio: Stdio) -> Result<u32> {
    let stream = |fd: Option<OwnedFd>| fd.map_or_else(ProcessStdio::null, ProcessStdio::from);
    command.stdin(stream(stdio.input)).stdout(stream(stdio.output)).stderr(stream(stdio.error));
    let path = PathBuf::from(command.get_program());
    let child = command.spawn().map_err(Error::file("run", path))?;
    Ok(child.id())
}

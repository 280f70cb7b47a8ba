//! One container at work: its streams, its processes, its health check under way.

use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{Gid, Uid, fchown, pipe2};

use crate::error::{Error, Result};
use crate::log::Log;
use crate::oci::Prepared;
use crate::runtime::Stdio;
use crate::spec::ContainerSpec;
use crate::stats::CpuStats;
use crate::user::User;

/// State beside the machine's.
pub struct Slot {
    pub directory: PathBuf,
    pub prepared: Option<Prepared>,
    /// The log, or why there is none.
    pub log: std::result::Result<Log, String>,
    /// First process of the container while it runs.
    pub pid: Option<i32>,
    /// The runtime knows this container.
    pub known: bool,
    pub check: Option<Check>,
    /// Ends that have to stay open: standard input, the terminal's socket.
    pub input: Option<OwnedFd>,
    pub console: Option<UnixListener>,
    /// For `precpu_stats`: time of reading and what was read.
    pub last_cpu: Option<(u128, CpuStats)>,
}

/// A health check under way.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The runtime's process first, the command's own then.
    pub pid: i32,
    pub deadline: u64,
}

impl Slot {
    pub fn new(directory: PathBuf, log: std::result::Result<Log, String>) -> Slot {
        Slot {
            directory,
            prepared: None,
            log,
            pid: None,
            known: false,
            check: None,
            input: None,
            console: None,
            last_cpu: None,
        }
    }

    /// Makes the standard streams of a new life, and starts to read them.
    pub fn open_streams(&mut self, spec: &ContainerSpec, user: &User) -> Result<Stdio> {
        self.input = None;
        self.console = None;
        if spec.tty {
            let path = self.directory.join("console");
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path).map_err(Error::file("listen at", &path))?;
            listener.set_nonblocking(true).map_err(Error::file("listen at", &path))?;
            self.console = Some(listener);
            return Ok(Stdio::default());
        }
        let input = if spec.stdin_open { Some(self.open_input()?) } else { None };
        let log = self.log.as_ref().map_err(|reason| Error::Parameter(reason.clone()))?;
        if !log.reads() {
            return Ok(Stdio { input, ..Stdio::default() });
        }
        let (read_output, output) = open_pipe(user)?;
        let (read_error, error) = open_pipe(user)?;
        log.attach(vec![(read_output, "stdout"), (read_error, "stderr")])?;
        Ok(Stdio { input, output: Some(output), error: Some(error) })
    }

    /// Where the runtime is to send the terminal, if there is to be one.
    pub fn console_path(&self) -> Option<PathBuf> {
        self.console.as_ref().map(|_| self.directory.join("console"))
    }

    /// Takes the terminal that the runtime has sent and starts to read it. Called after the container started.
    pub fn take_terminal(&mut self) -> Result<()> {
        let Some(listener) = self.console.take() else {
            return Ok(());
        };
        let (stream, _) = listener.accept().map_err(Error::system("take the terminal"))?;
        let terminal = receive_descriptor(stream.as_raw_fd())?;
        // Written to by nobody, but a terminal without a holder hangs up.
        let log = self.log.as_ref().map_err(|reason| Error::Parameter(reason.clone()))?;
        log.attach(vec![(terminal, "stdout")])
    }

    fn open_input(&mut self) -> Result<OwnedFd> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(Error::system("make a pipe"))?;
        self.input = Some(write);
        Ok(read)
    }
}

/// A pipe that the container's user may open anew by `/dev/stdout`.
fn open_pipe(user: &User) -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(Error::system("make a pipe"))?;
    fchown(&write, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .map_err(Error::system("give a pipe to the container's user"))?;
    Ok((read, write))
}

fn receive_descriptor(socket: i32) -> Result<OwnedFd> {
    let mut byte = [0u8; 256];
    let mut slices = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message = recvmsg::<()>(socket, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
        .map_err(Error::system("take the terminal"))?;
    let mut numbers = Vec::new();
    for control in message.cmsgs().map_err(Error::system("take the terminal"))? {
        if let ControlMessageOwned::ScmRights(list) = control {
            numbers.extend(list);
        }
    }
    let own = |number: i32| {
        // SAFETY: the kernel has just made this descriptor for us.
        #[expect(unsafe_code, reason = "descriptors come as numbers")]
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        fd
    };
    let mut owned = numbers.into_iter().map(own);
    owned.next().ok_or_else(|| Error::Runtime("the runtime sent no terminal".into()))
}

//! What a supervisor is as a process: its own session, its own mount namespace, parent of every orphan below it, deaf to
//! signals but those it reads itself.

use std::fs;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::error::{Error, Result};
use crate::oci::limit::DEFAULT_NOFILE;

/// Becomes a supervisor. To be called first, while there is one thread.
pub fn settle() -> Result<SignalFd> {
    // Fails for a session leader, which is as good.
    let _ = nix::unistd::setsid();
    umask(Mode::from_bits_truncate(0o022));
    keep_descriptors_from_children()?;
    small_heap();
    nix::sys::prctl::set_child_subreaper(true).map_err(Error::system("become a subreaper"))?;
    // When memory is short a container goes, not the one who would tell of it. Containers set their own value.
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
    read_signals()
}

/// A descriptor that was inherited, by its number in the task's spec.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    if number <= 2 {
        return Err(Error::Parameter(format!(
            "descriptor {number} cannot be an inherited one"
        )));
    }
    // SAFETY: only looked at, and only if it is open, during this call.
    #[expect(unsafe_code, reason = "a number from the spec is all there is")]
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_GETFD).map_err(Error::system("use an inherited descriptor"))?;
    // SAFETY: it is open, it was given to this process for this purpose, and each number is taken once.
    #[expect(unsafe_code, reason = "a number from the spec is all there is")]
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    Ok(owned)
}

/// The hard limit of open files that children can be given: raised to the default of containers if the host lets us.
pub fn most_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return DEFAULT_NOFILE;
    };
    match hard < DEFAULT_NOFILE && setrlimit(Resource::RLIMIT_NOFILE, soft, DEFAULT_NOFILE).is_ok()
    {
        true => DEFAULT_NOFILE,
        false => hard,
    }
}

/// Children that have ended since, with exit codes as a shell gives them (128 + signal).
pub fn ended_children() -> Vec<(i32, i32)> {
    let mut list = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => list.push((pid.as_raw(), code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                list.push((pid.as_raw(), 128 + signal as i32))
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return list,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return list,
        }
    }
}

/// The runtime and the containers get what is given to them by name and nothing else.
fn keep_descriptors_from_children() -> Result<()> {
    // SAFETY: changes flags of descriptors only.
    #[expect(unsafe_code, reason = "no safe wrapper")]
    let result = unsafe {
        libc::close_range(
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
        )
    };
    Errno::result(result)
        .map(drop)
        .map_err(Error::system("close descriptors on exec"))
}

/// One heap for all threads, and large blocks given back at once: a supervisor lives long and idles.
fn small_heap() {
    // SAFETY: sets numbers of the C library's allocator, before other threads exist.
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no safe wrapper")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10);
    }
}

/// Blocked rather than ignored: what is ignored would be inherited by containers.
fn read_signals() -> Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        set.add(signal);
    }
    set.thread_block().map_err(Error::system("block signals"))?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(Error::system("read signals"))
}

//! What a supervisor is as a process: its own session, its own mount namespace, parent of every orphan below it, with
//! handlers for the signals it means.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::error::{Error, Result};
use crate::oci::limit::DEFAULT_NOFILE;

/// Becomes a supervisor. To be called first, while there is one thread.
///
/// The event is raised by signals, and by whoever else wants the main loop to look around.
pub fn settle() -> Result<EventFd> {
    // Fails for a session leader, which is as good.
    let _ = nix::unistd::setsid();
    umask(Mode::from_bits_truncate(0o022));
    keep_descriptors_from_children()?;
    small_heap();
    nix::sys::prctl::set_child_subreaper(true).map_err(Error::system("become a subreaper"))?;
    // When memory is short a container goes, not the one who would tell of it. Containers set their own value.
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
    let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
        .map_err(Error::system("make an event descriptor"))?;
    handle_signals(&wake)?;
    Ok(wake)
}

/// A descriptor that was inherited, by its number in the task's spec.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    if number <= 2 {
        return Err(Error::Parameter(format!("descriptor {number} cannot be an inherited one")));
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
    match hard < DEFAULT_NOFILE && setrlimit(Resource::RLIMIT_NOFILE, soft, DEFAULT_NOFILE).is_ok() {
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
            Ok(WaitStatus::Signaled(pid, signal, _)) => list.push((pid.as_raw(), 128 + signal as i32)),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return list,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return list,
        }
    }
}

/// Waits until this process has no child any more: a namespace of processes only ends when all of them are waited for.
pub fn wait_for_children(patience: Duration) {
    let until = Instant::now() + patience;
    while Instant::now() < until && waitpid(None, Some(WaitPidFlag::WNOHANG)) != Err(Errno::ECHILD) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The runtime and the containers get what is given to them by name and nothing else.
fn keep_descriptors_from_children() -> Result<()> {
    // SAFETY: changes flags of descriptors only.
    #[expect(unsafe_code, reason = "no safe wrapper")]
    let result = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    Errno::result(result).map(drop).map_err(Error::system("close descriptors on exec"))
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

/// What the handler raises, or −1.
static WAKE: AtomicI32 = AtomicI32::new(-1);
static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Whether SIGTERM has come since the last time.
pub fn was_terminated() -> bool {
    TERMINATED.swap(false, Ordering::SeqCst)
}

/// Handlers, neither blocked nor ignored: children inherit both of those, handlers they do not. A child that ended, and
/// SIGTERM, raise the event; the others mean the terminal of whoever started this, and do nothing.
///
/// What whoever started this ignored (a shell, `nohup`) is not ignored any more, as a container would inherit it.
fn handle_signals(wake: &EventFd) -> Result<()> {
    (1..=64).for_each(ignore_no_more);
    WAKE.store(wake.as_fd().as_raw_fd(), Ordering::SeqCst);
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: the handler does nothing that is not allowed in one.
        #[expect(unsafe_code, reason = "a handler is code run at any time")]
        unsafe { sigaction(signal, &action) }.map_err(Error::system("handle signals"))?;
    }
    SigSet::empty().thread_set_mask().map_err(Error::system("unblock signals"))
}

/// SIGPIPE is excepted: the standard library ignores it for this process and restores it in children.
fn ignore_no_more(signal: libc::c_int) {
    // SAFETY: asks for, and puts back, the action the kernel gives to a signal nobody handles; a zeroed structure is one
    // without a handler, mask or flags.
    #[expect(unsafe_code, reason = "the safe wrapper neither asks nor knows real-time signals")]
    unsafe {
        let mut known: libc::sigaction = std::mem::zeroed();
        let asked = libc::sigaction(signal, std::ptr::null(), &raw mut known);
        if asked == 0 && known.sa_sigaction == libc::SIG_IGN && signal != libc::SIGPIPE {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    if signal == libc::SIGTERM {
        TERMINATED.store(true, Ordering::SeqCst);
    }
    let one = 1u64;
    // SAFETY: writes eight live bytes; allowed in a handler; the descriptor lives as long as the process. The number of
    // the last error belongs to the code that was interrupted.
    #[expect(unsafe_code, reason = "only plain calls are allowed in a handler")]
    unsafe {
        let error = *libc::__errno_location();
        libc::write(WAKE.load(Ordering::SeqCst), (&raw const one).cast(), 8);
        *libc::__errno_location() = error;
    }
}

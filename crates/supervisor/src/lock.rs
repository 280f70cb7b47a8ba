//! Who holds a task directory: the lock on `DIR/lock`.
//!
//! An agent takes the lock and hands it over as standard input of the supervisor that it starts; the supervisor keeps it
//! until it ends, however it ends. At no moment between is it free. So whoever finds the directory knows: held means that
//! a supervisor lives or is on its way, free means that there is none.
//!
//! ```text
//!   reserve ──► stdin of `supervise DIR` ──► take (its pid into the file) ──► end of the process: free
//! ```
//!
//! Left out: what a directory without a holder means (its files tell that).

use std::fs::{File, TryLockError};
use std::io::{Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::fstat;
use nix::unistd::{Pid, dup2_stdin};

use crate::error::{Error, Result};

const LOCK_FILE: &str = "lock";

/// How long a killed supervisor may take to be gone.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Takes the lock of a directory for a supervisor about to be started, which gets it as its standard input.
///
/// # Errors
/// `Parameter` when somebody holds it.
pub fn reserve(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = options.map_err(Error::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::Parameter(format!("a supervisor runs in {}", dir.display())));
        }
        Err(TryLockError::Error(e)) => return Err(Error::file("lock", &path)(e)),
    }
    // The number of a supervisor before would be taken for that of the next.
    file.set_len(0).map_err(Error::file("empty", &path))?;
    Ok(file)
}

/// Whether a supervisor lives in this directory or is on its way.
pub fn is_held(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join(LOCK_FILE)) else {
        return false;
    };
    // Shared, so that others may look at the same time.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The supervisor's own hold on its directory: what it was given, else what it takes now. Lasts as long as the file.
pub(crate) fn take(dir: &Path) -> Result<File> {
    let mut file = match given(dir)? {
        Some(file) => file,
        None => reserve(dir)?,
    };
    let path = dir.join(LOCK_FILE);
    file.rewind().and_then(|()| write!(file, "{}", std::process::id())).map_err(Error::file("write", &path))?;
    Ok(file)
}

/// The lock, if it is the standard input; that becomes `/dev/null`, as children would inherit it.
fn given(dir: &Path) -> Result<Option<File>> {
    let stdin = std::io::stdin();
    let Ok(found) = fstat(stdin.as_fd()) else {
        return Ok(None);
    };
    let is_lock = std::fs::metadata(dir.join(LOCK_FILE))
        .is_ok_and(|lock| (lock.dev(), lock.ino()) == (found.st_dev, found.st_ino));
    if !is_lock {
        return Ok(None);
    }
    let file = stdin.as_fd().try_clone_to_owned().map_err(Error::system("keep the lock"))?;
    let nothing = File::open("/dev/null").map_err(Error::file("open", "/dev/null"))?;
    dup2_stdin(nothing).map_err(Error::system("let go of the standard input"))?;
    Ok(Some(file.into()))
}

/// Ends a supervisor that holds the directory without answering.
pub(crate) fn end_holder(dir: &Path) -> Result<()> {
    if !is_held(dir) {
        return Ok(());
    }
    let silent = || Error::Parameter(format!("a supervisor in {} neither answers nor ends", dir.display()));
    let text = std::fs::read_to_string(dir.join(LOCK_FILE)).unwrap_or_default();
    let pid: i32 = text.parse().ok().filter(|pid| *pid > 1).ok_or_else(silent)?;
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(e) => return Err(Error::system("end a supervisor")(e)),
    }
    let begun = Instant::now();
    while is_held(dir) {
        if begun.elapsed() > END_WITHIN {
            return Err(silent());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    struct Directory(std::path::PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn directory(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("longshore-lock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    #[test]
    fn a_lock_handed_over_lasts_as_long_as_the_process() {
        let dir = directory("handed");
        assert!(!is_held(&dir.0));
        let lock = reserve(&dir.0).unwrap();
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::from(lock)).spawn().unwrap();
        assert!(is_held(&dir.0));
        assert!(reserve(&dir.0).unwrap_err().to_string().contains("a supervisor runs in"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_held(&dir.0));
        drop(reserve(&dir.0).unwrap());
        assert!(!is_held(&dir.0));
    }

    #[test]
    fn a_holder_that_does_not_answer_is_ended_by_its_number() {
        let dir = directory("silent");
        assert!(end_holder(&dir.0).is_ok(), "nobody is there");
        let lock = reserve(&dir.0).unwrap();
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::from(lock)).spawn().unwrap();
        assert!(end_holder(&dir.0).is_err(), "it has not said who it is");
        std::fs::write(dir.0.join(LOCK_FILE), child.id().to_string()).unwrap();
        end_holder(&dir.0).unwrap();
        assert!(!child.wait().unwrap().success());
    }
}

//! A private containerd for one test, gone with everything it made when the test ends, however it ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use longshore_agent::containerd::{Containerd, Layout, Options};
use longshore_agent::image::{Images, Retry};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Five tries as ever, but in a hurry.
pub const HURRY: Retry =
    Retry { tries: 5, first_wait: Duration::from_millis(50), longest_wait: Duration::from_millis(400) };

/// A directory that goes when it is dropped.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("longshore-images-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct Node {
    pub directory: Directory,
    pub containerd: Containerd,
    pub images: Images,
}

impl Node {
    pub async fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root, as a node does");
        let directory = Directory::new();
        let containerd = Containerd::open(&Options::private(directory.0.join("data"))).await.unwrap();
        let images = Images::with_retry(containerd.channel(), HURRY);
        Self { directory, containerd, images }
    }

    pub fn options(&self) -> Options {
        Options::private(self.directory.0.join("data"))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    /// Images that remember nothing of what these did.
    pub fn fresh_images(&self) -> Images {
        Images::with_retry(self.containerd.channel(), HURRY)
    }

    pub fn kill(&self) {
        kill(Pid::from_raw(self.containerd.pid().unwrap()), Signal::SIGKILL).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        end(&self.directory.0.join("data"));
    }
}

/// Kills the containerd of a data directory and removes its run-time directory.
pub fn end(data_dir: &Path) {
    let Ok(layout) = Layout::of(data_dir) else {
        return;
    };
    if let Some(pid) = daemon(&layout) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        while Path::new(&format!("/proc/{pid}/exe")).exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    if let Some(instance) = layout.socket().parent().and_then(Path::parent) {
        let _ = std::fs::remove_dir_all(instance);
    }
}

/// The process of a layout, if it lives.
pub fn daemon(layout: &Layout) -> Option<i32> {
    let pid: i32 = std::fs::read_to_string(layout.pid_file()).ok()?.trim().parse().ok()?;
    let command_line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    command_line.contains(layout.config_file().to_str()?).then_some(pid)
}

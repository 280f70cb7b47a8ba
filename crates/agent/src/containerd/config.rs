//! Where a private containerd keeps its files, and the configuration it is started with.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;

/// Directory of everything of Longshore that does not outlive a boot.
const RUN: &str = "/run/longshore";

/// Plugins a node does not need: Kubernetes' interface, other snapshotters, containerd's own way to run containers.
/// `opt` would create `/opt/containerd` on the host.
const DISABLED: &[&str] = &[
    "io.containerd.grpc.v1.cri",
    "io.containerd.grpc.v1.containers",
    "io.containerd.grpc.v1.tasks",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.monitor.v1.cgroups",
    "io.containerd.runtime.v1.linux",
    "io.containerd.runtime.v2.task",
    "io.containerd.service.v1.tasks-service",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
];

/// The paths of one instance's private containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    data_dir: PathBuf,
    run_dir: PathBuf,
}

impl Layout {
    /// The layout of the instance with this data directory, which is made (0700) when it is missing.
    ///
    /// # Errors
    /// `Io` when the directory can neither be found nor made, `DataDir` when overlays cannot be mounted there.
    pub fn of(data_dir: &Path) -> Result<Self, Error> {
        make_directory(data_dir)?;
        let data_dir = data_dir.canonicalize().map_err(Error::io(format!("finding {}", data_dir.display())))?;
        if data_dir.as_os_str().as_encoded_bytes().iter().any(|byte| b":,\\".contains(byte)) {
            return Err(Error::DataDir(data_dir));
        }
        let run_dir = Path::new(RUN).join(fingerprint(&data_dir)).join("containerd");
        Ok(Self { data_dir, run_dir })
    }

    /// Makes the run-time directory (0700) when it is missing.
    pub(super) fn make(&self) -> Result<(), Error> {
        make_directory(&self.run_dir)
    }

    /// Removes the run-time directory, and those above it that hold nothing else. It stays if something is mounted in it,
    /// as by a daemon that was killed while it unpacked.
    pub(super) fn remove_run_dir(&self) -> Result<(), Error> {
        let mounted =
            longshore_supervisor::points_below(&self.run_dir).map_err(Error::io("reading the mount table"))?;
        if !mounted.is_empty() {
            return Ok(());
        }
        match std::fs::remove_dir_all(&self.run_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("removing {}", self.run_dir.display()))(error));
            }
            _ => {}
        }
        for above in self.run_dir.ancestors().skip(1).take(2) {
            // Of other instances, or of this one's network.
            let _ = std::fs::remove_dir(above);
        }
        Ok(())
    }

    /// Where the content store and the snapshots are.
    pub fn root(&self) -> PathBuf {
        self.data_dir.join("containerd")
    }

    /// Where the daemon writes its log.
    pub fn log(&self) -> PathBuf {
        self.data_dir.join("containerd.log")
    }

    /// The socket it listens on.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("containerd.sock")
    }

    /// The file that holds its process id.
    pub fn pid_file(&self) -> PathBuf {
        self.run_dir.join("containerd.pid")
    }

    /// The configuration it is started with; this path on its command line is how the process is recognised.
    pub fn config_file(&self) -> PathBuf {
        self.run_dir.join("config.toml")
    }

    pub(super) fn start_lock(&self) -> PathBuf {
        self.run_dir.join("start.lock")
    }

    /// Is there when the daemon was started for a moment only and the one who started it has gone.
    pub(super) fn passing(&self) -> PathBuf {
        self.run_dir.join("passing")
    }

    pub(super) fn users_lock(&self) -> PathBuf {
        self.run_dir.join("users.lock")
    }

    /// The text of the configuration file.
    ///
    /// Garbage is collected after every deletion, because only removals of images and ends of pulls delete anything.
    pub(super) fn config(&self) -> String {
        let disabled: Vec<String> = DISABLED.iter().map(|plugin| format!("  {plugin:?},\n")).collect();
        format!(
            "version = 2\nroot = {root}\nstate = {state}\ntemp = {temp}\ndisabled_plugins = [\n{disabled}]\n\n\
             [grpc]\naddress = {socket}\n\n[debug]\nlevel = \"warn\"\n\n\
             [plugins.\"io.containerd.gc.v1.scheduler\"]\ndeletion_threshold = 1\nschedule_delay = \"100ms\"\n",
            root = toml_string(&self.root()),
            state = toml_string(&self.run_dir.join("state")),
            temp = toml_string(&self.run_dir.join("tmp")),
            disabled = disabled.concat(),
            socket = toml_string(&self.socket()),
        )
    }
}

/// Eight hex digits that stand for a data directory.
fn fingerprint(data_dir: &Path) -> String {
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    hex::encode(&digest[..4])
}

pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::io(format!("making {}", path.display())))
}

/// A TOML basic string; Rust's escapes of quotes, backslashes and control characters are TOML's but for `\u{..}`.
fn toml_string(path: &Path) -> String {
    let mut text = String::from('"');
    for character in path.to_string_lossy().chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            character if character.is_control() => text.push_str(&format!("\\u{:04X}", character as u32)),
            character => text.push(character),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(data_dir: &str) -> Layout {
        Layout { data_dir: data_dir.into(), run_dir: Path::new(RUN).join(fingerprint(Path::new(data_dir))) }
    }

    #[test]
    fn the_socket_path_is_short_however_long_the_data_directory_is() {
        let long = format!("/{}", "d/".repeat(500));
        assert!(layout(&long).socket().as_os_str().len() <= 107);
    }

    #[test]
    fn two_data_directories_have_two_run_directories() {
        assert_ne!(layout("/a").run_dir, layout("/b").run_dir);
    }

    #[test]
    fn paths_are_escaped_in_the_configuration() {
        assert_eq!(toml_string(Path::new("/a\"b\\c\nd")), "\"/a\\\"b\\\\c\\u000Ad\"");
    }
}

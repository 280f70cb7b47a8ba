//! Makes what the OCI runtime needs to start a container: the mounted root file system, the files put into it, the
//! volumes, `config.json`.
//!
//! ```text
//! DIR/c<N>/  rootfs upper work        overlay of the image's layers
//!            hosts hostname resolv.conf config.json pid runtime.log console
//! DIR/v<N>   one a volume: scratch directory, or what is bound from the host
//! DIR/init   the container init
//! DIR/m      of a task with secrets, in memory: what has its environments (see [`secret`])
//! DIR/pause  rootfs config.json pid runtime.log: what holds a shared namespace of processes
//! ```
//!
//! Directories carry numbers, not names: a container may have a long name and a socket's path must be short.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::{process, secret};
use crate::error::{Error, Result};
use crate::mount;
use crate::oci::{self, Bind, Prepared};
use crate::rootfs::Root;
use crate::spec::{ContainerSpec, MountPoint, TaskSpec, VolumeSource};
use crate::user;

/// The program of `init/init.rs`.
const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Namespaces that the containers of a task share, as paths.
pub struct Shared {
    /// `None` is the host's.
    pub network: Option<String>,
    /// `None`: each container has its own.
    pub processes: Option<String>,
}

/// The directory of a container.
pub fn directory(dir: &Path, container: usize) -> PathBuf {
    dir.join(format!("c{container}"))
}

/// The directory of a volume, by its place in the task.
pub fn volume_directory(dir: &Path, place: usize) -> PathBuf {
    dir.join(format!("v{place}"))
}

/// Makes everything and mounts it. To be called once for each container.
pub fn prepare(dir: &Path, task: &TaskSpec, container: usize, shared: Shared) -> Result<Prepared> {
    let spec = &task.containers[container];
    let own = directory(dir, container);
    let rootfs = own.join("rootfs");
    mount::overlay(&spec.lowers, &own.join("upper"), &own.join("work"), &rootfs)?;
    let root = Root::open(&rootfs)?;
    let user = user::resolve(&root, &spec.user)?;
    root.create_directory(&oci::working_directory(spec)?)?;
    let mut binds = etc_files(&own, spec)?;
    for point in oci::effective_mounts(task, spec)? {
        binds.push(volume(dir, task, &root, point)?);
    }
    let init = spec.init.then(|| write_init(dir)).transpose()?;
    let Shared { network, processes } = shared;
    let prepared = Prepared {
        rootfs,
        user,
        binds,
        network_namespace: network,
        process_namespace: processes,
        most_files: process::most_files(),
        init,
    };
    let config = oci::config(task, spec, &prepared)?;
    write_settings(dir, task, container, &config.to_string())?;
    Ok(prepared)
}

/// Writes `config.json`, or to memory and a link to it.
fn write_settings(dir: &Path, task: &TaskSpec, container: usize, config: &str) -> Result<()> {
    const NAME: &str = "config.json";
    let own = directory(dir, container);
    let (file, place) = (secret::file(dir, task, container, &own, NAME), own.join(NAME));
    write(&file, config)?;
    match file == place || place.is_symlink() {
        true => Ok(()),
        false => symlink(&file, &place).map_err(Error::file("link", &place)),
    }
}

/// The file with the process of a health check.
pub fn write_check(dir: &Path, task: &TaskSpec, container: usize, prepared: &Prepared) -> Result<PathBuf> {
    let spec = &task.containers[container];
    let command = spec.health_check.as_ref().map_or(&[][..], |check| &check.command);
    let args = match command {
        [kind, rest @ ..] if kind == "CMD-SHELL" => {
            let shell = ["/bin/sh", "-c"].map(str::to_string);
            shell.into_iter().chain(rest.iter().cloned()).collect()
        }
        [kind, rest @ ..] if kind == "CMD" => rest.to_vec(),
        all => all.to_vec(),
    };
    let file = secret::file(dir, task, container, &directory(dir, container), "check.json");
    if !file.exists() {
        write(&file, &oci::exec_process(spec, prepared, &args)?.to_string())?;
    }
    Ok(file)
}

/// The container may write to them unless its root is read-only, as on Docker.
fn etc_files(own: &Path, spec: &ContainerSpec) -> Result<Vec<Bind>> {
    let hostname = format!("{}\n", spec.hostname);
    let files = [("hosts", &spec.hosts), ("hostname", &hostname), ("resolv.conf", &spec.resolv_conf)];
    let mut binds = Vec::new();
    for (name, content) in files {
        let source = own.join(name);
        write(&source, content)?;
        binds.push(Bind { source, target: format!("/etc/{name}"), read_only: spec.readonly_rootfs });
    }
    Ok(binds)
}

fn volume(dir: &Path, task: &TaskSpec, root: &Root, point: MountPoint) -> Result<Bind> {
    let place = task.volumes.iter().position(|volume| volume.name == point.volume);
    let place = place.ok_or_else(|| Error::Parameter(format!("no volume {:?} in the task", point.volume)))?;
    let source = volume_directory(dir, place);
    if fs::symlink_metadata(&source).is_err() {
        match &task.volumes[place].source {
            VolumeSource::Scratch => scratch(&source, root, &point.container_path)?,
            VolumeSource::Host { path } => mount::bind_host(path, &source)?,
        }
    }
    Ok(Bind { source, target: point.container_path, read_only: point.read_only })
}

/// An empty directory; owner and mode are those of the image's directory that it covers first, else root's 0755.
fn scratch(source: &Path, root: &Root, covers: &str) -> Result<()> {
    fs::create_dir_all(source).map_err(Error::file("create volume", source))?;
    let Some((uid, gid, mode)) = root.directory_owner(covers) else {
        return Ok(());
    };
    chown(source, Some(uid), Some(gid)).map_err(Error::file("give volume", source))?;
    fs::set_permissions(source, fs::Permissions::from_mode(mode)).map_err(Error::file("protect volume", source))
}

/// The container init on the host.
pub fn write_init(dir: &Path) -> Result<PathBuf> {
    let file = dir.join("init");
    if !file.exists() {
        fs::write(&file, INIT).map_err(Error::file("write", &file))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).map_err(Error::file("protect", &file))?;
    }
    Ok(file)
}

/// The process id in a file that the runtime wrote.
pub fn read_pid(file: &Path) -> Result<i32> {
    let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
    text.trim().parse().map_err(|_| Error::Runtime(format!("{} holds no process id", file.display())))
}

fn write(file: &Path, content: &str) -> Result<()> {
    fs::write(file, content).map_err(Error::file("write", file))
}

//! The namespace of processes that the containers of a task share (`pidMode` `task`), held by a process of its own.
//!
//! A namespace ends with its first process, so that cannot be one of a container. It is the container init without a
//! command: it reaps what is orphaned and does nothing else. The others see it, so it must be worth nothing to them: it runs in
//! a container of its own, without capabilities, as nobody, with nothing in its root file system.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::bundle;
use crate::error::{Error, Result};
use crate::oci::{self, Bind, Prepared};
use crate::runtime::Driver;
use crate::spec::{ContainerSpec, TaskSpec};
use crate::user::User;

/// No container of a task can be named like this.
const NAME: &str = "~pause";
/// Where its program is inside.
const PROGRAM: &str = "/dev/init";
const NOBODY: u32 = 65_534;

/// A running one.
pub struct Pause {
    pub pid: i32,
    id: String,
    namespace: OwnedFd,
}

impl Pause {
    /// Starts it and waits for that, as the containers need its namespace.
    pub fn start(dir: &Path, task: &TaskSpec, network: Option<String>, driver: &Driver) -> Result<Pause> {
        let bundle = dir.join("pause");
        let rootfs = bundle.join("rootfs");
        fs::create_dir_all(&rootfs).map_err(Error::file("create", &rootfs))?;
        let spec = container(task);
        let init = Bind { source: bundle::write_init(dir)?, target: PROGRAM.into(), read_only: true };
        let user = User { uid: NOBODY, gid: NOBODY, additional_gids: Vec::new(), home: "/".into() };
        let prepared = Prepared {
            rootfs,
            user,
            binds: vec![init],
            network_namespace: network,
            process_namespace: None,
            most_files: 64,
            init: None,
        };
        let file = bundle.join("config.json");
        fs::write(&file, oci::config(task, &spec, &prepared)?.to_string()).map_err(Error::file("write", &file))?;
        driver.run_to_end(&bundle, &spec.id)?;
        let pid = bundle::read_pid(&bundle.join("pid"))?;
        let path = format!("/proc/{pid}/ns/pid");
        let namespace = File::open(&path).map_err(Error::file("open", path))?.into();
        Ok(Pause { pid, id: spec.id, namespace })
    }

    /// The namespace, for the runtime.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Ends it, and with it every process of the namespace.
    pub fn end(self, driver: &Driver) -> Result<()> {
        driver.delete(&self.id)
    }
}

fn container(task: &TaskSpec) -> ContainerSpec {
    ContainerSpec {
        name: NAME.into(),
        id: format!("{}-pause", task.task_id),
        args: vec![PROGRAM.into()],
        hostname: "pause".into(),
        readonly_rootfs: true,
        cap_drop: vec!["ALL".into()],
        shm_mib: Some(1),
        ulimits: vec![crate::spec::Ulimit { name: "nofile".into(), soft: 64, hard: 64 }],
        ..ContainerSpec::default()
    }
}

//! `longshore down`: ends what a node has on this machine. The data directory stays, with images and identity.

use std::path::{Path, PathBuf};

use longshore_supervisor::cgroup::Layout;
use tokio::task::JoinSet;

use crate::config::Instance;
use crate::containerd::{self, Containerd, Options};
use crate::engine::end::end_task;
use crate::engine::home::Home;
use crate::error::Error;
use crate::network::Network;
use crate::translate::CGROUP;

/// Ends every task, the private containerd and the network of the instance with this data directory, and removes its
/// run-time directory. To be called when no agent of the instance runs. What is not there is fine, the data directory too:
/// the instance is known by its path.
///
/// # Errors
/// Everything is tried; `Remains` lists what could not be done.
pub async fn down(data_dir: &Path) -> Result<(), Error> {
    let existed = data_dir.exists();
    let instance = Instance::of(data_dir)?;
    let home = Home::of(&instance);
    let mut remains = Vec::new();
    // Who is not root has run simulated tasks at most.
    if nix::unistd::geteuid().is_root() || instance.run_dir.exists() {
        remains = end_tasks(&home).await;
        remains.extend(remove_all(&instance, &home).await);
    }
    if !existed {
        remains.extend(remove(&instance.data_dir).err().map(|error| error.to_string()));
    }
    if remains.is_empty() { Ok(()) } else { Err(Error::Remains(remains.join("; "))) }
}

/// Removes what tasks shared; says what failed.
async fn remove_all(instance: &Instance, home: &Home) -> Vec<String> {
    let steps: [(&str, Result<(), Error>); 5] = [
        ("tasks", home.close()),
        ("containerd", stop_containerd(instance).await),
        ("network", Network::teardown(&instance.id).await.map_err(Error::from)),
        ("cgroups", remove_cgroups(&instance.id)),
        ("run-time directory", remove(&instance.run_dir)),
    ];
    let failed = steps.into_iter().filter_map(|(what, done)| done.err().map(|error| format!("{what}: {error}")));
    failed.collect()
}

/// Ends all tasks at the same time; says what failed.
async fn end_tasks(home: &Home) -> Vec<String> {
    let directories = match home.tasks() {
        Ok(directories) => directories,
        Err(error) => return vec![error.to_string()],
    };
    let mut ending = JoinSet::new();
    for directory in directories {
        ending.spawn(
            async move { end_task(&directory).await.map_err(|error| format!("{}: {error}", directory.display())) },
        );
    }
    let ended = ending.join_all().await;
    ended.into_iter().filter_map(Result::err).collect()
}

async fn stop_containerd(instance: &Instance) -> Result<(), Error> {
    if !containerd::Layout::of(&instance.data_dir)?.pid_file().exists() {
        return Ok(());
    }
    Ok(Containerd::open(&Options::private(&instance.data_dir)).await?.stop().await?)
}

/// The instance's group, and the group of all instances when this was the last one.
fn remove_cgroups(instance: &str) -> Result<(), Error> {
    let layout = Layout::detect().map_err(|error| Error::Runtime(error.to_string()))?;
    layout.remove(&format!("{CGROUP}/{instance}")).map_err(|error| Error::Runtime(error.to_string()))?;
    let trees = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|tree| tree.path());
    for tree in trees.chain([PathBuf::from("/sys/fs/cgroup")]) {
        // Refused while another instance has groups in it.
        let _ = std::fs::remove_dir(tree.join(CGROUP));
    }
    Ok(())
}

fn remove(directory: &PathBuf) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(directory)(error)),
        _ => Ok(()),
    }
}

//! `longshore down`: ends what a node has on this machine. The data directory stays, with images and identity.

use std::path::{Path, PathBuf};

use longshore_supervisor::cgroup::Layout;
use longshore_supervisor::points_below;
use nix::mount::{MntFlags, umount2};
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
        ("run-time directory", remove_run_dir(&instance.run_dir)),
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

/// Removes the run-time directory, after what is still mounted in it, as by a containerd that was killed while it unpacked:
/// removing goes through mounts, into what is not ours.
fn remove_run_dir(directory: &Path) -> Result<(), Error> {
    let mounted = || points_below(directory).map_err(Error::file("/proc/self/mountinfo"));
    for point in mounted()?.iter().rev() {
        // Whether it is gone is looked at below.
        let _ = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
    match mounted()?.first() {
        Some(point) => Err(Error::Remains(format!("{} is still mounted", point.display()))),
        None => remove(directory),
    }
}

fn remove(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(directory)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::mount::{MsFlags, mount};

    use super::*;

    #[test]
    fn what_is_mounted_in_the_run_time_directory_is_let_go_and_not_emptied() {
        let place = std::env::temp_dir().join(format!("longshore-down-{}", std::process::id()));
        let (run, beside, host) = (place.join("run"), place.join("run2"), place.join("host"));
        for directory in [run.join("containerd/tmp"), beside.clone(), host.join("deep")] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(host.join("deep/kept"), "").unwrap();
        for (what, point) in [(&host, run.join("containerd/tmp")), (&host, run.join("containerd/tmp/deep"))] {
            mount(Some(what), &point, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("this test needs root");
        }
        mount(Some(&host), &beside, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let (removed, others) = (remove_run_dir(&run), points_below(&beside).unwrap());
        umount2(&beside, MntFlags::MNT_DETACH).unwrap();
        removed.unwrap();
        assert!(!run.exists() && host.join("deep/kept").exists());
        assert_eq!(others, [beside], "what is mounted elsewhere stays");
        fs::remove_dir_all(&place).unwrap();
        remove_run_dir(&run).unwrap();
    }
}

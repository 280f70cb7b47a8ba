//! What a container sees of files: its root, volumes, memory file systems, devices; seen from inside real containers.

mod common;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use common::{Task, named, output, shell, side, task, texts};
use longshore_supervisor::protocol::{Command, StopCode, TaskPhase};
use longshore_supervisor::spec::{
    ContainerSpec, Device, MountPoint, RuntimeKind, RuntimeSpec, TaskSpec, Tmpfs, Volume, VolumeSource, VolumesFrom,
};
use longshore_supervisor::{is_tmpfs_option, runtime};
use nix::mount::{MntFlags, MsFlags};

#[test]
fn tmpfs_is_mounted() {
    let tmpfs = |options: &[&str]| {
        vec![Tmpfs { container_path: "/scratch".into(), size_mib: 8, mount_options: texts(options) }]
    };
    let said = output(ContainerSpec {
        tmpfs: tmpfs(&["mode=700"]),
        ..shell("grep ' /scratch ' /proc/mounts; stat -c %a /scratch")
    });
    assert!(said.contains("size=8192k") && said.contains("noexec") && said.ends_with("700\n"), "{said}");
    let said = output(ContainerSpec { tmpfs: tmpfs(&["exec"]), ..shell("grep ' /scratch ' /proc/mounts") });
    assert!(!said.contains("noexec"), "{said}");
}

/// Each option ECS documents, alone, with what is seen of it in the mount table (nothing: it is taken, that is all).
const TMPFS_OPTIONS: [(&str, &str); 47] = [
    ("defaults", "rw,nosuid,nodev,noexec"),
    ("ro", "ro,"),
    ("rw", "rw,"),
    ("suid", "rw,nodev,noexec"),
    ("nosuid", "nosuid"),
    ("dev", "rw,nosuid,noexec"),
    ("nodev", "nodev"),
    ("exec", "rw,nosuid,nodev,relatime"),
    ("noexec", "noexec"),
    ("sync", "sync"),
    ("async", "rw,"),
    ("dirsync", "dirsync"),
    ("remount", "rw,"),
    ("mand", ""),
    ("nomand", "rw,"),
    ("atime", "rw,"),
    ("noatime", "noatime"),
    ("diratime", "rw,"),
    ("nodiratime", "nodiratime"),
    ("bind", " tmpfs "),
    ("rbind", " tmpfs "),
    ("unbindable", "unbindable"),
    ("runbindable", "unbindable"),
    ("private", " tmpfs "),
    ("rprivate", " tmpfs "),
    ("shared", "shared:"),
    ("rshared", "shared:"),
    ("slave", " tmpfs "),
    ("rslave", " tmpfs "),
    ("relatime", "relatime"),
    ("norelatime", ""),
    ("strictatime", "rw,"),
    ("nostrictatime", ""),
    ("mode=1770", "mode=1770"),
    ("uid=101", "uid=101"),
    ("gid=102", "gid=102"),
    ("nr_inodes=1k", "nr_inodes=1024"),
    ("nr_blocks=1", "size=8192k"),
    ("mpol=default", ""),
    ("mpol=local", ""),
    ("mpol=prefer", ""),
    ("mpol=prefer:0", ""),
    ("mpol=bind:0", ""),
    ("mpol=bind=static:0", ""),
    ("mpol=interleave", ""),
    ("mpol=interleave=relative:0", ""),
    ("mpol=bind:1023", ""),
];

#[test]
fn every_documented_option_of_a_tmpfs_can_be_mounted() {
    let place = |number: usize| format!("/t{number}");
    let tmpfs = TMPFS_OPTIONS.iter().enumerate().map(|(number, (option, _))| Tmpfs {
        container_path: place(number),
        size_mib: 8,
        mount_options: texts(&[option]),
    });
    let main = ContainerSpec { tmpfs: tmpfs.collect(), ..shell("cat /proc/self/mountinfo") };
    for found in runtime::detect().into_iter().filter(|found| found.kind != RuntimeKind::Runsc) {
        let runtime = RuntimeSpec { kind: found.kind, path: found.path };
        let mut task = Task::start(TaskSpec { runtime, ..task(vec![main.clone()]) });
        task.until_stopped();
        let said = task.log("main");
        for (number, (option, expected)) in TMPFS_OPTIONS.iter().enumerate() {
            let line = said.lines().find(|line| line.contains(&format!(" {} ", place(number))));
            let line =
                line.unwrap_or_else(|| panic!("{:?}: {option} is not mounted: {:?}", found.kind, task.status.stop));
            assert!(line.contains("tmpfs") && line.contains(expected), "{:?}: {option}: {line}", found.kind);
            assert!(is_tmpfs_option(option), "{option}");
        }
    }
}

#[test]
fn shared_memory_has_its_size() {
    let said = |shm_mib| output(ContainerSpec { shm_mib, ..shell("grep ' /dev/shm ' /proc/mounts") });
    assert!(said(None).contains("size=65536k"));
    assert!(said(Some(16)).contains("size=16384k"));
}

#[test]
fn devices_are_there_and_no_others() {
    let device =
        Device { host_path: "/dev/kmsg".into(), container_path: "/dev/mykmsg".into(), permissions: "r".into() };
    // The kernel's log is a device that every host has; it also wants a capability.
    let script = "dd if=/dev/mykmsg bs=8192 count=1 of=/tmp/line 2>/dev/null && echo read; \
        (echo x > /dev/mykmsg) 2>/dev/null || echo no write; \
        mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem 2>/dev/null || echo no memory";
    let main = ContainerSpec { devices: vec![device], cap_add: texts(&["SYSLOG"]), ..shell(script) };
    assert_eq!(output(main), "read\nno write\nno memory\n");
}

#[test]
fn a_read_only_root_is() {
    let script =
        "touch /x 2>/dev/null || echo ro; touch /etc/hosts 2>/dev/null || echo ro; touch /dev/shm/x && echo shm";
    let said = output(ContainerSpec { readonly_rootfs: true, ..shell(script) });
    assert_eq!(said, "ro\nro\nshm\n");
    assert_eq!(output(shell("touch /x && echo rw")), "rw\n");
}

fn mount(volume: &str, path: &str, read_only: bool) -> MountPoint {
    MountPoint { volume: volume.into(), container_path: path.into(), read_only }
}

fn scratch(name: &str) -> Volume {
    Volume { name: name.into(), source: VolumeSource::Scratch }
}

#[test]
fn volumes_are_shared_and_may_be_read_only() {
    let writer =
        ContainerSpec { mounts: vec![mount("data", "/data", false)], ..shell("echo from-writer > /data/f; sleep 60") };
    let reader = ContainerSpec {
        volumes_from: vec![VolumesFrom { source_container: "writer".into(), read_only: true }],
        ..shell("until [ -s /data/f ]; do sleep 0.02; done; cat /data/f; touch /data/g 2>/dev/null || echo ro")
    };
    let containers = vec![side(named("writer", writer)), reader];
    let mut task = Task::start(TaskSpec { volumes: vec![scratch("data")], ..task(containers) });
    task.until_stopped();
    assert_eq!(task.log("main"), "from-writer\nro\n");
}

#[test]
fn a_scratch_volume_has_the_owner_of_what_it_covers() {
    let main = ContainerSpec {
        user: "web".into(),
        mounts: vec![mount("data", "/data", false), mount("other", "/new/place", false)],
        ..shell("touch /data/f && stat -c '%u %a' /data; touch /new/place/f 2>/dev/null || echo no")
    };
    let spec = TaskSpec { volumes: vec![scratch("data"), scratch("other")], ..task(vec![main]) };
    let mut task = Task::start_with(spec, |layer| {
        fs::create_dir(layer.join("data")).unwrap();
        fs::set_permissions(layer.join("data"), fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::chown(layer.join("data"), Some(101), Some(102)).unwrap();
    });
    task.until_stopped();
    assert_eq!(task.log("main"), "101 750\nno\n");
}

fn host_directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("longshore-test-host-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn a_host_volume_is_the_hosts_and_stays() {
    let host = host_directory("volume");
    fs::write(host.join("given"), "from the host\n").unwrap();
    let main = ContainerSpec { mounts: vec![mount("h", "/h", false)], ..shell("cat /h/given; echo kept > /h/made") };
    let volume = Volume { name: "h".into(), source: VolumeSource::Host { path: host.clone() } };
    let mut task = Task::start(TaskSpec { volumes: vec![volume], ..task(vec![main]) });
    task.until_stopped();
    assert_eq!(task.log("main"), "from the host\n");
    drop(task);
    assert_eq!(fs::read_to_string(host.join("made")).unwrap(), "kept\n", "the end of a task empties no volume");
    fs::remove_dir_all(host).unwrap();
}

#[test]
fn a_host_volume_through_a_link_is_refused() {
    let host = host_directory("link");
    symlink("/etc", host.join("link")).unwrap();
    let main = ContainerSpec { mounts: vec![mount("h", "/h", false)], ..shell("true") };
    for path in [host.join("link"), host.join("link/ssl"), PathBuf::from("relative"), host.join("../etc")] {
        let volume = Volume { name: "h".into(), source: VolumeSource::Host { path } };
        let mut task = Task::start(TaskSpec { volumes: vec![volume], ..task(vec![main.clone()]) });
        task.until_stopped();
        let cause = task.status.stop.clone().unwrap();
        assert_eq!(cause.code, StopCode::TaskFailedToStart, "{}", cause.reason);
    }
    fs::remove_dir_all(host).unwrap();
}

#[test]
fn a_task_with_more_on_disk_than_it_may_have_is_stopped_and_says_why() {
    let write = |mib: u32, path: &str| format!("dd if=/dev/zero of={path} bs=1048576 count={mib} 2>/dev/null; ");
    let task_of = |main: ContainerSpec| {
        let main = ContainerSpec { mounts: vec![mount("data", "/data", false)], ..main };
        TaskSpec { storage_mib: Some(16), volumes: vec![scratch("data")], ..task(vec![main]) }
    };
    let modest = write(7, "/big") + &write(7, "/data/big") + &write(40, "/dev/shm/big") + "sleep 1000";
    let mut modest = Task::start(task_of(shell(&modest)));
    let greedy =
        "trap 'exit 3' TERM; ".to_string() + &write(9, "/big") + &write(9, "/data/big") + "while :; do sleep 0.1; done";
    let mut greedy = Task::start(task_of(shell(&greedy)));
    greedy.until_stopped();
    let cause = greedy.status.stop.clone().unwrap();
    let expected = "OutOfStorageError: the containers wrote more than the task's 16 MiB of ephemeral storage";
    assert_eq!((cause.code, cause.reason.as_str()), (StopCode::EssentialContainerExited, expected));
    assert_eq!(greedy.container("main").exit_code, Some(3), "it was asked to stop first");
    std::thread::sleep(std::time::Duration::from_secs(2));
    modest.ask(Command::Snapshot);
    assert_eq!(modest.status.phase, TaskPhase::Running, "memory file systems do not count");
}

/// A FUSE file system whose server never says a word: whoever looks for something in it waits.
struct Silent {
    point: PathBuf,
    server: Option<fs::File>,
}

impl Silent {
    fn mount(point: PathBuf) -> Silent {
        fs::create_dir(&point).unwrap();
        let server = fs::File::options().read(true).write(true).open("/dev/fuse").expect("the host knows FUSE");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let options = Some(options.as_str());
        nix::mount::mount(Some("silent"), &point, Some("fuse"), MsFlags::empty(), options).unwrap();
        Silent { point, server: Some(server) }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Who waits is told that nobody will answer.
        self.server = None;
        let _ = nix::mount::umount2(&self.point, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_host_volume_that_does_not_answer_is_refused_in_time() {
    let host = host_directory("silent");
    let silent = Silent::mount(host.join("fuse"));
    for path in [silent.point.join("data"), silent.point.clone()] {
        let main = ContainerSpec { mounts: vec![mount("h", "/h", false)], ..shell("true") };
        let volume = Volume { name: "h".into(), source: VolumeSource::Host { path } };
        let mut task = Task::start(TaskSpec { volumes: vec![volume], ..task(vec![main]) });
        task.until_stopped();
        let cause = task.status.stop.clone().unwrap();
        assert_eq!(cause.code, StopCode::TaskFailedToStart);
        assert!(cause.reason.contains("did not answer"), "{}", cause.reason);
    }
    drop(silent);
    fs::remove_dir_all(host).unwrap();
}

#[test]
fn what_a_container_mounts_in_a_shared_host_volume_does_not_reach_the_host() {
    let host = host_directory("shared");
    let flags = MsFlags::MS_BIND;
    nix::mount::mount(Some(&host), &host, None::<&str>, flags, None::<&str>).unwrap();
    nix::mount::mount(None::<&str>, &host, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
    fs::create_dir(host.join("inner")).unwrap();
    let volume = Volume { name: "h".into(), source: VolumeSource::Host { path: host.clone() } };
    let main = ContainerSpec {
        privileged: true,
        mounts: vec![mount("h", "/h", false)],
        ..shell("mount -t tmpfs t /h/inner && touch /h/inner/x && grep -c ' /h/inner ' /proc/mounts; sleep 60")
    };
    let mut task = Task::start(TaskSpec { volumes: vec![volume], ..task(vec![main]) });
    task.until_said("main", "1");
    let reached = fs::exists(host.join("inner/x")).unwrap();
    drop(task);
    nix::mount::umount2(&host, MntFlags::MNT_DETACH).unwrap();
    fs::remove_dir_all(host).unwrap();
    assert!(!reached);
}

#[test]
fn a_hostile_root_file_system_reaches_nothing() {
    let canary = host_directory("canary");
    fs::write(canary.join("passwd"), "evil:x:7:7::/:/bin/sh\n").unwrap();
    let main = ContainerSpec { cwd: "/work/deep".into(), user: "evil".into(), ..shell("true") };
    let mut task = Task::start_with(task(vec![main]), |layer| {
        fs::remove_file(layer.join("etc/passwd")).unwrap();
        symlink(canary.join("passwd"), layer.join("etc/passwd")).unwrap();
        symlink(&canary, layer.join("work")).unwrap();
        fs::remove_dir(layer.join("proc")).unwrap();
        symlink("/etc", layer.join("proc")).unwrap();
    });
    task.until_stopped();
    assert_eq!(task.status.stop.clone().unwrap().code, StopCode::TaskFailedToStart);
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 1, "nothing was made outside");
    fs::remove_dir_all(canary).unwrap();
}

#[test]
fn descriptors_of_the_supervisor_do_not_reach_a_container() {
    let said =
        output(shell("ls /proc/self/fd | tr '\\n' ' '; ls -l /proc/self/fd 2>/dev/null | grep -c longshore; true"));
    assert_eq!(said, "0 1 2 3 0\n", "3 is the directory being listed");
}

#[test]
fn kernel_files_are_masked() {
    let said =
        output(shell("head -c 10 /proc/interrupts | wc -c; echo 1 2>/dev/null > /proc/sys/kernel/panic || echo ro"));
    assert_eq!(said, "0\nro\n");
}

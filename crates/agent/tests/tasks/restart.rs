//! Tasks and agents that come and go.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, UnixAddr, getpeername, shutdown};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::node::Node;
use crate::plane::{manifest, soon, until};

/// An order is on disk when it is acknowledged; and one that was acknowledged before, for a task of which nothing is here,
/// does not start it.
pub async fn a_task_never_runs_a_second_time(node: Arc<Node>) {
    let first = node.begin("sleep 1000", |_| {}).await;
    assert!(node.directory(&first).join("order.json").exists(), "before anything else is done");
    node.plane.report(&first, "RUNNING").await;
    let again = node.begin("sleep 1000", |task| task["known"] = true.into()).await;
    let stopped = node.plane.report(&again, "STOPPED").await;
    assert_eq!(stopped["reason"], "Task stopped: the node no longer has it");
    assert_eq!(stopped["containers"][0]["exitCode"], Value::Null);
    assert_eq!(node.plane.statuses(&again), ["STOPPED"]);
    assert!(!node.directory(&again).exists());
    node.stop(&first).await;
    node.gone(&first).await;
}

/// The agent died right after its acknowledgement, or while the supervisor was on its way, which then found nothing of
/// the agent any more and ended.
pub async fn a_task_that_was_never_started_is_started_by_the_next_agent(node: Arc<Node>) {
    node.die().await;
    let (acknowledged, prepared) = (node.usual("sleep 1000", |_| {}), node.usual("sleep 1000", |_| {}));
    for task in [&acknowledged, &prepared] {
        let directory = node.directory(task["arn"].as_str().unwrap());
        std::fs::create_dir_all(&directory).unwrap();
        let order = json!({"task": task, "pulled": {}});
        std::fs::write(directory.join("order.json"), order.to_string()).unwrap();
    }
    let directory = node.directory(prepared["arn"].as_str().unwrap());
    std::fs::write(directory.join("task.json"), "{}").unwrap();
    drop(std::os::unix::net::UnixListener::bind(directory.join("sock")).unwrap());
    let begun = std::time::Instant::now();
    let mut command = std::process::Command::new("flock");
    let mut on_its_way = command.arg(directory.join("lock")).args(["sleep", "3"]).spawn().unwrap();
    until("the lock of a supervisor", || longshore_supervisor::is_held(&directory)).await;
    node.come_back().await;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3), "it was waited for");
    assert!(on_its_way.wait().unwrap().success());
    for task in [acknowledged, prepared] {
        let task = task["arn"].as_str().unwrap();
        node.plane.report(task, "RUNNING").await;
        assert_eq!(node.plane.statuses(task), ["RUNNING"]);
        node.stop(task).await;
        node.gone(task).await;
    }
}

pub async fn a_containerd_that_dies_is_started_again(node: Arc<Node>) {
    let running = node.run("sleep 1000", |_| {}).await;
    let (before, pid) = (node.containerd(), node.pid(&running));
    end(u32::try_from(before).unwrap());
    let begun = std::time::Instant::now();
    let next = node.run("sleep 1000", |_| {}).await;
    println!("a task ran {:.1?} after the death of containerd", begun.elapsed());
    assert_ne!(node.containerd(), before);
    assert_eq!(node.pid(&running), pid);
    for task in [running, next] {
        node.stop(&task).await;
        node.gone(&task).await;
    }
}

fn end(pid: u32) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

pub async fn a_task_survives_the_agent(node: Arc<Node>) {
    let script = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.05; done";
    let task = node.run(script, |_| {}).await;
    let before = node.pid(&task);
    node.die().await;
    node.said(&task, "line 20").await;
    node.come_back().await;
    assert_eq!(node.pid(&task), before);
    let id = node.plane.report(&task, "RUNNING").await["containers"][0]["runtimeId"].as_str().unwrap().to_owned();
    let (answered, text) = node.host(Some(&task), &format!("curl -m 60 -sf http://169.254.170.2/v4/{id}/task")).await;
    assert!(answered && text.contains(&task), "the metadata endpoint is there again: {text}");
    let stopped = node.stop(&task).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 137, "a shell that is the first process does not die of SIGTERM");
    node.gone(&task).await;
}

pub async fn an_exit_while_the_agent_is_away_is_reported(node: Arc<Node>) {
    let task = node.run("while ! test -e /tmp/go; do sleep 0.05; done; exit 7", |_| {}).await;
    let pid = node.pid(&task);
    node.die().await;
    std::fs::write(format!("/proc/{pid}/root/tmp/go"), "").unwrap();
    until("the end of the container", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    node.come_back().await;
    let stopped = node.plane.report(&task, "STOPPED").await;
    assert_eq!(stopped["containers"][0]["exitCode"], 7);
    assert_eq!(stopped["reason"], "Essential container in task exited");
    assert!(stopped["containers"][0]["imageDigest"].is_string(), "{stopped}");
    node.gone(&task).await;
}

/// The supervisor lives on, and everything that goes by it goes on.
pub async fn a_connection_to_a_supervisor_that_breaks_is_made_again(node: Arc<Node>) {
    let task = node.run("sleep 1000", |_| {}).await;
    let (pid, id) = (node.pid(&task), task.rsplit('/').next().unwrap());
    let own: Vec<_> = sockets().into_iter().filter(|(_, peer)| peer.ends_with(format!("{id}/sock"))).collect();
    let [(descriptor, _)] = own[..] else { panic!("{own:?}") };
    shutdown(descriptor, Shutdown::Both).unwrap();
    let stats = async || node.host(Some(&task), "curl -m 60 -sf http://169.254.170.2/v2/stats").await.1;
    soon(async {
        while !stats().await.contains("memory_stats") {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    })
    .await;
    assert_eq!(node.pid(&task), pid);
    let stopped = node.stop(&task).await;
    assert_eq!(stopped["containers"][0]["exitCode"], 137, "{stopped}");
    node.gone(&task).await;
}

/// Connected Unix sockets of this process, with their peers' addresses.
fn sockets() -> Vec<(i32, PathBuf)> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let descriptors = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let peer = |descriptor: i32| getpeername::<UnixAddr>(descriptor).ok()?.path().map(Path::to_owned);
    descriptors.filter_map(|descriptor| Some((descriptor, peer(descriptor)?))).collect()
}

pub async fn a_supervisor_that_dies_ends_its_task(node: Arc<Node>) {
    let task = node.run("sleep 1000", |_| {}).await;
    let pid = node.pid(&task);
    end(node.supervisor(&task));
    let stopped = node.plane.report(&task, "STOPPED").await;
    assert_eq!(stopped["reason"], "Task supervisor ended unexpectedly");
    assert_eq!(stopped["containers"][0]["exitCode"], Value::Null);
    until("the end of the container", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    node.gone(&task).await;
}

pub async fn a_supervisor_that_died_while_the_agent_was_away_is_found(node: Arc<Node>) {
    let task = node.run("sleep 1000", |_| {}).await;
    let (pid, supervisor) = (node.pid(&task), node.supervisor(&task));
    node.die().await;
    end(supervisor);
    node.come_back().await;
    let stopped = node.plane.report(&task, "STOPPED").await;
    assert_eq!(stopped["reason"], "Task supervisor ended unexpectedly");
    until("the end of the container", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    node.gone(&task).await;
    // Its address can be given again.
    let again = node.run("sleep 1000", |_| {}).await;
    node.stop(&again).await;
}

/// They are given up together, so that the node is back before long, and nothing of their tasks runs on.
pub async fn supervisors_that_hang_are_ended_with_their_tasks(node: Arc<Node>) {
    let [well, one, two] = [(); 3].map(|()| node.run("sleep 1000", |_| {}));
    let (well, one, two) = (well.await, one.await, two.await);
    let pid = node.pid(&well);
    let hung = [one, two].map(|task| (node.pid(&task), node.supervisor(&task), task));
    for (_, supervisor, _) in &hung {
        kill(Pid::from_raw(i32::try_from(*supervisor).unwrap()), Signal::SIGSTOP).unwrap();
    }
    node.die().await;
    node.come_back().await;
    for (pid, _, task) in hung {
        let stopped = node.plane.report(&task, "STOPPED").await;
        assert_eq!(stopped["reason"], "Task supervisor ended unexpectedly");
        until("the end of the container", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
        node.gone(&task).await;
    }
    assert_eq!(node.pid(&well), pid);
    node.stop(&well).await;
    node.gone(&well).await;
}

pub async fn an_end_that_could_not_be_reported_is_not_forgotten(node: Arc<Node>) {
    let task = node.run("sleep 1000", |_| {}).await;
    for _ in 0..1000 {
        node.plane.script("SubmitTaskStateChange", 500, serde_json::json!({"__type": "ServerException"}));
    }
    end(node.supervisor(&task));
    node.plane.report(&task, "STOPPED").await;
    node.die().await;
    assert!(node.directory(&task).exists(), "word of the task is left");
    let before = node.plane.statuses(&task).len();
    node.plane.forget_scripts();
    node.come_back().await;
    let told = || node.plane.statuses(&task).split_off(before);
    until("the next agent's report of the end", || told() == ["RUNNING", "STOPPED"]).await;
    node.gone(&task).await;
}

pub async fn what_nobody_wants_any_more_stops_after_a_restart(node: Arc<Node>) {
    let task = node.run("trap 'exit 0' TERM; while true; do sleep 0.05; done", |_| {}).await;
    node.die().await;
    node.come_back().await;
    let mut session = node.session().await;
    session.send("TaskManifestMessage", manifest(1, &[])).await;
    let asked = session.recv("TaskStopVerificationMessage").await;
    assert_eq!(asked["stopCandidates"][0]["taskArn"], task);
    let confirmed = serde_json::json!({"messageId": "1", "stopTasks": asked["stopCandidates"]});
    session.send("TaskStopVerificationAck", confirmed).await;
    drop(session);
    node.plane.report(&task, "STOPPED").await;
    node.gone(&task).await;
}

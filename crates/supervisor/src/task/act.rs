//! What the machine asks for, done; and what became of it.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bundle::Shared;
use super::pause::Pause;
use super::slot::Check;
use super::{Child, Supervisor, bundle, process};
use crate::cgroup::{container_group, usage};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::machine::{Action, Input};
use crate::runtime::last_words;
use crate::spec::ContainerSpec;
use crate::stats::ContainerStats;
use crate::time;

use std::time::Duration;

/// How long the first starts wait for the logs' destinations to say whether they exist, all together.
const LOG_PATIENCE_MS: u64 = 1000;

impl Supervisor {
    /// Does one thing. A failure that is known at once is an input.
    pub(super) fn act(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Start(container) => {
                self.start(container).err().map(|e| Input::StartFailed { container, reason: start_error(&e) })
            }
            Action::Signal(container) => self.signal(container, stop_signal(&self.task.containers[container])),
            Action::Kill(container) => self.signal(container, libc::SIGKILL),
            Action::Check(container) => {
                let failed = self.check(container).is_err();
                failed.then_some(Input::Checked { container, passed: false })
            }
            Action::Drain => {
                self.drain_since = Some(time::now().monotonic);
                self.slots.iter().filter_map(|slot| slot.log.as_ref().ok()).for_each(Log::drain);
                None
            }
        }
    }

    /// Takes in every child that has ended.
    pub(super) fn see_children(&mut self) {
        for (pid, code) in process::ended_children() {
            match self.children.remove(&pid) {
                Some(child) => self.child_ended(child, code),
                None => drop(self.early.insert(pid, code)),
            }
        }
        let starting = |child: &Child| matches!(child, Child::Starter(_) | Child::CheckStarter(_));
        if !self.children.values().any(starting) {
            self.early.clear();
        }
    }

    /// Kills checks that take too long; they then end as failed.
    pub(super) fn end_late_checks(&mut self) {
        let now = time::now().monotonic;
        for check in self.slots.iter_mut().filter_map(|slot| slot.check.as_mut()) {
            if now >= check.deadline {
                check.deadline = u64::MAX;
                // It may have ended this moment.
                let _ = kill(Pid::from_raw(check.pid), Signal::SIGKILL);
            }
        }
    }

    /// Use of resources of all containers that run.
    pub(super) fn stats(&mut self) -> BTreeMap<String, ContainerStats> {
        let mut list = BTreeMap::new();
        for container in 0..self.slots.len() {
            if let Some(pid) = self.slots[container].pid {
                let name = self.task.containers[container].name.clone();
                list.insert(name, self.stats_of(container, pid as u32));
            }
        }
        list
    }

    fn stats_of(&mut self, container: usize, pid: u32) -> ContainerStats {
        let spec = &self.task.containers[container];
        let group = container_group(&self.task.cgroup, &spec.name);
        let read = time::wall_nanoseconds();
        let cpu_stats = usage::cpu(&self.layout, &group);
        let before = self.slots[container].last_cpu.replace((read, cpu_stats.clone()));
        let preread = before.as_ref().map_or("0001-01-01T00:00:00Z".to_string(), |(at, _)| time::rfc3339(*at));
        ContainerStats {
            id: spec.id.clone(),
            name: spec.name.clone(),
            read: time::rfc3339(read),
            preread,
            num_procs: 0,
            pids_stats: usage::pids(&self.layout, &group),
            cpu_stats,
            precpu_stats: before.map(|(_, cpu)| cpu).unwrap_or_default(),
            memory_stats: usage::memory(&self.layout, &self.task.cgroup, &group),
            blkio_stats: usage::block_io(&self.layout, &group),
            networks: usage::networks(pid),
        }
    }

    fn start(&mut self, container: usize) -> Result<()> {
        self.prepare(container)?;
        let patience = (self.begun + LOG_PATIENCE_MS).saturating_sub(time::now().monotonic);
        let spec = &self.task.containers[container];
        let slot = &mut self.slots[container];
        if slot.known {
            // Another life of it: the runtime has to forget the one before.
            self.driver.delete(&spec.id)?;
        } else {
            let log = slot.log.as_ref().map_err(|reason| log_error(reason))?;
            log.wait_ready(Duration::from_millis(patience)).map_err(|reason| log_error(&reason))?;
        }
        let Some(user) = slot.prepared.as_ref().map(|prepared| prepared.user.clone()) else {
            return Ok(());
        };
        let stdio = slot.open_streams(spec, &user)?;
        let console = slot.console_path();
        slot.known = true;
        let pid = self.driver.run(&slot.directory, &spec.id, console.as_deref(), stdio)?;
        self.children.insert(pid as i32, Child::Starter(container));
        Ok(())
    }

    fn prepare(&mut self, container: usize) -> Result<()> {
        if self.slots[container].prepared.is_none() {
            let shared = Shared { network: self.network_path(), processes: self.shared_processes()? };
            let prepared = bundle::prepare(&self.dir, &self.task, container, shared)?;
            self.slots[container].prepared = Some(prepared);
        }
        Ok(())
    }

    /// The namespace of processes that the task shares, if it does; made for its first container.
    fn shared_processes(&mut self) -> Result<Option<String>> {
        if self.task.share_processes && self.pause.is_none() {
            let pause = Pause::start(&self.dir, &self.task, self.network_path(), &self.driver)?;
            self.children.insert(pause.pid, Child::Pause);
            self.pause = Some(pause);
        }
        Ok(self.pause.as_ref().map(Pause::path))
    }

    fn signal(&mut self, container: usize, signal: i32) -> Option<Input> {
        let spec = &self.task.containers[container];
        match self.driver.signal(&spec.id, signal) {
            Some(started) => drop(started.map_err(|e| eprintln!("{}: {e}", spec.name))),
            None => {
                if let Some(pid) = self.slots[container].pid {
                    send(pid, signal);
                }
            }
        }
        None
    }

    fn check(&mut self, container: usize) -> Result<()> {
        let spec = &self.task.containers[container];
        let slot = &mut self.slots[container];
        let (Some(prepared), Some(health)) = (&slot.prepared, &spec.health_check) else {
            return Err(Error::Runtime("nothing to check".into()));
        };
        let file = bundle::write_check(&self.dir, &self.task, container, prepared)?;
        let pid = self.driver.exec(&file, &slot.directory.join("check.pid"), &spec.id)? as i32;
        let deadline = time::now().monotonic + u64::from(health.timeout_seconds.max(1)) * 1000;
        slot.check = Some(Check { pid, deadline });
        self.children.insert(pid, Child::CheckStarter(container));
        Ok(())
    }

    fn child_ended(&mut self, child: Child, code: i32) {
        match child {
            Child::Starter(container) => self.starter_ended(container, code),
            Child::Container(container) => self.container_ended(container, code),
            // It took all processes of the task with it, whose ends tell the rest.
            Child::Pause => {}
            Child::CheckStarter(container) => self.check_starter_ended(container, code),
            Child::Check(container) => {
                self.slots[container].check = None;
                self.step(Input::Checked { container, passed: code == 0 });
            }
        }
    }

    fn starter_ended(&mut self, container: usize, code: i32) {
        let slot = &mut self.slots[container];
        let pid = match code {
            0 => bundle::read_pid(&slot.directory.join("pid")),
            _ => Err(Error::Runtime(last_words(&slot.directory.join("runtime.log")))),
        };
        match pid.and_then(|pid| slot.take_terminal().map(|()| pid)) {
            Ok(pid) => {
                slot.pid = Some(pid);
                self.step(Input::Started { container, pid: pid as u32 });
                self.adopt(pid, Child::Container(container));
            }
            Err(e) => {
                slot.input = None;
                slot.console = None;
                self.step(Input::StartFailed { container, reason: start_error(&e) });
            }
        }
    }

    fn check_starter_ended(&mut self, container: usize, code: i32) {
        let slot = &mut self.slots[container];
        let pid = bundle::read_pid(&slot.directory.join("check.pid"));
        match (code, pid, slot.check.as_mut()) {
            (0, Ok(pid), Some(check)) => {
                check.pid = pid;
                self.adopt(pid, Child::Check(container));
            }
            _ => {
                slot.check = None;
                self.step(Input::Checked { container, passed: false });
            }
        }
    }

    /// From now on its end is this child's end; it may be over already.
    fn adopt(&mut self, pid: i32, child: Child) {
        match self.early.remove(&pid) {
            Some(code) => self.child_ended(child, code),
            None => drop(self.children.insert(pid, child)),
        }
    }

    fn container_ended(&mut self, container: usize, code: i32) {
        let slot = &mut self.slots[container];
        slot.pid = None;
        slot.input = None;
        slot.last_cpu = None;
        let group = container_group(&self.task.cgroup, &self.task.containers[container].name);
        if self.task.share_processes {
            // Elsewhere they end with the first one of their namespace.
            let others = self.layout.kill_all(&group, Duration::from_secs(1));
            others.unwrap_or_else(|e| eprintln!("{group}: {e}"));
        }
        let out_of_memory = self.layout.out_of_memory_kills(&group) > 0;
        self.step(Input::Exited { container, code: Some(code), out_of_memory });
    }
}

/// As a number: the C library knows no names for real-time signals.
fn send(pid: i32, signal: i32) {
    // SAFETY: numbers only. The process is our child and not yet waited for, so the number is still its own.
    #[expect(unsafe_code, reason = "the safe wrapper takes no real-time signals")]
    let _ = unsafe { libc::kill(pid, signal) };
}

/// The number of a container's stop signal: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.
fn stop_signal(spec: &ContainerSpec) -> i32 {
    let upper = spec.stop_signal.to_ascii_uppercase();
    let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
    let numbered = plain.parse::<i32>().ok().filter(|number| (1..=64).contains(number));
    let real_time = || plain.strip_prefix("RTMIN+")?.parse::<i32>().ok().filter(|n| *n <= 30).map(|n| 34 + n);
    let named = || format!("SIG{plain}").parse::<Signal>().ok().map(|signal| signal as i32);
    numbered.or_else(real_time).or_else(named).unwrap_or(libc::SIGTERM)
}

fn log_error(reason: &str) -> Error {
    Error::Runtime(format!("ResourceInitializationError: failed to validate logger args: {reason}"))
}

/// In ECS's form: the kind of error, then the words.
fn start_error(error: &Error) -> String {
    match error {
        Error::Runtime(text) if text.starts_with("ResourceInitializationError") => text.clone(),
        Error::File { .. } | Error::System { .. } | Error::Parameter(_) => {
            format!("CannotCreateContainerError: {error}")
        }
        _ => format!("CannotStartContainerError: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        let rows = [
            ("", 15),
            ("SIGTERM", 15),
            ("QUIT", 3),
            ("sigint", 2),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("37", 37),
            ("65", 15),
            ("nonsense", 15),
        ];
        for (text, expected) in rows {
            let spec = ContainerSpec { stop_signal: text.into(), ..ContainerSpec::default() };
            assert_eq!(stop_signal(&spec), expected, "{text:?}");
        }
    }
}

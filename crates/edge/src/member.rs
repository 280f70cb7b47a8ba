//! A target while it is served: its health, what it is busy with, and connections to it that wait for the next request.
//!
//! It outlives configurations: what is in flight keeps it. Choosing it takes no lock; taking and giving back a connection
//! holds one of its own for some instructions.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use longshore_link::edge::{
    GroupProtocol, HealthCheck, ProtocolVersion, Target, TargetGroup, TargetHealth, TargetState,
};
use parking_lot::Mutex;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::anomaly::Record;
use crate::chance;
use crate::count::Tally;
use crate::dial::Dialer;
use crate::group::Pulse;
use crate::health::{Checkup, Outcome};
use crate::http::multiplex::Sessions;
use crate::http::wire::Line;
use crate::route::Ends;

/// No time of a registration.
const NEVER: i64 = i64::MIN;

/// Connections that wait, of one target.
const WAITING: usize = 1024;

/// For a connection to wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a target is known by from one configuration to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// ARN.
    pub group: String,
    pub id: String,
    pub port: u16,
    pub address: IpAddr,
    /// How it is spoken to.
    pub protocol: GroupProtocol,
    pub version: ProtocolVersion,
}

impl Key {
    pub fn new(arn: &str, group: &TargetGroup, target: &Target) -> Self {
        Self {
            group: arn.to_owned(),
            id: target.id.clone(),
            port: target.port,
            address: target.address,
            protocol: group.protocol,
            version: group.protocol_version,
        }
    }
}

/// What slow start needs to know.
#[derive(Debug)]
struct Start {
    is_first: bool,
    /// When it has turned healthy beside others.
    since: Option<Instant>,
}

#[derive(Debug)]
pub struct Member {
    pub key: Key,
    draining: AtomicBool,
    dialer: Dialer,
    /// Milliseconds since 1970.
    registered_at: AtomicI64,
    pulse: Arc<Pulse>,
    /// Of its group.
    pub tally: Arc<Tally>,
    outstanding: AtomicUsize,
    waiting: Mutex<VecDeque<(Line, Instant)>>,
    sessions: Sessions,
    checkup: Mutex<Checkup>,
    start: Mutex<Start>,
    pub record: Record,
    healthy: watch::Sender<bool>,
    is_healthy: AtomicBool,
    over: watch::Sender<bool>,
}

impl Member {
    /// `is_first` is that its group had no targets before: then it begins with its whole share.
    pub fn new(key: Key, dialer: Dialer, pulse: Arc<Pulse>, tally: Arc<Tally>, is_first: bool) -> Self {
        Self {
            key,
            draining: AtomicBool::new(false),
            dialer,
            registered_at: AtomicI64::new(NEVER),
            tally,
            pulse,
            outstanding: AtomicUsize::new(0),
            waiting: Mutex::default(),
            sessions: Sessions::default(),
            checkup: Mutex::default(),
            start: Mutex::new(Start { is_first, since: None }),
            record: Record::new(),
            healthy: watch::Sender::new(false),
            is_healthy: AtomicBool::new(false),
            over: watch::Sender::new(false),
        }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.key.address, self.key.port)
    }

    /// Whether it was registered at another time before; one that is new was not.
    pub fn is_registered_again(&self, at: i64) -> bool {
        let before = self.registered_at.swap(at, Ordering::Relaxed);
        before != NEVER && before != at
    }

    /// A new connection to this port of it, or to the one that it is registered with.
    pub async fn connect(&self, port: Option<u16>) -> std::io::Result<TcpStream> {
        let address = SocketAddr::new(self.key.address, port.unwrap_or(self.key.port));
        self.dialer.connect(address, None).await
    }

    /// A new connection for a flow, by which it sees the client of `seen` where that can be.
    pub async fn connect_flow(&self, seen: Option<Ends>) -> std::io::Result<TcpStream> {
        self.dialer.connect(self.address(), seen).await
    }

    /// A socket for datagrams to it and from it; it sees who [`Self::connect_flow`] says.
    pub fn datagrams(&self, seen: Option<Ends>) -> std::io::Result<UdpSocket> {
        self.dialer.datagrams(self.address(), seen)
    }

    pub fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Acquire)
    }

    /// Whether it has been deregistered: it gets nothing new.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Says whether that is news. A target that is registered again starts slowly, if it is healthy; one that drains has no
    /// connections that wait.
    pub fn set_draining(&self, draining: bool) -> bool {
        let is_news = self.draining.swap(draining, Ordering::AcqRel) != draining;
        if is_news {
            self.start.lock().since = (!draining && self.is_healthy()).then(Instant::now);
            self.pulse.beat();
        }
        if is_news && draining {
            self.let_go();
        }
        is_news
    }

    /// When it has turned healthy beside others; `None` if it has its whole share.
    pub fn healthy_since(&self) -> Option<Instant> {
        self.start.lock().since
    }

    /// It has its whole share from now on.
    pub fn end_slow_start(&self) {
        if self.start.lock().since.take().is_some() {
            self.pulse.beat();
        }
    }

    /// It has turned healthy, or is so no more.
    fn turn(&self, healthy: bool) {
        let mut start = self.start.lock();
        let is_first = start.is_first;
        start.since = (healthy && !is_first).then(Instant::now);
        start.is_first = is_first && !healthy;
        drop(start);
        self.pulse.beat();
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Busy with one more, until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Its deregistration delay has passed: what is in flight ends.
    pub fn end(&self) {
        self.over.send_replace(true);
        self.let_go();
    }

    /// Lets go of all connections that wait; those that are in use end with what they are used for.
    fn let_go(&self) {
        self.waiting.lock().clear();
        self.sessions.clear();
    }

    /// It has been registered again.
    pub fn revive(&self) {
        self.over.send_replace(false);
    }

    /// Ends with [`Self::end`].
    pub async fn ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Ends when it has turned unhealthy after it was healthy.
    pub async fn turned_unhealthy(&self) {
        let mut healthy = self.healthy.subscribe();
        let _ = healthy.wait_for(|healthy| *healthy).await;
        let _ = healthy.wait_for(|healthy| !*healthy).await;
    }

    /// Its connections of HTTP/2.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// A connection that waits, the one that was used last.
    pub fn take(&self) -> Option<Line> {
        let mut waiting = self.waiting.lock();
        while let Some((mut line, since)) = waiting.pop_back() {
            if since.elapsed() < PATIENCE && !line.is_over() {
                return Some(line);
            }
        }
        None
    }

    /// A connection that has done its exchange.
    pub fn give(&self, mut line: Line) {
        line.rest();
        let mut waiting = self.waiting.lock();
        let now = Instant::now();
        while waiting.front_mut().is_some_and(|(line, since)| now - *since >= PATIENCE || line.is_over()) {
            waiting.pop_front();
        }
        let over = *self.over.borrow() || self.is_draining();
        if waiting.len() < WAITING && !over {
            waiting.push_back((line, now));
        }
    }

    /// It has been registered again: nothing is known of it any more, and it is not healthy until a check succeeds.
    ///
    /// What is under way to it goes on: it is not cut ([`Self::turned_unhealthy`]) before checks find the target unhealthy.
    pub fn begin_anew(&self) {
        let mut checkup = self.checkup.lock();
        *checkup = Checkup::new();
        self.is_healthy.store(false, Ordering::Release);
        self.turn(false);
    }

    /// Lets go of connections that wait and are closed or too old. Looking at many takes a task that is not made to yield.
    pub fn prune(&self) {
        self.waiting.lock().retain_mut(|(line, since)| since.elapsed() < PATIENCE && !line.is_over());
        self.sessions.prune(PATIENCE);
    }

    /// The checks begin; what is known of it then.
    pub fn begin_checks(&self) -> TargetHealth {
        let mut checkup = self.checkup.lock();
        checkup.begin();
        self.report(&checkup)
    }

    /// Takes the outcome of a check; what is known, if that has changed.
    pub fn learn(&self, outcome: &Outcome, check: &HealthCheck) -> Option<TargetHealth> {
        let mut checkup = self.checkup.lock();
        let changed = checkup.take(outcome, check);
        let healthy = checkup.state == TargetState::Healthy;
        if self.is_healthy.swap(healthy, Ordering::AcqRel) != healthy {
            self.turn(healthy);
        }
        if changed && !healthy {
            // One that leads nowhere any more would not be noticed: requests of later on get another.
            self.let_go();
        }
        self.prune();
        if checkup.state != TargetState::Initial {
            self.healthy.send_if_modified(|known| std::mem::replace(known, healthy) != healthy);
        }
        changed.then(|| self.report(&checkup))
    }

    /// What is known of its health.
    pub fn health(&self) -> TargetHealth {
        self.report(&self.checkup.lock())
    }

    fn report(&self, checkup: &Checkup) -> TargetHealth {
        TargetHealth {
            target_group: self.key.group.clone(),
            id: self.key.id.clone(),
            port: self.key.port,
            state: checkup.state,
            reason: checkup.reason,
            description: checkup.description.clone(),
            at: chance::now_millis(),
        }
    }
}

/// That a target is busy with one thing more.
#[derive(Debug)]
pub struct Busy(Arc<Member>);

impl Busy {
    pub fn member(&self) -> &Arc<Member> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;
    use crate::probe;

    fn member() -> Arc<Member> {
        let (address, protocol) = (IpAddr::from([127, 0, 0, 1]), GroupProtocol::Http);
        // Nobody listens there.
        let key =
            Key { group: "g".into(), id: "t".into(), port: 1, address, protocol, version: ProtocolVersion::Http1 };
        Arc::new(Member::new(key, Dialer::here(), Arc::default(), Arc::default(), true))
    }

    /// The target's ends of so many connections that wait.
    fn give(member: &Member, count: usize) -> Vec<DuplexStream> {
        let pair = |_| {
            let (own, other) = tokio::io::duplex(1);
            member.give(Line::new(own));
            other
        };
        (0..count).map(pair).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_wait_go_with_age_and_with_health() {
        let (member, check) = (member(), HealthCheck { unhealthy_threshold: 2, ..HealthCheck::default() });
        let waiting = |outcome| {
            member.learn(&outcome, &check);
            member.waiting.lock().len()
        };
        let _old = give(&member, 1);
        tokio::time::advance(PATIENCE / 2).await;
        let _new = give(&member, 1);
        assert_eq!(waiting(Outcome::Success), 2);
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(waiting(Outcome::Failed), 1);
        assert_eq!(waiting(Outcome::Failed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_lets_go_of_all_connections_that_are_closed() {
        let member = member();
        let mut others = give(&member, 500);
        others.truncate(1);
        let check = HealthCheck { interval_seconds: 3600, unhealthy_threshold: 2, ..HealthCheck::default() };
        let _checks = tokio::spawn(probe::watch(member.clone(), check, Arc::default()));
        tokio::time::sleep(PATIENCE / 2).await;
        assert_eq!(member.waiting.lock().len(), 1);
    }
}

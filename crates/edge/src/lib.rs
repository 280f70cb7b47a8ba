//! The data plane of load balancers: listeners, rules, targets and their health.
//!
//! ```text
//!   EdgeConfiguration ──► Edge::apply ──► a front for each socket, swapped at once
//!                                    └──► a member for each target ──► its checks ──► EdgeReport
//!   client ──► socket ──► front ──► http (rules, requests) or tcp (flows) ──► member
//! ```
//! An [`Edge`] takes the configuration whole ([`longshore_link::edge`]) and needs nothing else: it goes on with the last one.
//! A request reads the front of its listener without a lock; members outlive configurations, so that what is in flight ends
//! as it began.
//!
//! Served: listeners of HTTP and HTTPS (HTTP/1 and, on HTTPS, HTTP/2) with target groups of HTTP and HTTPS in every version of
//! the protocol, listeners of TCP, TLS, UDP and both with the target groups that AWS lets them have. A listener that cannot be served is reported with its problem.

mod access;
mod anomaly;
mod chance;
mod choose;
mod count;
mod counted;
mod dial;
mod door;
mod flow;
mod front;
mod group;
mod health;
mod http;
mod listen;
mod member;
mod minute;
mod probe;
mod report;
mod route;
mod rule;
mod seal;
mod slots;
mod tcp;
mod times;
mod tls;
mod trust;
mod tunnel;
mod udp;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longshore_link::edge::{
    Address, Balancer, Certificate, EdgeConfiguration, EdgeReport, HealthCheck, Listener, ListenerProtocol, Metrics,
    Problem, Refusal, TargetGroup,
};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::access::Writer;
use crate::count::Tally;
pub use crate::dial::{Dialer, Transport};
use crate::door::{Door, Entries, Ways};
use crate::front::{Front, Group, Means};
use crate::http::record::Log;
use crate::listen::{Place, Site};
use crate::member::{Key, Member};
use crate::report::Reports;
pub use crate::route::Ends;
use crate::seal::Seal;
use crate::slots::Slots;
use crate::tls::Terms;
pub use crate::zone::Places;

/// Between two attempts at sockets that could not be bound.
const TRY_AGAIN: Duration = Duration::from_secs(3);

/// The data plane of load balancers on this machine.
#[derive(Debug)]
pub struct Edge {
    served: Arc<Mutex<Served>>,
    reports: Arc<Reports>,
    places: Places,
    slots: Slots,
    /// Counts once a minute.
    clock: OnceLock<Task>,
    /// Tries again what could not be bound.
    retries: OnceLock<Task>,
}

/// What is served now.
#[derive(Debug, Default)]
struct Served {
    dialer: Dialer,
    writer: Option<Writer>,
    places: Places,
    configuration: Option<Arc<EdgeConfiguration>>,
    seal: Option<Arc<Seal>>,
    problems: Vec<Problem>,
    sites: BTreeMap<Place, Site>,
    /// Some socket could not be bound.
    is_missing: bool,
    /// By port; `None` where it could not be opened.
    doors: BTreeMap<u16, Option<Door>>,
    members: BTreeMap<Key, Arc<Member>>,
    groups: BTreeMap<String, Arc<Group>>,
    checks: BTreeMap<Key, Checks>,
    drains: BTreeMap<Key, Task>,
    /// By the listener's ARN.
    terms: BTreeMap<String, Terms>,
    /// By the balancer's ARN.
    tallies: BTreeMap<String, Arc<Tally>>,
    /// The balancer of each group.
    owners: BTreeMap<String, String>,
}

/// The checks of a target, which end when this is dropped.
#[derive(Debug)]
struct Checks {
    check: HealthCheck,
    _task: Task,
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Edge {
    /// An edge that serves nothing yet, with targets in the network of this process.
    pub fn new() -> Self {
        Self::reaching(Dialer::here())
    }

    /// An edge that serves nothing yet. It listens in the network of this process and reaches targets by `dialer`.
    pub fn reaching(dialer: Dialer) -> Self {
        let places = Places::default();
        let served = Arc::new(Mutex::new(Served { dialer, places: places.clone(), ..Served::default() }));
        let (clock, retries) = (OnceLock::new(), OnceLock::new());
        Self { served, reports: Arc::default(), places, slots: Slots::default(), clock, retries }
    }

    /// Writes the access logs of balancers that keep one below this directory ([`access`]).
    ///
    /// # Errors
    /// That the thread that writes cannot be started.
    pub fn logging(mut self, directory: PathBuf) -> std::io::Result<Self> {
        let writer = Writer::new(directory)?;
        if let Some(served) = Arc::get_mut(&mut self.served) {
            served.get_mut().writer = Some(writer);
        }
        Ok(self)
    }

    /// Has so many connections of clients at one time, of which one listener may have three quarters. Without it 32,768.
    pub fn holding(mut self, connections: usize) -> Self {
        self.slots = Slots::of(connections);
        self
    }

    /// Ends with the access logs of all requests so far being in whole files.
    pub async fn finish_logs(&self) {
        let writer = self.served.lock().await.writer.clone();
        if let Some(writer) = writer {
            writer.finish().await;
        }
    }

    /// Closes what listens and ends the access logs: all files are whole, and what is still answered has no line.
    pub async fn end(&self) {
        let mut served = self.served.lock().await;
        (served.configuration, served.is_missing) = (None, false);
        served.sites.clear();
        served.doors.clear();
        if let Some(writer) = served.writer.clone() {
            writer.end().await;
        }
    }

    /// Serves a configuration from now on. Sockets that it does not name any more are closed, new ones opened; one that
    /// cannot be opened is reported and tried again every [`TRY_AGAIN`]. What is in flight goes on: only requests to
    /// targets whose deregistration delay is over are broken off.
    ///
    /// # Errors
    /// [`Refusal`] if it is older than what is served, or does not hold together. What is served stays as it is.
    pub async fn apply(&self, configuration: EdgeConfiguration) -> Result<(), Refusal> {
        let mut served = self.served.lock().await;
        if let Some(had) = served.generation().filter(|had| *had > configuration.generation) {
            return Err(Refusal::Older { had, came: configuration.generation });
        }
        configuration.check()?;
        served.keep_tallies(&configuration);
        let members = served.take_targets(&configuration);
        let problems = served.open(&configuration, &self.slots).await;
        served.drain_targets(&configuration, members);
        served.check_targets(&configuration, &self.reports);
        served.problems.clone_from(&problems);
        self.reports.serve(configuration.generation, problems);
        served.configuration = Some(Arc::new(configuration));
        self.clock.get_or_init(|| minute::watch(self.served.clone(), self.reports.clone()));
        self.retries.get_or_init(|| retry(self.served.clone(), self.reports.clone(), self.slots.clone()));
        Ok(())
    }

    /// What has changed since the last report, once something has. To be awaited by one task at a time.
    pub async fn report(&self) -> EdgeReport {
        self.reports.next().await
    }

    /// All that is known: what is served, and the health of every target that is checked. The first report of a session.
    pub async fn whole_report(&self) -> EdgeReport {
        let served = self.served.lock().await;
        let checked = served.checks.keys().filter_map(|key| served.members.get(key));
        EdgeReport {
            generation: served.generation().unwrap_or_default(),
            health: checked.map(|member| member.health()).collect(),
            problems: served.problems.clone(),
            metrics: None,
        }
    }

    /// Where tasks reach balancers, now and later.
    pub fn places(&self) -> Places {
        self.places.clone()
    }

    /// What has been counted since it was last taken, here or for a report. For one who runs an edge alone: what is taken is
    /// in no report.
    pub async fn take_metrics(&self) -> Metrics {
        minute::measure(&*self.served.lock().await)
    }
}

impl Default for Edge {
    fn default() -> Self {
        Self::new()
    }
}

/// Tries again and again to bind what could not be bound, as long as the task is not dropped.
fn retry(served: Arc<Mutex<Served>>, reports: Arc<Reports>, slots: Slots) -> Task {
    Task(tokio::spawn(async move {
        loop {
            tokio::time::sleep(TRY_AGAIN).await;
            served.lock().await.open_missing(&slots, &reports).await;
        }
    }))
}

impl Served {
    fn generation(&self) -> Option<i64> {
        self.configuration.as_ref().map(|configuration| configuration.generation)
    }

    /// Opens what could not be bound before; reports it, if that has changed something.
    async fn open_missing(&mut self, slots: &Slots, reports: &Reports) {
        let Some(configuration) = self.configuration.clone().filter(|_| self.is_missing) else { return };
        let problems = self.open(&configuration, slots).await;
        if self.problems != problems {
            self.problems.clone_from(&problems);
            reports.serve(configuration.generation, problems);
        }
    }

    /// Groups become those of the configuration, which fronts are then made of. The members that it has.
    ///
    /// A target that is registered again serves from here on; one that is to drain does so only when no front has it any
    /// more ([`Self::drain_targets`]): a request that has read the front of before finds targets, or reads the new one.
    fn take_targets(&mut self, configuration: &EdgeConfiguration) -> BTreeMap<Key, Arc<Member>> {
        let mut members = BTreeMap::new();
        let mut groups = BTreeMap::new();
        for (arn, group) in &configuration.target_groups {
            let known = self.groups.get(arn).cloned();
            let pulse = known.as_ref().map(|known| known.pulse.clone()).unwrap_or_default();
            let tally = known.as_ref().map(|known| known.tally.clone()).unwrap_or_default();
            let is_first = known.as_ref().is_none_or(|known| known.members.iter().all(|member| member.is_draining()));
            let new = |key| Member::new(key, self.dialer.clone(), pulse.clone(), tally.clone(), is_first);
            let member = |target| self.member(Key::new(arn, group, target), new);
            let own: Vec<Arc<Member>> = group.targets.iter().map(member).collect();
            for (member, target) in own.iter().zip(&group.targets) {
                if target.draining_since.is_none() {
                    self.register(member, target.registered_at);
                }
                members.insert(member.key.clone(), member.clone());
            }
            let was_off = known.as_ref().is_some_and(|known| known.group.slow_start_seconds == 0);
            if was_off && group.slow_start_seconds > 0 {
                own.iter().for_each(|member| member.end_slow_start());
            }
            let same = known.filter(|known| known.group == *group);
            let taken = same.unwrap_or_else(|| Arc::new(Group::new(arn, group.clone(), own, pulse, tally)));
            groups.insert(arn.clone(), taken);
        }
        self.groups = groups;
        members
    }

    /// A target is registered, perhaps again: then nothing is known of its health, and its checks begin anew.
    fn register(&mut self, member: &Arc<Member>, at: i64) {
        if member.is_registered_again(at) {
            self.checks.remove(&member.key);
            member.begin_anew();
        }
        if member.set_draining(false) {
            member.revive();
            self.drains.remove(&member.key);
        }
    }

    /// Balancers go on counting where they were.
    fn keep_tallies(&mut self, configuration: &EdgeConfiguration) {
        let arns = configuration.balancers.iter().map(|balancer| balancer.arn.clone());
        self.tallies =
            arns.map(|arn| (self.tallies.remove(&arn).unwrap_or_default(), arn)).map(|(one, arn)| (arn, one)).collect();
        self.owners = minute::owners(configuration);
    }

    /// The target as it is known, or a new one.
    fn member(&self, key: Key, new: impl Fn(Key) -> Member) -> Arc<Member> {
        self.members.get(&key).cloned().unwrap_or_else(|| Arc::new(new(key)))
    }

    /// Targets that the configuration lets drain begin to, and those that it does not have get nothing new.
    fn drain_targets(&mut self, configuration: &EdgeConfiguration, members: BTreeMap<Key, Arc<Member>>) {
        for (arn, group) in &configuration.target_groups {
            for target in &group.targets {
                let member = members.get(&Key::new(arn, group, target));
                if let Some((member, since)) = member.zip(target.draining_since) {
                    self.drain(member, since, group);
                }
            }
        }
        for (_, gone) in self.members.iter().filter(|(key, _)| !members.contains_key(key)) {
            // The delay of one that was draining is over; one that is gone without a delay ends what it is at.
            if gone.set_draining(true) {
                continue;
            }
            gone.end();
        }
        self.drains.retain(|key, _| members.contains_key(key));
        self.members = members;
    }

    /// A target that begins to drain has its delay, of which some may have passed.
    fn drain(&mut self, member: &Arc<Member>, since: i64, group: &TargetGroup) {
        if !member.set_draining(true) {
            return;
        }
        let delay = Duration::from_secs(u64::from(group.deregistration_delay_seconds));
        let passed = u64::try_from(chance::now_millis().saturating_sub(since)).unwrap_or(0);
        let left = delay.saturating_sub(Duration::from_millis(passed));
        let own = member.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(left).await;
            own.end();
        });
        self.drains.insert(member.key.clone(), Task(task));
    }

    /// Opens, swaps and closes sockets; what could not be opened.
    async fn open(&mut self, configuration: &EdgeConfiguration, slots: &Slots) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wanted = BTreeSet::new();
        let mut terms = BTreeMap::new();
        let seal = self.seal(configuration);
        self.is_missing = false;
        for (balancer, listener) in configuration.listeners() {
            let mut tell = |problem| problems.push(Problem { listener: listener.arn.clone(), problem });
            if let Some(problem) = front::unserved(listener, &configuration.target_groups) {
                tell(problem);
                continue;
            }
            let tls = match self.terms(configuration, balancer, listener) {
                Ok(tls) => tls,
                Err(problem) => {
                    tell(problem);
                    // One that is served goes on by the terms that it has.
                    let Some(known) = self.terms.get(&listener.arn) else { continue };
                    Some(known.clone())
                }
            };
            let listener = Arc::new(listener.clone());
            let config = tls.as_ref().map(|terms| terms.config.clone());
            terms.extend(tls.map(|terms| (listener.arn.clone(), terms)));
            let tally = self.tallies.get(&balancer.arn).cloned().unwrap_or_default();
            for address in &balancer.addresses {
                let log = self.log(balancer, address);
                let means = Means { tls: config.clone(), seal: seal.clone(), tally: tally.clone(), log };
                let front = Front::new(balancer, &listener, address, &self.groups, means);
                let (front, socket) = (Arc::new(front), SocketAddr::new(address.ip, listener.port));
                for transport in listen::transports(listener.protocol) {
                    wanted.insert((socket, *transport));
                    let place = (socket, *transport);
                    if let Err(error) = self.serve(place, address.inside, front.clone(), slots) {
                        self.is_missing = true;
                        tell(format!("{socket} cannot be listened on: {error}"));
                    }
                }
            }
        }
        self.sites.retain(|place, _| wanted.contains(place));
        self.terms = terms;
        let places = configuration.balancers.iter();
        self.places.set(places.map(|row| (row.name.to_ascii_lowercase(), self.places_of(row))).collect());
        self.open_doors(configuration, slots).await;
        problems
    }

    /// Opens, swaps and closes the doors. One that cannot be opened is nobody's problem: the listeners have addresses of their own.
    async fn open_doors(&mut self, configuration: &EdgeConfiguration, slots: &Slots) {
        let ports = configuration.door.map(|_| self.entries(configuration)).unwrap_or_default();
        self.doors.retain(|port, _| ports.contains_key(port));
        for (port, entries) in ports {
            let known = self.doors.get(&port);
            if let Some(Some(door)) = known {
                door.swap(entries);
                continue;
            }
            let Some(ip) = configuration.door else { continue };
            let address = SocketAddr::new(ip, port);
            let opened = Door::open(address, entries, slots).await;
            if let (Err(error), None) = (&opened, known) {
                tracing::info!(%address, %error, "load balancers are not reached there, but at their own addresses");
            }
            self.doors.insert(port, opened.ok());
        }
    }

    /// What is behind each door. Where several listeners have a port, those of TCP are left out: their clients name nobody.
    /// Internal balancers are behind a door that only this machine reaches.
    fn entries(&self, configuration: &EdgeConfiguration) -> BTreeMap<u16, Entries> {
        let mut ports: BTreeMap<u16, Vec<(&Balancer, &Listener)>> = BTreeMap::new();
        let is_behind = |balancer: &Balancer| configuration.door.is_some_and(|door| door::leads_to(door, balancer));
        for (balancer, listener) in configuration.listeners().filter(|(balancer, _)| is_behind(balancer)) {
            ports.entry(listener.port).or_default().push((balancer, listener));
        }
        let ways = |(balancer, listener): (&Balancer, &Listener)| {
            let outside = balancer.addresses.iter().filter(|address| !address.inside);
            let sites = outside.filter_map(|address| {
                self.sites.get(&(SocketAddr::new(address.ip, listener.port), Transport::Tcp)).map(Site::entry)
            });
            Some((balancer.name.to_ascii_lowercase(), Ways::new(sites.collect())?))
        };
        let is_web =
            |listener: &Listener| matches!(listener.protocol, ListenerProtocol::Http | ListenerProtocol::Https);
        let behind = ports.into_iter().map(|(port, of)| {
            let alone = of.len() == 1;
            let named = of.into_iter().filter(|(_, listener)| alone || is_web(listener));
            (port, named.filter_map(ways).collect::<Entries>())
        });
        behind.filter(|(_, entries)| !entries.is_empty()).collect()
    }

    /// Where tasks reach a balancer.
    fn places_of(&self, balancer: &Balancer) -> Vec<zone::Place> {
        let inside = balancer.addresses.iter().filter(|address| address.inside);
        let place = |address: &Address| {
            let IpAddr::V4(ip) = address.ip else { return None };
            let of = |listener: &Listener| {
                let socket = SocketAddr::new(address.ip, listener.port);
                listen::transports(listener.protocol).iter().find_map(|own| self.sites.get(&(socket, *own)))
            };
            Some(zone::Place { ip, fronts: balancer.listeners.iter().filter_map(of).map(Site::fronts).collect() })
        };
        inside.filter_map(place).collect()
    }

    /// Where the lines of a balancer's requests go, if it keeps a log and the edge does.
    fn log(&self, balancer: &Balancer, address: &Address) -> Option<Log> {
        let (writer, logs) = self.writer.as_ref().zip(balancer.attributes.access_logs.as_ref())?;
        let place = access::Place::new(balancer, logs, address.ip).map(Arc::new);
        if place.is_none() {
            tracing::warn!(balancer = balancer.arn, "there is no place for an access log of this name");
        }
        Some(Log { writer: writer.clone(), place: place? })
    }

    /// The same as long as the configuration's key stays the same.
    fn seal(&mut self, configuration: &EdgeConfiguration) -> Arc<Seal> {
        let of = &configuration.cookie_key;
        let known = self.seal.take().filter(|known| known.is_of(of));
        self.seal.insert(known.unwrap_or_else(|| Arc::new(Seal::new(of.clone())))).clone()
    }

    /// What a listener agrees to by TLS; those it has as long as they stay the same, with the sessions that clients resume.
    fn terms(
        &self,
        configuration: &EdgeConfiguration,
        balancer: &Balancer,
        listener: &Listener,
    ) -> Result<Option<Terms>, String> {
        if !matches!(listener.protocol, ListenerProtocol::Https | ListenerProtocol::Tls) {
            return Ok(None);
        }
        let certificates = listener.certificates.iter().filter_map(|arn| configuration.certificates.get(arn));
        let certificates: Vec<Certificate> = certificates.cloned().collect();
        let policy = listener.ssl_policy.as_deref().unwrap_or(tls::DEFAULT_POLICY);
        let protocols = tls::protocols(listener, &balancer.attributes);
        match self.terms.get(&listener.arn).filter(|known| known.are(&certificates, policy, &protocols)) {
            Some(known) => Ok(Some(known.clone())),
            None => Terms::new(certificates, policy, protocols).map(Some).map_err(|error| error.to_string()),
        }
    }

    fn serve(&mut self, place: Place, inside: bool, front: Arc<Front>, slots: &Slots) -> std::io::Result<()> {
        match self.sites.get(&place) {
            Some(site) => site.swap(front),
            None => {
                let network = if inside { self.dialer.clone() } else { Dialer::here() };
                let site = Site::open(place, front, slots, &network)?;
                self.sites.insert(place, site);
            }
        }
        Ok(())
    }

    /// Targets of groups that are in use are checked, unless they drain. New settings begin anew with what is known.
    fn check_targets(&mut self, configuration: &EdgeConfiguration, reports: &Arc<Reports>) {
        let mut checks = BTreeMap::new();
        for arn in configuration.used_groups() {
            let Some(group) = self.groups.get(arn) else { continue };
            for member in group.members.iter().filter(|member| !member.is_draining()) {
                let wanted = &group.group.health_check;
                let same = self.checks.remove(&member.key).filter(|known| known.check == *wanted);
                let begin = || {
                    let task = tokio::spawn(probe::watch(member.clone(), wanted.clone(), reports.clone()));
                    Checks { check: wanted.clone(), _task: Task(task) }
                };
                checks.insert(member.key.clone(), same.unwrap_or_else(begin));
            }
        }
        self.checks = checks;
    }
}

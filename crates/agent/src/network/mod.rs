//! The task network: `awsvpc` for real, one network namespace and one elastic network interface (ENI) a task.
//!
//! ```text
//!  host                         router namespace (one an instance)            task namespaces
//!  eth0 … ── lsh-<instance> ─── up0   NAT, public 1:1   vpc0 (bridge) ──┬── t0 ─ eth0 172.31.0.10
//!            198.18.n.0         198.18.n.1              172.31.0.1/20   └── t1 ─ eth0 172.31.16.7
//!                                                       172.31.16.1/20 …
//!                                                       169.254.170.2
//! ```
//!
//! Each instance keeps its whole VPC in a router namespace of its own, so that instances with the same address block live
//! side by side, beside Docker too. The bridge carries every subnet's gateway, the VPC's resolver and the address of the task
//! metadata endpoint. A task reaches the tasks of its subnet over the bridge, those of other subnets and the outside by its
//! gateway; what leaves is translated to the task's public address if it has one, else to the router's. Public addresses come
//! from a pool local to this machine. A task sends from its own addresses only, and reaches neither the host's own services
//! nor 169.254.169.254.
//!
//! A task's namespace has no name and no owner here: whoever holds [`TaskNet::netns`] keeps it alive, and with the last
//! descriptor it goes, its interface with it. So a restarted agent [adopts](Network::adopt) the namespaces of running tasks
//! and then [settles](Network::settle).
//!
//! Attaching takes a namespace from a pool of ready ones, adds an element to the router's nftables set (and two to its maps
//! with a public address), and sends three rtnetlink messages: no process is started and no rule added.
//!
//! Left out: choosing addresses (the control plane's), security groups and network ACLs, IPv6, more than one node, and
//! flows that go on when a public address changes hands at once (do not reuse one within seconds). A bridge has 1023 ports,
//! which limits the tasks of an instance on one node.

mod dialer;
pub mod dns;
mod elements;
mod error;
mod firewall;
mod host;
mod link;
mod names;
mod namespace;
mod netlink;
mod pool;
mod preserve;
mod router;
mod rules;
mod slice;
mod spec;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::task::JoinSet;

pub use error::Error;
pub(crate) use spec::{API_PORT, TASK_METADATA};
pub use spec::{EniSpec, NetworkConfig};

use dns::Resolver;
use elements::{Elements, Entry};
use error::Doing;
use link::Links;
use names::{INTERFACE, Names};
use namespace::inside;
use pool::Pool;
use preserve::Reach;
use router::ResolverSockets;
use slice::{Register, Slice};
use spec::METADATA_PORT;

/// How often the host's rules are looked after: other firewalls flush what they do not know.
const UPKEEP: Duration = Duration::from_secs(30);

/// The network of one instance on this host. Dropping it stops what runs in this process (resolver, pool) and leaves the
/// kernel's part, so that tasks go on; [`Network::teardown`] removes that.
pub struct Network {
    inner: Arc<Inner>,
    balancers: dns::Names,
    _resolver: Resolver,
    _upkeep: JoinSet<()>,
}

/// The network namespace of a task, with its ENI in it as `eth0`.
#[derive(Debug)]
pub struct TaskNet {
    /// Keeps the namespace alive, together with whoever else holds a descriptor of it or runs in it.
    pub netns: OwnedFd,
    /// What was attached.
    pub eni: EniSpec,
}

struct Inner {
    config: NetworkConfig,
    names: Names,
    slice: Slice,
    /// Whether this machine can show targets a client's address.
    preserves: bool,
    pool: Pool,
    elements: Mutex<Elements>,
    enis: Mutex<HashMap<String, Eni>>,
}

/// An ENI in use; `entry` is there once its packets are let through.
struct Eni {
    spec: EniSpec,
    entry: Option<Entry>,
}

impl Network {
    /// Brings the instance's network up, or finds it up: namespaces, links, rules and elements that an earlier process
    /// left are taken over. Runs in the calling process's network namespace, as root.
    ///
    /// # Errors
    /// The configuration contradicts itself, no address slice is free, or the kernel, `nft` or `iptables` refuse.
    pub async fn start(config: NetworkConfig) -> Result<Self, Error> {
        let resolv_conf = config.resolv_conf.clone();
        let (inner, sockets) = blocking(move || prepare(config)).await?;
        let balancers = dns::Names::default();
        let resolver = Resolver::start(sockets, resolv_conf, balancers.clone())?;
        let inner = Arc::new(inner);
        let mut upkeep = JoinSet::new();
        upkeep.spawn(keep_up(inner.clone()));
        Ok(Network { inner, balancers, _resolver: resolver, _upkeep: upkeep })
    }

    /// Removes everything of an instance from the host: router, links, routes, rules, firewall exceptions; the host's
    /// settings too if it was the last one. To be called when no process runs the instance. Idempotent. Namespaces of tasks
    /// still running stay, cut off.
    ///
    /// # Errors
    /// All steps are tried; the error lists those that failed.
    pub async fn teardown(instance: &str) -> Result<(), Error> {
        let names = Names::new(instance)?;
        blocking(move || host::teardown(&names)).await
    }

    /// The block public addresses come from; its first and last address are not used.
    pub fn public_pool(&self) -> Ipv4Net {
        self.inner.slice.public()
    }

    /// Listens on 169.254.170.2:80 of the router, where every task asks for its metadata by its default route and nobody
    /// else can. A peer's address says which task asks: the bridge lets an ENI send from its own address only. To be called
    /// once in a process, within a tokio runtime; the next agent's listener takes the place of this one.
    ///
    /// # Errors
    /// The router is gone, or a listener is still there after a second.
    pub async fn metadata_listener(&self) -> Result<tokio::net::TcpListener, Error> {
        self.listener(METADATA_PORT).await
    }

    /// Listens on 169.254.170.2:4566 of the router, where every task reaches the API of the control plane. As
    /// [`Network::metadata_listener`] in all else.
    ///
    /// # Errors
    /// The router is gone, or a listener is still there after a second.
    pub async fn api_listener(&self) -> Result<tokio::net::TcpListener, Error> {
        self.listener(API_PORT).await
    }

    /// The names of load balancers that the VPC's resolver answers.
    pub fn balancers(&self) -> dns::Names {
        self.balancers.clone()
    }

    /// Sockets by which an edge in this process reaches tasks, and at which tasks reach it.
    ///
    /// # Errors
    /// The router is gone, or no thread can be started.
    pub fn dialer(&self) -> Result<longshore_edge::Dialer, Error> {
        let reach = self.inner.preserves.then(|| Reach::new(&self.inner.config));
        dialer::start(&self.inner.names, reach)
    }

    async fn listener(&self, port: u16) -> Result<tokio::net::TcpListener, Error> {
        let names = self.inner.names.clone();
        let listener = blocking(move || router::bind_service(&names, port)).await?;
        tokio::net::TcpListener::from_std(listener).doing(|| format!("listen for tasks on port {port}"))
    }

    /// How many namespaces are ready to be attached at once.
    pub fn ready(&self) -> usize {
        self.inner.pool.ready()
    }

    /// Makes the namespace of a task, with its ENI up and reachable. Takes under 5 ms while namespaces are ready.
    /// If the caller is cancelled, [`Network::release`] tidies up.
    ///
    /// # Errors
    /// The ENI is not of this VPC, or its id or an address is in use; or the kernel refuses. Nothing is left behind.
    pub async fn attach(&self, spec: EniSpec) -> Result<TaskNet, Error> {
        let inner = self.inner.clone();
        blocking(move || inner.attach(spec)).await
    }

    /// Takes over the namespace of a task that an earlier process attached. Its packets are let through from here on, even
    /// if the router had forgotten it.
    ///
    /// # Errors
    /// The namespace is not that ENI's: no `eth0`, another address, another hardware address.
    pub async fn adopt(&self, netns: OwnedFd, spec: EniSpec) -> Result<TaskNet, Error> {
        let inner = self.inner.clone();
        blocking(move || inner.adopt(netns, spec)).await
    }

    /// Stops the packets of an ENI and frees its addresses; the interface goes with the namespace. Unknown ids are fine.
    ///
    /// # Errors
    /// The kernel refuses; the ENI counts as in use until a later call succeeds.
    pub async fn release(&self, id: &str) -> Result<(), Error> {
        let (inner, id) = (self.inner.clone(), id.to_owned());
        blocking(move || inner.release(&id)).await
    }

    /// Forgets what an earlier process let through and this one neither attached nor adopted. To be called once, when all
    /// running tasks are adopted.
    ///
    /// # Errors
    /// The kernel refuses; nothing has changed then.
    pub async fn settle(&self) -> Result<(), Error> {
        let inner = self.inner.clone();
        blocking(move || inner.settle()).await
    }
}

impl Inner {
    fn attach(&self, spec: EniSpec) -> Result<TaskNet, Error> {
        self.reserve(&spec)?;
        let attached = self.attach_reserved(&spec);
        if attached.is_err() {
            self.undo(&spec.id);
        }
        Ok(TaskNet { netns: attached?, eni: spec })
    }

    fn attach_reserved(&self, spec: &EniSpec) -> Result<OwnedFd, Error> {
        let mut blank = self.pool.take()?;
        self.let_through(spec, blank.port)?;
        blank.address(spec)?;
        self.pool.await_carrier(&mut blank)?;
        Ok(blank.netns)
    }

    fn adopt(&self, netns: OwnedFd, spec: EniSpec) -> Result<TaskNet, Error> {
        let port = inside(netns.as_fd(), || port_of_eni(&spec))?;
        self.reserve(&spec)?;
        if let Err(error) = self.let_through(&spec, port) {
            self.undo(&spec.id);
            return Err(error);
        }
        Ok(TaskNet { netns, eni: spec })
    }

    fn release(&self, id: &str) -> Result<(), Error> {
        let mut elements = self.elements();
        let entry = self.enis().get(id).and_then(|eni| eni.entry);
        if let Some(entry) = entry {
            elements.remove(&entry)?;
        }
        self.enis().remove(id);
        Ok(())
    }

    fn settle(&self) -> Result<(), Error> {
        let mut elements = self.elements();
        let entries: Vec<Entry> = self.enis().values().filter_map(|eni| eni.entry).collect();
        elements.replace(&entries)
    }

    /// Checks an ENI and keeps its id and addresses from others.
    fn reserve(&self, spec: &EniSpec) -> Result<(), Error> {
        spec.check(&self.config.subnets, self.slice.public())?;
        let mut enis = self.enis();
        if let Some(other) = enis.values().find(|eni| clash(&eni.spec, spec)) {
            return Err(Error::Refused(format!(
                "{}: id, address or hardware address is in use by {}",
                spec.id, other.spec.id
            )));
        }
        enis.insert(spec.id.clone(), Eni { spec: spec.clone(), entry: None });
        Ok(())
    }

    /// Adds the ENI's elements. Holds the elements' lock while it notes them, so that settling sees both or neither.
    fn let_through(&self, spec: &EniSpec, port: u32) -> Result<(), Error> {
        let entry = Entry { port, mac: spec.mac, private: spec.private_ip, public: spec.public_ip };
        let mut elements = self.elements();
        elements.add(&entry)?;
        if let Some(eni) = self.enis().get_mut(&spec.id) {
            eni.entry = Some(entry);
        }
        Ok(())
    }

    fn undo(&self, id: &str) {
        if let Err(error) = self.release(id) {
            tracing::warn!(%error, id, "an ENI that was not attached could not be released");
        }
    }

    fn elements(&self) -> MutexGuard<'_, Elements> {
        self.elements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enis(&self) -> MutexGuard<'_, HashMap<String, Eni>> {
        self.enis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything of a start that is not of the runtime.
fn prepare(config: NetworkConfig) -> Result<(Inner, ResolverSockets), Error> {
    config.check()?;
    let names = Names::new(&config.instance)?;
    let register = Register::open()?;
    let slice = host::claim_slice(&register, &config, &names)?;
    let netns = router::prepare(&config, &names, slice)?;
    host::settle_settings(&register)?;
    host::connect(&names, slice, &netns)?;
    host::assert_rules(&names, slice)?;
    let preserves = preserve::prepare(&netns);
    let sockets = router::bind_resolver(&config, &netns)?;
    let elements = Mutex::new(inside(netns.as_fd(), Elements::open)?);
    let pool = Pool::start(&netns, config.warm)?;
    Ok((Inner { config, names, slice, preserves, pool, elements, enis: Mutex::default() }, sockets))
}

async fn keep_up(inner: Arc<Inner>) {
    let mut ticks = tokio::time::interval(UPKEEP);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (names, slice) = (inner.names.clone(), inner.slice);
        if let Err(error) = blocking(move || host::assert_rules(&names, slice)).await {
            tracing::warn!(%error, "the host's rules could not be looked after");
        }
    }
}

/// Runs inside a task's namespace: the port of its interface, if that is the ENI's.
fn port_of_eni(spec: &EniSpec) -> Result<u32, Error> {
    let mut links = Links::open()?;
    let port = pool::port_of(&mut links)?;
    let link = links.get(INTERFACE)?;
    if link.mac != spec.mac || !links.addresses(link.index)?.contains(&spec.address()?) {
        return Err(Error::Refused(format!(
            "the namespace is not of {}: its {INTERFACE} has other addresses",
            spec.id
        )));
    }
    Ok(port)
}

/// Whether two ENIs cannot be in use at once.
fn clash(one: &EniSpec, other: &EniSpec) -> bool {
    one.id == other.id
        || one.private_ip == other.private_ip
        || one.mac == other.mac
        || (one.public_ip.is_some() && one.public_ip == other.public_ip)
}

/// Runs something that blocks, for milliseconds at most, away from the runtime's workers.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(cause) => std::panic::resume_unwind(cause),
            Err(error) => Err(Error::system("wait for the network", std::io::Error::other(error))),
        },
    }
}

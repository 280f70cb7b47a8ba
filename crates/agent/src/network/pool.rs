//! Namespaces made ahead of time, so that attaching an ENI only has to address one.
//!
//! Making a namespace and bringing a veth pair up takes the kernel milliseconds, part of it in its own background work. One
//! thread does that ahead of time and keeps `warm` blanks ready: `lo` up, `eth0` up, its other end a forwarding port of the
//! bridge. A blank can say nothing until its ENI is in the guard's set. With no blank left a caller
//! waits for the next; more threads would only queue for the same lock inside the kernel.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, setns};

use super::error::{Doing, Error};
use super::link::{LOOPBACK, Links, Peer, Step};
use super::names::{BRIDGE, INTERFACE, INTERFACE_INDEX};
use super::namespace::{self, inside, set_sysctl};
use super::spec::EniSpec;

/// How long a caller waits for a blank.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a new interface may take to get its carrier, and how often to look.
const CARRIER_PATIENCE: Duration = Duration::from_secs(2);
const CARRIER_STEP: Duration = Duration::from_micros(200);
/// How long the maker rests after a failure.
const REST: Duration = Duration::from_millis(200);

/// The settings of a task's namespace: no IPv6 on its interface (subnets are IPv4), and an announcement to its neighbours
/// when it gets its hardware address, for those who knew the address by an earlier one.
const SETTINGS: [(&str, &str); 2] =
    [("net/ipv6/conf/default/disable_ipv6", "1"), ("net/ipv4/conf/default/arp_notify", "1")];

/// A namespace with everything but an address.
pub(super) struct Blank {
    pub(super) netns: OwnedFd,
    /// The index of its port of the bridge.
    pub(super) port: u32,
    links: Links,
}

/// Blanks, and the thread that makes them. Dropping it ends the thread.
pub(super) struct Pool {
    shared: Arc<Shared>,
    router: Mutex<Links>,
    bridge: u32,
    maker: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    made: Condvar,
    wanted: Condvar,
    warm: usize,
}

#[derive(Default)]
struct State {
    blanks: VecDeque<Blank>,
    waiting: usize,
    failure: Option<String>,
    stopped: bool,
}

/// What the making thread works with.
struct Maker {
    home: OwnedFd,
    router: Links,
    bridge: u32,
}

impl Blank {
    /// Makes it the ENI's: address, hardware address, default route.
    /// The address comes first, so that the change of hardware address announces it.
    pub(super) fn address(&mut self, spec: &EniSpec) -> Result<(), Error> {
        self.links.apply(vec![
            Step::address(INTERFACE_INDEX, spec.address()?),
            Step::mac(INTERFACE_INDEX, spec.mac),
            Step::route(Ipv4Net::default(), INTERFACE_INDEX, Some(spec.gateway)),
        ])
    }
}

impl Pool {
    /// Starts making blanks for the router; `warm` of them are kept ready.
    pub(super) fn start(router_netns: &OwnedFd, warm: usize) -> Result<Self, Error> {
        let mut router = inside(router_netns.as_fd(), Links::open)?;
        let own = Mutex::new(inside(router_netns.as_fd(), Links::open)?);
        let bridge = router.get(BRIDGE)?.index;
        let maker = Maker { home: namespace::current()?, router, bridge };
        let shared = Arc::new(Shared { state: Mutex::default(), made: Condvar::new(), wanted: Condvar::new(), warm });
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("netns-pool".into()).spawn(move || theirs.fill(maker));
        let maker = Some(thread.doing(|| "start the namespace maker".into())?);
        Ok(Pool { shared, router: own, bridge, maker })
    }

    /// Takes a blank, waiting for one if none is ready.
    ///
    /// # Errors
    /// None can be made, or none is ready within ten seconds.
    pub(super) fn take(&self) -> Result<Blank, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        state.waiting += 1;
        let taken = loop {
            if let Some(blank) = state.blanks.pop_front() {
                break Ok(blank);
            }
            self.shared.wanted.notify_one();
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(reason) = state.failure.clone() {
                break Err(Error::NoNamespace { reason });
            }
            if left.is_zero() {
                break Err(Error::NoNamespace { reason: "the maker does not keep up".into() });
            }
            state = self.shared.made.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        state.waiting -= 1;
        self.shared.wanted.notify_one();
        taken
    }

    /// Waits until packets pass between a blank and the bridge. The kernel's background work makes that so a few
    /// milliseconds after the interface was made, long past for a blank that lay ready. A task that sent earlier would lose
    /// its first packet, and with it a second.
    pub(super) fn await_carrier(&self, blank: &mut Blank) -> Result<(), Error> {
        let deadline = Instant::now() + CARRIER_PATIENCE;
        while !self.has_carrier(blank)? {
            if Instant::now() > deadline {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                return Err(Error::system("wait for the carrier of a task's interface", late));
            }
            thread::sleep(CARRIER_STEP);
        }
        Ok(())
    }

    fn has_carrier(&self, blank: &mut Blank) -> Result<bool, Error> {
        let mut router = self.router.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(blank.links.is_operational(INTERFACE_INDEX)?
            && router.is_operational(blank.port)?
            && router.is_operational(self.bridge)?)
    }

    /// How many blanks are ready.
    pub(super) fn ready(&self) -> usize {
        self.shared.lock().blanks.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.wanted.notify_one();
        let ended = self.maker.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the namespace maker ended in a panic");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The maker's loop: waits until a blank is wanted, makes it, puts it in.
    fn fill(&self, mut maker: Maker) {
        while self.await_demand() {
            let made = maker.make();
            let mut state = self.lock();
            match made {
                Ok(blank) => {
                    state.blanks.push_back(blank);
                    state.failure = None;
                    self.made.notify_one();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot make a network namespace");
                    state.failure = Some(error.to_string());
                    self.made.notify_all();
                    drop(self.wanted.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    /// Waits until a blank is wanted; false when it is over.
    fn await_demand(&self) -> bool {
        let mut state = self.lock();
        while !state.stopped && state.blanks.len() >= self.warm.max(state.waiting) {
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopped
    }
}

impl Maker {
    fn make(&mut self) -> Result<Blank, Error> {
        let (netns, mut links) = self.make_namespace()?;
        let peer = Peer { name: INTERFACE, netns: netns.as_fd(), index: INTERFACE_INDEX };
        self.router.apply(vec![Step::veth("t%d", &peer, Some(self.bridge))])?;
        links.apply(vec![Step::up(INTERFACE_INDEX), Step::up(LOOPBACK)])?;
        let port = port_of(&mut links)?;
        Ok(Blank { netns, port, links })
    }

    /// Steps into a fresh namespace, sets it up and steps out again. This thread does nothing else, and what it does
    /// elsewhere goes through sockets, so that even a failure to step out would harm nobody.
    fn make_namespace(&self) -> Result<(OwnedFd, Links), Error> {
        let netns = namespace::enter_new()?;
        let made = SETTINGS.iter().try_for_each(|(key, value)| set_sysctl(key, value)).and_then(|()| Links::open());
        setns(&self.home, CloneFlags::CLONE_NEWNET).doing(|| "return to the host's namespace".into())?;
        Ok((netns, made?))
    }
}

/// The index of the bridge port that is the other end of a task's interface.
pub(super) fn port_of(links: &mut Links) -> Result<u32, Error> {
    let link = links.get(INTERFACE)?;
    link.peer.ok_or_else(|| Error::Refused(format!("{INTERFACE} is no veth")))
}

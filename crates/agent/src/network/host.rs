//! The host's side: forwarding, the transit link and its routes, rules, and the way all of it is undone.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use ipnet::Ipv4Net;

use super::error::{Doing, Error};
use super::link::{Link, Links, Peer, Step};
use super::names::{Names, UPLINK};
use super::namespace::{self, inside, set_sysctl};
use super::slice::{Register, Slice};
use super::spec::NetworkConfig;
use super::{firewall, rules};

/// Settings of the host and the least they must be: it forwards, and its table of neighbours, which all namespaces share,
/// has room for every task. What they were before is restored when the last instance leaves.
const SETTINGS: [(&str, u32); 3] = [
    ("net/ipv4/ip_forward", 1),
    ("net/ipv4/neigh/default/gc_thresh2", 8192),
    ("net/ipv4/neigh/default/gc_thresh3", 16384),
];
/// In the state directory: the slice the instance had, so that public addresses stay the same over a restart.
const KEPT_SLICE: &str = "network-slice";

/// Takes a slice for the instance: the one it has, else the one it had, else the first free one.
pub(super) fn claim_slice(register: &Register, config: &NetworkConfig, names: &Names) -> Result<Slice, Error> {
    let mut links = Links::open()?;
    let ours = links.find(&names.transit())?.map(|link| link.index);
    let routes = links.routes()?;
    let foreign = |slice: Slice| routes.iter().any(|to| to.link != ours && slice.collides(to.destination));
    let kept = config.state_dir.join(KEPT_SLICE);
    let before = fs::read_to_string(&kept).ok().and_then(|text| text.trim().parse().ok());
    let slice = register.claim(names, before.unwrap_or(names.first_slice()), foreign)?;
    fs::create_dir_all(&config.state_dir).doing(|| format!("make {}", config.state_dir.display()))?;
    fs::write(&kept, slice.0.to_string()).doing(|| format!("write {}", kept.display()))?;
    Ok(slice)
}

/// Raises the host's settings to what is needed, having noted what they were. What the kernel lacks is passed over.
pub(super) fn settle_settings(register: &Register) -> Result<(), Error> {
    for (key, least) in SETTINGS {
        if let Some(before) = lacking(key, least) {
            register.remember(key, &before.to_string())?;
            set_sysctl(key, &least.to_string())?;
        }
    }
    Ok(())
}

/// Connects host and router: the veth pair, its addresses, the route to the public pool and the router's default route.
pub(super) fn connect(names: &Names, slice: Slice, router: &OwnedFd) -> Result<(), Error> {
    let mut here = Links::open()?;
    let mut there = inside(router.as_fd(), Links::open)?;
    let (near, far) = join(&mut here, &mut there, names, slice, router)?;
    let end = |ip| Ipv4Net::new_assert(ip, slice.transit().prefix_len());
    set_sysctl(&format!("net/ipv6/conf/{}/disable_ipv6", names.transit()), "1")?;
    here.ensure(vec![
        Step::up(near),
        Step::address(near, end(slice.host())),
        Step::route(slice.public(), near, Some(slice.router())),
    ])?;
    there.ensure(vec![
        Step::up(far),
        Step::address(far, end(slice.router())),
        Step::route(Ipv4Net::default(), far, Some(slice.host())),
    ])
}

/// Puts forwarding, rules and firewall exceptions back where somebody removed them. Idempotent.
pub(super) fn assert_rules(names: &Names, slice: Slice) -> Result<(), Error> {
    for (key, least) in SETTINGS {
        if lacking(key, least).is_some() {
            set_sysctl(key, &least.to_string())?;
        }
    }
    rules::apply(&rules::host(names, slice))?;
    firewall::open(names)
}

/// Undoes everything the instance did to the host, whatever of it is there. Tries all steps and gathers what failed.
pub(super) fn teardown(names: &Names) -> Result<(), Error> {
    let register = Register::open()?;
    let steps = [
        firewall::close(names),
        disconnect(names),
        rules::remove_host(names),
        namespace::unpin(&names.router()),
        register.release(names),
        restore(register),
    ];
    let failed: Vec<String> = steps.into_iter().filter_map(|step| step.err()).map(|error| error.to_string()).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::Leftovers(failed)) }
}

/// Finds the veth pair between host and router, or makes it; a half or foreign one is replaced. Returns both indices.
fn join(
    here: &mut Links,
    there: &mut Links,
    names: &Names,
    slice: Slice,
    router: &OwnedFd,
) -> Result<(u32, u32), Error> {
    let (near, far) = (here.find(&names.transit())?, there.find(UPLINK)?);
    if let (Some(near), Some(far)) = (&near, &far)
        && are_ends(near, far)
        && here.addresses(near.index)?.iter().all(|address| address.addr() == slice.host())
    {
        return Ok((near.index, far.index));
    }
    here.ensure(near.iter().map(Step::delete).collect())?;
    there.ensure(far.iter().map(Step::delete).collect())?;
    let peer = Peer { name: UPLINK, netns: router.as_fd(), index: 0 };
    here.apply(vec![Step::veth(&names.transit(), &peer, None)])?;
    Ok((here.get(&names.transit())?.index, there.get(UPLINK)?.index))
}

fn are_ends(near: &Link, far: &Link) -> bool {
    near.peer == Some(far.index) && far.peer == Some(near.index)
}

fn disconnect(names: &Names) -> Result<(), Error> {
    let mut links = Links::open()?;
    let link = links.find(&names.transit())?;
    links.ensure(link.iter().map(Step::delete).collect())
}

/// With nobody left, gives the host its settings back and removes the register.
fn restore(register: Register) -> Result<(), Error> {
    if !register.is_empty()? {
        return Ok(());
    }
    for (key, _) in SETTINGS {
        if let Some(before) = register.recall(key)? {
            set_sysctl(key, &before)?;
        }
    }
    register.dissolve()
}

/// The value of a setting, if that is less than needed.
fn lacking(key: &str, least: u32) -> Option<u32> {
    let value = fs::read_to_string(format!("/proc/sys/{key}")).ok()?;
    value.trim().parse().ok().filter(|value| *value < least)
}

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

/// Without it the host forwards nothing. What it was before is restored when the last instance leaves.
const FORWARDING: &str = "net/ipv4/ip_forward";
/// In the state directory: the slice the instance had, so that public addresses stay the same over a restart.
const KEPT_SLICE: &str = "network-slice";

/// Takes a slice for the instance: the one it has, else the one it had, else the first free one.
pub(super) fn claim_slice(
    register: &Register,
    config: &NetworkConfig,
    names: &Names,
) -> Result<Slice, Error> {
    let mut links = Links::open()?;
    let ours = links.find(&names.transit())?.map(|link| link.index);
    let routes = links.routes()?;
    let foreign = |slice: Slice| {
        routes
            .iter()
            .any(|to| to.link != ours && slice.collides(to.destination))
    };
    let kept = config.state_dir.join(KEPT_SLICE);
    let before = fs::read_to_string(&kept)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let slice = register.claim(names, before.unwrap_or(names.first_slice()), foreign)?;
    fs::create_dir_all(&config.state_dir)
        .doing(|| format!("make {}", config.state_dir.display()))?;
    fs::write(&kept, slice.0.to_string()).doing(|| format!("write {}", kept.display()))?;
    Ok(slice)
}

/// Turns forwarding on, having noted what it was.
pub(super) fn forward(register: &Register) -> Result<(), Error> {
    let path = format!("/proc/sys/{FORWARDING}");
    let before = fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    register.remember(FORWARDING, before.trim())?;
    set_sysctl(FORWARDING, "1")
}

/// Connects host and router: the veth pair, its addresses, the route to the public pool and the router's default route.
pub(super) fn connect(names: &Names, slice: Slice, router: &OwnedFd) -> Result<(), Error> {
    let mut here = Links::open()?;
    let mut there = inside(router.as_fd(), Links::open)?;
    let (near, far) = join(&mut here, &mut there, names, slice, router)?;
    let end = |ip| Ipv4Net::new_assert(ip, slice.transit().prefix_len());
    set_sysctl(
        &format!("net/ipv6/conf/{}/disable_ipv6", names.transit()),
        "1",
    )?;
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
    set_sysctl(FORWARDING, "1")?;
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
    let failed: Vec<String> = steps
        .into_iter()
        .filter_map(|step| step.err())
        .map(|error| error.to_string())
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::Leftovers(failed))
    }
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
        && here
            .addresses(near.index)?
            .iter()
            .all(|address| address.addr() == slice.host())
    {
        return Ok((near.index, far.index));
    }
    here.ensure(near.iter().map(Step::delete).collect())?;
    there.ensure(far.iter().map(Step::delete).collect())?;
    let peer = Peer {
        name: UPLINK,
        netns: router.as_fd(),
        index: 0,
    };
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
    if let Some(before) = register.recall(FORWARDING)? {
        set_sysctl(FORWARDING, &before)?;
    }
    register.dissolve()
}

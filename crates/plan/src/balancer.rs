//! The addresses of load balancers.

use std::net::Ipv4Addr;

use longshore_model::balancer::LOOPBACK;
use longshore_model::{Mint, State};

use crate::place::next_free;

/// An address of [`LOOPBACK`] that no balancer of any account has; none when all are given. The first is any, so that two
/// installations on one machine seldom meet; the others follow it in a circle, and a freed one comes back late.
pub fn address(state: &State, mint: &mut Mint) -> Option<Ipv4Addr> {
    let last = LOOPBACK.size() - 2;
    let used = state.index.balancing.addresses();
    let any = 1 + mint.next_u64() % last;
    match used.last {
        0 => LOOPBACK.address(any),
        _ => next_free(LOOPBACK, (1, last), Some(used), None, |_| true).map(Ipv4Addr::from),
    }
}

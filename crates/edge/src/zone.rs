//! Into which zone a client is led that knows a balancer by its name alone, at the shared door or by the tasks' resolver.
//!
//! A zone in which a group has no healthy target while another zone has one is left out, as AWS leaves its address out of the
//! DNS. If none has any, all are as good as each other. It is looked at anew for each client, and takes no lock.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::front::Front;

/// Those in which the most groups have a healthy target.
pub fn best<T>(zones: &[T], well: impl Fn(&T) -> usize) -> Vec<&T> {
    if let [only] = zones {
        return vec![only];
    }
    let counts: Vec<usize> = zones.iter().map(well).collect();
    let most = counts.iter().max();
    zones.iter().zip(&counts).filter(|(_, count)| Some(*count) == most).map(|(zone, _)| zone).collect()
}

/// Where tasks reach balancers, by their names in small letters: one address a zone. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<ArcSwap<BTreeMap<String, Vec<Place>>>>);

/// An address, with the listeners that it has.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub ip: Ipv4Addr,
    pub fronts: Vec<Arc<ArcSwap<Front>>>,
}

impl Places {
    /// The addresses at which a client is to be served now. `None` for a name that is no balancer's.
    pub fn of(&self, name: &str) -> Option<Vec<Ipv4Addr>> {
        let known = self.0.load();
        let well = |place: &Place| place.fronts.iter().map(|front| front.load().well()).sum();
        Some(best(known.get(name)?, well).into_iter().map(|place| place.ip).collect())
    }

    pub(crate) fn set(&self, places: BTreeMap<String, Vec<Place>>) {
        self.0.store(Arc::new(places));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_with_the_most_healthy_groups_are_the_best() {
        let cases: &[(&[usize], &[usize])] =
            &[(&[], &[]), (&[0], &[0]), (&[0, 0, 0], &[0, 1, 2]), (&[1, 0, 1], &[0, 2]), (&[0, 1, 2], &[2])];
        for (counts, expected) in cases {
            let zones: Vec<(usize, usize)> = counts.iter().copied().enumerate().collect();
            let found: Vec<usize> = best(&zones, |(_, count)| *count).into_iter().map(|(zone, _)| *zone).collect();
            assert_eq!(found, *expected, "{counts:?}");
        }
    }
}

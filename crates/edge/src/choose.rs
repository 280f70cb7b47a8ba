//! Which target of a group, and which group of an action. Pure: chance comes in as a number.

use std::time::Duration;

use longshore_link::edge::{Algorithm, UnhealthyRouting, WeightedGroup};

/// Targets of which `least_outstanding_requests` takes the one with the fewest: all if there are no more, else so many by
/// chance.
pub const LOOKED_AT: usize = 16;

/// The place of the target that is chosen, of `count`. `turn` counts the choices before, `chance` is any number, `outstanding`
/// how many requests a target is busy with. `None` without targets.
pub fn place(
    algorithm: Algorithm,
    count: usize,
    turn: usize,
    chance: u64,
    outstanding: impl Fn(usize) -> usize,
) -> Option<usize> {
    match algorithm {
        _ if count == 0 => None,
        Algorithm::RoundRobin => Some(turn % count),
        Algorithm::WeightedRandom => Some(within(chance, count)),
        // Among equals it goes round, too.
        Algorithm::LeastOutstandingRequests if count <= LOOKED_AT => {
            (0..count).map(|step| (turn % count + step) % count).min_by_key(|place| outstanding(*place))
        }
        Algorithm::LeastOutstandingRequests => {
            let drawn = (0..LOOKED_AT).zip(0..).map(|(_, step): (_, u32)| within(chance.rotate_left(4 * step), count));
            drawn.min_by_key(|place| outstanding(*place))
        }
    }
}

/// Whether fewer are healthy than the group demands.
pub fn fails_open(healthy: usize, all: usize, routing: UnhealthyRouting) -> bool {
    let least = usize::try_from(routing.minimum_count.max(1)).unwrap_or(usize::MAX);
    let percent = usize::try_from(routing.minimum_percent.unwrap_or(0)).unwrap_or(0);
    healthy < least || healthy * 100 < percent * all
}

/// Whether a target that has been healthy for `since` gets the request that would be its turn: its share grows evenly to the
/// whole for `whole`.
pub fn has_share(since: Duration, whole: Duration, chance: u64) -> bool {
    let (since, whole) = (since.as_millis(), whole.as_millis());
    since >= whole || u128::from(chance) % whole < since
}

/// The group that is chosen, each with the share that its weight has. `None` if all weights are zero.
pub fn group(groups: &[WeightedGroup], chance: u64) -> Option<&WeightedGroup> {
    let total: u64 = groups.iter().map(|group| u64::from(group.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut left = chance % total;
    groups.iter().find(|group| {
        let weight = u64::from(group.weight);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}

/// A place of `count` by chance; zero if there is none.
pub fn within(chance: u64, count: usize) -> usize {
    usize::try_from(chance % u64::try_from(count.max(1)).unwrap_or(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_take_turns_by_their_algorithm() {
        let (round, least) = (Algorithm::RoundRobin, Algorithm::LeastOutstandingRequests);
        let random = Algorithm::WeightedRandom;
        type Case<'c> = (Algorithm, &'c [usize], [Option<usize>; 4]);
        let cases: &[Case<'_>] = &[
            (round, &[0, 0, 0], [Some(0), Some(1), Some(2), Some(0)]),
            (round, &[], [None; 4]),
            (least, &[], [None; 4]),
            (least, &[2, 1], [Some(1); 4]),
            (least, &[1, 1, 3], [Some(0), Some(1), Some(0), Some(0)]),
            (random, &[0, 0], [Some(0), Some(1), Some(0), Some(1)]),
        ];
        for (algorithm, loads, expected) in cases {
            let chosen = [0, 1, 2, 3]
                .map(|turn: u32| place(*algorithm, loads.len(), turn as usize, u64::from(turn), |place| loads[place]));
            assert_eq!(chosen, *expected, "{algorithm:?} {loads:?}");
        }
    }

    #[test]
    fn of_many_targets_some_are_looked_at() {
        let chance = 0xfedc_ba98_7654_3210;
        let looked = std::cell::RefCell::new(Vec::new());
        let outstanding = |place: usize| {
            looked.borrow_mut().push(place);
            1000 - place
        };
        let chosen = place(Algorithm::LeastOutstandingRequests, 1000, 0, chance, outstanding).expect("a place");
        let mut looked = looked.into_inner();
        looked.sort_unstable();
        looked.dedup();
        assert!(looked.len() > LOOKED_AT / 2 && looked.len() <= LOOKED_AT, "{looked:?}");
        assert_eq!(looked.last(), Some(&chosen));
    }

    #[test]
    fn too_few_healthy_targets_open_the_way_to_all() {
        let cases = [
            (1, 3, 1, None, false),
            (0, 2, 1, None, true),
            (1, 3, 2, None, true),
            (2, 4, 1, Some(50), false),
            (1, 4, 1, Some(50), true),
        ];
        for (healthy, all, minimum_count, minimum_percent, expected) in cases {
            let routing = UnhealthyRouting { minimum_count, minimum_percent };
            assert_eq!(fails_open(healthy, all, routing), expected, "{healthy} of {all}: {routing:?}");
        }
    }

    #[test]
    fn a_share_grows_evenly() {
        let seconds = Duration::from_secs;
        for (since, expected) in [(0, 0), (3, 1000), (15, 5000), (30, 10_000), (31, 10_000)] {
            let taken = (0..10_000).filter(|chance| has_share(seconds(since), seconds(30), chance * 3)).count();
            assert_eq!(taken, expected, "after {since} seconds");
        }
        assert!(has_share(Duration::ZERO, Duration::ZERO, 0));
    }

    #[test]
    fn groups_have_the_shares_of_their_weights() {
        let named = |name: &str, weight| WeightedGroup { target_group: name.to_owned(), weight };
        let groups = [named("a", 3), named("b", 0), named("c", 1)];
        let chosen: Vec<&str> =
            (0..5).filter_map(|chance| group(&groups, chance)).map(|group| group.target_group.as_str()).collect();
        assert_eq!(chosen, ["a", "a", "a", "c", "a"]);
        assert_eq!(group(&[named("a", 0)], 7), None);
    }
}

//! Which target of a group, and which group of an action. Pure: chance comes in as a number.

use longshore_link::edge::{Algorithm, UnhealthyRouting, WeightedGroup};

/// A target that may be chosen: it is registered, not draining, and of the right zone.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub healthy: bool,
    /// Requests it is busy with.
    pub outstanding: usize,
}

/// The place of the target that is chosen. `turn` counts the choices before, `chance` is any number. If too few are healthy,
/// all are taken for healthy (fail-open). `None` without candidates.
pub fn target(
    algorithm: Algorithm,
    candidates: &[Candidate],
    routing: UnhealthyRouting,
    turn: usize,
    chance: u64,
) -> Option<usize> {
    let open = fails_open(candidates, routing);
    let eligible = || candidates.iter().enumerate().filter(move |(_, candidate)| open || candidate.healthy);
    let count = eligible().count();
    if count == 0 {
        return None;
    }
    match algorithm {
        Algorithm::RoundRobin => eligible().nth(turn % count),
        Algorithm::WeightedRandom => eligible().nth(within(chance, count)),
        Algorithm::LeastOutstandingRequests => {
            // Among equals it goes round, too.
            let (before, after) = (eligible().take(turn % count), eligible().skip(turn % count));
            after.chain(before).min_by_key(|(_, candidate)| candidate.outstanding)
        }
    }
    .map(|(place, _)| place)
}

/// Whether fewer are healthy than the group demands.
pub fn fails_open(candidates: &[Candidate], routing: UnhealthyRouting) -> bool {
    let healthy = candidates.iter().filter(|candidate| candidate.healthy).count();
    let least = usize::try_from(routing.minimum_count.max(1)).unwrap_or(usize::MAX);
    let percent = usize::try_from(routing.minimum_percent.unwrap_or(0)).unwrap_or(0);
    healthy < least || healthy * 100 < percent * candidates.len()
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

fn within(chance: u64, count: usize) -> usize {
    usize::try_from(chance % u64::try_from(count).unwrap_or(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(text: &str) -> Vec<Candidate> {
        let read = |word: &str| {
            let (state, load) = word.split_at(1);
            Candidate { healthy: state == "h", outstanding: load.parse().expect("a load") }
        };
        text.split_whitespace().map(read).collect()
    }

    fn turns(algorithm: Algorithm, text: &str) -> Vec<Option<usize>> {
        let routing = UnhealthyRouting::default();
        (0..4).map(|turn| target(algorithm, &candidates(text), routing, turn, turn as u64)).collect()
    }

    #[test]
    fn targets_take_turns_by_their_algorithm() {
        let (round, least) = (Algorithm::RoundRobin, Algorithm::LeastOutstandingRequests);
        let random = Algorithm::WeightedRandom;
        let cases: &[(Algorithm, &str, [Option<usize>; 4])] = &[
            (round, "h0 h0 h0", [Some(0), Some(1), Some(2), Some(0)]),
            (round, "h0 u0 h0", [Some(0), Some(2), Some(0), Some(2)]),
            (round, "u0 u0", [Some(0), Some(1), Some(0), Some(1)]),
            (round, "", [None; 4]),
            (least, "h2 h1 u0", [Some(1); 4]),
            (least, "h1 h1 h3", [Some(0), Some(1), Some(0), Some(0)]),
            (random, "h0 u0 h0", [Some(0), Some(2), Some(0), Some(2)]),
        ];
        for (algorithm, text, expected) in cases {
            assert_eq!(turns(*algorithm, text), expected, "{algorithm:?} {text}");
        }
    }

    #[test]
    fn too_few_healthy_targets_open_the_way_to_all() {
        let cases = [
            ("h0 u0 u0", 1, None, false),
            ("u0 u0", 1, None, true),
            ("h0 u0 u0", 2, None, true),
            ("h0 h0 u0 u0", 1, Some(50), false),
            ("h0 u0 u0 u0", 1, Some(50), true),
        ];
        for (text, minimum_count, minimum_percent, expected) in cases {
            let routing = UnhealthyRouting { minimum_count, minimum_percent };
            assert_eq!(fails_open(&candidates(text), routing), expected, "{text} {routing:?}");
        }
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

//! Which capacity provider of a strategy takes the next task.
//!
//! First every base is filled, in list order; then each task goes to the provider that minimises
//! `(placed - base + 1) / weight`, ties to the one listed first. A weight of zero takes nothing beyond its base.

use longshore_api::ecs::CapacityProviderStrategyItem as Item;

/// The index of the provider for the next task, when `placed[i]` tasks already are with provider `i`. `None` if no
/// provider has a weight and every base is full.
pub fn next(items: &[Item], placed: &[i64]) -> Option<usize> {
    let base = |index: usize| i64::from(items[index].base.unwrap_or(0));
    let weight = |index: usize| i64::from(items[index].weight.unwrap_or(0));
    let short = (0..items.len()).find(|index| placed[*index] < base(*index));
    short.or_else(|| {
        let weighted = (0..items.len()).filter(|index| weight(*index) > 0);
        weighted.reduce(|best, other| {
            let cost = |index: usize| placed[index] - base(index) + 1;
            // cost/weight of `other` below that of `best`, without division.
            let better = cost(other) * weight(best) < cost(best) * weight(other);
            if better { other } else { best }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, base: i32, weight: i32) -> Item {
        Item { capacity_provider: Some(name.into()), base: Some(base), weight: Some(weight) }
    }

    #[track_caller]
    fn check(items: &[(i32, i32)], tasks: usize, want: &[i64]) {
        let items: Vec<Item> = items.iter().map(|(base, weight)| item("x", *base, *weight)).collect();
        let mut placed = vec![0; items.len()];
        for _ in 0..tasks {
            let chosen = next(&items, &placed).unwrap();
            placed[chosen] += 1;
        }
        assert_eq!(placed, want);
    }

    #[test]
    fn base_comes_first_then_weight() {
        check(&[(2, 1), (0, 3)], 10, &[4, 6]);
        check(&[(0, 1), (0, 4)], 5, &[1, 4]);
        check(&[(0, 1), (0, 4)], 10, &[2, 8]);
        check(&[(3, 0), (0, 1)], 5, &[3, 2]);
        check(&[(0, 0), (0, 1)], 4, &[0, 4]);
        check(&[(0, 1), (0, 1)], 3, &[2, 1]);
    }

    #[test]
    fn without_weight_nothing_is_placed() {
        assert_eq!(next(&[item("a", 0, 0)], &[0]), None);
        assert_eq!(next(&[], &[]), None);
    }
}

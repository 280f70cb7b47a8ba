//! The next free address of a block.

use longshore_model::index::AddressUse;
use longshore_model::network::Block;

/// The first free address of `block` behind the one given last, within the offsets of `range`, both inclusive. Runs of
/// taken addresses are passed in one step.
pub fn next_free(
    block: Block,
    range: (u64, u64),
    stored: Option<&AddressUse>,
    draft: Option<&AddressUse>,
    usable: impl Fn(u32) -> bool,
) -> Option<u32> {
    let (first, last) = range;
    if first > last {
        return None;
    }
    let given = draft.or(stored).map_or(0, |used| used.last);
    let offset = u64::from(given.wrapping_sub(block.base));
    let inside = given >= block.base && (first..=last).contains(&offset);
    let start = if inside { offset + 1 } else { first };
    let base = u64::from(block.base);
    let search = |from: u64, to: u64| first_free(base + from, base + to, [stored, draft], &usable);
    search(start, last).or_else(|| if start > first { search(first, start - 1) } else { None })
}

/// The first free address from `from` to `to`, both inclusive.
fn first_free(from: u64, to: u64, used: [Option<&AddressUse>; 2], usable: &impl Fn(u32) -> bool) -> Option<u32> {
    let mut next = from;
    while next <= to {
        let address = u32::try_from(next).ok()?;
        let taken_until = used.into_iter().flatten().filter_map(|used| used.taken.end_of(address)).max();
        match taken_until {
            Some(end) => next = u64::from(end) + 1,
            None if usable(address) => return Some(address),
            None => next += 1,
        }
    }
    None
}

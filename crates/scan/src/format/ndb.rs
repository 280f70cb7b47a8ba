//! Databases of rpm's own making (`Packages.db`), as SUSE has them.
//!
//! ```text
//!     `RpmP` VERSION GENERATION PAGES _ _ _ _                head, 32 bytes; PAGES of 4 KiB of slots, itself included
//!     `Slot` PACKAGE FIRST BLOCKS                            a slot; blocks are of 16 bytes
//!     `BlbS` PACKAGE _ LENGTH │ bytes … │ _ LENGTH `BlbE`    what the blocks of a package hold
//! ```
//! Numbers are of four bytes, the lowest first. Sums over the bytes are not looked at.

const PAGE: usize = 4096;
const BLOCK: usize = 16;
/// Bytes of the end of a package's.
const TAIL: usize = 12;

/// Gives what there is of each package to `take`.
///
/// # Errors
/// What is wrong with the database.
pub(super) fn read(bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), &'static str> {
    let head = (word(bytes, 4), word(bytes, 12));
    let (Some(0), Some(pages)) = head else { return Err("it is of an unknown version") };
    let end = usize::try_from(pages).ok().and_then(|pages| pages.checked_mul(PAGE));
    let slots = end.and_then(|end| bytes.get(2 * BLOCK..end)).ok_or("it ends early")?;
    let mut left = bytes.len();
    for slot in slots.chunks_exact(BLOCK) {
        if !slot.starts_with(b"Slot") {
            return Err("one of its slots is damaged");
        }
        let package = word(slot, 4).filter(|package| *package != 0);
        let Some(package) = package else { continue };
        let blocks = blocks(bytes, slot).ok_or("one of its packages is beyond its end")?;
        // No two packages share blocks.
        left = left.checked_sub(blocks.len()).ok_or("its packages lie on each other")?;
        take(content(blocks, package).ok_or("one of its packages is damaged")?);
    }
    Ok(())
}

fn blocks<'a>(bytes: &'a [u8], slot: &[u8]) -> Option<&'a [u8]> {
    let part = |at| usize::try_from(word(slot, at)?).ok()?.checked_mul(BLOCK);
    let (begins, length) = (part(8)?, part(12)?);
    bytes.get(begins..begins.checked_add(length)?)
}

fn content(blocks: &[u8], package: u32) -> Option<&[u8]> {
    let tail = blocks.len().checked_sub(TAIL)?;
    let length = word(blocks, 12)?;
    let is_whole = blocks.starts_with(b"BlbS") && blocks.ends_with(b"BlbE");
    if !is_whole || word(blocks, 4) != Some(package) || word(blocks, tail + 4) != Some(length) {
        return None;
    }
    let end = usize::try_from(length).ok()?.checked_add(BLOCK)?;
    blocks.get(BLOCK..end).filter(|_| end <= tail)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

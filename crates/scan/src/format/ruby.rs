//! `Gemfile.lock`: below `specs:`, with four spaces, what is installed; with six, what that asks for.

use super::shelf::Shelf;
use crate::package::Kind;

/// A version may end with a platform, which is cut off: `1.15.4-x86_64-linux`.
pub(super) fn read(text: &str, shelf: &mut Shelf<'_>) {
    let mut is_of_gems = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            is_of_gems = line.trim_end() == "GEM";
        }
        let spec = line.strip_prefix("    ").filter(|spec| is_of_gems && !spec.starts_with(' '));
        let Some((name, version)) = spec.and_then(|spec| spec.split_once(" (")) else { continue };
        let version = version.trim_end().trim_end_matches(')');
        shelf.add(Kind::Gem, name, version.split('-').next().unwrap_or(version));
    }
}

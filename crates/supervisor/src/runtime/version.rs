//! Known holes of runtimes by version.

use super::{Candidate, Problem};
use crate::spec::RuntimeKind;

/// Versions without the fixes of November 2025 (and what came after them): those before 1.2.8, and 1.3.0 to 1.3.2.
const RUNC_HOLES: [&str; 4] = ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881", "CVE-2026-41579"];

/// Holes of this version, as problems that do not keep it from working.
pub fn holes(candidate: &Candidate) -> Option<Problem> {
    let version = parse(&candidate.version)?;
    let open = version < (1, 2, 8) || ((1, 3, 0)..(1, 3, 3)).contains(&version);
    (candidate.kind == RuntimeKind::Runc && open).then(|| Problem {
        what: format!(
            "this version lacks the fixes of {} (container escape by a hostile image)",
            RUNC_HOLES.join(", ")
        ),
        remedy: "install crun, or the newest runc; until then run only images you trust".into(),
        fatal: false,
        fixable: false,
    })
}

/// The three numbers; what follows them (`+ds1`, `-rc.1`) does not count.
fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let plain = version.split(['+', '-', '~']).next()?;
    let mut numbers = plain.split('.').map(|number| number.parse::<u32>().ok());
    Some((numbers.next()??, numbers.next().flatten().unwrap_or(0), numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_by_version() {
        let rows = [
            (RuntimeKind::Runc, "1.1.5+ds1", true),
            (RuntimeKind::Runc, "1.2.7", true),
            (RuntimeKind::Runc, "1.2.8", false),
            (RuntimeKind::Runc, "1.3.2", true),
            (RuntimeKind::Runc, "1.3.3", false),
            (RuntimeKind::Runc, "1.4.0-rc.3", false),
            (RuntimeKind::Runc, "unknown", false),
            (RuntimeKind::Crun, "1.8.1", false),
        ];
        for (kind, version, open) in rows {
            let candidate = Candidate { kind, path: "/x".into(), version: version.into() };
            assert_eq!(holes(&candidate).is_some(), open, "{kind:?} {version}");
        }
    }
}

//! A [`Profile`] as the finished program that the kernel runs at each system call.
//!
//! ```text
//! architecture? ─► a search by halves over ranges of call numbers ─► allow, fail, or a condition on an argument
//! ```
//! When a filter is installed the kernel runs it once for every call there is, so a program that asks about one number after
//! the other, as runtimes make it, takes the kernel more than a millisecond at every start; this one asks six times.
//! crun takes it as it is (an annotation); other runtimes compile the profile themselves.

use std::collections::BTreeMap;
use std::mem::offset_of;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libc::{BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
use syscalls::Sysno;

use super::seccomp::{Condition, Profile, REFUSED, Test, Verdict};

const LOAD: u32 = BPF_LD | BPF_W | BPF_ABS;
const RETURN: u32 = BPF_RET | BPF_K;
const JUMP: u32 = BPF_JMP | BPF_JA;
const IF_EQUAL: u32 = BPF_JMP | BPF_JEQ | BPF_K;
const IF_AT_LEAST: u32 = BPF_JMP | BPF_JGE | BPF_K;
const IF_ANY_OF: u32 = BPF_JMP | BPF_JSET | BPF_K;

/// `AUDIT_ARCH_…` of the machine.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// An instruction: operation, how far to jump if so and if not, and its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction(u32, u8, u8, u32);

/// What becomes of a call: the first condition that holds decides, else the verdict at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fate {
    conditions: Vec<(Condition, Verdict)>,
    otherwise: Verdict,
}

/// Call numbers from here up to the next range.
struct Range {
    from: u32,
    fate: Fate,
}

/// The program, in the form in which crun's annotation wants it: the kernel's own, in base64.
pub fn encoded(profile: &Profile) -> String {
    let bytes: Vec<u8> = program(profile).into_iter().flat_map(Instruction::bytes).collect();
    STANDARD.encode(bytes)
}

fn program(profile: &Profile) -> Vec<Instruction> {
    let mut program = vec![
        Instruction(LOAD, 0, 0, offset_of!(libc::seccomp_data, arch) as u32),
        Instruction(IF_EQUAL, 1, 0, ARCHITECTURE),
        Instruction(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        Instruction(LOAD, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
    ];
    program.extend(search(&ranges(profile)));
    program
}

/// The fates of all numbers, each range as long as it can be. The last one is of calls newer than the profile.
fn ranges(profile: &Profile) -> Vec<Range> {
    let fates = fates(profile);
    let newest = fates.keys().next_back().copied().unwrap_or_default();
    let fail = |error| Fate { conditions: Vec::new(), otherwise: Verdict::Fail(error) };
    let mut ranges: Vec<Range> = Vec::new();
    for number in 0..=newest {
        let fate = fates.get(&number).cloned().unwrap_or_else(|| fail(REFUSED));
        if ranges.last().is_none_or(|range| range.fate != fate) {
            ranges.push(Range { from: number, fate });
        }
    }
    ranges.push(Range { from: newest + 1, fate: fail(libc::ENOSYS) });
    ranges
}

/// By call number. A call that the machine's architecture does not have is left out.
fn fates(profile: &Profile) -> BTreeMap<u32, Fate> {
    let mut fates = BTreeMap::new();
    for rule in &profile.rules {
        for number in rule.names.iter().filter_map(|name| name.parse::<Sysno>().ok()) {
            let new = || Fate { conditions: Vec::new(), otherwise: Verdict::Fail(REFUSED) };
            let fate = fates.entry(number.id() as u32).or_insert_with(new);
            match rule.when {
                Some(condition) => fate.conditions.push((condition, rule.verdict)),
                None => *fate = Fate { conditions: Vec::new(), otherwise: rule.verdict },
            }
        }
    }
    fates
}

fn search(ranges: &[Range]) -> Vec<Instruction> {
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (Some(_), Some(middle)) = (low.first(), high.first()) else {
        return ranges.iter().flat_map(|range| range.fate.instructions()).collect();
    };
    let (low, high) = (search(low), search(high));
    // The distance of a conditional jump has eight bits, that of a plain one thirty-two.
    let mut program = vec![Instruction(IF_AT_LEAST, 0, 1, middle.from), Instruction(JUMP, 0, 0, low.len() as u32)];
    program.extend(low);
    program.extend(high);
    program
}

impl Fate {
    fn instructions(&self) -> Vec<Instruction> {
        let conditions = self.conditions.iter().flat_map(|(condition, verdict)| condition.instructions(*verdict));
        conditions.chain([self.otherwise.instruction()]).collect()
    }
}

impl Condition {
    /// Goes on behind itself if it does not hold.
    fn instructions(self, verdict: Verdict) -> [Instruction; 3] {
        let test = match self.test {
            Test::Is(value) => Instruction(IF_EQUAL, 0, 1, value),
            Test::IsNot(value) => Instruction(IF_EQUAL, 1, 0, value),
            Test::HasNoneOf(mask) => Instruction(IF_ANY_OF, 1, 0, mask),
        };
        [Instruction(LOAD, 0, 0, low_half(self.argument)), test, verdict.instruction()]
    }
}

/// Where the low 32 bits of an argument are. Both architectures are little-endian.
fn low_half(argument: u32) -> u32 {
    offset_of!(libc::seccomp_data, args) as u32 + 8 * argument
}

impl Verdict {
    fn instruction(self) -> Instruction {
        Instruction(
            RETURN,
            0,
            0,
            match self {
                Self::Allow => libc::SECCOMP_RET_ALLOW,
                Self::Fail(error) => libc::SECCOMP_RET_ERRNO | error as u32,
            },
        )
    }
}

impl Instruction {
    /// As `struct sock_filter` is in memory.
    fn bytes(self) -> impl Iterator<Item = u8> {
        let Self(operation, so, not, operand) = self;
        let [low, high] = (operation as u16).to_ne_bytes();
        [low, high, so, not].into_iter().chain(operand.to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::seccomp::profile;
    use super::*;

    /// Runs the program as the kernel does; the answer, and how many instructions it took.
    fn run(program: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> (u32, usize) {
        let read = |offset: u32| match offset {
            0 => number,
            4 => architecture,
            _ => {
                let bytes: Vec<u8> = arguments.iter().flat_map(|argument| argument.to_le_bytes()).collect();
                let at = offset as usize - 16;
                u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
            }
        };
        let (mut at, mut loaded) = (0, 0);
        for steps in 1.. {
            let Instruction(operation, so, not, operand) = program[at];
            let holds = match operation {
                LOAD => {
                    loaded = read(operand);
                    true
                }
                RETURN => return (operand, steps),
                JUMP => {
                    at += operand as usize;
                    true
                }
                IF_EQUAL => loaded == operand,
                IF_AT_LEAST => loaded >= operand,
                IF_ANY_OF => loaded & operand != 0,
                other => panic!("{other:#x} is no instruction"),
            };
            at += 1 + usize::from(if holds { so } else { not });
        }
        unreachable!()
    }

    /// What the profile itself says of a call, read rule by rule.
    fn said(profile: &Profile, name: &str, arguments: [u64; 6]) -> u32 {
        let about = profile.rules.iter().filter(|rule| rule.names.contains(&name));
        let holds = |condition: &Condition| {
            let value = arguments[condition.argument as usize] as u32;
            match condition.test {
                Test::Is(wanted) => value == wanted,
                Test::IsNot(other) => value != other,
                Test::HasNoneOf(mask) => value & mask == 0,
            }
        };
        let mut matching = about.filter(|rule| rule.when.as_ref().is_none_or(holds));
        match matching.next().map_or(Verdict::Fail(REFUSED), |rule| rule.verdict) {
            Verdict::Allow => 0x7fff_0000,
            Verdict::Fail(error) => 0x0005_0000 | error as u32,
        }
    }

    #[test]
    fn the_program_says_of_every_call_what_the_profile_says() {
        let arguments = [0, 1, 8, 40, 0x20008, 0x1000_0000, 0x0002_0000, 0xffff_ffff, 0x7_0000_0028, u64::MAX];
        for added in [&[][..], &["SYS_ADMIN"], &["SYS_PTRACE", "SYS_TIME"], &["ALL"]] {
            let profile = profile(&added.iter().map(ToString::to_string).collect::<Vec<_>>());
            let program = program(&profile);
            let newest = fates(&profile).into_keys().next_back().unwrap();
            for call in Sysno::iter().filter(|call| call.id() as u32 <= newest) {
                for argument in arguments {
                    let arguments = [argument, 0, 0, 0, 0, 0];
                    let (answer, steps) = run(&program, ARCHITECTURE, call.id() as u32, arguments);
                    assert_eq!(answer, said(&profile, call.name(), arguments), "{call} {argument:#x} {added:?}");
                    assert!(steps <= 40, "{call} takes {steps} steps");
                }
            }
            assert!(program.len() < 4096, "the kernel takes no longer one");
        }
    }

    #[test]
    fn calls_that_are_newer_or_of_another_architecture() {
        let program = program(&profile(&[]));
        for number in [463, 1000, 0x4000_0000, u32::MAX] {
            assert_eq!(run(&program, ARCHITECTURE, number, [0; 6]).0, 0x0005_0000 | libc::ENOSYS as u32, "{number}");
        }
        let i386 = 0x4000_0003;
        assert_eq!(run(&program, i386, 1, [0; 6]).0, libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn what_the_kernel_does_not_look_at_opens_no_door() {
        let program = program(&profile(&[]));
        let vsock = [40 | 1 << 32, 0, 0, 0, 0, 0];
        assert_eq!(run(&program, ARCHITECTURE, Sysno::socket.id() as u32, vsock).0, 0x0005_0000 | libc::EPERM as u32);
    }

    #[test]
    fn every_call_of_the_profile_is_known_or_of_another_architecture() {
        let elsewhere = ["stime"];
        let profile = profile(&["ALL".to_owned()]);
        let names = profile.rules.iter().flat_map(|rule| &rule.names);
        let unknown: Vec<_> = names.filter(|name| name.parse::<Sysno>().is_err()).collect();
        #[cfg(target_arch = "x86_64")]
        assert_eq!(unknown, elsewhere.iter().collect::<Vec<_>>());
        #[cfg(not(target_arch = "x86_64"))]
        assert!(unknown.len() >= elsewhere.len());
    }
}

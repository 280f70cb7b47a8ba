//! Fuzzing of what strangers' bytes reach first: signatures, forms, policies.
//!
//! ```text
//!     corpus ──► mutate ──► target ──► outcome ──┐
//!        ▲                                       │ one that was not seen before
//!        └───────────────────────────────────────┘
//! ```
//! A target takes any bytes, checks what must hold of them, and says in a few words what came of them. There is no
//! instrumentation: an outcome that is new makes its input one of the corpus. Each target runs for a second, with the same
//! seed every time; `LONGSHORE_FUZZ_SECONDS` makes it longer, and then it draws a new seed, which it prints.
//! `LONGSHORE_FUZZ_SEED` runs one again. An input that fails is printed.

mod form;
mod mutate;
mod policy;
mod signature;

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mutate::Random;

/// What is fuzzed.
struct Target {
    name: &'static str,
    seeds: &'static [&'static str],
    /// Words that mean something to it.
    words: &'static [&'static str],
    run: fn(&[u8]) -> String,
    /// Outcomes that there must be at least of [`FEWEST`] inputs, else too little of the target is reached.
    least: usize,
}

/// Inputs that are kept; beyond that, new outcomes are only counted.
const KEPT: usize = 2048;

/// Bytes of an input.
const LONGEST: usize = 32 * 1024;

/// Inputs that there are at least, however slow the machine is.
const FEWEST: u64 = 2000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seed, and for how long.
fn settings() -> (u64, Duration) {
    let seconds = setting("LONGSHORE_FUZZ_SECONDS");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    let usual = if seconds.is_some() { now() } else { 1 };
    (setting("LONGSHORE_FUZZ_SEED").unwrap_or(usual), Duration::from_secs(seconds.unwrap_or(1)))
}

/// Prints an input if the target panics over it.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input: b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn outcome(target: &Target, input: &[u8]) -> String {
    let _shown = Shown(input);
    (target.run)(input)
}

fn fuzz(target: &Target) {
    let (seed, duration) = settings();
    println!("{}: seed {seed}", target.name);
    let mut random = Random::new(seed);
    let mut corpus: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let mut seen: HashSet<String> = corpus.iter().map(|input| outcome(target, input)).collect();
    let (began, mut count) = (Instant::now(), 0_u64);
    while count < FEWEST || began.elapsed() < duration {
        for _ in 0..64 {
            let input = mutate::mutant(&mut random, &corpus, target.words, LONGEST);
            count += 1;
            if seen.insert(outcome(target, &input)) && corpus.len() < KEPT {
                corpus.push(input);
            }
        }
    }
    println!("{}: {count} inputs, {} outcomes", target.name, seen.len());
    assert!(seen.len() >= target.least, "{} outcomes: {seen:?}", seen.len());
}

#[test]
fn any_bytes_are_a_signature_of_nobody_or_refused() {
    fuzz(&signature::TARGET);
}

#[test]
fn any_bytes_are_a_form_or_refused() {
    fuzz(&form::TARGET);
}

#[test]
fn any_bytes_are_a_policy_or_refused() {
    fuzz(&policy::TARGET);
}

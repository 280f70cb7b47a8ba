//! Runs seeds from the command line; `cargo xtask sim` calls it.

use std::process::ExitCode;
use std::time::Instant;

use longshore_sim::{Lab, Outcome};

const USAGE: &str = "usage: longshore-sim [--seeds N] [--from SEED] | --seed SEED [--trace]";

/// Which seeds, and whether their traces are printed.
struct Asked {
    from: u64,
    count: u64,
    trace: bool,
}

fn asked(mut arguments: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked { from: 0, count: 200, trace: false };
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse().ok();
        match argument.as_str() {
            "--seeds" => asked.count = number()?,
            "--from" => asked.from = number()?,
            "--seed" => (asked.from, asked.count) = (number()?, 1),
            "--trace" => asked.trace = true,
            _ => return None,
        }
    }
    Some(asked)
}

fn main() -> ExitCode {
    let Some(asked) = asked(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let directory = std::env::temp_dir().join(format!("longshore-sim-{}", std::process::id()));
    match Lab::new(&directory) {
        Ok(lab) => run(&lab, &asked),
        Err(error) => {
            eprintln!("{}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn run(lab: &Lab, asked: &Asked) -> ExitCode {
    let begun = Instant::now();
    let (mut events, mut seconds) = (0, 0);
    for seed in asked.from..asked.from.saturating_add(asked.count) {
        let outcome = lab.run(seed, asked.trace);
        (events, seconds) = (events + outcome.events, seconds + outcome.seconds);
        if asked.count == 1 {
            println!("seed {seed}: {} events, trace {:016x}", outcome.events, outcome.hash);
        }
        if outcome.failure.is_some() {
            tell_failure(&outcome, asked.trace);
            return ExitCode::FAILURE;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds keep every law: {events} events, {:.1} hours of the system's time, {took:.1} s, {:.1} seeds a second",
        asked.count,
        seconds as f64 / 3600.0,
        asked.count as f64 / took
    );
    ExitCode::SUCCESS
}

fn tell_failure(outcome: &Outcome, traced: bool) {
    let Some((law, trace)) = &outcome.failure else { return };
    if !traced {
        trace.iter().for_each(|line| println!("{line}"));
    }
    println!("seed {} breaks a law after {} events: {law}", outcome.seed, outcome.events);
    println!("the whole trace: cargo xtask sim --seed {} --trace", outcome.seed);
}

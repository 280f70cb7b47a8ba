//! Seeds by the hundred keep every law; one seed gives one trace.

use std::path::PathBuf;

use longshore_sim::Lab;

/// Seeds that are run, unless `LONGSHORE_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 200;

fn seeds() -> u64 {
    std::env::var("LONGSHORE_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("longshore-sim-{name}-{}", std::process::id()))
}

#[test]
fn seeds_by_the_hundred_keep_the_laws() {
    let lab = Lab::new(&directory("seeds")).expect("a lab");
    for seed in 0..seeds() {
        let outcome = lab.run(seed, false);
        if let Some((law, trace)) = outcome.failure {
            panic!("seed {seed}: {law}\n{}", trace.join("\n"));
        }
        assert!(outcome.events > 500, "seed {seed} has {} events only", outcome.events);
    }
}

#[test]
fn one_seed_gives_one_trace() {
    let lab = Lab::new(&directory("trace")).expect("a lab");
    let traces = |seed: u64| lab.run(seed, false).hash;
    for seed in 0..5 {
        assert_eq!(traces(seed), traces(seed), "seed {seed}");
    }
    assert_ne!(traces(0), traces(1));
}

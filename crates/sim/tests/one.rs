use longshore_sim::Lab;
#[test]
fn one() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let to: u64 = std::env::var("TO").ok().and_then(|s| s.parse().ok()).unwrap_or(seed);
    let lab = Lab::new(&std::env::temp_dir().join(format!("longshore-sim-one-{}", std::process::id()))).unwrap();
    let mut bad = 0;
    for seed in seed..=to {
        let o = lab.run(seed, std::env::var("TRACE").is_ok());
        match o.failure { Some((law, _)) => { bad += 1; println!("seed {seed} events {} s {}: {law}", o.events, o.seconds) }, None => if to < seed + 3 { println!("seed {seed} ok {} events {} s", o.events, o.seconds) } }
    }
    println!("{bad} bad");
}

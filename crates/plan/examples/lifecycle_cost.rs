//! What a lifecycle policy costs: how long the state is held for its picture, how long it is evaluated, and how long the longest of
//! the transactions takes that carry it out.
//!
//! `cargo run --release -p longshore-plan --example lifecycle_cost -- [IMAGES] [RULES]` (100,000 and 50 by default). Pure work on
//! one core, without a store: `cargo xtask bench` measures those.
#![expect(clippy::disallowed_methods, reason = "it measures, and measuring needs a clock")]

use std::time::{Duration, Instant};

use longshore_model::registry::{Image, ImageTag, Lifecycle, Repository};
use longshore_model::{Change, State};
use longshore_plan::lifecycle::{Errand, Picture, due};
use longshore_wire::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn repository(policy: String) -> Repository {
    Repository {
        lifecycle: Some(Lifecycle { text: policy, set_at: NOW, evaluated_at: None }),
        ..Repository::new("123456789012", "web", "r1", NOW)
    }
}

fn image(number: usize) -> Image {
    Image {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size: 1000,
        ..Image::new(
            "r1",
            &format!("sha256:{number:064x}"),
            Timestamp::from_millis(NOW.millis() - 1_000_000_000 + number as i64),
        )
    }
}

/// Each rule keeps one of the images whose tags are its pattern's.
fn policy(rules: usize) -> String {
    let rule = |number: usize| {
        format!(
            r#"{{"rulePriority":{},"selection":{{"tagStatus":"tagged","tagPatternList":["branch-{number}-*"],
                "countType":"imageCountMoreThan","countNumber":1}},"action":{{"type":"expire"}}}}"#,
            number + 1
        )
    };
    format!(r#"{{"rules":[{}]}}"#, (0..rules).map(rule).collect::<Vec<_>>().join(","))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

fn main() {
    let mut given = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (images, rules) = (given.next().unwrap_or(100_000), given.next().unwrap_or(50));
    let mut state = State::default();
    state.apply(&repository(policy(rules)).into());
    for number in 0..images {
        let image = image(number);
        let tag = format!("branch-{}-{number}", number % rules);
        let tag =
            ImageTag { repository: "r1".to_owned(), tag, digest: image.digest.clone(), moved_at: NOW, looked_at: None };
        state.apply(&image.into());
        state.apply(&Change::from(tag));
    }
    let repository = due(&state, NOW).pop().expect("the policy is due");
    let (picture, held) = timed(|| Picture::of(&state, "r1"));
    let (mut errand, evaluated) = timed(|| Errand::new(repository, picture, NOW));
    let (mut turns, mut longest) = (0, Duration::ZERO);
    while !errand.is_over() {
        let (plan, took) = timed(|| errand.turn(&state, NOW));
        (turns, longest) = (turns + 1, longest.max(took));
        plan.changes.iter().for_each(|change| state.apply(change));
    }
    println!("{images} images, {rules} rules: a picture in {held:?}, evaluated in {evaluated:?}");
    println!("{} images left after {turns} turns, the longest of {longest:?}", state.images.len());
}

use std::collections::BTreeMap;

use longshore_model::registry::Image;
use longshore_wire::Timestamp;
use proptest::prelude::*;

use super::*;

const DAY: i64 = 24 * 60 * 60;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(super) fn image(digest: &str, pushed_at: i64) -> Image {
    Image::new("r", digest, at(pushed_at))
}

fn rule(priority: i32, selection: &str) -> String {
    format!(r#"{{"rulePriority":{priority},"selection":{{{selection}}},"action":{{"type":"expire"}}}}"#)
}

fn policy(rules: &[(i32, &str)]) -> Policy {
    let rules: Vec<String> = rules.iter().map(|(priority, selection)| rule(*priority, selection)).collect();
    parse(&format!(r#"{{"rules":[{}]}}"#, rules.join(","))).unwrap()
}

fn gone(policy: &Policy, images: &[(Image, &[&'static str])], now: i64) -> Vec<(String, i32)> {
    let subjects: Vec<Subject<'_>> =
        images.iter().map(|(image, tags)| Subject { image, tags: tags.to_vec() }).collect();
    expired(policy, &subjects, at(now)).into_iter().map(|(digest, rule)| (digest.to_owned(), rule)).collect()
}

fn check(rules: &[(i32, &str)], images: &[(Image, &[&'static str])], wanted: &[(&str, i32)]) {
    let found = gone(&policy(rules), images, 100 * DAY);
    let wanted: Vec<(String, i32)> = wanted.iter().map(|(digest, rule)| ((*digest).to_owned(), *rule)).collect();
    assert_eq!(found, wanted, "{rules:?}");
}

const ANY_ONE: &str = r#""tagStatus":"any","countType":"imageCountMoreThan","countNumber":1"#;

#[test]
fn the_oldest_go_beyond_a_number_and_all_beyond_an_age() {
    let images = [(image("a", 1), &["x"][..]), (image("b", 3), &[]), (image("c", 2), &[])];
    check(&[(1, ANY_ONE)], &images, &[("a", 1), ("c", 1)]);
    let untagged = r#""tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1"#;
    check(&[(1, untagged)], &images, &[("c", 1)]);
    let aged = r#""tagStatus":"any","countType":"sinceImagePushed","countUnit":"days","countNumber":10"#;
    let images = [(image("old", 90 * DAY), &[][..]), (image("new", 90 * DAY + 1), &[])];
    check(&[(1, aged)], &images, &[("old", 1)]);
    let pulled = Image { pulled_at: Some(at(95 * DAY)), ..image("pulled", 1) };
    let images = [(pulled, &[][..]), (image("never", 80 * DAY), &[])];
    let aged = r#""tagStatus":"any","countType":"sinceImagePulled","countUnit":"days","countNumber":10"#;
    check(&[(1, aged)], &images, &[("never", 1)]);
}

#[test]
fn an_image_is_the_first_rules_whose_tags_it_has_all_of() {
    let both =
        r#""tagStatus":"tagged","tagPrefixList":["alpha","beta"],"countType":"imageCountMoreThan","countNumber":1"#;
    let images = [
        (image("1", 1), &["alpha-1", "beta-1"][..]),
        (image("2", 2), &["alpha-2", "beta-2"]),
        (image("3", 3), &["alpha-3"]),
    ];
    check(&[(1, both)], &images, &[("1", 1)]);
    let pattern = r#""tagStatus":"tagged","tagPatternList":["*-1","al*"],"countType":"sinceImagePushed","countUnit":"days","countNumber":1"#;
    check(&[(1, pattern)], &images, &[("1", 1)]);
    // The first rule lets the newest two be, whatever the second says; the second counts them all the same.
    let alpha = r#""tagStatus":"tagged","tagPrefixList":["alpha"],"countType":"imageCountMoreThan","countNumber":2"#;
    let images = [
        (image("1", 1), &["alpha-1"][..]),
        (image("2", 2), &["alpha-2"]),
        (image("3", 3), &["alpha-3"]),
        (image("4", 4), &[]),
        (image("0", 0), &[]),
    ];
    check(&[(2, ANY_ONE), (1, alpha)], &images, &[("0", 2), ("1", 1)]);
}

#[test]
fn what_an_index_that_stays_lists_stays_and_what_is_about_an_image_follows_it() {
    let index = |digest: &str, pushed: i64, lists: &[&str]| Image {
        images: lists.iter().map(|digest| (*digest).to_owned()).collect(),
        ..image(digest, pushed)
    };
    let images = [
        (image("child", 1), &[][..]),
        (index("inner", 2, &["child"]), &[]),
        (index("outer", 9, &["inner"]), &["latest"]),
        (image("old", 3), &[]),
        (Image { subject: Some("old".to_owned()), ..image("signature", 8) }, &[]),
        (Image { subject: Some("outer".to_owned()), ..image("kept", 1) }, &[]),
        (Image { subject: Some("gone".to_owned()), ..image("orphan", 1) }, &[]),
    ];
    check(&[(7, ANY_ONE)], &images, &[("old", 7), ("orphan", 7), ("signature", 7)]);
}

#[test]
fn a_document_says_what_is_wrong_with_it() {
    let fine = r#""tagStatus":"any","countType":"imageCountMoreThan","countNumber":1"#;
    for (text, why) in [
        ("", "JSON"),
        ("[]", "object"),
        ("{}", "rules must be"),
        (r#"{"rules":[]}"#, "1 to 50"),
        (r#"{"rules":[1]}"#, "a rule must be"),
        (r#"{"rules":[],"x":1}"#, "unknown member x"),
        (&format!(r#"{{"rules":[{},{}]}}"#, rule(1, fine), rule(1, fine)), "rulePriority must be there once"),
        (&format!(r#"{{"rules":[{},{}]}}"#, rule(1, fine), rule(2, fine)), "any must be one"),
        (&format!(r#"{{"rules":[{}]}}"#, rule(0, fine)), "rulePriority must be 1"),
        (&format!(r#"{{"rules":[{}]}}"#, rule(1, fine).replace("expire", "transition")), "archives no images"),
        (&format!(r#"{{"rules":[{}]}}"#, rule(1, fine).replace("expire", "keep")), "must be expire"),
    ] {
        let found = parse(text).unwrap_err().to_string();
        assert!(found.contains(why) && found.starts_with("Lifecycle policy validation failure: "), "{text}: {found}");
    }
    for (selection, why) in [
        (r#""tagStatus":"x","countType":"imageCountMoreThan","countNumber":1"#, "tagStatus must be"),
        (r#""tagStatus":"tagged","countType":"imageCountMoreThan","countNumber":1"#, "must be there with tagged"),
        (r#""tagStatus":"any","tagPrefixList":["a"],"countType":"imageCountMoreThan","countNumber":1"#, "alone"),
        (r#""tagStatus":"tagged","tagPrefixList":[],"countType":"imageCountMoreThan","countNumber":1"#, "1 to 100"),
        (r#""tagStatus":"tagged","tagPrefixList":[""],"countType":"imageCountMoreThan","countNumber":1"#, "1 to 128"),
        (
            r#""tagStatus":"tagged","tagPatternList":["*****"],"countType":"imageCountMoreThan","countNumber":1"#,
            "4 wild",
        ),
        (
            r#""tagStatus":"tagged","tagPrefixList":["a"],"tagPatternList":["a"],"countType":"imageCountMoreThan","countNumber":1"#,
            "both",
        ),
        (r#""tagStatus":"any","countType":"imageCountMoreThan","countNumber":0"#, "countNumber"),
        (r#""tagStatus":"any","countType":"imageCountMoreThan","countNumber":-1"#, "countNumber"),
        (r#""tagStatus":"any","countType":"imageCountMoreThan","countUnit":"days","countNumber":1"#, "does not go"),
        (r#""tagStatus":"any","countType":"sinceImagePushed","countNumber":1"#, "countUnit must be days"),
        (r#""tagStatus":"any","countType":"sinceImagePushed","countUnit":"weeks","countNumber":1"#, "countUnit"),
        (r#""tagStatus":"any","countType":"x","countNumber":1"#, "countType must be"),
        (r#""tagStatus":"any","countType":"imageCountMoreThan","countNumber":1,"y":1"#, "unknown member y"),
        (&format!(r#"{ANY_ONE},"storageClass":"archive""#), "archives no images"),
        (&format!(r#"{ANY_ONE},"storageClass":"STANDARD""#), "storageClass must be standard"),
        (&format!(r#"{ANY_ONE},"storageClass":1"#), "storageClass must be standard"),
        (&format!(r#"{ANY_ONE},"storageClass":null"#), "storageClass must be standard"),
    ] {
        let found = parse(&format!(r#"{{"rules":[{}]}}"#, rule(1, selection))).unwrap_err().to_string();
        assert!(found.contains(why), "{selection}: {found}");
    }
}

#[test]
fn the_storage_class_that_all_images_have_may_be_named() {
    let aged = r#""tagStatus":"any","countType":"sinceImagePulled","countUnit":"days","countNumber":1"#;
    for selection in [ANY_ONE, aged] {
        let named = format!(r#"{selection},"storageClass":"standard""#);
        assert_eq!(policy(&[(1, &named)]), policy(&[(1, selection)]));
    }
}

fn tags() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(vec!["alpha-1", "alpha-2", "beta-1", "latest"], 0..=4)
}

/// When it was pushed and pulled, its tags, and the places of those that it lists.
type Row = (i64, Option<i64>, Vec<&'static str>, Vec<usize>);

fn images() -> impl Strategy<Value = Vec<(Image, Vec<&'static str>)>> {
    let one = (0..200 * DAY, proptest::option::of(0..200 * DAY), tags(), proptest::collection::vec(0..20_usize, 0..3));
    proptest::collection::vec(one, 0..20).prop_map(|rows| {
        let made = |(at_index, (pushed, pulled, tags, lists)): (usize, Row)| {
            // A digest is made after those that it lists, so an index lists only what comes before it.
            let images = lists.into_iter().filter(|listed| *listed < at_index).map(|listed| format!("{listed:02}"));
            let images = images.collect();
            (Image { pulled_at: pulled.map(at), images, ..image(&format!("{at_index:02}"), pushed) }, tags)
        };
        rows.into_iter().enumerate().map(made).collect()
    })
}

fn rules() -> impl Strategy<Value = Policy> {
    let tags = prop_oneof![
        Just(Tags::Any),
        Just(Tags::Untagged),
        Just(Tags::Prefixes(vec!["alpha".to_owned()])),
        Just(Tags::Prefixes(vec!["alpha".to_owned(), "beta".to_owned()])),
        Just(Tags::Patterns(vec!["*-1".to_owned()])),
    ];
    let count = prop_oneof![
        (1..5_u32).prop_map(Count::MoreThan),
        (1..200_u32).prop_map(Count::DaysSincePushed),
        (1..200_u32).prop_map(Count::DaysSincePulled),
    ];
    proptest::collection::vec((tags, count), 1..4).prop_map(|rules| {
        let rules = rules.into_iter().zip(1..).map(|((tags, count), priority)| Rule { priority, tags, count });
        Policy { rules: rules.collect() }
    })
}

proptest! {
    #[test]
    fn no_rule_expires_what_is_anothers_nor_what_is_listed(images in images(), policy in rules(), now in 0..300 * DAY) {
        let subjects: Vec<Subject<'_>> =
            images.iter().map(|(image, tags)| Subject { image, tags: tags.clone() }).collect();
        let gone = expired(&policy, &subjects, at(now));
        for subject in &subjects {
            let digest = subject.image.digest.as_str();
            let owner = policy.rules.iter().find(|rule| rule.tags.takes(&subject.tags));
            if let Some(priority) = gone.get(digest) {
                prop_assert_eq!(owner.map(|rule| rule.priority), Some(*priority));
            } else {
                for listed in &subject.image.images {
                    prop_assert!(!gone.contains_key(listed.as_str()), "{listed} is listed by {digest}, which stays");
                }
            }
        }
        for rule in &policy.rules {
            let Count::MoreThan(most) = rule.count else { continue };
            let meant = subjects.iter().filter(|subject| rule.tags.takes(&subject.tags)).count();
            let by_it = gone.values().filter(|priority| **priority == rule.priority).count();
            prop_assert!(by_it <= meant.saturating_sub(most as usize), "the newest {most} stay");
        }
    }

    #[test]
    fn what_has_expired_is_expired_for_good(images in images(), policy in rules(), now in 0..300 * DAY) {
        let subjects: Vec<Subject<'_>> =
            images.iter().map(|(image, tags)| Subject { image, tags: tags.clone() }).collect();
        let first = expired(&policy, &subjects, at(now));
        let mut shuffled = subjects.clone();
        shuffled.reverse();
        prop_assert_eq!(&expired(&policy, &shuffled, at(now)), &first);
        let left: Vec<Subject<'_>> =
            subjects.into_iter().filter(|subject| !first.contains_key(subject.image.digest.as_str())).collect();
        let aged_only = policy.rules.iter().all(|rule| !matches!(rule.count, Count::MoreThan(_)));
        let again: BTreeMap<&str, i32> = expired(&policy, &left, at(now));
        if aged_only {
            prop_assert!(again.is_empty(), "{again:?}");
        }
    }
}

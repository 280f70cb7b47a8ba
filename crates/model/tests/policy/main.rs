//! The policy engine against a reference that is written naively from the rules and shares no code with it.

mod case;
mod generate;
mod reason;
mod reference;

use case::{Case, engine, told};
use longshore_model::policy::{Kind, Policy};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use reason::reasons;

/// A user with one policy.
fn user_with(identity: serde_json::Value) -> Case {
    Case {
        who: "user",
        action: "ecs:StopTask".to_owned(),
        resource: "*".to_owned(),
        owner: case::ACCOUNT.to_owned(),
        context: Vec::new(),
        identity: vec![identity],
        boundary: None,
        session: None,
        resource_policies: Vec::new(),
        required: false,
    }
}

/// A policy of one statement that denies.
fn denial() -> impl Strategy<Value = serde_json::Value> {
    generate::statement(false).prop_map(|mut statement| {
        statement["Effect"] = "Deny".into();
        serde_json::json!({ "Version": "2012-10-17", "Statement": statement })
    })
}

const KINDS: [Kind; 5] = [Kind::Identity, Kind::Resource, Kind::Trust, Kind::Boundary, Kind::Session];

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_decides_as_the_reference_does(case in generate::case()) {
        let decided = engine(&case).map_err(|error| TestCaseError::fail(format!("{error}")))?;
        prop_assert_eq!(decided, reference::decide(&case));
    }

    #[test]
    fn reasons_are_those_of_the_decision(case in generate::case()) {
        let (explained, effects) = reasons(&case).map_err(|error| TestCaseError::fail(format!("{error}")))?;
        let decided = told(explained.decision);
        prop_assert_eq!(&decided, &reference::decide(&case));
        match decided.split(' ').next() {
            Some("allow") => {
                prop_assert!(effects.iter().all(|allows| *allows));
                // The root and who asks for its own identity need no statement.
                prop_assert!(!effects.is_empty() || case.who == "root" || case.action.eq_ignore_ascii_case("sts:GetCallerIdentity"));
            }
            Some("deny") => prop_assert!(!effects.is_empty() && effects.iter().all(|allows| !allows)),
            _ => prop_assert!(effects.is_empty()),
        }
        prop_assert_eq!(explained.bounded.is_some(), case.boundary.is_some());
        for key in &explained.missing {
            prop_assert!(case.keys().iter().all(|(known, values)| !known.eq_ignore_ascii_case(key) || values.is_empty()));
        }
    }

    #[test]
    fn a_further_statement_that_denies_never_allows(case in generate::case(), deny in denial()) {
        let before = engine(&case).map_err(|error| TestCaseError::fail(format!("{error}")))?;
        let mut more = case;
        more.identity.push(deny);
        let after = engine(&more).map_err(|error| TestCaseError::fail(format!("{error}")))?;
        prop_assert!(before == "allow" || after != "allow", "{} became {}", before, after);
    }

    #[test]
    fn a_further_boundary_or_session_policy_never_allows(case in generate::case(), other in generate::case()) {
        let narrow = Case { boundary: None, session: None, ..case.clone() };
        let before = engine(&narrow).map_err(|error| TestCaseError::fail(format!("{error}")))?;
        let after = engine(&Case { boundary: other.boundary, ..case })
            .map_err(|error| TestCaseError::fail(format!("{error}")))?;
        let federated = narrow.who == "federated";
        prop_assert!(before == "allow" || federated || after != "allow", "{} became {}", before, after);
    }

    #[test]
    fn whatever_text_is_a_policy_or_an_error(text in "[ -~]{0,200}|\\{\"Statement\":[\\[\\]{}\",:a-zA-Z*$ ]{0,100}\\}") {
        for kind in KINDS {
            let _ = Policy::parse(kind, &text);
        }
    }

    #[test]
    fn patterns_match_as_a_naive_walk_does(pattern in "[ab*?é]{0,12}", text in "[abé]{0,14}") {
        let statement = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"StringLike":{{"x:y":"{pattern}"}}}}}}}}"#
        );
        let mut case = user_with(serde_json::from_str(&statement).unwrap());
        case.context.push(("x:y".to_owned(), vec![text.clone()]));
        let wanted = if reference::like(&pattern, &text) { "allow" } else { "lack identity" };
        prop_assert_eq!(engine(&case).unwrap(), wanted);
    }
}

/// The generator is worth nothing if most cases end alike.
#[test]
fn the_cases_come_to_every_decision() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..4000 {
        let case = generate::case().new_tree(&mut runner).unwrap().current();
        *counts.entry(reference::decide(&case)).or_insert(0) += 1;
    }
    for decision in [
        "allow",
        "deny identity",
        "deny boundary",
        "deny session",
        "deny resource",
        "lack identity",
        "lack boundary",
        "lack session",
        "lack resource",
    ] {
        assert!(counts.get(decision).is_some_and(|count| *count >= 20), "{decision}: {counts:?}");
    }
    assert!(counts["allow"] >= 400, "{counts:?}");
    println!("{counts:?}");
}

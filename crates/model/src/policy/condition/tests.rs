//! The truth table of the operators: every operator against a value that matches, one that does not, one of a wrong type,
//! and none, plain and with `IfExists`, `ForAllValues` and `ForAnyValue`.

use super::*;

fn held(operator: &str, key: &str, wanted: &[&str], found: Option<&[&str]>) -> Held {
    let wanted: Vec<String> = wanted.iter().map(|text| (*text).to_owned()).collect();
    let condition =
        Condition::parse(operator, key, &wanted, true).unwrap_or_else(|error| panic!("{operator}: {error}"));
    let mut context = Context::default();
    context.set("aws:username", ["me"]);
    if let Some(found) = found {
        context.set(key, found.iter().copied());
    }
    condition.held(&context)
}

/// Operator, key, the policy's value, a value that equals it, one that does not, one of another type if there is one.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, Option<&'static str>);

const EQUALITIES: &[Row] = &[
    ("StringEquals", "aws:userid", "a*", "a*", "abc", None),
    ("StringEqualsIgnoreCase", "aws:userid", "Äb*", "äB*", "abc", None),
    ("StringLike", "aws:userid", "a*c?", "abbcd", "Abbcd", None),
    ("ArnEquals", "aws:SourceArn", "arn:aws:ecs:*:1:*", "arn:aws:ecs:x:1:y:z", "arn:aws:ecs:x:2:y", Some("x")),
    (
        "ArnLike",
        "aws:SourceArn",
        "arn:aws:*:*:1:*",
        "arn:aws:ecs:x:1:y:z",
        "arn:aws:ecs:x:2:y",
        Some("arn:aws:ecs:x:1"),
    ),
    ("NumericEquals", "ecs:task-cpu", "1.0", "1", "2", Some("many")),
    ("DateEquals", "aws:CurrentTime", "1970-01-01T00:00:01Z", "1970-01-01T01:00:01+01:00", "2", Some("soon")),
    ("IpAddress", "aws:SourceIp", "10.0.0.0/8", "10.9.9.9", "11.0.0.0", Some("home")),
];

const POSITIVE: &[Row] = &[
    ("Bool", "aws:SecureTransport", "true", "TRUE", "false", Some("maybe")),
    ("BinaryEquals", "x:y", "AQI=", "AQI=", "AQM=", Some("!")),
    ("NumericLessThan", "ecs:task-cpu", "2", "1", "2", Some("x")),
    ("NumericLessThanEquals", "ecs:task-cpu", "2", "2", "2.1", Some("x")),
    ("NumericGreaterThan", "ecs:task-cpu", "2", "3", "2", Some("x")),
    ("NumericGreaterThanEquals", "ecs:task-cpu", "2", "2", "1", Some("x")),
    ("DateLessThan", "aws:CurrentTime", "2020-01-01", "2019-12-31", "2020-01-01", Some("x")),
    ("DateLessThanEquals", "aws:CurrentTime", "2020-01-01", "2020-01-01", "2020-01-02", Some("x")),
    ("DateGreaterThan", "aws:CurrentTime", "2020-01-01", "2020-01-02", "2020-01-01", Some("x")),
    ("DateGreaterThanEquals", "aws:CurrentTime", "2020-01-01", "2020-01-01", "2019-12-31", Some("x")),
];

#[test]
fn positive_operators_need_a_value_that_matches() {
    for (operator, key, wanted, same, other, wrong) in EQUALITIES.iter().chain(POSITIVE) {
        let check = |operator: &str, found: Option<&[&str]>, expected| {
            assert_eq!(held(operator, key, &[wanted], found), expected, "{operator} {found:?}");
        };
        for (prefix, absent, both) in [
            ("", Held::No, Held::Unclear),
            ("ForAllValues:", Held::Yes, Held::No),
            ("ForAnyValue:", Held::No, Held::Yes),
        ] {
            let plain = format!("{prefix}{operator}");
            check(&plain, Some(&[same]), Held::Yes);
            check(&plain, Some(&[other]), Held::No);
            check(&plain, Some(&[same, other]), both);
            check(&plain, None, absent);
            check(&plain, Some(&[]), absent);
            check(&format!("{plain}IfExists"), None, Held::Yes);
            check(&format!("{plain}IfExists"), Some(&[other]), Held::No);
            check(&format!("{plain}IfExists"), Some(&[same]), Held::Yes);
            if let Some(wrong) = wrong {
                check(&plain, Some(&[wrong]), Held::No);
            }
        }
    }
}

#[test]
fn negated_operators_hold_without_a_value_and_not_of_one_that_matches() {
    for (operator, key, wanted, same, other, wrong) in EQUALITIES {
        let check = |operator: &str, found: Option<&[&str]>, expected| {
            assert_eq!(held(operator, key, &[wanted], found), expected, "{operator} {found:?}");
        };
        let negated = match operator.strip_prefix("String").or(operator.strip_prefix("Arn")) {
            Some(rest) => format!("{}Not{rest}", operator.strip_suffix(rest).unwrap_or_default()),
            None if *operator == "IpAddress" => "NotIpAddress".to_owned(),
            None => operator.replace("Equals", "NotEquals"),
        };
        for (prefix, absent, both) in [
            ("", Held::Yes, Held::Unclear),
            ("ForAllValues:", Held::Yes, Held::No),
            ("ForAnyValue:", Held::No, Held::Yes),
        ] {
            let plain = format!("{prefix}{negated}");
            check(&plain, Some(&[same]), Held::No);
            check(&plain, Some(&[other]), Held::Yes);
            check(&plain, Some(&[same, other]), both);
            check(&plain, None, absent);
            check(&format!("{plain}IfExists"), None, Held::Yes);
            if let Some(wrong) = wrong {
                check(&plain, Some(&[wrong]), Held::Unclear);
            }
        }
    }
}

#[test]
fn values_are_alternatives_and_of_negated_operators_none_may_match() {
    let some = |operator: &str, found: &str| held(operator, "aws:userid", &["a", "b"], Some(&[found]));
    assert_eq!((some("StringEquals", "b"), some("StringEquals", "c")), (Held::Yes, Held::No));
    assert_eq!((some("StringNotEquals", "b"), some("StringNotEquals", "c")), (Held::No, Held::Yes));
    assert_eq!(held("StringEquals", "aws:userid", &[], Some(&["a"])), Held::No);
    assert_eq!(held("StringNotEquals", "aws:userid", &[], Some(&["a"])), Held::Yes);
}

#[test]
fn null_asks_whether_there_is_a_value() {
    let null = |wanted: &str, found| held("Null", "aws:userid", &[wanted], found);
    assert_eq!((null("true", None), null("true", Some(&["a"]))), (Held::Yes, Held::No));
    assert_eq!((null("false", None), null("false", Some(&["a"]))), (Held::No, Held::Yes));
    assert_eq!(null("true", Some(&[])), Held::Yes);
}

#[test]
fn a_variable_without_value_equals_nothing_and_differs_from_nothing_for_sure() {
    let with = |operator: &str, wanted: &str, found: &str| held(operator, "aws:userid", &[wanted], Some(&[found]));
    assert_eq!(with("StringEquals", "${aws:username}", "me"), Held::Yes);
    assert_eq!(with("StringNotEquals", "${aws:username}", "me"), Held::No);
    assert_eq!(with("StringEquals", "${aws:SourceVpc}", ""), Held::No);
    assert_eq!(with("StringNotEquals", "${aws:SourceVpc}", "x"), Held::Unclear);
    assert_eq!(held("StringNotEquals", "aws:userid", &["x", "${aws:SourceVpc}"], Some(&["x"])), Held::No);
}

#[test]
fn operators_keys_and_values_that_do_not_go_together_are_refused() {
    for (operator, key, value) in [
        ("StringSame", "aws:userid", "x"),
        ("stringequals", "aws:userid", "x"),
        ("NullIfExists", "aws:userid", "true"),
        ("ForAnyValue:Null", "aws:userid", "true"),
        ("ForSomeValues:StringEquals", "aws:userid", "x"),
        ("ForAllValues:ForAnyValue:StringEquals", "aws:userid", "x"),
        ("StringEqualsIfExistsIfExists", "aws:userid", "x"),
        ("", "aws:userid", "x"),
        ("IfExists", "aws:userid", "x"),
        ("StringEquals", "userid", "x"),
        ("StringEquals", "aws:nobody", "x"),
        ("NumericEquals", "aws:SourceIp", "1"),
        ("IpAddress", "aws:SourceArn", "1.2.3.4"),
        ("Bool", "ecs:task-cpu", "true"),
        ("Bool", "aws:SecureTransport", "yes"),
        ("Null", "aws:userid", "1"),
        ("NumericEquals", "ecs:task-cpu", "${aws:userid}"),
        ("NumericEquals", "ecs:task-cpu", "one"),
        ("DateEquals", "aws:CurrentTime", "noon"),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/33"),
        ("BinaryEquals", "x:y", "*"),
        ("ArnLike", "aws:SourceArn", "*"),
        ("ArnLike", "aws:SourceArn", "arn:aws:ecs"),
        ("StringEquals", "aws:userid", "${"),
    ] {
        assert!(Condition::parse(operator, key, &[value.to_owned()], true).is_err(), "{operator} {key} {value}");
    }
}

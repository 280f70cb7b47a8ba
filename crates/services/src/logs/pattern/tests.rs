use proptest::prelude::*;

use super::*;

/// Whether the pattern means the message; panics if it is no pattern.
fn matches(pattern: &str, message: &str) -> bool {
    let parsed = Pattern::parse(pattern);
    parsed.unwrap_or_else(|_| panic!("{pattern} is invalid")).matches(message)
}

fn check(rows: &[(&str, &str, bool)]) {
    for (pattern, message, wanted) in rows {
        assert_eq!(matches(pattern, message), *wanted, "{pattern} on {message}");
    }
}

#[test]
fn terms_are_found_anywhere_and_all_of_them() {
    check(&[
        ("", "anything", true),
        ("   ", "anything", true),
        ("\"\"", "anything", true),
        ("timeout", "read timeout after 3s", true),
        ("timeout", "NetworkTimeout", false),
        ("Timeout", "NetworkTimeout", true),
        ("disk full", "full of trouble on disk 3", true),
        ("disk full", "disk empty", false),
        ("\"disk full\"", "full of trouble on disk 3", false),
        ("\"disk full\"", "the disk full again", true),
        (r#""say \"hi\"""#, r#"they say "hi" now"#, true),
        ("GET /health", "GET /health 200", true),
        ("\"a*b\"", "a*b", true),
        ("\"a*b\"", "axb", false),
        ("größe", "die größe", true),
    ]);
}

#[test]
fn a_minus_excludes_and_a_question_mark_makes_optional() {
    check(&[
        ("order -test", "order 5 accepted", true),
        ("order -test", "order 5 in test", false),
        ("-debug", "info", true),
        ("-debug", "debug", false),
        ("-\"not so\"", "not at all so", true),
        ("?panic ?fatal", "fatal: no space", true),
        ("?panic ?fatal", "all well", false),
        ("?\"out of memory\" ?oom", "killed: out of memory", true),
        ("?panic order", "order 5", true),
        ("?panic order", "panic", false),
        ("?panic -debug", "anything", true),
    ]);
}

#[test]
fn a_regular_expression_stands_between_percent_signs() {
    check(&[
        ("%5[0-9]{2}%", "status 503", true),
        ("%5[0-9]{2}%", "status 404", false),
        ("%^colou?r%", "color of", true),
        ("%^colou?r%", "the colour", false),
        (r"%10\.0\.0\.\d+$%", "from 10.0.0.17", true),
        ("%gr[ae]y|white% -dark", "a gray day", true),
        ("?%^a% ?%b$%", "xb", true),
    ]);
}

const ORDER: &str = r#"{"event": "OrderPlaced", "amount": 120.5, "retries": 0, "paid": true, "note": null,
    "customer": {"id": 7, "name": "Ada Example", "geo.city": "Ulm"}, "client": "192.0.2.44",
    "items": [{"sku": "A-1", "count": 2}, {"sku": "B-2", "count": 40}], "tags": ["new", "eu"], "code": "404"}"#;

#[test]
fn json_selectors_reach_members_and_elements() {
    check(&[
        (r#"{ $.event = "OrderPlaced" }"#, ORDER, true),
        (r#"{$.event="OrderLost"}"#, ORDER, false),
        (r#"{ $.event = OrderPlaced }"#, ORDER, true),
        (r#"{ $.customer.name = "Ada*" }"#, ORDER, true),
        (r#"{ $.customer.['geo.city'] = "Ulm" }"#, ORDER, true),
        (r#"{ $['customer']["id"] = 7 }"#, ORDER, true),
        (r#"{ $.items[1].sku = "B-2" }"#, ORDER, true),
        (r#"{ $.items[2].sku = "B-2" }"#, ORDER, false),
        (r#"{ $.items[*].count > 30 }"#, ORDER, true),
        (r#"{ $.items[*].count > 50 }"#, ORDER, false),
        (r#"{ $.tags[0] = "new" }"#, ORDER, true),
        (r#"{ $[0].a = 1 }"#, r#"[{"a": 1}]"#, true),
        (r#"{ $.event = "OrderPlaced" }"#, "event OrderPlaced", false),
        (r#"{ $.event = "OrderPlaced" }"#, r#"{"event": "OrderPlaced""#, false),
        (r#"{ $.event.name = "x" }"#, ORDER, false),
    ]);
}

#[test]
fn json_values_compare_as_texts_numbers_and_kinds() {
    check(&[
        ("{ $.amount = 120.5 }", ORDER, true),
        ("{ $.amount > 1.2e2 }", ORDER, true),
        ("{ $.amount >= 121 }", ORDER, false),
        ("{ $.amount != 120.5 }", ORDER, false),
        ("{ $.retries <= 0 }", ORDER, true),
        ("{ $.retries < 0 }", ORDER, false),
        ("{ $.retries > -1 }", ORDER, true),
        ("{ $.code = 404 }", ORDER, true),
        ("{ $.code > 400 }", ORDER, false),
        ("{ $.client != 198.51.* }", ORDER, true),
        ("{ $.client = 192.0.* }", ORDER, true),
        (r#"{ $.client = %^192\.0\.[0-9]% }"#, ORDER, true),
        (r#"{ $.client != %^192% }"#, ORDER, false),
        (r#"{ $.missing != "x" }"#, ORDER, false),
        ("{ $.note IS NULL }", ORDER, true),
        ("{ $.event IS NULL }", ORDER, false),
        ("{ $.missing IS NULL }", ORDER, false),
        ("{ $.missing NOT EXISTS }", ORDER, true),
        ("{ $.note NOT EXISTS }", ORDER, false),
        ("{ $.note EXISTS }", ORDER, true),
        ("{ $.paid IS TRUE }", ORDER, true),
        ("{ $.paid IS FALSE }", ORDER, false),
        ("{ $.event IS TRUE }", ORDER, false),
        (r#"{ $.customer = "*" }"#, ORDER, true),
        (r#"{ $.missing = "*" }"#, ORDER, false),
        (r#"{ $.s = "a\*c" }"#, r#"{"s": "abc"}"#, false),
        (r#"{ $.s = "a\*c" }"#, r#"{"s": "a*c"}"#, true),
    ]);
}

#[test]
fn json_conditions_combine_and_binds_closer_than_or() {
    check(&[
        (r#"{ $.paid IS TRUE && $.amount > 100 }"#, ORDER, true),
        (r#"{ $.paid IS FALSE || $.amount > 100 }"#, ORDER, true),
        (r#"{ $.paid IS FALSE && $.amount > 100 }"#, ORDER, false),
        (r#"{ $.paid IS TRUE || $.amount > 100 && $.code = "x" }"#, ORDER, true),
        (r#"{ ($.paid IS TRUE || $.amount > 100) && $.code = "x" }"#, ORDER, false),
        (r#"{ ($.paid IS TRUE) && (($.code = "404")) }"#, ORDER, true),
    ]);
}

const REQUEST: &str = r#"203.0.113.9 - ada [03/Mar/2024:10:00:00 +0000] "GET /cart HTTP/1.1" 404 1534"#;

#[test]
fn fields_hold_one_by_one() {
    check(&[
        ("[ip, id, user, time, request, status, bytes]", REQUEST, true),
        ("[ip, id, user, time, request, status]", REQUEST, false),
        ("[ip, id, user, time, request, status = 4*, bytes]", REQUEST, true),
        ("[ip, id, user, time, request, status = 5*, bytes]", REQUEST, false),
        ("[..., status = 4*, bytes > 1000]", REQUEST, true),
        ("[..., status = 4*, bytes > 2000]", REQUEST, false),
        ("[ip = 203.0.*, ...]", REQUEST, true),
        ("[ip = 203.0.*, ..., bytes]", REQUEST, true),
        ("[ip, ..., user]", "one", false),
        ("[ip, ..., user]", "one two", true),
        (r#"[ip, id, user = "ada", ...]"#, REQUEST, true),
        (r#"[ip, id, user != ada, ...]"#, REQUEST, false),
        (r#"[..., request = "GET *", status, bytes]"#, REQUEST, true),
        (r#"[..., request = %HTTP/1\.[01]%, status, bytes]"#, REQUEST, true),
        ("[..., status = 404 || status = 410, bytes]", REQUEST, true),
        ("[..., status > 400 && status < 404, bytes]", REQUEST, false),
        ("[..., (status = 404 || status = 410) && status != 410, bytes]", REQUEST, true),
        ("[level = WARN || level = ERROR, ...]", "ERROR no route", true),
        ("[level = WARN || level = ERROR, ...]", "INFO fine", false),
        ("[a, , c = 3]", "1 2 3", true),
        ("[...]", "", true),
        ("[w1]", "", false),
        ("[w = 1e3]", "1000", true),
        ("[w > 5]", "x", false),
    ]);
}

#[test]
fn what_is_no_pattern_is_refused() {
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(200), ")".repeat(200));
    let rows = [
        "\"open",
        "a\"b",
        "-",
        "?",
        "%unclosed[%",
        "%a(b)%",
        "%bang!%",
        "%ü%",
        r"%\p{L}%",
        "%[a-z]{9999}{9999}%",
        "{}",
        "{ $.a }",
        "{ $ = 1 }",
        "{ a = 1 }",
        "{ $.a = }",
        "{ $.a == 1 }",
        "{ $.a = 1",
        "{ $.a = 1 } x",
        "{ $.a = 1 && }",
        "{ ($.a = 1 }",
        "{ $.a > x }",
        "{ $.a > \"5\" }",
        "{ $.a IS 5 }",
        "{ $.a NOT NULL }",
        "{ $.a[x] = 1 }",
        "{ $.a[99999999999999999999999] = 1 }",
        "{ $.a = %x% && $.b = %y% && $.c = %z% }",
        "[a, b",
        "[a b]",
        "[a = ]",
        "[..., a, ...]",
        "[a = 1 || b = 2]",
        "[a < x]",
        "[= 5]",
        deep.as_str(),
    ];
    for text in rows {
        assert!(Pattern::parse(text).is_err(), "{text} is taken");
    }
}

#[test]
fn a_hostile_pattern_and_message_end_quickly() {
    let begun = std::time::Instant::now();
    let message = "a".repeat(200_000);
    assert!(!matches("%a*a*a*a*a*a*a*a*b%", &message));
    let globs = format!("{{ $.x = \"{}b\" }}", "a*".repeat(200));
    assert!(!matches(&globs, &format!("{{\"x\": \"{message}\"}}")));
    assert!(!matches("[a, b]", &"[ ".repeat(100_000)));
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(!matches("{ $[0] = 1 }", &nested));
    assert!(begun.elapsed().as_secs() < 60, "not in a lifetime, where they back-track");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(pattern in "\\PC{0,60}", message in "\\PC{0,60}") {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            pattern.matches(&message);
        }
    }

    #[test]
    fn no_near_pattern_makes_the_parser_panic(
        pattern in r#"[\[{][ $.a\[\]'"*=!<>&|(),%0-9ISNULLTX]{0,40}[\]}]"#,
        message in r#"[\[{"a:1 \]},]{0,30}"#,
    ) {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            pattern.matches(&message);
        }
    }

    #[test]
    fn a_quoted_text_is_found_in_what_holds_it(before in "\\PC{0,9}", text in "\\PC{1,9}", after in "\\PC{0,9}") {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        let message = format!("{before}{text}{after}");
        let quoted = format!("\"{escaped}\"");
        prop_assert!(matches(&quoted, &message));
        let excluded = format!("-{quoted}");
        prop_assert!(!matches(&excluded, &message));
    }

    #[test]
    fn a_number_in_json_compares_as_it_does_in_rust(value in -1000i32..1000, wanted in -1000i32..1000) {
        let message = format!("{{\"n\": {value}}}");
        let holds = |operator: &str| matches(&format!("{{ $.n {operator} {wanted} }}"), &message);
        prop_assert_eq!(holds("="), value == wanted);
        prop_assert_eq!(holds("!="), value != wanted);
        prop_assert_eq!(holds(">"), value > wanted);
        prop_assert_eq!(holds("<="), value <= wanted);
    }

    #[test]
    fn a_star_for_any_part_of_a_text_means_the_text(text in "[a-c]{0,12}", from in 0usize..12, length in 0usize..12) {
        let from = from.min(text.len());
        let to = (from + length).min(text.len());
        let glob = format!("{}*{}", &text[..from], &text[to..]);
        prop_assert!(glob::Glob::of(&glob).matches(&text));
    }
}

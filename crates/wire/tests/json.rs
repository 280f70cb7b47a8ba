//! The JSON reader against hostile texts (bad-input classes W1 and W2), and against serde_json.

use longshore_wire::json::{MAX_DEPTH, decode, decode_within, from_slice, to_vec};
use longshore_wire::{Document, Shape, record};
use proptest::prelude::*;
use std::collections::BTreeMap;

record! {
    #[derive(Default)]
    pub struct Input {
        pub name: Option<String> = "name",
        pub count: Option<i32> = "count",
        pub total: Option<i64> = "total",
        pub ratio: Option<f64> = "ratio",
        pub names: Option<Vec<String>> = "names",
        pub labels: Option<BTreeMap<String, String>> = "labels",
    }
}

/// Texts that are refused whatever else they may be.
const REFUSED: &[&[u8]] = &[
    b"",
    b" ",
    b"[]",
    b"null",
    b"\"x\"",
    b"7",
    b"true",
    b"{}x",
    b"{} {}",
    b"{}\0",
    b"\xEF\xBB\xBF{}",
    b"\xFF\xFE{\0}\0",
    b"{\0}\0",
    b"{\"name\":\"\xFF\"}",
    b"{\"name\":\"\xC0\xAF\"}",
    b"{\"name\":\"\xED\xA0\x80\"}",
    b"{\"name\":\"a\0b\"}",
    b"{\"name\":\"a\nb\"}",
    br#"{"name":"\u0000"}"#,
    br#"{"name":"\ud800"}"#,
    br#"{"name":"\udc00\ud800"}"#,
    br#"{"name":"\x41"}"#,
    br#"{"name":"\u12"}"#,
    br#"{"name":'a'}"#,
    br#"{name:"a"}"#,
    br#"{"name":"a",}"#,
    br#"{"name" "a"}"#,
    br#"{"name":"a"#,
    br#"{"names":["a",]}"#,
    br#"{"names":["a" "b"]}"#,
    br#"{"name":"a","name":"b"}"#,
    br#"{"name":null,"name":"b"}"#,
    br#"{"name":"a","name":null}"#,
    br#"{"other":1,"other":2}"#,
    br#"{"other":{"a":1,"a":2}}"#,
    br#"{"labels":{"a":"1","a":"2"}}"#,
    br#"{"labels":{"a":null,"a":"2"}}"#,
    br#"{"count":2147483648}"#,
    br#"{"count":1.5}"#,
    br#"{"count":1e400}"#,
    br#"{"count":"1"}"#,
    br#"{"count":true}"#,
    br#"{"count":01}"#,
    br#"{"count":+1}"#,
    br#"{"count":.5}"#,
    br#"{"count":1.}"#,
    br#"{"count":0x10}"#,
    br#"{"total":9223372036854775808}"#,
    br#"{"total":1e30}"#,
    br#"{"ratio":1e400}"#,
    br#"{"ratio":-1e400}"#,
    br#"{"other":1e400}"#,
    br#"{"ratio":NaN}"#,
    br#"{"ratio":Infinity}"#,
    br#"{"ratio":"one"}"#,
    br#"{"name":{}}"#,
    br#"{"names":{}}"#,
    br#"{"labels":[]}"#,
    br#"{"name":nul}"#,
    b"// no\n{}",
];

#[test]
fn hostile_texts_are_refused() {
    for text in REFUSED {
        assert!(from_slice::<Input>(text).is_err(), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn lenient_forms_that_clients_send_are_read() {
    for (text, expected) in [
        ("{}", Input::default()),
        (" { \"name\" : null , \"new\" : [ { \"x\" : 1 } ] } \r\n\t", Input::default()),
        (r#"{"name":"\ud83d\ude00\/"}"#, Input { name: Some("\u{1F600}/".into()), ..Input::default() }),
        (r#"{"count":-0}"#, Input { count: Some(0), ..Input::default() }),
        (r#"{"count":1.0}"#, Input { count: Some(1), ..Input::default() }),
        (r#"{"total":9223372036854775807}"#, Input { total: Some(i64::MAX), ..Input::default() }),
        (r#"{"ratio":1}"#, Input { ratio: Some(1.0), ..Input::default() }),
        (r#"{"ratio":"-Infinity"}"#, Input { ratio: Some(f64::NEG_INFINITY), ..Input::default() }),
        (r#"{"names":["a",null,"b"]}"#, Input { names: Some(vec!["a".into(), "b".into()]), ..Input::default() }),
    ] {
        assert_eq!(from_slice::<Input>(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn nesting_is_bounded_in_known_and_unknown_members() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for (depth, accepted) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, false), (10_000, false)] {
            let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let text = format!(r#"{{"other":{inner}}}"#);
            assert_eq!(from_slice::<Input>(text.as_bytes()).is_ok(), accepted, "{open} {depth}");
            let document = format!("[{inner}]");
            assert_eq!(from_slice::<Document>(document.as_bytes()).is_ok(), accepted, "{open} {depth}");
        }
    }
}

#[test]
fn a_million_keys_are_read_in_time() {
    let members: Vec<String> = (0..1_000_000).map(|index| format!("\"k{index}\":1")).collect();
    let text = format!("{{{}}}", members.join(","));
    assert_eq!(from_slice::<Input>(text.as_bytes()), Ok(Input::default()));
}

#[test]
fn what_is_made_of_a_text_is_bounded() {
    // The structure and its six members, the member given, its list of two.
    let costs = [(r#"{}"#, 10), (r#"{"names":["a","b"]}"#, 17), (r#"{"other":[{},{}]}"#, 25)];
    for (text, cost) in costs {
        assert!(decode_within(text.as_bytes(), Input::def(), cost).is_ok(), "{text}");
        assert!(decode_within(text.as_bytes(), Input::def(), cost - 1).is_err(), "{text}");
    }
    let maps = format!("[{}]", "{},".repeat(9)).replace(",]", "]");
    assert!(decode_within(maps.as_bytes(), Document::def(), 4 + 9 * (1 + 4 + 16)).is_ok());
    assert!(decode_within(maps.as_bytes(), Document::def(), 9 * (1 + 4 + 16)).is_err());
}

fn documents() -> impl Strategy<Value = Document> {
    let leaf = prop_oneof![
        Just(Document::Null),
        any::<bool>().prop_map(Document::Boolean),
        any::<i64>().prop_map(Document::Integer),
        (-1e300..1e300).prop_map(Document::Double),
        "[^\u{0}]{0,12}".prop_map(Document::String),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Document::List),
            prop::collection::btree_map("[^\u{0}]{0,6}", inner, 0..6).prop_map(Document::Map),
        ]
    })
}

proptest! {
    #[test]
    fn documents_survive_writing_and_reading(document in documents()) {
        let text = to_vec(&document);
        prop_assert_eq!(from_slice::<Document>(&text), Ok(document));
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn what_is_read_is_json(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if from_slice::<Document>(&bytes).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn texts_made_of_json_pieces_are_read_as_serde_json_reads_them(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "1", "-1", "0.5", "1e3", "true", "false", "null", " ", "\\", "\"",
            ]),
            0..12,
        )
    ) {
        let text = pieces.concat();
        let ours = from_slice::<Document>(text.as_bytes());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // serde_json takes the last of two equal keys; we refuse them.
        let duplicate = ours.as_ref().is_err_and(|error| error.to_string().contains("Duplicate"));
        prop_assert!(ours.is_ok() == theirs.is_ok() || duplicate, "{} {:?} {:?}", text, ours, theirs);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, <Input as longshore_wire::Shape>::def());
    }
}

//! Hand-made shapes: what they write, what they read, what they refuse.

use longshore_wire::json::{from_slice, to_vec};
use longshore_wire::{Blob, Document, Error, Timestamp, record, string_enum, string_newtype, union};
use std::collections::BTreeMap;

string_newtype! {
    /// An id.
    pub struct Id;
}

string_enum! {
    /// A state.
    pub enum State {
        Idle = "IDLE",
        Busy = "BUSY",
    }
}

union! {
    /// A way.
    pub enum Way {
        Left(i64) = "left",
        Right(Vec<String>) = "right",
    }
}

record! {
    /// Everything a record may hold.
    pub struct Everything {
        pub id: Id = "id",
        pub state: State = "state",
        pub way: Option<Way> = "way",
        pub flag: bool = "flag",
        pub small: i32 = "small",
        pub port: u16 = "port",
        pub ratio: f64 = "ratio",
        pub name: String = "name",
        pub at: Option<Timestamp> = "at",
        pub bytes: Option<Blob> = "bytes",
        pub names: Vec<String> = "names",
        pub labels: BTreeMap<String, String> = "labels",
        pub children: Vec<Everything> = "children",
        pub more: Document = "more",
    }
}

fn plain() -> Everything {
    Everything {
        id: Id::new("a/1"),
        state: State::Busy,
        way: None,
        flag: false,
        small: 0,
        port: 0,
        ratio: 0.0,
        name: String::new(),
        at: None,
        bytes: None,
        names: Vec::new(),
        labels: BTreeMap::new(),
        children: Vec::new(),
        more: Document::Null,
    }
}

fn full() -> Everything {
    Everything {
        way: Some(Way::Right(vec!["x".into()])),
        flag: true,
        small: -1,
        port: 65_535,
        ratio: 0.25,
        name: "a \"quoted\"\n\u{1F600} name".into(),
        at: Some(Timestamp::from_millis(1_700_000_000_123)),
        bytes: Some(Blob(vec![0, 255])),
        names: vec!["b".into(), String::new()],
        labels: BTreeMap::from([("k".into(), "v".into())]),
        children: vec![plain()],
        more: Document::Map(BTreeMap::from([(
            "deep".into(),
            Document::List(vec![Document::Null, Document::Double(1.5)]),
        )])),
        ..plain()
    }
}

#[test]
fn what_is_written_is_read_back() {
    for record in [plain(), full()] {
        let text = to_vec(&record);
        assert_eq!(from_slice::<Everything>(&text), Ok(record), "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn empty_collections_and_false_are_not_written() {
    let text = String::from_utf8(to_vec(&plain())).unwrap();
    assert_eq!(text, r#"{"id":"a/1","state":"BUSY","small":0,"port":0,"ratio":0.0,"name":""}"#);
}

#[test]
fn absent_members_have_defaults_unless_they_cannot() {
    let record = from_slice::<Everything>(br#"{"id":"a/1","state":"BUSY","unknown":[1]}"#);
    assert_eq!(record, Ok(plain()));
    let error = from_slice::<Everything>(br#"{"id":"a/1"}"#);
    assert_eq!(error, Err(Error::Missing { shape: "Everything", member: "state" }));
}

#[test]
fn errors_name_the_member() {
    for (text, message) in [
        (r#"{"id":"a","state":"GONE"}"#, r#"state: "GONE" is not one of the values of State"#),
        (r#"{"id":7}"#, "id: NUMBER_VALUE can not be converted to a String"),
        (r#"{"children":[{"small":"1"}]}"#, "children: small: STRING_VALUE can not be converted to an Integer"),
        (r#"{"id":"a","state":"IDLE","port":65536}"#, "port: NUMBER_VALUE can not be converted to an Integer"),
        (r#"{"id":"a","state":"IDLE","way":{}}"#, "way: Way lacks a variant"),
        (r#"{"id":"a","#, "Expected a string at byte 10"),
    ] {
        let error = from_slice::<Everything>(text.as_bytes()).expect_err(text);
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn timestamps_keep_their_milliseconds() {
    record! {
        pub struct At { pub at: Timestamp = "at" }
    }
    for (text, millis) in [
        ("0", 0),
        ("1422172800", 1_422_172_800_000),
        ("1422172800.123", 1_422_172_800_123),
        ("1.422172800123E9", 1_422_172_800_123),
        ("-0.001", -1),
        ("-62135596800", -62_135_596_800_000),
    ] {
        let read = from_slice::<At>(format!(r#"{{"at":{text}}}"#).as_bytes()).unwrap();
        assert_eq!(read.at.millis(), millis, "{text}");
        assert_eq!(from_slice::<At>(&to_vec(&read)), Ok(read));
    }
}

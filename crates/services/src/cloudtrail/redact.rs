//! Parameters and answers as an audit record shows them: without what is secret, and not without bound.
//!
//! Hidden are members that the model calls sensitive (containers' environments among them), those of [`SECRET`], and a log
//! driver's options that are named like a secret. The rest is CloudTrail's spelling: members begin with a small
//! letter. Beyond [`MOST`] bytes what comes is left out.

use std::borrow::Cow;

use longshore_wire::json::JsonWriter;
use longshore_wire::{Kind, MemberDef, ShapeDef, Timestamp, TimestampFormat, Writer};

/// What stands in a secret's place.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Bytes of one side of a call.
pub const MOST: usize = 32 * 1024;

/// Bytes of one text.
const LONGEST: usize = 8 * 1024;

/// Members that are secret whatever the model says, in any case.
const SECRET: &[&str] = &[
    "authorizationtoken",
    "ciphertextblob",
    "clientsecret",
    "downloadurl",
    "layerpartblob",
    "logevents",
    "newpassword",
    "oldpassword",
    "password",
    "plaintext",
    "privatekey",
    "privatekeyplaintext",
    "randompassword",
    "secretaccesskey",
    "secretbinary",
    "secretstring",
    "sessiontoken",
    "tokencode",
    "tokenvalue",
];

/// Words in the name of a log driver's option, or of another map's entry, that holds a secret.
const SECRET_WORDS: &[&str] = &["apikey", "api-key", "api_key", "credential", "password", "passwd", "secret", "token"];

/// Writes JSON for an audit record.
pub struct Redacted<'a> {
    to: &'a mut JsonWriter,
    /// Bytes there were before.
    before: usize,
    /// ARNs among what was written.
    arns: &'a mut Vec<String>,
    depth: usize,
    skip: Skip,
    /// A name was written; a value must follow.
    named: bool,
    /// Something was left out for its size.
    pub cut: bool,
}

/// What of the values that come is not written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Skip {
    No,
    /// The next one.
    Next,
    /// All until the depth is this again.
    Above(usize),
}

/// ARNs that are noted.
const ARNS: usize = 20;

impl<'a> Redacted<'a> {
    pub fn new(to: &'a mut JsonWriter, arns: &'a mut Vec<String>) -> Self {
        let before = to.len();
        Self { to, before, arns, depth: 0, skip: Skip::No, named: false, cut: false }
    }

    fn is_full(&self) -> bool {
        self.to.len() - self.before > MOST
    }

    /// A member's or an entry's name; the value is left out if it is secret or there is no room.
    fn name(&mut self, secret: bool, write: impl FnOnce(&mut JsonWriter)) {
        if self.skip != Skip::No {
            return;
        }
        if self.is_full() {
            (self.skip, self.cut) = (Skip::Next, true);
            return;
        }
        write(self.to);
        self.named = true;
        if secret {
            self.to.string(HIDDEN);
            (self.skip, self.named) = (Skip::Next, false);
        }
    }

    /// Whether the value that begins now is written.
    fn takes(&mut self) -> bool {
        match self.skip {
            Skip::No if !self.named && self.depth > 0 && self.is_full() => {
                self.cut = true;
                false
            }
            Skip::No => {
                self.named = false;
                true
            }
            Skip::Next => {
                self.skip = Skip::No;
                false
            }
            Skip::Above(_) => false,
        }
    }

    fn begin(&mut self, begin: impl FnOnce(&mut JsonWriter)) {
        match self.takes() {
            true => begin(self.to),
            false if self.skip == Skip::No => self.skip = Skip::Above(self.depth),
            false => {}
        }
        self.depth += 1;
    }

    fn scalar(&mut self, write: impl FnOnce(&mut JsonWriter)) {
        if self.takes() {
            write(self.to);
        }
    }
}

impl Writer for Redacted<'_> {
    fn structure(&mut self, _: &'static ShapeDef) {
        self.begin(|to| to.map(0));
    }

    fn member(&mut self, def: &'static MemberDef) {
        let named = SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(def.name));
        self.name(named || is_sensitive(def.shape.get(), 3), |to| to.plain_name(&small(def.name)));
    }

    fn list(&mut self, _: usize) {
        self.begin(|to| to.list(0));
    }

    fn map(&mut self, _: usize) {
        self.begin(|to| to.map(0));
    }

    fn key(&mut self, key: &str) {
        let lower = key.to_ascii_lowercase();
        let secret = SECRET_WORDS.iter().any(|word| lower.contains(word));
        self.name(secret, |to| to.key(shortened(key)));
    }

    fn end(&mut self) {
        self.depth -= 1;
        match self.skip {
            Skip::Above(depth) if self.depth == depth => self.skip = Skip::No,
            Skip::Above(_) => {}
            _ => self.to.end(),
        }
    }

    fn boolean(&mut self, value: bool) {
        self.scalar(|to| to.boolean(value));
    }

    fn integer(&mut self, value: i64) {
        self.scalar(|to| to.integer(value));
    }

    fn float(&mut self, value: f32) {
        self.scalar(|to| to.float(value));
    }

    fn double(&mut self, value: f64) {
        self.scalar(|to| to.double(value));
    }

    fn string(&mut self, value: &str) {
        if !self.takes() {
            return;
        }
        if value.starts_with("arn:") && self.arns.len() < ARNS && !self.arns.iter().any(|arn| arn == value) {
            self.arns.push(shortened(value).to_owned());
        }
        self.to.string(shortened(value));
    }

    fn blob(&mut self, value: &[u8]) {
        let length = value.len();
        self.scalar(|to| to.string(&format!("{length} bytes")));
    }

    fn timestamp(&mut self, value: Timestamp) {
        self.scalar(|to| to.string(&value.format(TimestampFormat::Iso8601)));
    }

    fn null(&mut self) {
        self.scalar(|to| to.null());
    }
}

/// Whether a shape, or what its lists and maps hold, is sensitive.
fn is_sensitive(def: &'static ShapeDef, levels: usize) -> bool {
    let holds = matches!(def.kind, Kind::List | Kind::Map);
    def.sensitive || (holds && levels > 0 && is_sensitive(def.element(), levels - 1))
}

/// With a small first letter.
fn small(name: &str) -> Cow<'_, str> {
    let mut name = Cow::Borrowed(name);
    if name.starts_with(|first: char| first.is_ascii_uppercase()) {
        name.to_mut()[..1].make_ascii_lowercase();
    }
    name
}

/// At most [`LONGEST`] bytes.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use longshore_wire::json;

    use super::*;

    /// What of an input in JSON is shown.
    fn shown(service: &str, operation: &str, input: &str) -> (String, bool) {
        let service = crate::SERVICES.iter().find(|one| one.def.name == service).unwrap();
        let def = service.def.operation(operation).unwrap().input.unwrap().get();
        let value = json::decode(input.as_bytes(), def).unwrap();
        let (mut writer, mut arns) = (JsonWriter::default(), Vec::new());
        let mut redacted = Redacted::new(&mut writer, &mut arns);
        value.write(&mut redacted);
        let cut = redacted.cut;
        (String::from_utf8(writer.into_bytes()).unwrap(), cut)
    }

    fn check(service: &str, operation: &str, input: &str, wanted: &str) {
        assert_eq!(shown(service, operation, &input.replace('\'', "\"")), (wanted.replace('\'', "\""), false));
    }

    #[test]
    fn what_is_no_secret_is_shown_in_cloudtrails_spelling() {
        check("iam", "CreateUser", "{'UserName':'ann','Path':'/a/'}", "{'path':'/a/','userName':'ann'}");
        check("ecs", "DescribeTasks", "{'tasks':['a','b'],'cluster':'c'}", "{'cluster':'c','tasks':['a','b']}");
        check("ecs", "ListClusters", "{}", "{}");
    }

    #[test]
    fn environments_and_secret_options_are_hidden() {
        check(
            "ecs",
            "RegisterTaskDefinition",
            "{'family':'f','containerDefinitions':[{'name':'a','environment':[{'name':'K','value':'planted'}],\
              'logConfiguration':{'logDriver':'splunk','options':{'splunk-token':'planted','splunk-url':'u'}},\
              'dockerLabels':{'a':'b'}}],'tags':[{'key':'k','value':'v'}]}",
            "{'family':'f','containerDefinitions':[{'name':'a','environment':'HIDDEN_DUE_TO_SECURITY_REASONS',\
              'dockerLabels':{'a':'b'},\
              'logConfiguration':{'logDriver':'splunk','options':{'splunk-token':'HIDDEN_DUE_TO_SECURITY_REASONS',\
              'splunk-url':'u'}}}],'tags':[{'key':'k','value':'v'}]}",
        );
        check(
            "logs",
            "PutLogEvents",
            "{'logGroupName':'g','logStreamName':'s','logEvents':[{'timestamp':1,'message':'planted'}]}",
            "{'logGroupName':'g','logStreamName':'s','logEvents':'HIDDEN_DUE_TO_SECURITY_REASONS'}",
        );
    }

    #[test]
    fn the_key_of_a_certificate_is_hidden() {
        check(
            "acm",
            "ImportCertificate",
            "{'Certificate':'cGxhbnRlZA==','PrivateKey':'cGxhbnRlZA==','CertificateArn':'a'}",
            "{'certificateArn':'a','certificate':'7 bytes','privateKey':'HIDDEN_DUE_TO_SECURITY_REASONS'}",
        );
    }

    #[test]
    fn what_is_large_is_cut_and_stays_json() {
        let long = "x".repeat(1000);
        let containers: Vec<String> = (0..200)
            .map(|at| {
                format!("{{\"name\":\"{at}{long}\",\"environment\":[{{\"name\":\"{long}\",\"value\":\"planted\"}}]}}")
            })
            .collect();
        let input = format!("{{\"containerDefinitions\":[{}],\"family\":\"f\"}}", containers.join(","));
        let (text, cut) = shown("ecs", "RegisterTaskDefinition", &input);
        assert!(cut && text.len() < MOST + 2 * LONGEST, "{}", text.len());
        assert!(!text.contains("planted"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value["containerDefinitions"].as_array().unwrap().len() > 10);
        let one = format!("{{\"family\":\"{}\"}}", "ä".repeat(20_000));
        assert!(shown("ecs", "RegisterTaskDefinition", &one).0.len() <= LONGEST + 20);
    }

    #[test]
    fn members_that_models_call_sensitive_or_that_the_table_names_are_hidden() {
        static SECRET_LIST: ShapeDef =
            ShapeDef::list("L", longshore_wire::ShapeRef::Table(&ShapeDef::new("S", Kind::String).sensitive()));
        static MEMBERS: &[MemberDef] = &[
            MemberDef::new("Texts", longshore_wire::ShapeRef::Table(&SECRET_LIST)),
            MemberDef::new("SecretString", longshore_wire::ShapeRef::of::<String>()),
            MemberDef::new("Plaintext", longshore_wire::ShapeRef::of::<longshore_wire::Blob>()),
            MemberDef::new("Name", longshore_wire::ShapeRef::of::<String>()),
        ];
        static DEF: ShapeDef = ShapeDef::structure("T").members(MEMBERS);
        let input = br#"{"Texts":["planted"],"SecretString":"planted","Plaintext":"cGxhbnRlZA==","Name":"n"}"#;
        let value = json::decode(input, &DEF).unwrap();
        let (mut writer, mut arns) = (JsonWriter::default(), Vec::new());
        value.write(&mut Redacted::new(&mut writer, &mut arns));
        let text = String::from_utf8(writer.into_bytes()).unwrap();
        assert!(!text.contains("lanted") && !text.contains("cGxh"), "{text}");
        assert_eq!(text.matches(HIDDEN).count(), 3);
        assert!(text.ends_with(r#""name":"n"}"#));
    }
}

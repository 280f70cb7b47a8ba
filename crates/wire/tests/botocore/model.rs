//! A case's little model as shape tables, and its JSON values as [`Value`]s.

use longshore_wire::{
    Blob, Document, FaultDef, Kind, MemberDef, OperationDef, ProtocolKind, ServiceDef, ShapeDef, ShapeRef, Structure,
    Timestamp, TimestampFormat, Value,
};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The tables of one suite. They are leaked: a test process is short.
pub struct Model {
    shapes: BTreeMap<String, &'static OnceLock<ShapeDef>>,
    facts: Map<String, Json>,
}

impl Model {
    pub fn new(suite: &Json) -> Self {
        let facts = suite["shapes"].as_object().cloned().unwrap_or_default();
        let shapes = facts.keys().map(|name| (name.clone(), &*Box::leak(Box::new(OnceLock::new())))).collect();
        let model = Model { shapes, facts };
        for (name, cell) in &model.shapes {
            cell.set(model.shape(name)).expect("each shape is set once");
        }
        model
    }

    pub fn get(&self, name: &str) -> &'static ShapeDef {
        ShapeRef::Late(self.shapes[name]).get()
    }

    /// The fault of an error shape.
    pub fn fault(&self, name: &str) -> FaultDef {
        let error = &self.facts[name]["error"];
        let service_side = self.facts[name]["fault"] == true;
        let spelling = self.get(name).members.iter().find(|member| member.name.eq_ignore_ascii_case("message"));
        FaultDef {
            name: leak(name),
            code: leak(error["code"].as_str().unwrap_or(name)),
            status: error["httpStatusCode"].as_u64().unwrap_or(if service_side { 500 } else { 400 }) as u16,
            sender: !service_side,
            message: spelling.map_or("message", |member| member.name),
            members: self.get(name).members,
        }
    }

    /// A service of the suite's protocol with the case's operation.
    pub fn service(&self, suite: &Json, case: &Json) -> &'static ServiceDef {
        let (metadata, given) = (&suite["metadata"], &case["given"]);
        let mut operation = OperationDef::named(leak(given["name"].as_str().unwrap_or("OperationName")));
        if let Some(input) = given["input"]["shape"].as_str() {
            operation = operation.input(ShapeRef::Late(self.shapes[input]));
        }
        if let Some(output) = given["output"]["shape"].as_str() {
            operation = operation.output(ShapeRef::Late(self.shapes[output]));
        }
        if let Some(wrapper) = given["output"]["resultWrapper"].as_str() {
            operation = operation.wrapped(leak(wrapper));
        }
        let kind = match (metadata["protocol"].as_str(), metadata["jsonVersion"].as_str()) {
            (Some("query"), _) => ProtocolKind::AwsQuery,
            (Some("ec2"), _) => ProtocolKind::Ec2Query,
            (_, Some("1.0")) => ProtocolKind::AwsJson10,
            _ => ProtocolKind::AwsJson11,
        };
        Box::leak(Box::new(ServiceDef {
            name: "case",
            api_version: leak(metadata["apiVersion"].as_str().unwrap_or_default()),
            target_prefix: leak(metadata["targetPrefix"].as_str().unwrap_or_default()),
            protocols: Box::leak(Box::new([kind])),
            signing_name: "case",
            xml_namespace: "",
            endpoint_prefix: "case",
            validation_code: "ValidationError",
            missing_code: "ValidationError",
            operations: Box::leak(Box::new([operation])),
        }))
    }

    fn reference(&self, place: &Json) -> ShapeRef {
        ShapeRef::Late(self.shapes[place["shape"].as_str().expect("a shape's name")])
    }

    fn shape(&self, name: &str) -> ShapeDef {
        let facts = &self.facts[name];
        let mut def = ShapeDef::new(leak(name), kind(facts));
        def.flattened = facts["flattened"] == true;
        def.timestamp_format = format(facts);
        match def.kind {
            Kind::List => {
                def.element = Some(self.reference(&facts["member"]));
                def.element_name = facts["member"]["locationName"].as_str().map(leak);
            }
            Kind::Map => {
                def.key = Some(self.reference(&facts["key"]));
                def.element = Some(self.reference(&facts["value"]));
                def.key_name = facts["key"]["locationName"].as_str().map(leak);
                def.element_name = facts["value"]["locationName"].as_str().map(leak);
            }
            Kind::Structure => def.members = self.members(facts),
            _ => {}
        }
        def
    }

    fn members(&self, facts: &Json) -> &'static [MemberDef] {
        let members = facts["members"].as_object().into_iter().flatten().map(|(name, member)| {
            let mut def = MemberDef::new(leak(name), self.reference(member));
            def.location_name = member["locationName"].as_str().map(leak);
            def.query_name = member["queryName"].as_str().map(leak);
            def.flattened = member["flattened"] == true;
            def.timestamp_format = format(member);
            def
        });
        Box::leak(members.collect::<Vec<_>>().into_boxed_slice())
    }
}

/// A case's value of a shape, as the decoder should yield it. Maps are sorted by key.
pub fn value(json: &Json, def: &'static ShapeDef) -> Value {
    match (def.kind, json) {
        (_, Json::Null) => Value::Null,
        (Kind::Document, json) => Value::Document(document(json)),
        (Kind::Boolean, Json::Bool(flag)) => Value::Boolean(*flag),
        (Kind::Integer | Kind::Long, Json::Number(number)) => Value::Integer(number.as_i64().expect("an integer")),
        (Kind::Float | Kind::Double, Json::Number(number)) => Value::Double(number.as_f64().expect("a number")),
        (Kind::Float | Kind::Double, Json::String(name)) => Value::Double(name.parse().expect("a special number")),
        (Kind::Timestamp, Json::Number(seconds)) => {
            Value::Timestamp(Timestamp::from_seconds(seconds.as_f64().expect("a number")).expect("a near instant"))
        }
        (Kind::Blob, Json::String(text)) => Value::Blob(Blob(text.clone().into_bytes())),
        (Kind::String, Json::String(text)) => Value::String(text.clone()),
        (Kind::List, Json::Array(values)) => Value::List(values.iter().map(|one| value(one, def.element())).collect()),
        (Kind::Map, Json::Object(entries)) => {
            Value::Map(entries.iter().map(|(key, one)| (key.clone(), value(one, def.element()))).collect())
        }
        (Kind::Structure, Json::Object(members)) => Value::Structure(structure(members, def)),
        (kind, json) => panic!("{json} is no {kind:?}"),
    }
}

fn structure(members: &Map<String, Json>, def: &'static ShapeDef) -> Structure {
    let member = |def: &MemberDef| members.get(def.name).filter(|json| !json.is_null());
    Structure {
        def,
        members: def.members.iter().map(|def| member(def).map(|json| value(json, def.shape.get()))).collect(),
    }
}

fn document(json: &Json) -> Document {
    match json {
        Json::Null => Document::Null,
        Json::Bool(flag) => Document::Boolean(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Document::Integer(number),
            None => Document::Double(number.as_f64().expect("a number")),
        },
        Json::String(text) => Document::String(text.clone()),
        Json::Array(values) => Document::List(values.iter().map(document).collect()),
        Json::Object(entries) => {
            Document::Map(entries.iter().map(|(key, value)| (key.clone(), document(value))).collect())
        }
    }
}

fn kind(facts: &Json) -> Kind {
    if facts["document"] == true {
        return Kind::Document;
    }
    match facts["type"].as_str().expect("a type") {
        "boolean" => Kind::Boolean,
        "integer" => Kind::Integer,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "blob" => Kind::Blob,
        "timestamp" => Kind::Timestamp,
        "list" => Kind::List,
        "map" => Kind::Map,
        "structure" => Kind::Structure,
        "string" | "character" => Kind::String,
        other => panic!("a {other} is not known"),
    }
}

fn format(facts: &Json) -> Option<TimestampFormat> {
    match facts["timestampFormat"].as_str()? {
        "iso8601" => Some(TimestampFormat::Iso8601),
        "rfc822" => Some(TimestampFormat::Rfc822),
        _ => Some(TimestampFormat::EpochSeconds),
    }
}

pub fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

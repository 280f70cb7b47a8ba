//! What the control plane and its callers agree on: settings, the way an operation is called, what comes back.

use longshore_model::network::Subnet;
use longshore_model::{AccountId, Change, Record};
use longshore_services::{Context, Settings, ec2, ecs};
use longshore_store::logs::Logs;
use longshore_store::{Revision, Store};
use longshore_wire::json::{self, JsonWriter};
use longshore_wire::{Fault, Timestamp, validate};
use serde_json::Value;

use crate::balancing;

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "us-east-1";

/// Who called, so that the answer finds its way back.
#[derive(Clone, Debug, PartialEq)]
pub enum Caller {
    /// Which client, and its how manyeth attempt.
    Client { client: usize, attempt: u64 },
    /// A machine's agent, which life of it, and what the call is about: a task's ARN, or nothing for its registration.
    Agent { machine: usize, life: u64, about: Option<String> },
    /// Whoever looks after a machine, and what it wants of the node.
    Operator { machine: usize, status: &'static str },
    /// Nobody any more: a copy of a call, whose answer goes nowhere.
    Nobody,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub caller: Caller,
    pub operation: &'static str,
    pub input: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Done(Value),
    /// The caller's fault, as `Code: message`.
    Fault(String),
    /// Nobody listens.
    Away,
}

/// What does not change while the system runs, and the time.
pub struct Site<'a> {
    pub settings: &'a Settings,
    pub logs: &'a Logs,
    pub now: Timestamp,
    /// Block length of the subnets: small, so that addresses come round.
    pub prefix: u8,
}

pub fn settings() -> Option<Settings> {
    Some(Settings {
        region: REGION.to_owned(),
        account: AccountId::parse(ACCOUNT)?,
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        endpoint: "127.0.0.1:4566".to_owned(),
        stopped_task_ttl_seconds: 3600,
        page_key: [7; 32],
        vault: longshore_services::Vault::new(&[8; 32]),
        upstreams: Vec::new(),
        enforces: false,
        peers: Default::default(),
    })
}

impl Site<'_> {
    /// What a fresh installation holds.
    pub fn defaults(&self) -> Vec<Change> {
        let changes = ec2::defaults(&self.settings.account, &self.settings.region, &self.settings.zones);
        let mut changes: Vec<Change> = changes.into_iter().map(|change| self.shrunk(change)).collect();
        let subnet = |change: &Change| match change {
            Change::Put(Record::Subnet(subnet)) => Some(Subnet::clone(subnet)),
            _ => None,
        };
        let subnets: Vec<Subnet> = changes.iter().filter_map(subnet).collect();
        changes.extend(balancing::records(&subnets.iter().collect::<Vec<_>>()));
        changes
    }

    fn shrunk(&self, change: Change) -> Change {
        let Change::Put(Record::Subnet(subnet)) = &change else { return change };
        let base = subnet.cidr.split('/').next().unwrap_or_default();
        Subnet { cidr: format!("{base}/{}", self.prefix), ..Subnet::clone(subnet) }.into()
    }

    /// Ids of the subnets.
    pub fn subnets(&self) -> Vec<String> {
        let id = |change: &Change| match change {
            Change::Put(Record::Subnet(subnet)) => Some(subnet.id.clone()),
            _ => None,
        };
        self.defaults().iter().filter_map(id).collect()
    }

    /// Carry out an operation as the gateway does, but for the bytes on the wire. Returns the revision that must be durable
    /// before the answer is sent.
    pub fn carry_out(&self, store: &Store, call: &Call, seed: u64) -> (Answer, Revision) {
        let account = self.settings.account.clone();
        let mut context = Context::new(store, self.logs, self.settings, account, self.now, seed);
        let answer = match run(&mut context, call) {
            Ok(output) => Answer::Done(output),
            Err(fault) => Answer::Fault(fault.to_string()),
        };
        let (revision, _) = context.into_waits();
        (answer, revision)
    }
}

fn run(context: &mut Context<'_>, call: &Call) -> Result<Value, Fault> {
    let service = &ecs::SERVICE;
    let unknown = || Fault::serialization(format!("there is no {}", call.operation));
    let def = service.def.operation(call.operation).and_then(|def| def.input).ok_or_else(unknown)?.get();
    let value = json::decode(call.input.to_string().as_bytes(), def)
        .map_err(|error| Fault::serialization(error.to_string()))?;
    let violations = validate::validate(&value, def);
    if !violations.is_empty() {
        return Err(Fault::validation(service.def, &violations));
    }
    let output = (service.operation(call.operation).ok_or_else(unknown)?.run)(context, value)?;
    let mut writer = JsonWriter::default();
    output.write_to(&mut writer);
    serde_json::from_slice(&writer.into_bytes()).map_err(|error| Fault::serialization(error.to_string()))
}

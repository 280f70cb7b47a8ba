//! A world for tests: an empty store, a clock that stands still, and calls as JSON in and JSON or a fault out, through the
//! same decoding and checking that a request over the wire passes.

use std::path::PathBuf;

use longshore_model::iam::Caller;
use longshore_model::policy::Context as Conditions;
use longshore_model::{AccountId, Change, State};
use longshore_store::logs::Logs;
use longshore_store::{Memory, Store};
use longshore_wire::json::JsonWriter;
use longshore_wire::{Fault, Shape, Timestamp, validate};
use serde_json::Value;

use crate::{Context, Service, Settings};

/// The account that calls are made in, unless said otherwise.
pub const ACCOUNT: &str = "123456789012";

/// What ARNs of this world begin with.
pub const HERE: &str = "arn:aws:ecs:us-east-1:123456789012:";

/// Id of the task and of the container instance that [`task`] and [`node`] make.
pub const TASK: &str = "0123456789abcdef0123456789abcdef";

/// An installation without any state.
pub struct World {
    pub store: Store,
    pub account: AccountId,
    /// ARN of the caller; the root user's by default.
    pub principal: Option<String>,
    /// The caller, where more of it counts than its ARN.
    pub caller: Option<Caller>,
    /// Milliseconds since the epoch.
    pub now: i64,
    pub settings: Settings,
    logs: Logs,
    directory: PathBuf,
    calls: u64,
}

impl World {
    pub fn new() -> Self {
        let account = AccountId::parse(ACCOUNT).unwrap();
        let directory = directory();
        Self {
            store: Store::open(Memory::default()).unwrap(),
            logs: Logs::open(&directory).unwrap(),
            settings: settings(&account),
            account,
            principal: None,
            caller: None,
            now: 1_700_000_000_000,
            directory,
            calls: 0,
        }
    }

    /// Calls an operation. A fault is its code and message: `ClientException: Role is not valid`.
    pub fn call(&mut self, operation: &str, input: Value) -> Result<Value, String> {
        self.call_of(&super::SERVICE, operation, input)
    }

    /// As [`call`](Self::call), of another service.
    pub fn call_of(&mut self, service: &Service, operation: &str, input: Value) -> Result<Value, String> {
        self.fault_or(service, operation, &input.to_string()).map_err(|fault| fault.to_string())
    }

    /// Calls an operation that must succeed.
    pub fn ok(&mut self, operation: &str, input: Value) -> Value {
        match self.call(operation, input.clone()) {
            Ok(output) => output,
            Err(fault) => panic!("{operation} {input}: {fault}"),
        }
    }

    /// Calls an operation that must fail.
    pub fn fault(&mut self, operation: &str, input: Value) -> String {
        match self.call(operation, input.clone()) {
            Ok(output) => panic!("{operation} {input}: {output}"),
            Err(fault) => fault,
        }
    }

    /// Puts records into the state, past all checks.
    pub fn put(&mut self, changes: impl IntoIterator<Item = Change>) {
        let changes: Vec<Change> = changes.into_iter().collect();
        let put = |_: &State, to: &mut Vec<Change>| {
            to.extend(changes);
            Ok::<_, Fault>(())
        };
        self.store.transact(put).unwrap();
    }

    /// What an operation gets that the caller calls now.
    pub fn context(&mut self) -> Context<'_> {
        self.calls += 1;
        let (account, now) = (self.account.clone(), Timestamp::from_millis(self.now));
        let mut context = Context::new(&self.store, &self.logs, &self.settings, account, now, self.calls);
        if let Some(principal) = &self.principal {
            context.principal = principal.clone();
        }
        match &self.caller {
            Some(caller) => context.called_by(caller.clone(), Conditions::default()),
            None => context,
        }
    }

    fn fault_or(&mut self, service: &Service, operation: &str, input: &str) -> Result<Value, Fault> {
        let def = service.def.operation(operation).unwrap().input.unwrap().get();
        let value =
            longshore_wire::json::decode(input.as_bytes(), def).map_err(|it| Fault::serialization(it.to_string()))?;
        let violations = validate::validate(&value, def);
        if !violations.is_empty() {
            return Err(Fault::validation(service.def, &violations));
        }
        let output = (service.operation(operation).unwrap().run)(&mut self.context(), value)?;
        let mut writer = JsonWriter::default();
        output.write_to(&mut writer);
        Ok(serde_json::from_slice(&writer.into_bytes()).unwrap())
    }
}

/// A record from JSON, as it is stored; what is not given has its default.
pub fn record<T: Shape + Into<Change>>(record: Value) -> Change {
    let record: T = longshore_wire::json::from_slice(record.to_string().as_bytes()).unwrap();
    record.into()
}

/// A RUNNING Fargate task of the cluster `prod`, with the members of `patch` over it.
pub fn task(patch: Value) -> Change {
    let mut task = serde_json::json!({
        "account": ACCOUNT, "cluster": "prod", "id": TASK, "family": "web", "revision": 1, "desired": "RUNNING",
        "last": "RUNNING", "launchType": "FARGATE", "createdAt": 1,
    });
    over(&mut task, patch);
    record::<longshore_model::task::Task>(task)
}

/// An ACTIVE service `web` of the cluster `prod`, with the members of `patch` over it.
pub fn service(patch: Value) -> Change {
    let mut service = serde_json::json!({
        "account": ACCOUNT, "cluster": "prod", "name": "web", "status": "ACTIVE", "api": {"launchType": "FARGATE"},
        "createdAt": 1,
    });
    over(&mut service, patch);
    record::<longshore_model::service::Service>(service)
}

/// An ACTIVE container instance of the cluster `prod`, with the members of `patch` over it.
pub fn node(patch: Value) -> Change {
    let mut node = serde_json::json!({
        "id": TASK, "account": ACCOUNT, "cluster": "prod", "arn": format!("{HERE}container-instance/prod/{TASK}"),
        "status": "ACTIVE", "zone": "us-east-1a", "registeredAt": 1,
    });
    over(&mut node, patch);
    record::<longshore_model::node::Node>(node)
}

fn over(record: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else { return };
    record.as_object_mut().unwrap().extend(patch);
}

impl Drop for World {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary directory and harms nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn settings(account: &AccountId) -> Settings {
    Settings {
        region: "us-east-1".to_owned(),
        account: account.clone(),
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        endpoint: "127.0.0.1:4566".to_owned(),
        stopped_task_ttl_seconds: 3600,
        page_key: [7; 32],
        vault: crate::Vault::new(&[8; 32]),
        upstreams: Vec::new(),
        enforces: false,
        peers: Default::default(),
    }
}

/// A directory that no other test uses.
fn directory() -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("longshore-ecs-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

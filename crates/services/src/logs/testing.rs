//! A workbench for tests: an empty account, stores that vanish with it, a clock that is set by hand, and calls as JSON in
//! and JSON or a fault out, decoded and checked as a request over the wire is.

use std::path::PathBuf;

use longshore_model::{AccountId, Change};
use longshore_store::blobs::{Blobs, Options};
use longshore_store::logs::Logs;
use longshore_store::{Memory, Store};
use longshore_wire::json::{self, JsonWriter};
use longshore_wire::{Fault, Timestamp, validate};
use serde_json::Value;

use crate::{Context, Settings};

/// When tests take place: 2024-05-01T00:00:00Z, in milliseconds.
pub const NOW: i64 = 1_714_521_600_000;

pub struct Bench {
    pub store: Store,
    pub logs: Logs,
    pub blobs: Blobs,
    pub account: AccountId,
    pub now: i64,
    /// The `x-longshore-batch` header of the next calls.
    pub batch: Option<String>,
    pub settings: Settings,
    directory: PathBuf,
}

impl Bench {
    pub fn new() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("longshore-services-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let account = AccountId::parse("123456789012").unwrap();
        Self {
            store: Store::open(Memory::default()).unwrap(),
            logs: Logs::open(&directory).unwrap(),
            blobs: Blobs::open(&Options::of(directory.join("registry"))).unwrap(),
            settings: Settings {
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
            },
            account,
            now: NOW,
            batch: None,
            directory,
        }
    }

    /// The surroundings of one request.
    pub fn context(&self) -> Context<'_> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static SEED: AtomicU64 = AtomicU64::new(1);
        let now = Timestamp::from_millis(self.now);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        let mut context = Context::new(&self.store, &self.logs, &self.settings, self.account.clone(), now, seed);
        context.batch = self.batch.clone();
        context.blobs = Some(&self.blobs);
        context
    }

    /// A pipe where the bytes of a digest were, for those to wait who read them from the disk.
    pub fn replace_by_pipe(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let path = self.directory.join("registry/blobs/sha256").join(&hex[..2]).join(hex);
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        path
    }

    /// Nothing is in memory any more of the bytes of images.
    pub fn reopen_blobs(&mut self) {
        self.blobs = Blobs::open(&Options::of(self.directory.join("registry"))).unwrap();
    }

    /// Put records into the state, past all checks.
    pub fn apply(&self, changes: Vec<Change>) {
        let put = |_: &_, to: &mut Vec<Change>| {
            to.extend(changes);
            Ok::<_, Fault>(())
        };
        self.store.transact(put).unwrap();
    }

    /// Call an operation of CloudWatch Logs and wait until its answer may be sent.
    pub fn call(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        self.of(&super::SERVICE, operation, input)
    }

    /// As [`call`](Self::call), of another service.
    pub fn of(&self, service: &crate::Service, operation: &str, input: Value) -> Result<Value, Fault> {
        let def = service.def.operation(operation).unwrap().input.unwrap().get();
        let value =
            json::decode(input.to_string().as_bytes(), def).map_err(|error| Fault::serialization(error.to_string()))?;
        let violations = validate::validate(&value, def);
        if !violations.is_empty() {
            return Err(Fault::validation(service.def, &violations));
        }
        let mut context = self.context();
        let output = (service.operation(operation).unwrap().run)(&mut context, value)?;
        for ticket in context.into_waits().1 {
            self.logs.wait(&ticket).unwrap();
        }
        let mut writer = JsonWriter::default();
        output.write_to(&mut writer);
        let bytes = writer.into_bytes();
        match bytes.is_empty() {
            true => Ok(Value::Null),
            false => Ok(serde_json::from_slice(&bytes).unwrap()),
        }
    }

    /// Call an operation that must succeed.
    pub fn ok(&self, operation: &str, input: Value) -> Value {
        let shown = input.to_string();
        self.call(operation, input).unwrap_or_else(|fault| panic!("{operation} {shown}: {fault}"))
    }

    /// Call an operation that must fail: its code and message.
    pub fn fault(&self, operation: &str, input: Value) -> String {
        let shown = input.to_string();
        match self.call(operation, input) {
            Ok(output) => panic!("{operation} {shown}: {output}"),
            Err(fault) => fault.to_string(),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's temporary directory and harms nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

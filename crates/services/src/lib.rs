//! What AWS does with a request: one folder a service, one table of operations each.
//!
//! A handler is a plain function from a request to an answer or a [`Fault`]. It validates, decides in one transaction and
//! returns; it never waits: loops and nodes make what it wrote come true. The gateway sends the answer once the revision
//! it rests on ([`Context::into_waits`]) is durable.

pub mod access;
pub mod acm;
pub mod authority;
pub mod cloudtrail;
mod context;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod elasticloadbalancing;
pub mod iam;
pub mod kms;
pub mod logs;
pub mod node;
pub mod secretsmanager;
pub mod ssm;
pub mod sts;
pub mod vault;

use longshore_wire::protocol::Output;
use longshore_wire::{Fault, ServiceDef, Value};

pub use context::{Context, Settings};
pub use vault::Vault;

/// What an operation answers.
pub type Answer = Result<Box<dyn Output>, Fault>;

/// One built operation.
pub struct Operation {
    pub name: &'static str,
    pub run: fn(&mut Context<'_>, Value) -> Answer,
}

/// A service and the operations of it that are built.
pub struct Service {
    pub def: &'static ServiceDef,
    /// Its handlers read from the disk, or compute for long: they must not hold up a thread that serves others.
    pub blocking: bool,
    pub operations: &'static [Operation],
}

/// Every service. The gateway routes by it, docs/operations.md is written from it.
pub static SERVICES: &[&Service] = &[
    &ecs::SERVICE,
    &logs::SERVICE,
    &ec2::SERVICE,
    &ecr::SERVICE,
    &iam::SERVICE,
    &sts::SERVICE,
    &kms::SERVICE,
    &secretsmanager::SERVICE,
    &ssm::SERVICE,
    &cloudtrail::SERVICE,
    &elasticloadbalancing::SERVICE,
    &acm::SERVICE,
    &node::SERVICE,
];

impl Service {
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|operation| operation.name == name)
    }
}

/// The table of a service: operation name, then the handler `fn(&mut Context, Request) -> Result<Response, Fault>`.
#[macro_export]
macro_rules! operations {
    ($($name:literal => $handler:path,)*) => {
        &[$($crate::Operation {
            name: $name,
            run: |context, value| {
                let request = longshore_wire::Shape::from_value(value)
                    .map_err(|error| longshore_wire::Fault::serialization(error.to_string()))?;
                let answer = $handler(context, request)?;
                Ok(Box::new(answer))
            },
        },)*]
    };
}

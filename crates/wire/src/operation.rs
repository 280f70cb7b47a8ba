//! The tables of services and their operations.

use crate::{FaultDef, ShapeRef};

/// A protocol by name; its codec is in [`crate::protocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolKind {
    AwsJson10,
    AwsJson11,
    AwsQuery,
    Ec2Query,
}

/// One operation. Every operation of a model is in its service's table; shapes come only with those that may be called.
#[derive(Clone, Copy, Debug)]
pub struct OperationDef {
    pub name: &'static str,
    /// Whether this version of Longshore is meant to carry it out. The services' own tables decide.
    pub built: bool,
    pub input: Option<ShapeRef>,
    pub output: Option<ShapeRef>,
    /// The element around the output in awsQuery replies.
    pub result_wrapper: Option<&'static str>,
    /// The errors the model lists.
    pub faults: &'static [&'static FaultDef],
    /// Changes nothing.
    pub read_only: bool,
}

impl OperationDef {
    /// An operation known by name only.
    pub const fn named(name: &'static str) -> Self {
        OperationDef {
            name,
            built: false,
            input: None,
            output: None,
            result_wrapper: None,
            faults: &[],
            read_only: false,
        }
    }

    pub const fn built(mut self) -> Self {
        self.built = true;
        self
    }

    pub const fn input(mut self, shape: ShapeRef) -> Self {
        self.input = Some(shape);
        self
    }

    pub const fn output(mut self, shape: ShapeRef) -> Self {
        self.output = Some(shape);
        self
    }

    pub const fn wrapped(mut self, name: &'static str) -> Self {
        self.result_wrapper = Some(name);
        self
    }

    pub const fn faults(mut self, faults: &'static [&'static FaultDef]) -> Self {
        self.faults = faults;
        self
    }

    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// A service: how requests for it are told apart, and its operations.
#[derive(Clone, Copy, Debug)]
pub struct ServiceDef {
    /// The service's name in messages and tables (`ecs`).
    pub name: &'static str,
    /// The API version that query requests carry.
    pub api_version: &'static str,
    /// The part of `X-Amz-Target` before the dot; empty without a JSON protocol.
    pub target_prefix: &'static str,
    /// In the model's order of preference.
    pub protocols: &'static [ProtocolKind],
    /// The service in a signature's scope.
    pub signing_name: &'static str,
    /// The namespace of XML replies; empty without an XML protocol.
    pub xml_namespace: &'static str,
    /// The first label of the service's host names.
    pub endpoint_prefix: &'static str,
    /// The code with which the service answers a request that violates its model.
    pub validation_code: &'static str,
    /// The code for an absent required member, where it differs (EC2: `MissingParameter`).
    pub missing_code: &'static str,
    /// Sorted by name.
    pub operations: &'static [OperationDef],
}

impl ServiceDef {
    /// The operation of this exact name.
    pub fn operation(&self, name: &str) -> Option<&'static OperationDef> {
        let found = self.operations.binary_search_by(|operation| operation.name.cmp(name)).ok()?;
        Some(&self.operations[found])
    }
}

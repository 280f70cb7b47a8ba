//! Whoever looks after the nodes: empties one now and then, and takes it back into service.

use serde_json::json;

use crate::site::{Answer, Call, Caller};
use crate::world::{Event, World};

/// An operator that has no answer for so long asks again.
const PATIENCE: i64 = 6_000;

pub const ACTIVE: &str = "ACTIVE";
pub const DRAINING: &str = "DRAINING";

/// What is wanted of a node, and what was last answered.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    pub wanted: &'static str,
    pub answered: &'static str,
}

impl Default for Duty {
    fn default() -> Self {
        Self { wanted: ACTIVE, answered: ACTIVE }
    }
}

impl Duty {
    pub fn is_done(&self) -> bool {
        self.wanted == self.answered
    }
}

impl World<'_> {
    /// A node is to be emptied, or to take tasks again.
    pub fn wish(&mut self, machine: usize, status: &'static str) {
        self.machines[machine].duty.wanted = status;
        self.operate(machine);
    }

    pub fn operate(&mut self, machine: usize) {
        let Some(arn) = self.machines[machine].arn.clone() else {
            self.machines[machine].duty = Duty::default();
            return;
        };
        let duty = self.machines[machine].duty;
        if duty.is_done() {
            return;
        }
        let input = json!({"cluster": "longshore.fargate", "containerInstances": [arn], "status": duty.wanted});
        let caller = Caller::Operator { machine, status: duty.wanted };
        self.call(Call { caller, operation: "UpdateContainerInstancesState", input });
        self.after(PATIENCE, Event::Operate { machine });
    }

    pub fn operated(&mut self, machine: usize, status: &'static str, answer: &Answer) {
        match answer {
            Answer::Done(output) if output["failures"].as_array().is_none_or(Vec::is_empty) => {
                let duty = &mut self.machines[machine].duty;
                if duty.wanted == status {
                    duty.answered = status;
                }
            }
            Answer::Done(output) => self.laws.break_with(format!("a node is not {status}: {output}")),
            Answer::Fault(fault) if !fault.contains("ServiceUnavailable") => {
                self.laws.break_with(format!("a node is not {status}: {fault}"));
            }
            Answer::Fault(_) | Answer::Away => {}
        }
    }
}

//! Service events in ECS's wording, and when a repeated one is left out.

use longshore_model::Mint;
use longshore_model::service::Service;
use longshore_model::task_role::unable;
use longshore_wire::Timestamp;

use crate::after;
use crate::behind::Complaint;

/// A message is repeated after this long even if nothing changed.
const REPEAT_MILLIS: i64 = 6 * 60 * 60 * 1000;

/// What happened to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Task ids.
    Started(Vec<String>),
    Stopped(Vec<String>),
    /// Tasks that had not run yet.
    StoppedPending(usize),
    /// A task's id.
    Unhealthy(String),
    /// Tasks, and the ARN of a target group.
    Registered(usize, String),
    Deregistered(usize, String),
    /// Tasks whose requests under way are waited for.
    Draining(usize),
    /// ARN of a target group, and why it takes no task.
    Unregistered(String, &'static str),
    FailedTarget(Complaint),
    SteadyState,
    /// A deployment's id.
    Completed(String),
    /// A deployment's id: the circuit breaker gave it up.
    Failed(String),
    /// The id of the deployment that the service goes back to.
    RollingBack(String),
    /// Tasks by zone: they are not spread evenly, and are being moved.
    Unbalanced(Vec<(String, i64)>),
    /// Tasks by zone, spread evenly again.
    Balanced(Vec<(String, i64)>),
    /// Why no node took a task.
    Unplaced(String),
    /// ARN of a role that tasks cannot have.
    Unlent(String),
    /// Tasks stop before they ever run.
    Struggling,
    /// Floor and ceiling leave no move.
    Stuck,
}

impl Event {
    /// The words of DescribeServices.
    pub fn message(&self, service: &str) -> String {
        match self {
            Self::Started(ids) => format!("(service {service}) has started {} tasks: {}.", ids.len(), tasks(ids)),
            Self::Stopped(ids) => {
                format!("(service {service}) has stopped {} running tasks: {}.", ids.len(), tasks(ids))
            }
            Self::StoppedPending(count) => format!("(service {service}) stopped {count} pending tasks."),
            Self::Unhealthy(id) => {
                format!("(service {service}) (task {id}) failed container health checks.")
            }
            Self::Registered(count, group) => {
                format!("(service {service}) registered {count} targets in (target-group {group})")
            }
            Self::Deregistered(count, group) => {
                format!("(service {service}) deregistered {count} targets in (target-group {group})")
            }
            Self::Draining(count) => {
                format!("(service {service}) has begun draining connections on {count} tasks.")
            }
            Self::Unregistered(group, error) => {
                format!("(service {service}) failed to register targets in (target-group {group}) with (error {error})")
            }
            Self::FailedTarget(Complaint { group, port, reason }) => {
                format!(
                    "(service {service}) (port {port}) is unhealthy in (target-group {group}) due to (reason {reason})"
                )
            }
            Self::SteadyState => format!("(service {service}) has reached a steady state."),
            Self::Completed(id) => {
                format!("(service {service}) (deployment {id}) deployment completed.")
            }
            Self::Failed(id) => {
                format!("(service {service}) (deployment {id}) deployment failed: tasks failed to start.")
            }
            Self::RollingBack(id) => format!("(service {service}) rolling back to deployment {id}."),
            Self::Unbalanced(zones) => {
                format!("(service {service}) is not AZ balanced with {}. AZ Rebalancing in progress.", by_zone(zones))
            }
            Self::Balanced(zones) => format!("(service {service}) is AZ balanced with {}.", by_zone(zones)),
            Self::Unplaced(reason) => {
                format!("(service {service}) was unable to place a task. Reason: {reason}.")
            }
            Self::Unlent(arn) => format!("(service {service}) failed to launch a task with (error {}).", unable(arn)),
            Self::Struggling => {
                format!("(service {service}) is unable to consistently start tasks successfully.")
            }
            Self::Stuck => format!(
                "(service {service}) was unable to stop or start tasks during a deployment because of the service \
                 deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
            ),
        }
    }

    /// Whether `message`, seen since, means that what this event complains of was over in between.
    fn cleared_by(&self, message: &str) -> bool {
        match self {
            Self::Started(_)
            | Self::StoppedPending(_)
            | Self::Registered(..)
            | Self::Deregistered(..)
            | Self::Draining(_)
            | Self::FailedTarget(_)
            | Self::Stopped(_)
            | Self::Completed(_)
            | Self::Failed(_)
            | Self::RollingBack(_) => true,
            Self::Unbalanced(_) | Self::Balanced(_) => message.contains(" AZ balanced "),
            // A state, told once: anything else that happened since makes it news again.
            Self::SteadyState => true,
            Self::Unplaced(_) | Self::Unlent(_) => {
                message.contains(" has started ") || message.ends_with("steady state.")
            }
            Self::Unregistered(..) => message.contains(" registered ") || message.ends_with("steady state."),
            Self::Unhealthy(_) | Self::Struggling | Self::Stuck => message.ends_with("steady state."),
        }
    }

    /// Whether telling it now would only repeat what is known.
    pub fn is_repeated(&self, service: &Service, now: Timestamp) -> bool {
        self.news_again(service).is_some_and(|at| now < at)
    }

    /// When it is worth telling again though nothing changes; `None` if it is news already.
    pub fn news_again(&self, service: &Service) -> Option<Timestamp> {
        let message = self.message(&service.name);
        for event in &service.events {
            let text = event.message.as_deref().unwrap_or_default();
            if text == message {
                return Some(after(event.created_at.unwrap_or_default(), REPEAT_MILLIS));
            }
            if self.cleared_by(text) {
                return None;
            }
        }
        None
    }

    /// Put the event on top of the service's.
    pub fn tell(&self, service: &mut Service, now: Timestamp, mint: &mut Mint) {
        let message = self.message(&service.name);
        service.push_event(mint.uuid(), message, now);
    }
}

fn by_zone(zones: &[(String, i64)]) -> String {
    let parts: Vec<String> = zones.iter().map(|(zone, count)| format!("{count} tasks in {zone}")).collect();
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}

fn tasks(ids: &[String]) -> String {
    ids.iter().map(|id| format!("(task {id})")).collect::<Vec<_>>().join(" ")
}

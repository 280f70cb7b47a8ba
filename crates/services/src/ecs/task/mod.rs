//! Tasks: run, stopped, described, listed.
//!
//! RunTask decides everything in one transaction: the task's record has its node and its network interface before the
//! answer is sent. From then on only the node's reports move it ([`longshore_plan::report`]).

pub mod launch;
mod list;
mod overrides;
mod run;
mod stop;
pub mod token;

#[cfg(test)]
mod tests;

use longshore_api::ecs;
use longshore_model::task::key;
use longshore_wire::Fault;

use super::{cluster, describe as show, fault, resolve};
use crate::Context;

pub use list::list;
pub use run::run;
pub use stop::stop;

/// Most tasks of one DescribeTasks.
const DESCRIBED: usize = 100;

/// DescribeTasks. What is not there is a failure MISSING.
pub fn describe(
    context: &mut Context<'_>,
    request: ecs::DescribeTasksRequest,
) -> Result<ecs::DescribeTasksResponse, Fault> {
    let place = context.place.clone();
    let name = resolve::cluster_name(&place, request.cluster.as_deref())?;
    let given = request.tasks.unwrap_or_default();
    match given.len() {
        0 => return Err(fault::invalid_parameter("Tasks cannot be empty.")),
        1..=DESCRIBED => {}
        _ => return Err(fault::too_many("tasks", DESCRIBED)),
    }
    let ids = given.iter().map(|given| resolve::task_id(&place, &name, given)).collect::<Result<Vec<_>, _>>()?;
    let with_tags = request.include.unwrap_or_default().contains(&ecs::TaskField::Tags);
    let state = context.read();
    cluster::active(&state, &place.account, &name)?;
    let (mut tasks, mut failures) = (Vec::with_capacity(ids.len()), Vec::new());
    for id in ids {
        match state.tasks.get(&key(&place.account, &name, &id)) {
            Some(task) => tasks.push(show::task(&state, &place, task, with_tags)),
            None => failures.push(show::failure(place.task(&name, &id), "MISSING")),
        }
    }
    Ok(ecs::DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

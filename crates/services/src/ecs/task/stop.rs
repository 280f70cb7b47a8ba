//! StopTask.

use longshore_api::ecs;
use longshore_model::task::key;
use longshore_plan::behind;
use longshore_wire::Fault;

use crate::Context;
use crate::ecs::{cluster, describe, fault, resolve};

const REASON: usize = 1024;

/// StopTask: the task is asked to stop; its node does it, once it has left its load balancers. Asking again changes
/// nothing.
pub fn stop(context: &mut Context<'_>, request: ecs::StopTaskRequest) -> Result<ecs::StopTaskResponse, Fault> {
    let place = context.place.clone();
    let now = context.now;
    let name = resolve::cluster_name(&place, request.cluster.as_deref())?;
    let id = resolve::task_id(&place, &name, request.task.as_deref().unwrap_or_default())?;
    let reason = request.reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "Task stopped by user".into());
    if reason.chars().count() > REASON {
        return Err(fault::invalid_parameter(format!("reason can be at most {REASON} characters long.")));
    }
    let task = context.transact(|state, changes, mint| {
        cluster::active(state, &place.account, &name)?;
        let found = state.tasks.get(&key(&place.account, &name, &id)).ok_or_else(fault::task_not_found)?;
        let stopped = behind::stop_one(state, found, ecs::TaskStopCode::UserInitiated, &reason, now, mint);
        let Some((task, told)) = stopped else { return Ok(describe::task(state, &place, found, true)) };
        changes.extend(told);
        Ok::<_, Fault>(describe::task(state, &place, &task, true))
    })?;
    Ok(ecs::StopTaskResponse { task: Some(task) })
}

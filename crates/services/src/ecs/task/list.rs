//! ListTasks.

use std::sync::Arc;

use longshore_api::ecs;
use longshore_model::task::{Task, TaskStatus};
use longshore_model::{Place, State, cluster as record, service};
use longshore_wire::Fault;

use crate::Context;
use crate::ecs::page::{Asked, Page};
use crate::ecs::{cluster, fault, resolve};

const PAGE: i32 = 100;

/// Which tasks are listed.
#[derive(Debug)]
struct Filter {
    cluster: String,
    desired: TaskStatus,
    family: Option<String>,
    service: Option<String>,
    started_by: Option<String>,
    launch_type: Option<ecs::LaunchType>,
    /// A container instance's id.
    node: Option<String>,
}

/// ListTasks: ARNs of the cluster's tasks, those meant to run unless STOPPED is asked for, in pages.
pub fn list(context: &mut Context<'_>, request: ecs::ListTasksRequest) -> Result<ecs::ListTasksResponse, Fault> {
    let place = context.place.clone();
    let filter = Filter::read(&place, &request)?;
    let text = format!("{filter:?}");
    let asked = Asked { token: request.next_token.as_deref(), max_results: request.max_results };
    let page = Page::open(context, "ListTasks", &text, asked, PAGE)?;
    let state = context.read();
    cluster::active(&state, &place.account, &filter.cluster)?;
    filter.check_service(&state, &place)?;
    let rows = filter.rows(&state, &place, page.after(), page.limit() + 1);
    drop(state);
    let (arns, token) = page.take(context, "ListTasks", &text, rows);
    Ok(ecs::ListTasksResponse { task_arns: Some(arns), next_token: token })
}

impl Filter {
    fn read(place: &Place, request: &ecs::ListTasksRequest) -> Result<Self, Fault> {
        let cluster = resolve::cluster_name(place, request.cluster.as_deref())?;
        if request.daemon_name.is_some() {
            return Err(super::launch::unsupported("daemons"));
        }
        let service = request.service_name.as_deref();
        let instance = request.container_instance.as_deref();
        Ok(Self {
            desired: desired(request.desired_status),
            family: request.family.clone(),
            service: service.map(|given| resolve::service_name(place, &cluster, given)).transpose()?,
            started_by: request.started_by.clone(),
            launch_type: request.launch_type,
            node: instance.map(|given| resolve::container_instance_id(place, &cluster, given)).transpose()?,
            cluster,
        })
    }

    /// A service that never was is an error, one that is gone is not.
    fn check_service(&self, state: &State, place: &Place) -> Result<(), Fault> {
        let Some(name) = &self.service else { return Ok(()) };
        match state.services.contains(&service::key(&place.account, &self.cluster, name)) {
            true => Ok(()),
            false => Err(fault::service_not_found()),
        }
    }

    /// Up to `limit` keys and ARNs in key order behind `after`: by the service's index where it will do, else by the whole
    /// cluster.
    fn rows(&self, state: &State, place: &Place, after: Option<&str>, limit: usize) -> Vec<(String, String)> {
        let prefix = format!("{}/", record::key(&place.account, &self.cluster));
        let service = self.service.as_ref().filter(|_| self.desired == TaskStatus::Running);
        let service = service.map(|name| service::key(&place.account, &self.cluster, name));
        let tasks: Box<dyn Iterator<Item = &Arc<Task>>> = match &service {
            Some(service) => {
                let keys = state.index.service_tasks(service);
                let behind = keys.filter(|key| after.is_none_or(|after| &***key > after));
                Box::new(behind.filter_map(|key| state.tasks.get(key)))
            }
            None => Box::new(state.tasks.scan_after(&prefix, after).map(|(_, task)| task)),
        };
        let taken = tasks.filter(|task| self.takes(task)).take(limit);
        taken.map(|task| (task.key(), place.task(&task.cluster, &task.id))).collect()
    }

    fn takes(&self, task: &Task) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        task.desired == self.desired
            && same(&self.family, Some(&task.family))
            && same(&self.service, task.service.as_deref())
            && same(&self.started_by, task.started_by.as_deref())
            && same(&self.node, task.node.as_deref())
            && self.launch_type.is_none_or(|wanted| wanted == task.launch_type)
    }
}

/// PENDING is a state nothing is ever wanted to be in: it lists nothing.
fn desired(given: Option<ecs::DesiredStatus>) -> TaskStatus {
    match given {
        None | Some(ecs::DesiredStatus::Running) => TaskStatus::Running,
        Some(ecs::DesiredStatus::Pending) => TaskStatus::Pending,
        Some(ecs::DesiredStatus::Stopped) => TaskStatus::Stopped,
    }
}

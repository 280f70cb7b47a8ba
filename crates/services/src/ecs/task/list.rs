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

/// Tasks looked at for one page. A filter that few tasks pass gives pages with fewer entries, so that no call costs more
/// the more tasks there are.
const LOOKS: usize = 10_000;

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
    let (rows, seen) = filter.rows(&state, &place, page.after(), page.limit() + 1);
    drop(state);
    let (arns, token) = page.take_seen(context, "ListTasks", &text, rows, seen);
    Ok(ecs::ListTasksResponse { task_arns: Some(arns), next_token: token })
}

/// A task's key and ARN.
type Row = (String, String);

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

    /// Up to `limit` keys and ARNs in key order behind `after`, and the last key looked at if that was not the last there
    /// is.
    fn rows(&self, state: &State, place: &Place, after: Option<&str>, limit: usize) -> (Vec<Row>, Option<String>) {
        let prefix = format!("{}/", record::key(&place.account, &self.cluster));
        let (mut rows, mut looks) = (Vec::new(), 0);
        for task in self.candidates(state, place, &prefix, after) {
            if self.takes(task) {
                rows.push((task.key(), place.task(&task.cluster, &task.id)));
            }
            looks += 1;
            if rows.len() >= limit {
                break;
            }
            if looks >= LOOKS {
                return (rows, Some(task.key()));
            }
        }
        (rows, None)
    }

    /// The tasks to look at, in key order: the service's or the node's where their index will do, else the cluster's.
    fn candidates<'a>(
        &self,
        state: &'a State,
        place: &Place,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> Box<dyn Iterator<Item = &'a Arc<Task>> + 'a> {
        let behind = move |key: &&Arc<str>| key.starts_with(prefix) && after.is_none_or(|after| &***key > after);
        let running = self.desired == TaskStatus::Running;
        match (&self.service, &self.node) {
            (Some(name), _) if running => {
                let keys = state.index.service_tasks(&service::key(&place.account, &self.cluster, name));
                Box::new(keys.filter(behind).filter_map(|key| state.tasks.get(key)))
            }
            (_, Some(node)) if running => {
                let keys = state.index.node(node).into_iter().flat_map(|used| &used.tasks);
                Box::new(keys.filter(behind).filter_map(|key| state.tasks.get(key)))
            }
            _ => Box::new(state.tasks.scan_after(prefix, after).map(|(_, task)| task)),
        }
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

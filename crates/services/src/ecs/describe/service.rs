//! A service as DescribeServices shows it.

use longshore_api::ecs;
use longshore_model::service::{Deployment, Service};
use longshore_model::task::{Task, TaskStatus};
use longshore_model::{Place, State};

/// How many live tasks are meant to run, run, and are on their way.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    desired: i32,
    running: i32,
    pending: i32,
}

impl Counts {
    /// Tasks that were told to stop count as neither running nor pending.
    fn of<'t>(tasks: impl Iterator<Item = &'t Task>) -> Self {
        let mut counts = Self::default();
        for task in tasks.filter(|task| task.desired != TaskStatus::Stopped) {
            counts.desired += 1;
            match task.last {
                TaskStatus::Running => counts.running += 1,
                last if last < TaskStatus::Running => counts.pending += 1,
                _ => {}
            }
        }
        counts
    }
}

/// The service, with its tags when `with_tags` says so.
pub fn service(state: &State, place: &Place, service: &Service, with_tags: bool) -> ecs::Service {
    let key = service.key();
    let tasks: Vec<&Task> =
        state.index.service_tasks(&key).filter_map(|key| state.tasks.get(key)).map(AsRef::as_ref).collect();
    let counts = Counts::of(tasks.iter().copied());
    let deployments = service.deployments.iter().map(|one| deployment(one, service, &tasks, place));
    let revisions = service.deployments.iter().map(|one| revision(one, service, &tasks, place));
    ecs::Service {
        status: Some(service.status.to_string()),
        desired_count: Some(service.desired_count),
        running_count: Some(counts.running),
        pending_count: Some(counts.pending),
        deployments: Some(deployments.collect()),
        events: Some(service.events.clone()),
        task_sets: None,
        current_service_deployment: service
            .primary()
            .map(|primary| place.service_deployment(&service.cluster, &service.name, number(primary))),
        current_service_revisions: Some(revisions.collect()),
        tags: if with_tags { service.api.tags.clone() } else { None },
        ..ecs::Service::clone(&service.api)
    }
}

/// The number in a deployment's id.
fn number(deployment: &Deployment) -> &str {
    deployment.id.trim_start_matches("ecs-svc/")
}

fn own(deployment: &Deployment, tasks: &[&Task]) -> Counts {
    let own = tasks.iter().filter(|task| task.started_by.as_deref() == Some(deployment.id.as_str()));
    Counts::of(own.copied())
}

fn wanted(deployment: &Deployment, service: &Service, counts: Counts) -> i32 {
    if deployment.primary { service.desired_count } else { counts.desired }
}

fn revision(
    deployment: &Deployment,
    service: &Service,
    tasks: &[&Task],
    place: &Place,
) -> ecs::ServiceCurrentRevisionSummary {
    let counts = own(deployment, tasks);
    ecs::ServiceCurrentRevisionSummary {
        arn: Some(place.service_revision(&service.cluster, &service.name, number(deployment))),
        requested_task_count: Some(wanted(deployment, service, counts)),
        running_task_count: Some(counts.running),
        pending_task_count: Some(counts.pending),
    }
}

fn deployment(deployment: &Deployment, service: &Service, tasks: &[&Task], place: &Place) -> ecs::Deployment {
    let counts = own(deployment, tasks);
    let strategy = &deployment.capacity_provider_strategy;
    ecs::Deployment {
        id: Some(deployment.id.clone()),
        status: Some(if deployment.primary { "PRIMARY" } else { "ACTIVE" }.to_owned()),
        task_definition: Some(place.task_definition(&deployment.family, deployment.revision)),
        desired_count: Some(wanted(deployment, service, counts)),
        pending_count: Some(counts.pending),
        running_count: Some(counts.running),
        failed_tasks: Some(deployment.failed_tasks),
        created_at: Some(deployment.created_at),
        updated_at: Some(deployment.updated_at),
        capacity_provider_strategy: (!strategy.is_empty()).then(|| strategy.clone()),
        launch_type: deployment.launch_type,
        platform_version: deployment.platform_version.clone(),
        platform_family: Some("Linux".to_owned()),
        network_configuration: deployment.network.clone(),
        rollout_state: Some(deployment.rollout),
        rollout_state_reason: Some(deployment.rollout_reason.clone()),
        service_connect_configuration: deployment.service_connect.clone(),
        volume_configurations: (!deployment.volumes.is_empty()).then(|| deployment.volumes.clone()),
        fargate_ephemeral_storage: deployment
            .storage_key
            .clone()
            .map(|key| ecs::DeploymentEphemeralStorage { kms_key_id: Some(key) }),
        ..ecs::Deployment::default()
    }
}

//! ListServices.

use longshore_api::ecs;
use longshore_model::cluster as record;
use longshore_model::service::{Service, ServiceStatus};
use longshore_wire::Fault;

use crate::Context;
use crate::ecs::page::{Asked, Page};
use crate::ecs::{cluster, resolve};

/// Services a page holds when nothing is said, and at most.
const PAGE: i32 = 10;
const LARGEST_PAGE: i32 = 100;

/// ListServices: ARNs of the cluster's services that are not INACTIVE, in pages.
pub fn list(context: &mut Context<'_>, request: ecs::ListServicesRequest) -> Result<ecs::ListServicesResponse, Fault> {
    let place = context.place.clone();
    let name = resolve::cluster_name(&place, request.cluster.as_deref())?;
    let kinds = (request.launch_type, request.scheduling_strategy, request.resource_management_type);
    let text = format!("{name} {kinds:?}");
    let asked = Asked { token: request.next_token.as_deref(), max_results: request.max_results.or(Some(PAGE)) };
    let page = Page::open(context, "ListServices", &text, asked, LARGEST_PAGE)?;
    let state = context.read();
    cluster::active(&state, &place.account, &name)?;
    let prefix = format!("{}/", record::key(&place.account, &name));
    let rows = state.services.scan_after(&prefix, page.after()).filter(|(_, service)| takes(service, kinds));
    let rows = rows.map(|(key, service)| (key.to_string(), place.service(&service.cluster, &service.name)));
    let rows: Vec<(String, String)> = rows.take(page.limit() + 1).collect();
    drop(state);
    let (arns, token) = page.take(context, "ListServices", &text, rows);
    Ok(ecs::ListServicesResponse { service_arns: Some(arns), next_token: token })
}

type Kinds = (Option<ecs::LaunchType>, Option<ecs::SchedulingStrategy>, Option<ecs::ResourceManagementType>);

fn takes(service: &Service, (launch_type, scheduling, management): Kinds) -> bool {
    service.status != ServiceStatus::Inactive
        && (launch_type.is_none() || launch_type == service.api.launch_type)
        && (scheduling.is_none() || scheduling == service.api.scheduling_strategy)
        && management.is_none_or(|management| management == ecs::ResourceManagementType::Customer)
}

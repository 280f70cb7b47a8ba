//! DeleteService.

use longshore_api::ecs;
use longshore_model::service::{Service, ServiceStatus, key};
use longshore_wire::Fault;

use crate::Context;
use crate::ecs::{cluster, describe, fault, resolve};

/// DeleteService: the service drains, and is INACTIVE once its last task has stopped. Deleting it again while it drains
/// changes nothing.
///
/// # Errors
/// `InvalidParameterException` while tasks are wanted, unless forced; `ServiceNotFoundException` if it is not there any
/// more.
pub fn delete(
    context: &mut Context<'_>,
    request: ecs::DeleteServiceRequest,
) -> Result<ecs::DeleteServiceResponse, Fault> {
    let place = context.place.clone();
    let cluster_name = resolve::cluster_name(&place, request.cluster.as_deref())?;
    let name = resolve::service_name(&place, &cluster_name, request.service.as_deref().unwrap_or_default())?;
    let forced = request.force == Some(true);
    let service = context.transact(|state, changes, _| {
        cluster::active(state, &place.account, &cluster_name)?;
        let there = state.services.get(&key(&place.account, &cluster_name, &name));
        let there = there.filter(|there| there.status != ServiceStatus::Inactive);
        let mut service = Service::clone(there.ok_or_else(fault::service_not_found)?);
        if service.is_active() {
            if service.desired_count > 0 && !forced {
                return Err(fault::invalid_parameter("The service cannot be stopped while it is scaled above 0."));
            }
            service.status = ServiceStatus::Draining;
            service.desired_count = 0;
            changes.push(service.clone().into());
        }
        Ok::<_, Fault>(describe::service(state, &place, &service, true))
    })?;
    Ok(ecs::DeleteServiceResponse { service: Some(service) })
}

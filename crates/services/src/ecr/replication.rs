//! Where images go that are pushed, and how far their copies are. Copies are made by a loop of the control plane.
//!
//! Left out: deletions are not copied, nor is what was there before its rule.

use longshore_api::ecr as api;
use longshore_model::State;
use longshore_model::registry::{Destination, RegistryReplication, Replica};
use longshore_wire::Fault;

use super::content::{self, Named};
use super::find::Which;
use super::{fault, image};
use crate::Context;

/// Registries that the rules of one may name, each counted once: as many as one rule.
const MOST_DESTINATIONS: usize = 100;

fn shown(state: &State, account: &str) -> api::ReplicationConfiguration {
    let rules = state.registry_replications.get(account).map(|known| known.rules.clone());
    api::ReplicationConfiguration { rules: Some(rules.unwrap_or_default()) }
}

pub fn describe(
    context: &mut Context<'_>,
    _: api::DescribeRegistryRequest,
) -> Result<api::DescribeRegistryResponse, Fault> {
    let account = context.account().to_string();
    let replication_configuration = Some(shown(&context.read(), &account));
    Ok(api::DescribeRegistryResponse { registry_id: Some(account), replication_configuration })
}

/// The rules that are given are all there are then. What is pushed from now on follows them.
///
/// # Errors
/// `InvalidParameterException` for rules that lead to the registry itself, or to too many; `ValidationException` for what is
/// not here: registries that nobody has said how to reach, and deletions.
pub fn put(
    context: &mut Context<'_>,
    request: api::PutReplicationConfigurationRequest,
) -> Result<api::PutReplicationConfigurationResponse, Fault> {
    let rules = request.replication_configuration.and_then(|given| given.rules).unwrap_or_default();
    check(context, &rules)?;
    let account = context.account().to_string();
    context.transact(|_, changes, _| {
        changes.push(RegistryReplication { account, rules: rules.clone() }.into());
        Ok::<_, Fault>(())
    })?;
    let replication_configuration = Some(api::ReplicationConfiguration { rules: Some(rules) });
    Ok(api::PutReplicationConfigurationResponse { replication_configuration })
}

fn check(context: &Context<'_>, rules: &[api::ReplicationRule]) -> Result<(), Fault> {
    let parameter = |words: String| fault::parameter("replicationConfiguration", words);
    if rules.iter().any(|rule| rule.delete_replication.as_ref().is_some_and(|given| given.enabled == Some(true))) {
        return Err(fault::validation(
            "Replication of deletions is not available here; deleteReplication must be off.",
        ));
    }
    let destinations = RegistryReplication::all(rules);
    if destinations.len() > MOST_DESTINATIONS {
        return Err(parameter(format!("Rules may name {MOST_DESTINATIONS} destinations, each counted once")));
    }
    let own = Destination { region: context.place.region.clone(), registry: context.account().to_string() };
    if destinations.contains(&own) {
        let words = format!("A destination must not be the source registry itself, {} in {}", own.registry, own.region);
        return Err(parameter(words));
    }
    match destinations.iter().find(|one| !context.settings.peers.contains(one)) {
        None => Ok(()),
        Some(unknown) => Err(fault::validation(format!(
            "Longshore has not been told where the registry {} in {} is: its operator names it among the registry peers.",
            unknown.registry, unknown.region
        ))),
    }
}

/// How far the copies of an image are, by region and registry.
///
/// # Errors
/// `RepositoryNotFoundException`, `ImageNotFoundException`.
pub fn status(
    context: &mut Context<'_>,
    request: api::DescribeImageReplicationStatusRequest,
) -> Result<api::DescribeImageReplicationStatusResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let id = request.image_id.unwrap_or_default();
    let state = context.read();
    let found = content::image(&state, &which.registry, &which.name, Named::of(&id))?;
    let known = state.image_replication(&found.repository, &found.digest);
    let statuses = known.iter().flat_map(|known| &known.replicas).map(told).collect();
    Ok(api::DescribeImageReplicationStatusResponse {
        repository_name: which.repository_name(),
        image_id: Some(image::identifier(found.digest.clone(), id.image_tag)),
        replication_statuses: Some(statuses),
    })
}

fn told(replica: &Replica) -> api::ImageReplicationStatus {
    let has_failed = replica.status == api::ReplicationStatus::Failed;
    api::ImageReplicationStatus {
        region: Some(replica.region.clone()),
        registry_id: Some(replica.registry.clone()),
        status: Some(replica.status),
        failure_code: replica.failure_code.clone().filter(|_| has_failed),
    }
}

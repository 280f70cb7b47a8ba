//! Which images are scanned when they are pushed: by what the repository says, or the registry's rules.

use longshore_api::ecr as api;
use longshore_model::registry::{RegistryScanning, Repository};
use longshore_model::{Place, State};
use longshore_wire::Fault;

use super::fault;
use crate::Context;

/// `PutRegistryScanningConfiguration`. The rules that are given are all there are then.
///
/// # Errors
/// `ValidationException` for enhanced scanning, which is not here, and for a frequency that is its own.
pub fn configure(
    context: &mut Context<'_>,
    request: api::PutRegistryScanningConfigurationRequest,
) -> Result<api::PutRegistryScanningConfigurationResponse, Fault> {
    if request.scan_type == Some(api::ScanType::Enhanced) {
        return Err(fault::validation("Enhanced scanning is not available here; the scan type must be BASIC"));
    }
    let rules = request.rules.unwrap_or_default();
    let is_taken = |frequency| matches!(frequency, Some(api::ScanFrequency::ScanOnPush | api::ScanFrequency::Manual));
    if !rules.iter().all(|rule| is_taken(rule.scan_frequency)) {
        return Err(fault::validation("Basic scanning has the scan frequencies SCAN_ON_PUSH and MANUAL"));
    }
    for frequency in [api::ScanFrequency::ScanOnPush, api::ScanFrequency::Manual] {
        if rules.iter().filter(|rule| rule.scan_frequency == Some(frequency)).count() > 1 {
            return Err(fault::validation(format!("There may be one rule with the scan frequency {frequency}")));
        }
    }
    let account = context.account().to_string();
    context.transact(|_, changes, _| {
        changes.push(RegistryScanning { account, rules: rules.clone() }.into());
        Ok::<_, Fault>(())
    })?;
    Ok(api::PutRegistryScanningConfigurationResponse { registry_scanning_configuration: Some(shown(rules)) })
}

/// `GetRegistryScanningConfiguration`
///
/// # Errors
/// None of its own.
pub fn of_registry(
    context: &mut Context<'_>,
    _: api::GetRegistryScanningConfigurationRequest,
) -> Result<api::GetRegistryScanningConfigurationResponse, Fault> {
    let account = context.account().to_string();
    let rules = context.read().registry_scannings.get(&account).map(|known| known.rules.clone());
    Ok(api::GetRegistryScanningConfigurationResponse {
        registry_id: Some(account),
        scanning_configuration: Some(shown(rules.unwrap_or_default())),
    })
}

fn shown(rules: Vec<api::RegistryScanningRule>) -> api::RegistryScanningConfiguration {
    api::RegistryScanningConfiguration { scan_type: Some(api::ScanType::Basic), rules: Some(rules) }
}

/// `BatchGetRepositoryScanningConfiguration`
///
/// # Errors
/// None of its own: a repository that is not there is a failure in the answer.
pub fn of_repositories(
    context: &mut Context<'_>,
    request: api::BatchGetRepositoryScanningConfigurationRequest,
) -> Result<api::BatchGetRepositoryScanningConfigurationResponse, Fault> {
    let (account, place) = (context.account().clone(), context.place.clone());
    let state = context.read();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in request.repository_names.unwrap_or_default() {
        match state.repository(account.as_str(), &name) {
            Some(repository) => found.push(of_repository(&state, repository, &place)),
            None => failures.push(failure(name)),
        }
    }
    Ok(api::BatchGetRepositoryScanningConfigurationResponse {
        scanning_configurations: Some(found),
        failures: Some(failures),
    })
}

fn of_repository(state: &State, repository: &Repository, place: &Place) -> api::RepositoryScanningConfiguration {
    let rules = state.registry_scannings.get(&repository.account);
    let filters = rules.iter().flat_map(|rules| rules.filters(&repository.name)).cloned().collect();
    let on_push = state.scans_on_push(repository);
    let frequency = if on_push { api::ScanFrequency::ScanOnPush } else { api::ScanFrequency::Manual };
    api::RepositoryScanningConfiguration {
        repository_arn: Some(repository.arn(place)),
        repository_name: Some(repository.name.clone()),
        scan_on_push: Some(on_push),
        scan_frequency: Some(frequency),
        applied_scan_filters: Some(filters),
    }
}

fn failure(name: String) -> api::RepositoryScanningConfigurationFailure {
    let reason = format!("The repository with name '{name}' does not exist");
    api::RepositoryScanningConfigurationFailure {
        repository_name: Some(name),
        failure_code: Some(api::ScanningConfigurationFailureCode::RepositoryNotFound),
        failure_reason: Some(reason),
    }
}

//! Settings of repositories: which tags may be moved, and whether images are scanned when they are pushed.

use longshore_api::ecr as api;
use longshore_api::ecr::ImageTagMutability as Mutability;
use longshore_wire::Fault;

use super::fault;
use super::find::Which;
use crate::Context;

/// Stars of one filter.
const MOST_STARS: usize = 2;

type Filters = Vec<api::ImageTagMutabilityExclusionFilter>;

pub fn put_mutability(
    context: &mut Context<'_>,
    request: api::PutImageTagMutabilityRequest,
) -> Result<api::PutImageTagMutabilityResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let mutability = request.image_tag_mutability.unwrap_or(Mutability::Mutable);
    let filters = request.image_tag_mutability_exclusion_filters.unwrap_or_default();
    check(mutability, &filters)?;
    which.change(context, |repository| {
        (repository.mutability, repository.exclusions) = (mutability, filters.clone());
        Ok(())
    })?;
    Ok(api::PutImageTagMutabilityResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        image_tag_mutability: Some(mutability),
        image_tag_mutability_exclusion_filters: (!filters.is_empty()).then_some(filters),
    })
}

/// # Errors
/// `InvalidParameterException`: filters are there if, and only if, there is something to be excluded from.
pub fn check(mutability: Mutability, filters: &Filters) -> Result<(), Fault> {
    const NAME: &str = "imageTagMutabilityExclusionFilters";
    let wants = matches!(mutability, Mutability::ImmutableWithExclusion | Mutability::MutableWithExclusion);
    if wants == filters.is_empty() {
        let words = "must be given with IMMUTABLE_WITH_EXCLUSION and MUTABLE_WITH_EXCLUSION, and with nothing else";
        return Err(fault::parameter(NAME, words));
    }
    let stars = |filter: &api::ImageTagMutabilityExclusionFilter| {
        filter.filter.as_deref().unwrap_or_default().bytes().filter(|byte| *byte == b'*').count()
    };
    match filters.iter().any(|filter| stars(filter) > MOST_STARS) {
        true => Err(fault::parameter(NAME, format!("A filter has at most {MOST_STARS} wildcards"))),
        false => Ok(()),
    }
}

pub fn put_scanning(
    context: &mut Context<'_>,
    request: api::PutImageScanningConfigurationRequest,
) -> Result<api::PutImageScanningConfigurationResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let wanted = request.image_scanning_configuration.and_then(|given| given.scan_on_push).unwrap_or_default();
    which.change(context, |repository| {
        repository.scan_on_push = wanted;
        Ok(())
    })?;
    Ok(api::PutImageScanningConfigurationResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        image_scanning_configuration: Some(api::ImageScanningConfiguration { scan_on_push: Some(wanted) }),
    })
}

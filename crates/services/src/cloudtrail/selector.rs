//! Event selectors: which management events a trail delivers.

use longshore_api::cloudtrail as api;
use longshore_model::trail::{Selector, Trail};
use longshore_wire::Fault;

use super::{fault, name, trail};
use crate::Context;

/// Selectors of a trail.
const MOST: usize = 5;

/// Event sources that may be left out.
const EXCLUDABLE: &[&str] = &["kms.amazonaws.com", "rdsdata.amazonaws.com"];

/// # Errors
/// `TrailNotFoundException`; `InvalidEventSelectorsException`; `UnsupportedOperationException` for data events and
/// advanced selectors.
pub fn put(
    context: &mut Context<'_>,
    request: api::PutEventSelectorsRequest,
) -> Result<api::PutEventSelectorsResponse, Fault> {
    if request.advanced_event_selectors.is_some_and(|selectors| !selectors.is_empty()) {
        return Err(fault::unsupported("advanced event selectors"));
    }
    let given = request.event_selectors.unwrap_or_default();
    if given.is_empty() || given.len() > MOST {
        return Err(fault::selectors("A trail has one to five event selectors."));
    }
    let selectors = given.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let changed = trail::change(context, request.trail_name, |_, trail| {
        trail.selectors = selectors;
        Ok(())
    })?;
    Ok(api::PutEventSelectorsResponse {
        trail_arn: Some(name::arn(&context.place, &changed.name)),
        event_selectors: Some(shown(&changed)),
        advanced_event_selectors: None,
    })
}

fn read(given: api::EventSelector) -> Result<Selector, Fault> {
    if given.data_resources.is_some_and(|resources| !resources.is_empty()) {
        return Err(fault::unsupported("data events"));
    }
    let excluded = given.exclude_management_event_sources.unwrap_or_default();
    if !excluded.iter().all(|source| EXCLUDABLE.contains(&&**source)) {
        return Err(fault::selectors("Only kms.amazonaws.com and rdsdata.amazonaws.com may be excluded."));
    }
    let management = given.include_management_events.unwrap_or(true);
    if !management && !excluded.is_empty() {
        return Err(fault::selectors("Sources are excluded from management events, which are not included."));
    }
    let read_write = given.read_write_type.unwrap_or(api::ReadWriteType::All).to_string();
    Ok(Selector { read_write, management, excluded })
}

/// # Errors
/// `TrailNotFoundException`
pub fn get(
    context: &mut Context<'_>,
    request: api::GetEventSelectorsRequest,
) -> Result<api::GetEventSelectorsResponse, Fault> {
    let place = context.place.clone();
    let state = context.read();
    let trail = name::find(&state, &place, &request.trail_name.unwrap_or_default())?;
    Ok(api::GetEventSelectorsResponse {
        trail_arn: Some(name::arn(&place, &trail.name)),
        event_selectors: Some(shown(trail)),
        advanced_event_selectors: None,
    })
}

fn shown(trail: &Trail) -> Vec<api::EventSelector> {
    let shape = |selector: &Selector| api::EventSelector {
        read_write_type: selector.read_write.parse().ok(),
        include_management_events: Some(selector.management),
        data_resources: Some(Vec::new()),
        exclude_management_event_sources: Some(selector.excluded.clone()),
    };
    trail.selectors.iter().map(shape).collect()
}

/// Whether one of a trail's selectors takes a management event.
pub fn takes(trail: &Trail, read_only: bool, source: &str) -> bool {
    trail.selectors.iter().any(|selector| {
        let kind = match &*selector.read_write {
            "ReadOnly" => read_only,
            "WriteOnly" => !read_only,
            _ => true,
        };
        selector.management && kind && !selector.excluded.iter().any(|excluded| excluded == source)
    })
}

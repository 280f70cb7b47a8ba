//! Tags of load balancers, target groups, listeners and rules.

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{Listener, LoadBalancer, Map, TargetGroup};
use longshore_model::{Change, Place, State};
use longshore_wire::Fault;

use super::fault;
use super::resolve::Named;
use crate::Context;

/// Tags that one resource may have.
const MOST: usize = 50;

/// Resources of one request.
const MOST_RESOURCES: usize = 20;

/// The tags of what is made.
///
/// # Errors
/// As [`add`].
pub fn made(tags: Option<Vec<api::Tag>>) -> Result<Map, Fault> {
    let mut map = Map::new();
    add(&mut map, &tags.unwrap_or_default())?;
    Ok(map)
}

/// The tags with `more` over them.
///
/// # Errors
/// `DuplicateTagKeys`, `ValidationError` for a reserved key, `TooManyTags`.
fn add(tags: &mut Map, more: &[api::Tag]) -> Result<(), Fault> {
    let mut seen = Vec::with_capacity(more.len());
    for tag in more {
        let key = tag.key.as_deref().unwrap_or_default();
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(fault::invalid(format!("The tag key '{key}' is reserved: it begins with 'aws:'")));
        }
        if seen.contains(&key) {
            return Err(fault::duplicate_tags(format!("Tag key '{key}' was specified more than once")));
        }
        tags.insert(key.to_owned(), tag.value.clone().unwrap_or_default());
        seen.push(key);
    }
    match tags.len() > MOST {
        true => Err(fault::too_many_tags(format!("A resource can have at most '{MOST}' tags"))),
        false => Ok(()),
    }
}

/// # Errors
/// Those of [`Named::find`] and [`add`]; then nothing is tagged.
pub fn add_to(context: &mut Context<'_>, request: api::AddTagsInput) -> Result<api::AddTagsOutput, Fault> {
    let more = request.tags.unwrap_or_default();
    change(context, request.resource_arns, |tags| add(tags, &more))?;
    Ok(api::AddTagsOutput {})
}

/// # Errors
/// Those of [`Named::find`]; then nothing changes.
pub fn remove_from(context: &mut Context<'_>, request: api::RemoveTagsInput) -> Result<api::RemoveTagsOutput, Fault> {
    let gone = request.tag_keys.unwrap_or_default();
    change(context, request.resource_arns, |tags| {
        tags.retain(|key, _| !gone.contains(key));
        Ok(())
    })?;
    Ok(api::RemoveTagsOutput {})
}

/// # Errors
/// Those of [`Named::find`]; `ValidationError` for more than 20.
pub fn describe(context: &mut Context<'_>, request: api::DescribeTagsInput) -> Result<api::DescribeTagsOutput, Fault> {
    let (arns, place) = (bounded(request.resource_arns)?, context.place.clone());
    let state = context.read();
    let of = |arn: String| -> Result<api::TagDescription, Fault> {
        let named = Named::find(&state, &place, &arn)?;
        let tag = |(key, value): (&String, &String)| api::Tag { key: Some(key.clone()), value: Some(value.clone()) };
        let tags = named.tags().iter().map(tag).collect();
        Ok(api::TagDescription { resource_arn: Some(arn), tags: Some(tags) })
    };
    let descriptions = arns.into_iter().map(of).collect::<Result<_, _>>()?;
    Ok(api::DescribeTagsOutput { tag_descriptions: Some(descriptions) })
}

/// Each resource once.
fn bounded(arns: Option<Vec<String>>) -> Result<Vec<String>, Fault> {
    let mut arns = arns.unwrap_or_default();
    if arns.is_empty() {
        return Err(fault::invalid("At least one resource ARN must be specified"));
    }
    let mut seen = std::collections::BTreeSet::new();
    arns.retain(|arn| seen.insert(arn.clone()));
    match arns.len() > MOST_RESOURCES {
        true => Err(fault::invalid(format!("At most '{MOST_RESOURCES}' resource ARNs can be specified"))),
        false => Ok(arns),
    }
}

/// All or none.
fn change(
    context: &mut Context<'_>,
    arns: Option<Vec<String>>,
    mut change: impl FnMut(&mut Map) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (arns, place) = (bounded(arns)?, context.place.clone());
    context.transact(|state, changes, _| {
        let mut listeners: Vec<Listener> = Vec::new();
        for arn in &arns {
            match Named::find(state, &place, arn)? {
                Named::LoadBalancer(row) => {
                    let mut row = LoadBalancer::clone(&row);
                    change(&mut row.tags)?;
                    changes.push(row.into());
                }
                Named::TargetGroup(row) => {
                    let mut row = TargetGroup::clone(&row);
                    change(&mut row.tags)?;
                    changes.push(row.into());
                }
                // A listener and several of its rules are one record.
                Named::Listener(row) => change(&mut changed(&mut listeners, &row).tags)?,
                Named::Rule(row, at) => {
                    let row = changed(&mut listeners, &row);
                    let rule = at.and_then(|at| row.rules.get_mut(at)).map(|rule| &mut rule.tags);
                    change(rule.unwrap_or(&mut row.default_rule_tags))?;
                }
            }
        }
        changes.extend(listeners.into_iter().map(Change::from));
        Ok(())
    })
}

/// The copy of a listener that is being changed.
fn changed<'a>(listeners: &'a mut Vec<Listener>, row: &Listener) -> &'a mut Listener {
    let at = listeners.iter().position(|one| one.key() == row.key());
    let at = at.unwrap_or_else(|| {
        listeners.push(row.clone());
        listeners.len() - 1
    });
    &mut listeners[at]
}

/// The tags of the resource with an ARN, for what is judged by them; none if there is no such.
pub fn of_arn(state: &State, place: &Place, arn: &str) -> Vec<(String, String)> {
    let named = Named::find(state, place, arn);
    named.map(|named| named.tags().clone().into_iter().collect()).unwrap_or_default()
}

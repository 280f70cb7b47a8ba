//! Lifecycle policies, and what they would do.
//!
//! A preview is what the policy does to the repository as it is when it is asked for; it takes no time, and is COMPLETE at once.

use std::collections::HashSet;

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_model::registry::{Lifecycle, LifecyclePreview};
use longshore_plan::lifecycle::{self as plan, Picture, Policy};
use longshore_wire::Fault;

use super::content::{self, Named};
use super::fault;
use super::find::{List, Which};
use crate::Context;

/// # Errors
/// `InvalidParameterException`
pub fn read(text: &str) -> Result<Policy, Fault> {
    plan::parse(text).map_err(|why| fault::parameter("LifecyclePolicyText", why.to_string()))
}

pub fn put(
    context: &mut Context<'_>,
    request: api::PutLifecyclePolicyRequest,
) -> Result<api::PutLifecyclePolicyResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let text = request.lifecycle_policy_text.unwrap_or_default();
    read(&text)?;
    let now = context.now;
    which.change(context, |repository| {
        repository.lifecycle = Some(Lifecycle { text: text.clone(), set_at: now, evaluated_at: None });
        Ok(())
    })?;
    Ok(api::PutLifecyclePolicyResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        lifecycle_policy_text: Some(text),
    })
}

fn missing(which: &Which) -> Fault {
    let message = format!(
        "Lifecycle policy does not exist for the repository with name '{}' in the registry with id '{}'",
        which.name, which.registry
    );
    fault::of(&def::LIFECYCLE_POLICY_NOT_FOUND_EXCEPTION, message)
}

pub fn get(
    context: &mut Context<'_>,
    request: api::GetLifecyclePolicyRequest,
) -> Result<api::GetLifecyclePolicyResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let found = which.read(context)?.lifecycle.clone().ok_or_else(|| missing(&which))?;
    Ok(api::GetLifecyclePolicyResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        lifecycle_policy_text: Some(found.text),
        last_evaluated_at: found.evaluated_at,
    })
}

pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteLifecyclePolicyRequest,
) -> Result<api::DeleteLifecyclePolicyResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let gone = which.change(context, |repository| repository.lifecycle.take().ok_or_else(|| missing(&which)))?;
    Ok(api::DeleteLifecyclePolicyResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        lifecycle_policy_text: Some(gone.text),
        last_evaluated_at: gone.evaluated_at,
    })
}

pub fn start_preview(
    context: &mut Context<'_>,
    request: api::StartLifecyclePolicyPreviewRequest,
) -> Result<api::StartLifecyclePolicyPreviewResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let given = request.lifecycle_policy_text;
    given.as_deref().map(read).transpose()?;
    let now = context.now;
    let text = context.transact(|state, changes, _| {
        let repository = which.find(state)?;
        let own = || repository.lifecycle.as_ref().map(|own| own.text.clone());
        let text = given.or_else(own).ok_or_else(|| missing(&which))?;
        let preview = LifecyclePreview { repository: repository.id.clone(), text: text.clone(), started_at: now };
        changes.push(preview.into());
        Ok::<_, Fault>(text)
    })?;
    Ok(api::StartLifecyclePolicyPreviewResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        lifecycle_policy_text: Some(text),
        status: Some(api::LifecyclePolicyPreviewStatus::InProgress),
    })
}

pub fn get_preview(
    context: &mut Context<'_>,
    request: api::GetLifecyclePolicyPreviewRequest,
) -> Result<api::GetLifecyclePolicyPreviewResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let repository = which.read(context)?;
    let preview = context.read().lifecycle_previews.get(&repository.id).cloned();
    let preview = preview.ok_or_else(|| no_preview(&which))?;
    let status = request.filter.and_then(|filter| filter.tag_status);
    let ids = request.image_ids.unwrap_or_default();
    let parameters = format!("{} {} {status:?} {ids:?}", repository.id, preview.started_at.millis());
    let list = List { operation: "GetLifecyclePolicyPreview", filter: &parameters };
    let page = list.page(context, request.next_token.as_deref(), request.max_results)?;
    let rules = read(&preview.text)?;
    // Evaluated with nothing held: it may take a while.
    let (picture, named) = {
        let state = context.read();
        let found = ids.iter().filter_map(|id| content::find_image(&state, &repository.id, Named::of(id)));
        let named: HashSet<String> = found.map(|image| image.digest.clone()).collect();
        (Picture::of(&state, &repository.id), named)
    };
    let subjects = picture.subjects();
    let expired = plan::expired(&rules, &subjects, context.now);
    let meant = subjects.iter().filter(|subject| {
        let digest = subject.image.digest.as_str();
        let tagged = match status {
            Some(api::TagStatus::Tagged) => !subject.tags.is_empty(),
            Some(api::TagStatus::Untagged) => subject.tags.is_empty(),
            _ => true,
        };
        tagged && (ids.is_empty() || named.contains(digest)) && page.after().is_none_or(|after| digest > after)
    });
    let rows = meant.filter_map(|subject| {
        let priority = *expired.get(subject.image.digest.as_str())?;
        Some((subject.image.digest.clone(), result(subject, priority)))
    });
    let (results, next_token) = list.take(context, &page, rows);
    let summary = api::LifecyclePolicyPreviewSummary {
        expiring_image_total_count: i32::try_from(expired.len()).ok(),
        ..Default::default()
    };
    Ok(api::GetLifecyclePolicyPreviewResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        lifecycle_policy_text: Some(preview.text.clone()),
        status: Some(api::LifecyclePolicyPreviewStatus::Complete),
        next_token,
        preview_results: Some(results),
        summary: Some(summary),
    })
}

fn no_preview(which: &Which) -> Fault {
    let message = format!(
        "There is no lifecycle policy preview for the repository with name '{}' in the registry with id '{}'",
        which.name, which.registry
    );
    fault::of(&def::LIFECYCLE_POLICY_PREVIEW_NOT_FOUND_EXCEPTION, message)
}

fn result(subject: &plan::Subject<'_>, priority: i32) -> api::LifecyclePolicyPreviewResult {
    let tags: Vec<String> = subject.tags.iter().map(|tag| (*tag).to_owned()).collect();
    api::LifecyclePolicyPreviewResult {
        image_tags: (!tags.is_empty()).then_some(tags),
        image_digest: Some(subject.image.digest.clone()),
        image_pushed_at: Some(subject.image.pushed_at),
        action: Some(api::LifecyclePolicyRuleAction {
            r#type: Some(api::ImageActionType::Expire),
            ..Default::default()
        }),
        applied_rule_priority: Some(priority),
        storage_class: Some(api::LifecyclePolicyStorageClass::Standard),
    }
}

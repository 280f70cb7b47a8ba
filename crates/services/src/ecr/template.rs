//! Templates of repositories: what a repository is like that is made because somebody pushes to it or pulls from it,
//! or a copy comes.

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_api::ecr::{EncryptionType, ImageTagMutability as Mutability, RctAppliedFor as For};
use longshore_model::policy::Context as Conditions;
use longshore_model::registry::account::{MOST_TEMPLATES, prefixes};
use longshore_model::registry::{CreationTemplate, Lifecycle, Repository, key};
use longshore_model::{AccountId, Change, Place, State, TableName};
use longshore_wire::Fault;

use super::find::List;
use super::repository::{self, Wish};
use super::{content, fault, lifecycle, policy, setting, tag};
use crate::Context;
use crate::access::{Needed, judge_one};
use crate::kms::Ring;

/// The name of a prefix: with or without a slash at its end it is the same.
fn named(given: Option<String>) -> String {
    given.unwrap_or_default().trim_end_matches('/').to_owned()
}

pub fn create(
    context: &mut Context<'_>,
    request: api::CreateRepositoryCreationTemplateRequest,
) -> Result<api::CreateRepositoryCreationTemplateResponse, Fault> {
    let now = Some(context.now);
    let template = api::RepositoryCreationTemplate {
        prefix: Some(named(request.prefix)),
        description: request.description,
        encryption_configuration: request.encryption_configuration.or(Some(usual())),
        resource_tags: request.resource_tags,
        image_tag_mutability: request.image_tag_mutability.or(Some(Mutability::Mutable)),
        image_tag_mutability_exclusion_filters: request.image_tag_mutability_exclusion_filters,
        repository_policy: request.repository_policy.filter(|text| !text.is_empty()),
        lifecycle_policy: request.lifecycle_policy.filter(|text| !text.is_empty()),
        applied_for: request.applied_for,
        custom_role_arn: request.custom_role_arn,
        created_at: now,
        updated_at: now,
    };
    check(&template)?;
    let account = context.account().to_string();
    let row = CreationTemplate { account, prefix: template.prefix.clone().unwrap_or_default(), template };
    context.transact(|state, changes, _| {
        if state.creation_templates.contains(&row.key()) {
            let message = format!("There is a template with the prefix '{}' already", row.prefix);
            return Err(fault::of(&def::TEMPLATE_ALREADY_EXISTS_EXCEPTION, message));
        }
        if state.creation_templates.scan(&key(&row.account, "")).count() >= MOST_TEMPLATES {
            return Err(fault::limit(format!("A registry may have {MOST_TEMPLATES} templates.")));
        }
        changes.push(row.clone().into());
        Ok(())
    })?;
    Ok(api::CreateRepositoryCreationTemplateResponse {
        registry_id: Some(row.account),
        repository_creation_template: Some(row.template),
    })
}

fn usual() -> api::EncryptionConfigurationForRepositoryCreationTemplate {
    api::EncryptionConfigurationForRepositoryCreationTemplate {
        encryption_type: Some(EncryptionType::Aes256),
        kms_key: None,
    }
}

/// # Errors
/// `InvalidParameterException`, `InvalidTagParameterException`, `TooManyTagsException`.
fn check(template: &api::RepositoryCreationTemplate) -> Result<(), Fault> {
    if template.applied_for.as_ref().is_none_or(Vec::is_empty) {
        return Err(fault::parameter("appliedFor", "must have one member or more"));
    }
    let mutability = template.image_tag_mutability.unwrap_or(Mutability::Mutable);
    setting::check(mutability, &template.image_tag_mutability_exclusion_filters.clone().unwrap_or_default())?;
    tag::add(&mut tag::Tags::new(), template.resource_tags.clone().unwrap_or_default())?;
    template.repository_policy.as_deref().map(policy::read).transpose()?;
    template.lifecycle_policy.as_deref().map(lifecycle::read).transpose()?;
    Ok(())
}

fn missing(prefix: &str) -> Fault {
    fault::of(&def::TEMPLATE_NOT_FOUND_EXCEPTION, format!("There is no template with the prefix '{prefix}'"))
}

pub fn update(
    context: &mut Context<'_>,
    request: api::UpdateRepositoryCreationTemplateRequest,
) -> Result<api::UpdateRepositoryCreationTemplateResponse, Fault> {
    let (account, prefix, now) = (context.account().to_string(), named(request.prefix.clone()), context.now);
    let template = context.transact(|state, changes, _| {
        let found = state.creation_templates.get(&key(&account, &prefix)).ok_or_else(|| missing(&prefix))?;
        let mut row = CreationTemplate::clone(found);
        merge(&mut row.template, request);
        row.template.updated_at = Some(now);
        check(&row.template)?;
        changes.push(row.clone().into());
        Ok::<_, Fault>(row.template)
    })?;
    Ok(api::UpdateRepositoryCreationTemplateResponse {
        registry_id: Some(account),
        repository_creation_template: Some(template),
    })
}

/// What is given takes the place of what was; an empty text takes it away.
fn merge(to: &mut api::RepositoryCreationTemplate, given: api::UpdateRepositoryCreationTemplateRequest) {
    fn set<T>(to: &mut Option<T>, given: Option<T>) {
        if given.is_some() {
            *to = given;
        }
    }
    set(&mut to.description, given.description);
    set(&mut to.encryption_configuration, given.encryption_configuration);
    set(&mut to.resource_tags, given.resource_tags);
    if given.image_tag_mutability.is_some() {
        to.image_tag_mutability_exclusion_filters = None;
    }
    set(&mut to.image_tag_mutability, given.image_tag_mutability);
    set(&mut to.image_tag_mutability_exclusion_filters, given.image_tag_mutability_exclusion_filters);
    set(&mut to.repository_policy, given.repository_policy);
    set(&mut to.lifecycle_policy, given.lifecycle_policy);
    set(&mut to.applied_for, given.applied_for);
    set(&mut to.custom_role_arn, given.custom_role_arn);
    for text in [&mut to.repository_policy, &mut to.lifecycle_policy, &mut to.custom_role_arn] {
        *text = text.take().filter(|text| !text.is_empty());
    }
}

pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeRepositoryCreationTemplatesRequest,
) -> Result<api::DescribeRepositoryCreationTemplatesResponse, Fault> {
    let account = context.account().to_string();
    let wanted: Vec<String> =
        request.prefixes.unwrap_or_default().into_iter().map(|given| named(Some(given))).collect();
    let parameters = wanted.join(" ");
    let list = List { operation: "DescribeRepositoryCreationTemplates", filter: &parameters };
    let page = list.page(context, request.next_token.as_deref(), request.max_results)?;
    let prefix = key(&account, "");
    let state = context.read();
    let rows = state.creation_templates.scan_after(&prefix, page.after());
    let rows = rows.filter(|(_, row)| wanted.is_empty() || wanted.contains(&row.prefix));
    let (templates, next_token) =
        list.take(context, &page, rows.map(|(key, row)| (key.to_string(), row.template.clone())));
    Ok(api::DescribeRepositoryCreationTemplatesResponse {
        registry_id: Some(account),
        repository_creation_templates: Some(templates),
        next_token,
    })
}

pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteRepositoryCreationTemplateRequest,
) -> Result<api::DeleteRepositoryCreationTemplateResponse, Fault> {
    let (account, prefix) = (context.account().to_string(), named(request.prefix));
    let gone = context.transact(|state, changes, _| {
        let found = state.creation_templates.get(&key(&account, &prefix)).ok_or_else(|| missing(&prefix))?;
        changes.push(Change::Delete(TableName::CreationTemplate, found.key()));
        Ok::<_, Fault>(found.template.clone())
    })?;
    Ok(api::DeleteRepositoryCreationTemplateResponse {
        registry_id: Some(account),
        repository_creation_template: Some(gone),
    })
}

/// The template for repositories of a name that are made for this reason.
fn of<'a>(
    state: &'a State,
    registry: &AccountId,
    name: &str,
    reason: For,
) -> Option<&'a api::RepositoryCreationTemplate> {
    let found = prefixes(name).filter_map(|prefix| state.creation_templates.get(&key(registry.as_str(), &prefix)));
    let mut meant = found.filter(|row| row.template.applied_for.iter().flatten().any(|one| *one == reason));
    meant.next().map(|row| &row.template)
}

/// The repository that somebody begins to push to. Where there is none, but a template for it, it is made, if the caller may
/// make repositories; for a copy from another registry without a template too, as whoever may bring it may.
///
/// # Errors
/// `RepositoryNotFoundException`, and those of making one.
pub fn for_push(context: &mut Context<'_>, registry: &AccountId, name: &str) -> Result<(), Fault> {
    let template = {
        let state = context.read();
        if state.repository(registry.as_str(), name).is_some() {
            return Ok(());
        }
        let reason = if context.is_replica { For::Replication } else { For::CreateOnPush };
        of(&state, registry, name, reason).cloned()
    };
    let template = match context.is_replica {
        true => Some(template.unwrap_or_default()),
        false => template.filter(|_| *registry == *context.account() && may_make(context, name)),
    };
    let template = template.ok_or_else(|| fault::no_repository(registry, name))?;
    make(context, registry, name, template)
}

/// The repository that what somebody pulls is to be kept in: made by the template for that, or as any other. Whether the caller
/// may make it was asked.
///
/// # Errors
/// Those of making one.
pub fn for_pull(context: &mut Context<'_>, registry: &AccountId, name: &str) -> Result<(), Fault> {
    let template = of(&context.read(), registry, name, For::PullThroughCache).cloned();
    make(context, registry, name, template.unwrap_or_default())
}

fn make(
    context: &mut Context<'_>,
    registry: &AccountId,
    name: &str,
    template: api::RepositoryCreationTemplate,
) -> Result<(), Fault> {
    let wish = wish(&template, name)?;
    let (settings, now) = (context.settings, context.now);
    let place = Place::new(&context.place.region, registry);
    let ring = Ring { place: &place, vault: &settings.vault, now };
    context.transact(|state, changes, mint| {
        // Somebody else may have been faster.
        if content::repository(state, registry, name).is_ok() {
            return Ok(());
        }
        let made = repository::make(&ring, (state, changes, mint), wish)?;
        let lifecycle = template.lifecycle_policy.clone();
        let lifecycle = lifecycle.map(|text| Lifecycle { text, set_at: now, evaluated_at: None });
        changes.push(Repository { policy: template.repository_policy.clone(), lifecycle, ..made }.into());
        Ok(())
    })
}

fn may_make(context: &mut Context<'_>, name: &str) -> bool {
    if !context.judged {
        return true;
    }
    let place: Place = context.place.clone();
    let needed = Needed {
        action: "ecr:CreateRepository",
        resource: place.arn("ecr", &format!("repository/{name}")),
        owner: place.account.clone(),
        context: Conditions::default(),
    };
    let (caller, conditions) = (context.caller.clone(), context.conditions.clone());
    judge_one(&context.read(), &needed, &caller, &conditions).is_ok()
}

fn wish(template: &api::RepositoryCreationTemplate, name: &str) -> Result<Wish, Fault> {
    let mut tags = tag::Tags::new();
    tag::add(&mut tags, template.resource_tags.clone().unwrap_or_default())?;
    let encryption = template.encryption_configuration.clone().unwrap_or_else(usual);
    Ok(Wish {
        name: name.to_owned(),
        mutability: template.image_tag_mutability.unwrap_or(Mutability::Mutable),
        exclusions: template.image_tag_mutability_exclusion_filters.clone().unwrap_or_default(),
        scan_on_push: false,
        encryption: encryption.encryption_type.unwrap_or(EncryptionType::Aes256),
        key: encryption.kms_key,
        tags,
    })
}

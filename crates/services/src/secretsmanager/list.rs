//! Lists: of secrets, in the order that is asked for, and of a secret's versions.

use std::cmp::Reverse;

use longshore_api::secretsmanager as api;
use longshore_model::secret::{Secret, SecretVersion};
use longshore_model::{Place, State};
use longshore_wire::{Fault, Timestamp};

use super::find::any;
use super::rotate::Shown;
use super::{describe, fault, filter, tag, version};
use crate::ecs::page::{Scope, decode, encode};
use crate::{Context, Settings};

/// Entries on a page where the caller does not say.
const USUAL: usize = 100;

/// Which list a token is of.
pub struct List<'a> {
    pub operation: &'static str,
    /// The request's other parameters.
    pub filter: &'a str,
    pub token: Option<&'a str>,
}

impl List<'_> {
    fn scope<'b>(&'b self, place: &'b Place) -> Scope<'b> {
        Scope { account: place.account.as_str(), operation: self.operation, filter: self.filter }
    }

    /// The position that the page begins behind.
    ///
    /// # Errors
    /// `InvalidNextTokenException`
    pub fn after(&self, context: &Context<'_>) -> Result<Option<String>, Fault> {
        let key = &context.settings.page_key;
        let open = |token| decode(key, self.scope(&context.place), token).ok_or_else(fault::next_token);
        self.token.map(open).transpose()
    }

    /// The token of the page behind a position.
    pub fn next(&self, settings: &Settings, place: &Place, position: &str) -> String {
        encode(&settings.page_key, self.scope(place), position)
    }
}

/// Cuts a page out of rows that are in the order of their positions, or against it.
pub fn cut<T>(
    mut rows: Vec<(String, T)>,
    after: Option<String>,
    limit: usize,
    descending: bool,
) -> (Vec<T>, Option<String>) {
    match descending {
        true => rows.sort_by_cached_key(|(position, _)| Reverse(position.clone())),
        false => rows.sort_by(|(one, _), (other, _)| one.cmp(other)),
    }
    let behind = |position: &String, after: &String| if descending { position < after } else { position > after };
    rows.retain(|(position, _)| after.as_ref().is_none_or(|after| behind(position, after)));
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map(|(position, _)| position.clone());
    (rows.into_iter().map(|(_, row)| row).collect(), last)
}

pub fn list(context: &mut Context<'_>, request: api::ListSecretsRequest) -> Result<api::ListSecretsResponse, Fault> {
    let filters = request.filters.unwrap_or_default();
    filter::check(&filters)?;
    let deleted = request.include_planned_deletion.unwrap_or_default();
    let by = request.sort_by.unwrap_or(api::SortByType::CreatedDate);
    let descending = request.sort_order == Some(api::SortOrderType::Desc);
    let parameters = format!("{filters:?} {deleted} {by} {descending}");
    let list = List { operation: "ListSecrets", filter: &parameters, token: request.next_token.as_deref() };
    let after = list.after(context)?;
    let limit = request.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL);
    let (place, settings) = (context.place.clone(), context.settings);
    let state = context.read();
    let prefix = format!("{}/", place.account);
    let rows = state.secrets.scan(&prefix).map(|(_, secret)| secret);
    let rows = rows.filter(|secret| (deleted || secret.deleted_at.is_none()) && filter::meets(&filters, secret));
    let rows = rows.map(|secret| (position(secret, by), secret)).collect();
    let (page, last) = cut(rows, after, limit, descending);
    Ok(api::ListSecretsResponse {
        secret_list: Some(page.into_iter().map(|secret| entry(&place, secret)).collect()),
        next_token: last.map(|last| list.next(settings, &place, &last)),
    })
}

/// What a secret is sorted by; the name settles what is alike.
fn position(secret: &Secret, by: api::SortByType) -> String {
    let at = match by {
        api::SortByType::Name => return secret.name.clone(),
        api::SortByType::CreatedDate => Some(secret.created_at),
        api::SortByType::LastChangedDate => secret.changed_at,
        api::SortByType::LastAccessedDate => secret.accessed_at,
    };
    format!("{:020}{}", at.map_or(0, Timestamp::millis).max(0), secret.name)
}

fn entry(place: &Place, secret: &Secret) -> api::SecretListEntry {
    let rotation = Shown::of(secret);
    api::SecretListEntry {
        arn: Some(secret.arn(place)),
        name: Some(secret.name.clone()),
        r#type: secret.kind.clone(),
        description: secret.description.clone(),
        kms_key_id: secret.kms_key.clone(),
        last_changed_date: secret.changed_at,
        last_accessed_date: secret.accessed_at,
        deleted_date: secret.deleted_at,
        tags: Some(tag::shown(&secret.tags)),
        secret_versions_to_stages: describe::stages(secret),
        created_date: Some(secret.created_at),
        rotation_enabled: rotation.enabled,
        rotation_lambda_arn: rotation.function,
        rotation_rules: rotation.rules,
        last_rotated_date: rotation.rotated_at,
        next_rotation_date: rotation.next_at,
        ..Default::default()
    }
}

/// Versions with a label, the newest first; those without on request.
pub fn versions(
    context: &mut Context<'_>,
    request: api::ListSecretVersionIdsRequest,
) -> Result<api::ListSecretVersionIdsResponse, Fault> {
    let given = request.secret_id.unwrap_or_default();
    let deprecated = request.include_deprecated.unwrap_or_default();
    let parameters = format!("{given} {deprecated}");
    let list = List { operation: "ListSecretVersionIds", filter: &parameters, token: request.next_token.as_deref() };
    let after = list.after(context)?;
    let limit = request.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL);
    let (place, settings) = (context.place.clone(), context.settings);
    let state: &State = &context.read();
    let secret = any(state, &place, &given)?;
    let at = |version: &SecretVersion| format!("{:020}{}", version.created_at.millis().max(0), version.id);
    let rows = version::all(state, secret).into_iter().map(|version| (at(&version), shown(secret, &version)));
    let rows = rows.filter(|(_, row)| deprecated || row.version_stages.is_some());
    let (page, last) = cut(rows.collect(), after, limit, true);
    Ok(api::ListSecretVersionIdsResponse {
        versions: Some(page),
        next_token: last.map(|last| list.next(settings, &place, &last)),
        arn: Some(secret.arn(&place)),
        name: Some(secret.name.clone()),
    })
}

fn shown(secret: &Secret, version: &SecretVersion) -> api::SecretVersionsListEntry {
    let stages: Vec<String> = secret.stages_of(&version.id).cloned().collect();
    let key = version.kms_key.clone().unwrap_or_else(|| "DefaultEncryptionKey".to_owned());
    api::SecretVersionsListEntry {
        version_id: Some(version.id.clone()),
        version_stages: (!stages.is_empty()).then_some(stages),
        last_accessed_date: version.accessed_at,
        created_date: Some(version.created_at),
        kms_key_ids: Some(vec![key]),
    }
}

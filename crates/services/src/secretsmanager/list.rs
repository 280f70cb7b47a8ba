//! Lists: of secrets, in the order that is asked for, and of a secret's versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_api::secretsmanager as api;
use longshore_model::secret::{self, Secret, SecretVersion};
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

/// Where a row stands: in milliseconds, then by what tells those of one time apart.
type Position<'a> = (i64, &'a str);

fn written((at, name): Position<'_>) -> String {
    format!("{at:020}{name}")
}

fn read(text: &str) -> Option<Position<'_>> {
    let (at, name) = text.split_at_checked(20)?;
    Some((at.parse().ok()?, name))
}

fn at(time: Option<Timestamp>) -> i64 {
    time.map_or(0, Timestamp::millis).max(0)
}

/// Takes a page out of rows in whatever order, and the position that the next one begins behind. All rows are looked at,
/// a page of them is held.
fn select<'a, T>(
    rows: impl Iterator<Item = (Position<'a>, T)>,
    after: Option<Position<'a>>,
    limit: usize,
    descending: bool,
) -> (Vec<T>, Option<Position<'a>>) {
    let behind = |position, after| if descending { position < after } else { position > after };
    let drop_last = |kept: &mut BTreeMap<_, _>| if descending { kept.pop_first() } else { kept.pop_last() };
    let mut kept = BTreeMap::new();
    for (position, row) in rows.filter(|(position, _)| after.is_none_or(|after| behind(*position, after))) {
        kept.insert(position, row);
        if kept.len() > limit + 1 {
            drop_last(&mut kept);
        }
    }
    let more = kept.len() > limit && drop_last(&mut kept).is_some();
    let last = if descending { kept.keys().next() } else { kept.keys().next_back() }.copied();
    let mut page: Vec<T> = kept.into_values().collect();
    if descending {
        page.reverse();
    }
    (page, last.filter(|_| more))
}

/// Rows that are looked at for a page of those in the order of names. Where the ones that are meant are far apart, a page is a
/// short one.
const LOOKED: usize = 10_000;

/// Takes a page out of secrets in its order, which begin where it begins, and the name that the next one begins behind.
fn walk<'a>(
    rows: impl Iterator<Item = &'a Arc<Secret>>,
    is_meant: impl Fn(&Secret) -> bool,
    (limit, looked): (usize, usize),
) -> (Vec<Arc<Secret>>, Option<String>) {
    let mut rows = rows.peekable();
    let (mut page, mut last) = (Vec::new(), None);
    for _ in 0..looked {
        let Some(secret) = rows.next_if(|_| page.len() < limit) else { break };
        last = Some(&secret.name);
        page.extend(is_meant(secret).then(|| secret.clone()));
    }
    (page, last.filter(|_| rows.peek().is_some()).cloned())
}

/// A page of an account's secrets in the order of their names.
pub fn by_name(
    state: &State,
    place: &Place,
    after: Option<&str>,
    limit: usize,
    descending: bool,
    is_meant: impl Fn(&Secret) -> bool,
) -> (Vec<Arc<Secret>>, Option<String>) {
    let (prefix, after) = (format!("{}/", place.account), after.map(|name| secret::key(&place.account, name)));
    let most = (limit, LOOKED);
    match descending {
        true => walk(state.secrets.scan_back(&prefix, after.as_deref()).map(|(_, row)| row), is_meant, most),
        false => walk(state.secrets.scan_after(&prefix, after.as_deref()).map(|(_, row)| row), is_meant, most),
    }
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
    let is_meant = |secret: &Secret| (deleted || secret.deleted_at.is_none()) && filter::meets(&filters, secret);
    let (page, last) = match by {
        api::SortByType::Name => by_name(&state, &place, after.as_deref(), limit, descending, is_meant),
        _ => {
            let prefix = format!("{}/", place.account);
            let rows = state.secrets.scan(&prefix).map(|(_, secret)| secret).filter(|secret| is_meant(secret));
            let rows = rows.map(|secret| ((at(time(secret, by)), secret.name.as_str()), secret));
            let (page, last) = select(rows, after.as_deref().and_then(read), limit, descending);
            (page.into_iter().cloned().collect(), last.map(written))
        }
    };
    Ok(api::ListSecretsResponse {
        secret_list: Some(page.iter().map(|secret| entry(&place, secret)).collect()),
        next_token: last.map(|last| list.next(settings, &place, &last)),
    })
}

/// The time that a secret is sorted by.
fn time(secret: &Secret, by: api::SortByType) -> Option<Timestamp> {
    match by {
        api::SortByType::Name => None,
        api::SortByType::CreatedDate => Some(secret.created_at),
        api::SortByType::LastChangedDate => secret.changed_at,
        api::SortByType::LastAccessedDate => secret.accessed_at,
    }
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
    let versions = version::all(state, secret);
    let rows = versions.iter().map(|row| ((at(Some(row.created_at)), row.id.as_str()), shown(secret, row)));
    let rows = rows.filter(|(_, row)| deprecated || row.version_stages.is_some());
    let (page, last) = select(rows, after.as_deref().and_then(read), limit, true);
    Ok(api::ListSecretVersionIdsResponse {
        versions: Some(page),
        next_token: last.map(|last| list.next(settings, &place, &written(last))),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of `limit` until there are no more.
    fn paged(rows: &[(i64, &str)], limit: usize, descending: bool) -> Vec<Vec<String>> {
        let (mut pages, mut after): (Vec<Vec<String>>, Option<String>) = (Vec::new(), None);
        loop {
            let all = rows.iter().map(|row| (*row, row.1.to_owned()));
            let (page, last) = select(all, after.as_deref().and_then(read), limit, descending);
            pages.push(page);
            match last {
                Some(last) => after = Some(written(last)),
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_of_rows_in_any_order_are_in_theirs_and_leave_none_out() {
        let rows = [(3, "c"), (1, "b"), (2, "z"), (1, "a"), (9, "a")];
        assert_eq!(paged(&rows, 2, false), [vec!["a", "b"], vec!["z", "c"], vec!["a"]]);
        assert_eq!(paged(&rows, 2, true), [vec!["a", "c"], vec!["z", "b"], vec!["a"]]);
        assert_eq!(paged(&rows, 5, false), [["a", "b", "z", "c", "a"]]);
        assert_eq!(paged(&[], 1, true), [[""; 0]]);
        assert_eq!((read("x"), read(&written((7, "é")))), (None, Some((7, "é"))));
    }

    #[test]
    fn a_page_ends_where_enough_was_looked_at_and_the_next_goes_on_there() {
        let bench = crate::logs::testing::Bench::new();
        for name in ["a", "b", "c", "d", "e"] {
            let input = serde_json::json!({"Name": name, "SecretString": "x"});
            bench.of(&crate::secretsmanager::SERVICE, "CreateSecret", input).unwrap();
        }
        let state = bench.store.read();
        let page = |after: Option<&str>, most, wanted: &str| {
            let after = after.map(|name| secret::key(&bench.account, name));
            let prefix = format!("{}/", bench.account);
            let rows = state.secrets.scan_after(&prefix, after.as_deref()).map(|(_, row)| row);
            let (page, last) = walk(rows, |secret| wanted.contains(&secret.name), most);
            (page.iter().map(|row| row.name.clone()).collect::<String>(), last)
        };
        assert_eq!(page(None, (9, 3), "ae"), ("a".to_owned(), Some("c".to_owned())));
        assert_eq!(page(Some("c"), (9, 3), "ae"), ("e".to_owned(), None));
        assert_eq!(page(None, (2, 9), "abcde"), ("ab".to_owned(), Some("b".to_owned())));
        assert_eq!(page(Some("c"), (2, 9), "abcde"), ("de".to_owned(), None));
        assert_eq!(page(None, (9, 3), ""), (String::new(), Some("c".to_owned())));
    }
}

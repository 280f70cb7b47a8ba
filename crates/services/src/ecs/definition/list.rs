//! ListTaskDefinitions and ListTaskDefinitionFamilies.
//!
//! Definitions are listed family by family, and within a family by number. A position is `FAMILY:REVISION` with the number
//! padded, or the family alone.

use longshore_api::ecs::{self, SortOrder, TaskDefinitionFamilyStatus, TaskDefinitionStatus as Status};
use longshore_model::definition::family_key;
use longshore_model::{AccountId, State};
use longshore_wire::Fault;

use crate::Context;
use crate::ecs::page::{Asked, Page};
use crate::ecs::{fault, resolve};

/// ListTaskDefinitions. `familyPrefix` is a whole family name, in spite of its name; `status` is ACTIVE by default.
pub fn list(
    context: &mut Context<'_>,
    request: ecs::ListTaskDefinitionsRequest,
) -> Result<ecs::ListTaskDefinitionsResponse, Fault> {
    const OPERATION: &str = "ListTaskDefinitions";
    let family = check_prefix(request.family_prefix)?;
    let status = request.status.unwrap_or(Status::Active);
    let down = request.sort == Some(SortOrder::Desc);
    let filter = format!("{} {status} {down}", family.as_deref().unwrap_or_default());
    let asked = Asked { token: request.next_token.as_deref(), max_results: request.max_results };
    let page = Page::open(context, OPERATION, &filter, asked, 100)?;
    let account = context.account().clone();
    let state = context.read();
    let walk = Walk { state: &state, account: &account, down, status };
    let families = match family {
        Some(family) => vec![family],
        None => walk.families(page.after()),
    };
    let rows = families.iter().flat_map(|family| walk.revisions(family, page.after()));
    let (arns, next) = page.take(context, OPERATION, &filter, rows);
    Ok(ecs::ListTaskDefinitionsResponse { task_definition_arns: Some(arns), next_token: next })
}

/// One way through the definitions.
struct Walk<'a> {
    state: &'a State,
    account: &'a AccountId,
    down: bool,
    status: Status,
}

impl<'a> Walk<'a> {
    /// Families in order, beginning with the one of the position.
    fn families(&self, after: Option<&str>) -> Vec<String> {
        let first = after.and_then(|after| after.split_once(':')).map_or("", |(family, _)| family);
        let prefix = format!("{}/", self.account);
        let all = self.state.families.scan(&prefix).map(|(_, family)| family.family.clone());
        let mut families: Vec<String> = all.collect();
        if self.down {
            families.reverse();
        }
        families.retain(|family| match self.down {
            true => first.is_empty() || family.as_str() <= first,
            false => family.as_str() >= first,
        });
        families
    }

    /// A family's revisions of the status, behind the position, with their positions.
    fn revisions(&self, family: &str, after: Option<&str>) -> Vec<(String, String)> {
        let root = format!("{}/", self.account);
        let prefix = format!("{}:", family_key(self.account, family));
        let behind = after.map(|after| format!("{root}{after}")).filter(|key| key.starts_with(&prefix));
        let row = |(key, row): (&std::sync::Arc<str>, &std::sync::Arc<longshore_model::definition::TaskDefinition>)| {
            let wanted = row.api.status == Some(self.status);
            wanted.then(|| (key[root.len()..].to_owned(), row.api.task_definition_arn.clone().unwrap_or_default()))
        };
        match self.down {
            true => self.state.definitions.scan_back(&prefix, behind.as_deref()).filter_map(row).collect(),
            false => self.state.definitions.scan_after(&prefix, behind.as_deref()).filter_map(row).collect(),
        }
    }
}

/// ListTaskDefinitionFamilies: by prefix; ACTIVE are those with an ACTIVE revision, INACTIVE those with none. A family all
/// of whose revisions are gone is not listed.
pub fn families(
    context: &mut Context<'_>,
    request: ecs::ListTaskDefinitionFamiliesRequest,
) -> Result<ecs::ListTaskDefinitionFamiliesResponse, Fault> {
    const OPERATION: &str = "ListTaskDefinitionFamilies";
    let begin = check_prefix(request.family_prefix)?.unwrap_or_default();
    let status = request.status.unwrap_or(TaskDefinitionFamilyStatus::All);
    let filter = format!("{begin} {status}");
    let asked = Asked { token: request.next_token.as_deref(), max_results: request.max_results };
    let page = Page::open(context, OPERATION, &filter, asked, 100)?;
    let account = context.account().clone();
    let state = context.read();
    let prefix = family_key(&account, &begin);
    let after = page.after().map(|after| family_key(&account, after));
    let rows = state.families.scan_after(&prefix, after.as_deref()).filter_map(|(_, row)| {
        let shown = is_listed(&state, &account, &row.family, status);
        shown.then(|| (row.family.clone(), row.family.clone()))
    });
    let (families, next) = page.take(context, OPERATION, &filter, rows);
    Ok(ecs::ListTaskDefinitionFamiliesResponse { families: Some(families), next_token: next })
}

fn is_listed(state: &State, account: &AccountId, family: &str, status: TaskDefinitionFamilyStatus) -> bool {
    let prefix = format!("{}:", family_key(account, family));
    let mut rows = state.definitions.scan_back(&prefix, None).map(|(_, row)| row);
    let Some(newest) = rows.next() else {
        return false;
    };
    match status {
        TaskDefinitionFamilyStatus::All => true,
        TaskDefinitionFamilyStatus::Active => newest.is_active() || rows.any(|row| row.is_active()),
        TaskDefinitionFamilyStatus::Inactive => !newest.is_active() && !rows.any(|row| row.is_active()),
    }
}

fn check_prefix(given: Option<String>) -> Result<Option<String>, Fault> {
    match given.filter(|text| !text.is_empty()) {
        Some(text) if !resolve::is_name(&text) => Err(fault::invalid_parameter("Invalid family prefix.")),
        prefix => Ok(prefix),
    }
}

//! The account as a whole: its alias and its numbers.

use longshore_api::iam as api;
use longshore_api::iam::SummaryKeyType as Sum;
use longshore_model::iam::AccountAlias;
use longshore_model::{Change, TableName};
use longshore_wire::Fault;

use super::fault;
use super::page::{self, Asked};
use crate::Context;

/// An account has one alias; another takes its place.
pub fn create_alias(context: &mut Context<'_>, request: api::CreateAccountAliasRequest) -> Result<(), Fault> {
    let account = context.account().to_string();
    let alias = request.account_alias.unwrap_or_default();
    if !is_alias(&alias) {
        return Err(Fault::common(
            "ValidationError",
            400,
            "1 validation error detected: Value at 'accountAlias' failed to satisfy constraint: Member must satisfy regular \
             expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$",
        ));
    }
    context.transact(|state, changes, _| {
        if state.account_aliases.iter().any(|(_, other)| other.alias == alias && other.account != account) {
            return Err(fault::exists(format!("The account alias {alias} already exists.")));
        }
        changes.push(AccountAlias { account, alias }.into());
        Ok(())
    })
}

/// Small letters, digits and single hyphens between them; no account number.
fn is_alias(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let hyphens = text.starts_with('-') || text.ends_with('-') || text.contains("--");
    let number = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    (3..=63).contains(&text.len()) && text.bytes().all(|byte| plain(byte) || byte == b'-') && !hyphens && !number
}

pub fn delete_alias(context: &mut Context<'_>, request: api::DeleteAccountAliasRequest) -> Result<(), Fault> {
    let account = context.account().to_string();
    let alias = request.account_alias.unwrap_or_default();
    context.transact(|state, changes, _| {
        let found = state.account_aliases.get(&account).filter(|known| known.alias == alias);
        found.ok_or_else(|| fault::absent(format!("The account alias {alias} cannot be found.")))?;
        changes.push(Change::Delete(TableName::AccountAlias, account));
        Ok(())
    })
}

pub fn list_aliases(
    context: &mut Context<'_>,
    request: api::ListAccountAliasesRequest,
) -> Result<api::ListAccountAliasesResponse, Fault> {
    let account = context.account().to_string();
    let alias = context.read().account_aliases.get(&account).map(|known| known.alias.clone());
    let rows = alias.into_iter().map(|alias| (alias.clone(), alias)).collect();
    let asked = Asked {
        operation: "ListAccountAliases",
        filter: "",
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListAccountAliasesResponse {
        is_truncated: page.truncated(),
        account_aliases: Some(page.rows),
        marker: page.marker,
    })
}

/// Counts, and the quotas that hold here.
pub fn summary(context: &mut Context<'_>, (): ()) -> Result<api::GetAccountSummaryResponse, Fault> {
    let account = context.account().clone();
    let state = context.read();
    let prefix = format!("{account}/");
    let count = |rows: usize| i32::try_from(rows).unwrap_or(i32::MAX);
    let versions: usize = state.managed_policies.scan(&prefix).map(|(_, policy)| policy.versions.len()).sum();
    let root_keys = super::key::of_user(&state, &account, "").len();
    let counts = [
        (Sum::Users, count(state.users.scan(&prefix).count())),
        (Sum::UsersQuota, 5000),
        (Sum::Groups, count(state.groups.scan(&prefix).count())),
        (Sum::GroupsQuota, 300),
        (Sum::GroupsPerUserQuota, 10),
        (Sum::AccessKeysPerUserQuota, 2),
        (Sum::AccountAccessKeysPresent, i32::from(root_keys > 0)),
        (Sum::AttachedPoliciesPerGroupQuota, 10),
        (Sum::AttachedPoliciesPerRoleQuota, 10),
        (Sum::AttachedPoliciesPerUserQuota, 10),
        (Sum::Policies, count(state.managed_policies.scan(&prefix).count())),
        (Sum::PoliciesQuota, 1500),
        (Sum::PolicySizeQuota, 6144),
        (Sum::PolicyVersionsInUse, count(versions)),
        (Sum::VersionsPerPolicyQuota, 5),
        (Sum::InstanceProfiles, count(state.instance_profiles.scan(&prefix).count())),
        (Sum::InstanceProfilesQuota, 1000),
        (Sum::UserPolicySizeQuota, 2048),
        (Sum::GroupPolicySizeQuota, 5120),
        (Sum::RolePolicySizeQuota, 10_240),
        (Sum::AssumeRolePolicySizeQuota, 2048),
    ];
    let named = counts.into_iter().map(|(key, value)| (key.as_str().to_owned(), value));
    Ok(api::GetAccountSummaryResponse { summary_map: Some(named.collect()) })
}

#[cfg(test)]
mod tests {
    use super::is_alias;

    #[test]
    fn an_alias_is_a_host_name_and_no_account_number() {
        for good in ["abc", "my-company", "a1-b2", "1234567890123"] {
            assert!(is_alias(good), "{good}");
        }
        for bad in ["", "ab", "-abc", "abc-", "a--b", "Abc", "a_b", "123456789012", &"a".repeat(64)] {
            assert!(!is_alias(bad), "{bad}");
        }
    }
}

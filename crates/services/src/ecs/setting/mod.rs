//! Account settings: every name with its default and the values it may have.
//!
//! A setting is set for one principal, or (by the root user, or by PutAccountSettingDefault) for everybody who has none of
//! their own. The effective value is the principal's, else the account's, else AWS's default.

use std::str::FromStr;

use longshore_api::ecs::{self, SettingName as Name, SettingType};
use longshore_model::setting::{Setting, setting_key};
use longshore_model::{AccountId, Arn, Change, Place, State, TableName};
use longshore_wire::Fault;

use super::fault;
use super::page::{Asked, Page};
use super::resolve::shown;
use crate::Context;

/// A setting: its default, the values it may be given (none: AWS manages it), and its kind.
struct Known {
    name: Name,
    default: &'static str,
    values: &'static [&'static str],
}

const ON: &[&str] = &["enabled", "disabled"];

/// In the order in which they are listed.
const KNOWN: &[Known] = &[
    Known { name: Name::AwsvpcTrunking, default: "disabled", values: ON },
    Known { name: Name::ContainerInsights, default: "disabled", values: &["enabled", "disabled", "enhanced"] },
    Known { name: Name::ContainerInstanceLongArnFormat, default: "enabled", values: ON },
    Known { name: Name::DefaultLogDriverMode, default: "non-blocking", values: &["blocking", "non-blocking"] },
    Known { name: Name::FargateEventWindows, default: "disabled", values: ON },
    Known { name: Name::FargateFipsMode, default: "disabled", values: ON },
    Known { name: Name::FargateTaskRetirementWaitPeriod, default: "7", values: &["0", "7", "14"] },
    Known { name: Name::GuardDutyActivate, default: "off", values: &[] },
    Known { name: Name::ServiceLongArnFormat, default: "enabled", values: ON },
    Known { name: Name::TagResourceAuthorization, default: "on", values: &["on", "off"] },
    Known { name: Name::TaskLongArnFormat, default: "enabled", values: ON },
];

fn known(name: Name) -> &'static Known {
    KNOWN.iter().find(|known| known.name == name).unwrap_or(&KNOWN[0])
}

/// What holds for whoever has no setting of their own.
pub fn default_value(state: &State, account: &AccountId, name: Name) -> String {
    let set = state.settings.get(&setting_key(account, name.as_str(), ""));
    set.map_or_else(|| known(name).default.to_owned(), |setting| setting.value.clone())
}

/// What holds for `principal`, an ARN.
pub fn effective(state: &State, account: &AccountId, principal: &str, name: Name) -> String {
    let own = state.settings.get(&setting_key(account, name.as_str(), principal));
    own.map_or_else(|| default_value(state, account, name), |setting| setting.value.clone())
}

/// PutAccountSetting, for the caller or for `principalArn`.
pub fn put(
    context: &mut Context<'_>,
    request: ecs::PutAccountSettingRequest,
) -> Result<ecs::PutAccountSettingResponse, Fault> {
    let principal = principal(context, request.principal_arn.as_deref())?;
    let setting = store(context, request.name, request.value.as_deref(), &principal)?;
    Ok(ecs::PutAccountSettingResponse { setting: Some(setting) })
}

/// PutAccountSettingDefault, for everybody in the account without a setting of their own.
pub fn put_default(
    context: &mut Context<'_>,
    request: ecs::PutAccountSettingDefaultRequest,
) -> Result<ecs::PutAccountSettingDefaultResponse, Fault> {
    let setting = store(context, request.name, request.value.as_deref(), "")?;
    Ok(ecs::PutAccountSettingDefaultResponse { setting: Some(setting) })
}

fn store(
    context: &mut Context<'_>,
    name: Option<Name>,
    value: Option<&str>,
    principal: &str,
) -> Result<ecs::Setting, Fault> {
    let name = name.ok_or_else(|| fault::invalid_parameter("name can not be null."))?;
    let value = check_value(known(name), value.unwrap_or_default())?;
    let place = context.place.clone();
    context.transact(|_, changes, _| {
        let row = Setting {
            account: place.account.to_string(),
            principal: principal.to_owned(),
            name: name.as_str().to_owned(),
            value: value.clone(),
        };
        changes.push(row.into());
        Ok(shape(&place, name, value, principal))
    })
}

fn check_value(known: &Known, value: &str) -> Result<String, Fault> {
    if known.values.is_empty() {
        return Err(fault::invalid_parameter(format!(
            "The setting {} is managed by AWS and can not be changed.",
            known.name
        )));
    }
    // Upper and lower case are the same, as ECS has it.
    let found = known.values.iter().find(|valid| valid.eq_ignore_ascii_case(value));
    found.map(|valid| (*valid).to_owned()).ok_or_else(|| {
        fault::invalid_parameter(format!(
            "Invalid value '{}' for setting {}. Valid values are: {}.",
            shown(value),
            known.name,
            known.values.join(", ")
        ))
    })
}

/// DeleteAccountSetting: the principal has no setting of its own any more.
pub fn delete(
    context: &mut Context<'_>,
    request: ecs::DeleteAccountSettingRequest,
) -> Result<ecs::DeleteAccountSettingResponse, Fault> {
    let name = request.name.ok_or_else(|| fault::invalid_parameter("name can not be null."))?;
    let principal = principal(context, request.principal_arn.as_deref())?;
    let place = context.place.clone();
    let key = setting_key(&place.account, name.as_str(), &principal);
    let value = context.transact(|state, changes, _| {
        if state.settings.contains(&key) {
            changes.push(Change::Delete(TableName::Setting, key));
        }
        let left = match principal.is_empty() {
            true => known(name).default.to_owned(),
            false => default_value(state, &place.account, name),
        };
        Ok::<_, Fault>(left)
    })?;
    Ok(ecs::DeleteAccountSettingResponse { setting: Some(shape(&place, name, value, &principal)) })
}

/// ListAccountSettings: what was set for the principal, or with `effectiveSettings` every setting as it holds for it.
pub fn list(
    context: &mut Context<'_>,
    request: ecs::ListAccountSettingsRequest,
) -> Result<ecs::ListAccountSettingsResponse, Fault> {
    const OPERATION: &str = "ListAccountSettings";
    if request.value.is_some() && request.name.is_none() {
        return Err(fault::invalid_parameter("A value can be specified only together with a name."));
    }
    let principal = principal(context, request.principal_arn.as_deref())?;
    let all = request.effective_settings.unwrap_or(false);
    let name = request.name.map_or("", Name::as_str);
    let filter = format!("{all} {name} {principal} {}", request.value.as_deref().unwrap_or_default());
    let asked = Asked { token: request.next_token.as_deref(), max_results: request.max_results };
    let page = Page::open(context, OPERATION, &filter, asked, 10)?;
    let place = context.place.clone();
    let state = context.read();
    let rows = KNOWN.iter().filter(|known| request.name.is_none_or(|name| known.name == name));
    let rows = rows.filter_map(|known| held(&state, &place, &principal, known.name, all));
    let rows = rows.filter(|(_, row)| request.value.is_none() || row.value == request.value);
    let rows = rows.skip_while(|(name, _)| page.after().is_some_and(|after| !comes_after(name, after)));
    let (settings, next) = page.take(context, OPERATION, &filter, rows);
    Ok(ecs::ListAccountSettingsResponse { settings: Some(settings), next_token: next })
}

fn comes_after(name: &str, after: &str) -> bool {
    let place = |name: &str| {
        let name = Name::from_str(name).ok();
        KNOWN.iter().position(|known| Some(known.name) == name)
    };
    place(name) > place(after)
}

/// The setting as it holds for the principal; `None` when nothing was set and only what was set counts.
fn held(state: &State, place: &Place, principal: &str, name: Name, all: bool) -> Option<(String, ecs::Setting)> {
    let own = state.settings.contains(&setting_key(&place.account, name.as_str(), principal));
    let value = effective(state, &place.account, principal, name);
    (all || own).then(|| (name.as_str().to_owned(), shape(place, name, value, principal)))
}

fn shape(place: &Place, name: Name, value: String, principal: &str) -> ecs::Setting {
    let managed = known(name).values.is_empty();
    let principal = match principal {
        "" => root(place),
        principal => principal.to_owned(),
    };
    ecs::Setting {
        name: Some(name),
        value: Some(value),
        principal_arn: Some(principal),
        r#type: Some(if managed { SettingType::AwsManaged } else { SettingType::User }),
    }
}

fn root(place: &Place) -> String {
    format!("arn:aws:iam::{}:root", place.account)
}

/// Whose setting it is: empty for the root user, whose settings are the account's.
fn principal(context: &Context<'_>, given: Option<&str>) -> Result<String, Fault> {
    let arn = given.filter(|text| !text.is_empty()).unwrap_or(&context.principal);
    let parsed = Arn::parse(arn).filter(|arn| {
        let ours = arn.service == "iam" && arn.region.is_empty();
        let kind = arn.resource.split('/').next().unwrap_or_default();
        let named = matches!(kind, "user" | "role") && arn.resource.len() > kind.len() + 1;
        ours && arn.account == context.account().as_str() && (named || arn.resource == "root")
    });
    match parsed {
        Some(parsed) if parsed.resource == "root" => Ok(String::new()),
        Some(_) if arn.len() <= 2048 => Ok(arn.to_owned()),
        _ if given.is_none() => Ok(context.principal.clone()),
        _ => {
            Err(fault::invalid_parameter("principalArn must be the ARN of a user, role or root user of this account."))
        }
    }
}

#[cfg(test)]
mod tests;

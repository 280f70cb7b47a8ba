//! The registry as a whole: its policy and its settings.

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_model::State;
use longshore_model::registry::RegistrySettings;
use longshore_wire::Fault;

use super::{fault, policy};
use crate::Context;

fn settings(state: &State, account: &str) -> RegistrySettings {
    state.registry_settings.get(account).map(|row| RegistrySettings::clone(row)).unwrap_or_else(|| RegistrySettings {
        account: account.to_owned(),
        policy: None,
        settings: Default::default(),
    })
}

fn change<T>(
    context: &mut Context<'_>,
    change: impl FnOnce(&mut RegistrySettings) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let account = context.account().to_string();
    context.transact(|state, changes, _| {
        let mut row = settings(state, &account);
        let answer = change(&mut row)?;
        changes.push(row.into());
        Ok(answer)
    })
}

pub fn put_policy(
    context: &mut Context<'_>,
    request: api::PutRegistryPolicyRequest,
) -> Result<api::PutRegistryPolicyResponse, Fault> {
    let text = request.policy_text.unwrap_or_default();
    policy::read(&text)?;
    change(context, |row| {
        row.policy = Some(text.clone());
        Ok(())
    })?;
    let registry_id = Some(context.account().to_string());
    Ok(api::PutRegistryPolicyResponse { registry_id, policy_text: Some(text) })
}

fn missing(account: &str) -> Fault {
    let message = format!("Registry policy does not exist in the registry with id '{account}'");
    fault::of(&def::REGISTRY_POLICY_NOT_FOUND_EXCEPTION, message)
}

pub fn get_policy(
    context: &mut Context<'_>,
    _: api::GetRegistryPolicyRequest,
) -> Result<api::GetRegistryPolicyResponse, Fault> {
    let account = context.account().to_string();
    let policy = settings(&context.read(), &account).policy.ok_or_else(|| missing(&account))?;
    Ok(api::GetRegistryPolicyResponse { registry_id: Some(account), policy_text: Some(policy) })
}

pub fn delete_policy(
    context: &mut Context<'_>,
    _: api::DeleteRegistryPolicyRequest,
) -> Result<api::DeleteRegistryPolicyResponse, Fault> {
    let account = context.account().to_string();
    let policy = change(context, |row| row.policy.take().ok_or_else(|| missing(&account)))?;
    Ok(api::DeleteRegistryPolicyResponse { registry_id: Some(account), policy_text: Some(policy) })
}

/// Settings of a registry, what they may be, and what they are where nobody put them: the first.
const SETTINGS: &[(&str, &[&str])] = &[
    ("BASIC_SCAN_TYPE_VERSION", &["AWS_NATIVE"]),
    ("REGISTRY_POLICY_SCOPE", &["V2"]),
    ("BLOB_MOUNTING", &["ENABLED", "DISABLED"]),
];

fn known(name: &str) -> Result<&'static [&'static str], Fault> {
    let found = SETTINGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, values)| *values).ok_or_else(|| fault::validation(format!("There is no setting {name:.100}.")))
}

/// Whether layers may be mounted from one repository of the account's into another.
pub fn mounts(state: &State, account: &str) -> bool {
    let row = state.registry_settings.get(account);
    row.is_none_or(|row| row.settings.get("BLOB_MOUNTING").is_none_or(|value| value == "ENABLED"))
}

pub fn put_setting(
    context: &mut Context<'_>,
    request: api::PutAccountSettingRequest,
) -> Result<api::PutAccountSettingResponse, Fault> {
    let (name, value) = (request.name.unwrap_or_default(), request.value.unwrap_or_default());
    let values = known(&name)?;
    if !values.contains(&value.as_str()) {
        return Err(fault::validation(format!("{name} may be {} here.", values.join(" or "))));
    }
    change(context, |row| {
        row.settings.insert(name.clone(), value.clone());
        Ok(())
    })?;
    Ok(api::PutAccountSettingResponse { name: Some(name), value: Some(value) })
}

pub fn get_setting(
    context: &mut Context<'_>,
    request: api::GetAccountSettingRequest,
) -> Result<api::GetAccountSettingResponse, Fault> {
    let name = request.name.unwrap_or_default();
    let usual = known(&name)?.first().map(|value| (*value).to_owned());
    let account = context.account().to_string();
    let value = settings(&context.read(), &account).settings.get(&name).cloned().or(usual);
    Ok(api::GetAccountSettingResponse { name: Some(name), value })
}

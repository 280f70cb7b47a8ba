//! Service-linked roles: made for a service, changed by nobody else.

use longshore_api::iam as api;
use longshore_model::iam::{Grants, Role, key};
use longshore_model::{Change, TableName};
use longshore_wire::Fault;

use super::entity::unique_id;
use super::{fault, managed, role};
use crate::Context;

/// Paths of service-linked roles begin with it.
pub const PATH: &str = "/aws-service-role/";

/// A service that has such a role, the role's name, and its managed policy.
const SERVICES: &[(&str, &str, &str)] = &[
    ("ecs.amazonaws.com", "AWSServiceRoleForECS", "AmazonECSServiceRolePolicy"),
    (
        "ecs.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_ECSService",
        "AWSApplicationAutoscalingECSServicePolicy",
    ),
    ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", "AutoScalingServiceRolePolicy"),
    (
        "elasticloadbalancing.amazonaws.com",
        "AWSServiceRoleForElasticLoadBalancing",
        "AWSElasticLoadBalancingServiceRolePolicy",
    ),
];

pub fn create(
    context: &mut Context<'_>,
    request: api::CreateServiceLinkedRoleRequest,
) -> Result<api::CreateServiceLinkedRoleResponse, Fault> {
    let (account, now) = (context.account().clone(), context.now);
    let service = request.aws_service_name.unwrap_or_default();
    let Some((_, name, policy)) = SERVICES.iter().find(|(known, ..)| *known == service) else {
        return Err(fault::invalid(format!("Service role name has to be one of a known service: {service}")));
    };
    if request.custom_suffix.is_some() && service != "autoscaling.amazonaws.com" {
        return Err(fault::invalid(format!("Custom suffix is not allowed for {service}")));
    }
    let name = request.custom_suffix.map_or((*name).to_owned(), |suffix| format!("{name}_{suffix}"));
    let policy = managed::service_role_arn(policy);
    let role = context.transact(|state, changes, mint| {
        let role = Role {
            account: account.to_string(),
            path: format!("{PATH}{service}/"),
            id: unique_id(mint, "AROA"),
            created_at: now,
            trust: trust(&service),
            description: request.description,
            max_session_seconds: 3600,
            boundary: None,
            tags: super::tag::Tags::default(),
            grants: Some(Grants { attached: vec![policy], ..Grants::default() }),
            service: Some(service),
            name,
        };
        if state.roles.contains(&key(&account, &role.name)) {
            let message =
                "Service role name AWSServiceRoleFor has been taken in this account, please try a different suffix.";
            return Err(fault::invalid(message.replace("AWSServiceRoleFor", &role.name)));
        }
        role::check_new(state, &role)?;
        changes.push(role.clone().into());
        Ok(role)
    })?;
    Ok(api::CreateServiceLinkedRoleResponse { role: Some(role::shown(&role)) })
}

fn trust(service: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
    )
}

/// Deleted at once: the task that is answered has succeeded by the time anybody asks for it.
pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteServiceLinkedRoleRequest,
) -> Result<api::DeleteServiceLinkedRoleResponse, Fault> {
    let account = context.account().clone();
    let name = request.role_name.unwrap_or_default();
    let task = context.transact(|state, changes, mint| {
        let key = key(&account, &name);
        let role = state.roles.get(&key).ok_or_else(|| fault::missing("role", &name))?;
        let Some(service) = &role.service else {
            return Err(fault::invalid(format!("Role {name} is not a service linked role")));
        };
        changes.push(Change::Delete(TableName::Role, key));
        Ok(format!("task{PATH}{service}/{}/{}", role.name, mint.uuid()))
    })?;
    Ok(api::DeleteServiceLinkedRoleResponse { deletion_task_id: Some(task) })
}

pub fn deletion_status(
    context: &mut Context<'_>,
    request: api::GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<api::GetServiceLinkedRoleDeletionStatusResponse, Fault> {
    let task = request.deletion_task_id.unwrap_or_default();
    let parts: Vec<&str> = task.split('/').collect();
    let ["task", "aws-service-role", _, name, _] = parts[..] else {
        return Err(fault::absent(format!("Deletion task {task} was not found.")));
    };
    let gone = !context.read().roles.contains(&key(context.account(), name));
    let status = if gone { api::DeletionTaskStatusType::Succeeded } else { api::DeletionTaskStatusType::Failed };
    Ok(api::GetServiceLinkedRoleDeletionStatusResponse { status: Some(status), reason: None })
}

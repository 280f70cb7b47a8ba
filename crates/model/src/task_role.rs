//! The roles of a task: what its programs may do, and what is done for it before they run.
//!
//! A role is lent to tasks by its trust policy alone, which must let the service `ecs-tasks.amazonaws.com` assume it, for
//! this account and region if it names any (`aws:SourceAccount`, `aws:SourceArn`). Roles are never lent across accounts.

use std::sync::Arc;

use crate::arn::{Arn, Place};
use crate::iam::{self, Role};
use crate::ids::AccountId;
use crate::policy::{Kind, Policies, Principal, Request, ResourceRule, evaluate, parsed};
use crate::state::State;
use crate::task::Task;

/// Who assumes the roles of tasks.
pub const SERVICE: &str = "ecs-tasks.amazonaws.com";

/// Which of a task's roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleKind {
    /// The programs' own: `taskRoleArn`.
    Task,
    /// What pulls images and writes logs: `executionRoleArn`.
    Execution,
}

impl State {
    /// The role of an ARN, which must be its whole one.
    pub fn role(&self, arn: &str) -> Option<&Arc<Role>> {
        let parsed = Arn::parse(arn)?;
        let account = AccountId::parse(parsed.account)?;
        let role = self.roles.get(&iam::key(&account, parsed.resource.rsplit('/').next()?))?;
        (role.arn() == arn).then_some(role)
    }

    /// The ARN of a task's role: what the launch said, else the task definition. Whether there is such a role is another
    /// question.
    pub fn role_arn_of(&self, task: &Task, kind: RoleKind) -> Option<String> {
        let definition = self.definition_of(task).map(|definition| &definition.api);
        let overrides = task.overrides.as_deref();
        let (over, own) = match kind {
            RoleKind::Task => (
                overrides.and_then(|given| given.task_role_arn.as_deref()),
                definition.and_then(|api| api.task_role_arn.as_deref()),
            ),
            RoleKind::Execution => (
                overrides.and_then(|given| given.execution_role_arn.as_deref()),
                definition.and_then(|api| api.execution_role_arn.as_deref()),
            ),
        };
        let given = over.filter(|arn| !arn.is_empty()).or(own)?;
        Some(self.whole_role_arn(&task.account, given))
    }

    /// The ARN of a role that was given by ARN or by name.
    pub fn whole_role_arn(&self, account: &str, given: &str) -> String {
        let named = || AccountId::parse(account).and_then(|account| self.roles.get(&iam::key(&account, given)));
        match given.starts_with("arn:") {
            true => given.to_owned(),
            false => named().map_or_else(|| format!("arn:aws:iam::{account}:role/{given}"), |role| role.arn()),
        }
    }
}

/// ECS's words for a role that does not exist, or is not lent to tasks.
pub fn unable(arn: &str) -> String {
    format!(
        "ECS was unable to assume the role '{arn}' that was provided for this task. Please verify that the role being \
         passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this \
         role."
    )
}

/// Whether a role's trust policy lends it to tasks of this place.
pub fn is_lent(role: &Role, place: &Place) -> bool {
    let Some(trust) = parsed(Kind::Trust, &role.trust) else { return false };
    let principal = Principal::Service(SERVICE.to_owned());
    let mut context = principal.context();
    context.set("aws:SourceAccount", [place.account.as_str()]);
    context.set("aws:SourceArn", [place.arn("ecs", "*")]);
    let (arn, owner) = (role.arn(), &place.account);
    let request = Request { principal: &principal, action: "sts:AssumeRole", resource: &arn, owner, context: &context };
    let policies = Policies { resource: vec![&trust], rule: ResourceRule::Required, ..Policies::default() };
    role.account == place.account.as_str() && evaluate(&request, &policies).is_allowed()
}

#[cfg(test)]
mod tests {
    use longshore_wire::json;

    use super::*;
    use crate::definition::TaskDefinition;

    const ACCOUNT: &str = "123456789012";

    fn read<T: longshore_wire::Shape>(text: &str) -> T {
        json::from_slice(text.as_bytes()).expect("a record")
    }

    fn role(path: &str, trust: &str) -> Role {
        let role: Role = read(&format!(
            r#"{{"account": "{ACCOUNT}", "name": "App", "path": "{path}", "id": "AROA1", "createdAt": 1}}"#
        ));
        Role { trust: trust.to_owned(), ..role }
    }

    fn trust(principal: &str, condition: &str) -> String {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": {{{principal}}},
                "Action": "sts:AssumeRole"{condition}}}]}}"#
        )
    }

    #[test]
    fn a_role_is_lent_by_a_trust_policy_that_names_the_service_of_tasks() {
        let place = Place::new("us-east-1", &AccountId::parse(ACCOUNT).expect("an account"));
        let tasks = r#""Service": "ecs-tasks.amazonaws.com""#;
        let source = |arn: &str| format!(r#", "Condition": {{"ArnLike": {{"aws:SourceArn": "{arn}"}}}}"#);
        let account = |id: &str| format!(r#", "Condition": {{"StringEquals": {{"aws:SourceAccount": "{id}"}}}}"#);
        let rows = [
            (trust(tasks, ""), true),
            (trust(r#""Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]"#, ""), true),
            (trust(r#""Service": "ecs.amazonaws.com""#, ""), false),
            (trust(&format!(r#""AWS": "arn:aws:iam::{ACCOUNT}:root""#), ""), false),
            (trust(tasks, &source(&format!("arn:aws:ecs:us-east-1:{ACCOUNT}:*"))), true),
            (trust(tasks, &source(&format!("arn:aws:ecs:eu-west-1:{ACCOUNT}:*"))), false),
            (trust(tasks, &account(ACCOUNT)), true),
            (trust(tasks, &account("999999999999")), false),
            (String::new(), false),
        ];
        for (document, lent) in rows {
            assert_eq!(is_lent(&role("/", &document), &place), lent, "{document}");
        }
        let elsewhere = Place::new("us-east-1", &AccountId::parse("999999999999").expect("an account"));
        assert!(!is_lent(&role("/", &trust(tasks, "")), &elsewhere), "no role is lent to another account");
    }

    #[test]
    fn a_launch_may_name_another_role_and_a_name_stands_for_the_role_of_that_name() {
        let mut state = State::default();
        let definition: TaskDefinition = read(&format!(
            r#"{{"account": "{ACCOUNT}", "family": "web", "revision": 1, "api":
                {{"taskRoleArn": "arn:aws:iam::{ACCOUNT}:role/deep/App"}}}}"#
        ));
        state.apply(&definition.into());
        state.apply(&role("/deep/", "").into());
        let mut task: Task = read(&format!(
            r#"{{"account": "{ACCOUNT}", "cluster": "prod", "id": "1", "family": "web", "revision": 1,
                "desired": "RUNNING", "last": "RUNNING", "launchType": "FARGATE", "createdAt": 1}}"#
        ));
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/deep/App");
        assert_eq!(state.role_arn_of(&task, RoleKind::Task), Some(arn.clone()));
        assert_eq!(state.role_arn_of(&task, RoleKind::Execution), None);
        assert!(state.role(&arn).is_some());
        assert!(state.role(&format!("arn:aws:iam::{ACCOUNT}:role/App")).is_none(), "the path is part of it");
        task.overrides = Some(Box::new(read(r#"{"taskRoleArn": "App", "executionRoleArn": "none"}"#)));
        assert_eq!(state.role_arn_of(&task, RoleKind::Task), Some(arn));
        let unknown = Some(format!("arn:aws:iam::{ACCOUNT}:role/none"));
        assert_eq!(state.role_arn_of(&task, RoleKind::Execution), unknown);
    }
}

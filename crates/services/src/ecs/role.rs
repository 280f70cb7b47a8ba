//! The roles of tasks: whether they may be had, and their credentials.
//!
//! Nothing is kept of credentials: they are sealed in their token, made when a node asks for its task, good for an hour,
//! and void with the end of the task (see [`crate::sts::token`]). Where policies are not asked (`--auth permissive`), a role
//! need not exist, and one that does is had by every task of its account.

use longshore_api::ecs;
use longshore_api::sts::Credentials;
use longshore_model::definition::TaskDefinition;
use longshore_model::iam::{Caller, Claims, Identity, Role};
use longshore_model::task_role::{RoleKind, is_lent, unable};
use longshore_model::{AccountId, Arn, Place, State};
use longshore_wire::{Fault, Timestamp};

use super::fault;
use crate::sts::token;
use crate::{Settings, Vault};

/// How long credentials of tasks are good for.
const LIFETIME_SECONDS: i64 = 3600;

/// Checks the roles of a launch.
///
/// # Errors
/// `ClientException` for the first that tasks cannot have.
pub fn check(
    settings: &Settings,
    state: &State,
    place: &Place,
    definition: &TaskDefinition,
    overrides: Option<&ecs::TaskOverride>,
) -> Result<(), Fault> {
    let api = &definition.api;
    let over = |pick: fn(&ecs::TaskOverride) -> &Option<String>| overrides.and_then(|given| pick(given).as_ref());
    let given = [
        over(|given| &given.task_role_arn).or(api.task_role_arn.as_ref()),
        over(|given| &given.execution_role_arn).or(api.execution_role_arn.as_ref()),
    ];
    for role in given.into_iter().flatten().filter(|role| !role.is_empty()) {
        let arn = state.whole_role_arn(place.account.as_str(), role);
        lent(settings, state, place, &arn).ok_or_else(|| fault::client(unable(&arn)))?;
    }
    Ok(())
}

/// Whether tasks of this place can have the role; it need not exist where policies are not asked.
fn lent(settings: &Settings, state: &State, place: &Place, arn: &str) -> Option<()> {
    let role = state.role(arn).filter(|role| is_lent(role, place));
    (role.is_some() || !settings.enforces).then_some(())
}

/// Credentials of one of a task's roles, and the role's ARN.
///
/// # Errors
/// Why there are none, in words for the node's log.
pub fn credentials(
    state: &State,
    settings: &Settings,
    now: Timestamp,
    task: &str,
    kind: RoleKind,
) -> Result<(String, Credentials), String> {
    let task = state.tasks.get(task).filter(|task| !task.is_stopped()).ok_or("the task is over")?;
    let account = AccountId::parse(&task.account).ok_or("the task has no account")?;
    let arn = state.role_arn_of(task, kind).ok_or("the task has no such role")?;
    let place = Place::new(&settings.region, &account);
    let role = state.role(&arn).filter(|role| role.account == task.account);
    let role = role.filter(|role| !settings.enforces || is_lent(role, &place)).ok_or_else(|| unable(&arn))?;
    let session = Session { role, cluster: &task.cluster, task: &task.id };
    let issued = session.issue(&settings.vault, now).map_err(|fault| fault.to_string())?;
    Ok((arn, issued))
}

/// Who writes the logs of a task that one of a node's log senders sends: its execution role, or the node itself for a task that
/// has none. A role that is gone, or not lent to tasks any more, may nothing. `None` for a task that is not known, or is not of
/// a node that `node` has registered.
pub fn log_writer(state: &State, region: &str, node: Caller, task_arn: &str) -> Option<Caller> {
    let arn = Arn::parse(task_arn)?;
    let task = state.tasks.get(&format!("{}/{}", arn.account, arn.resource.strip_prefix("task/")?))?;
    state.nodes.get(task.node.as_deref()?).filter(|known| known.is_of(&node.arn()))?;
    let Some(role_arn) = state.role_arn_of(task, RoleKind::Execution) else { return Some(node) };
    let account = AccountId::parse(&task.account)?;
    let place = Place::new(region, &account);
    let role = state.role(&role_arn).filter(|role| is_lent(role, &place));
    let named = role_arn.rsplit('/').next().unwrap_or_default();
    let identity = Identity::Session {
        role: role.map_or(named, |role| &role.name).to_owned(),
        path: role.map_or("/", |role| &role.path).to_owned(),
        id: role.map(|role| role.id.clone()).unwrap_or_default(),
        name: task.id.clone(),
        tags: role.map(|role| role.tags.clone()).unwrap_or_default(),
    };
    // A session without claims has no policies.
    let claims = role.map(|role| Session { role, cluster: &task.cluster, task: &task.id }.claims());
    Some(Caller { account, access_key: node.access_key, identity, claims })
}

/// A task in a role.
struct Session<'a> {
    role: &'a Role,
    cluster: &'a str,
    task: &'a str,
}

impl Session<'_> {
    fn claims(&self) -> Claims {
        Claims {
            account: self.role.account.clone(),
            role: Some(self.role.name.clone()),
            role_id: Some(self.role.id.clone()),
            session_name: Some(self.task.to_owned()),
            task: Some(format!("{}/{}", self.cluster, self.task)),
            ..Claims::default()
        }
    }

    fn issue(&self, vault: &Vault, now: Timestamp) -> Result<Credentials, Fault> {
        token::issue(vault, now, LIFETIME_SECONDS, self.claims())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ecs::testing::{ACCOUNT, World, record};
    use crate::ecs::testing_tasks::{Tasks, container, fargate};

    const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}"#;

    fn role(name: &str, trust: &str) -> longshore_model::Change {
        let id = format!("AROA{name}");
        record::<Role>(json!({
            "account": ACCOUNT, "name": name, "path": "/", "id": id, "createdAt": 1, "trust": trust,
        }))
    }

    fn arn(name: &str) -> String {
        format!("arn:aws:iam::{ACCOUNT}:role/{name}")
    }

    /// Where policies are asked; `lent` exists and is lent to tasks, `kept` exists.
    fn world() -> World {
        let mut world = World::new();
        world.prepare(8);
        world.put([role("lent", TRUST), role("kept", &TRUST.replace("ecs-tasks", "ec2"))]);
        world.settings.enforces = true;
        for name in ["lent", "kept", "none"] {
            let request = json!({
                "family": name, "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
                "memory": "512", "taskRoleArn": arn(name), "containerDefinitions": [container(json!({}))],
            });
            world.ok("RegisterTaskDefinition", request);
        }
        world
    }

    fn with(definition: &str, overrides: Value) -> Value {
        let mut request = fargate(definition);
        request["overrides"] = overrides;
        request
    }

    #[test]
    fn a_launch_is_refused_whose_roles_tasks_cannot_have() {
        let mut world = world();
        world.ok("RunTask", fargate("lent"));
        world.ok("RunTask", with("kept", json!({"taskRoleArn": arn("lent")})));
        world.ok("RunTask", with("web", json!({"taskRoleArn": "lent", "executionRoleArn": ""})));
        let rows = [
            (fargate("kept"), "kept"),
            (fargate("none"), "none"),
            (with("web", json!({"taskRoleArn": arn("kept")})), "kept"),
            (with("lent", json!({"executionRoleArn": arn("none")})), "none"),
        ];
        for (request, name) in rows {
            let told = format!("ClientException: {}", unable(&arn(name)));
            assert_eq!(world.fault("RunTask", request.clone()), told);
            world.settings.enforces = false;
            world.ok("RunTask", request);
            world.settings.enforces = true;
        }
    }

    #[test]
    fn credentials_are_of_the_tasks_own_role_and_name_the_task() {
        let mut world = world();
        let task = world.ok("RunTask", fargate("lent"))["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
        let id = task.rsplit('/').next().unwrap().to_owned();
        let key = format!("{ACCOUNT}/prod/{id}");
        let now = Timestamp::from_millis(world.now);
        let issued = |world: &World, kind| credentials(&world.store.read(), &world.settings, now, &key, kind);
        let (role_arn, made) = issued(&world, RoleKind::Task).unwrap();
        assert_eq!(role_arn, arn("lent"));
        assert_eq!(made.expiration, Some(Timestamp::from_millis(world.now + 3_600_000)));
        let (access_key, token) = (made.access_key_id.unwrap(), made.session_token.unwrap());
        let claims = token::open(&world.settings.vault, &access_key, &token).unwrap();
        let caller = token::caller(&world.store.read(), claims.clone()).unwrap();
        assert_eq!(caller.arn(), format!("arn:aws:sts::{ACCOUNT}:assumed-role/lent/{id}"));
        assert_eq!(issued(&world, RoleKind::Execution).unwrap_err(), "the task has no such role");
        world.put([role("lent", &TRUST.replace("ecs-tasks", "ec2"))]);
        assert_eq!(issued(&world, RoleKind::Task).unwrap_err(), unable(&arn("lent")));
        world.put([role("lent", TRUST)]);
        world.finish_all();
        assert_eq!(issued(&world, RoleKind::Task).unwrap_err(), "the task is over");
        assert_eq!(token::caller(&world.store.read(), claims), None, "with the task its sessions end");
    }

    #[test]
    fn the_execution_role_writes_the_logs_of_its_node() {
        let mut world = world();
        let run = |world: &mut World, overrides: Value| {
            let made = world.ok("RunTask", with("web", overrides));
            made["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
        };
        let own = run(&mut world, json!({}));
        let lent = run(&mut world, json!({"executionRoleArn": arn("lent")}));
        let id = lent.rsplit('/').next().unwrap().to_owned();
        let node = || Caller::root(AccountId::parse(ACCOUNT).unwrap());
        let writer = |world: &World, node, task: &str| log_writer(&world.store.read(), "us-east-1", node, task);
        assert_eq!(writer(&world, node(), &own), Some(node()));
        let found = writer(&world, node(), &lent).unwrap();
        assert_eq!(found.arn(), format!("arn:aws:sts::{ACCOUNT}:assumed-role/lent/{id}"));
        assert!(found.claims.is_some());
        assert_eq!(writer(&world, node(), &lent.replace(&id, "0")), None, "there is no such task");
        assert_eq!(writer(&world, node(), "arn:task"), None);
        let record = |world: &World| world.store.read().nodes.iter().next().unwrap().1.as_ref().clone();
        let owner = Some(format!("arn:aws:iam::{ACCOUNT}:user/other"));
        let before = record(&world);
        world.put([longshore_model::node::Node { owner, ..before.clone() }.into()]);
        assert_eq!(writer(&world, node(), &lent), None, "the node is another's");
        world.put([before.into()]);
        world.put([role("lent", &TRUST.replace("ecs-tasks", "ec2"))]);
        let found = writer(&world, node(), &lent).unwrap();
        assert_eq!((found.arn().ends_with(&id), found.claims), (true, None), "it has no policies");
    }
}

//! Rotation: how and when a secret gets another value, and by what.
//!
//! Lambda is not here: `RotationLambdaARN` is the ARN of a task definition. The loop runs its tasks
//! ([`longshore_plan::rotate`]); here is what callers say of it.

use longshore_api::ecs::TaskStopCode;
use longshore_api::secretsmanager as api;
use longshore_model::definition::TaskDefinition;
use longshore_model::secret::{Rotation, Secret};
use longshore_model::task::Task;
use longshore_model::{Change, Place, State};
use longshore_plan::rotate::{CLUSTER, next_window};
use longshore_plan::schedule::Schedule;
use longshore_wire::{Fault, Timestamp};

use super::find::Desk;
use super::{fault, find, stage, version};
use crate::ecs::resolve::{self, DefinitionRef};
use crate::ecs::{cluster, definition, role};
use crate::{Context, Settings};

/// The longest window, in hours.
const LONGEST_WINDOW: i64 = 24;

/// Why a task is stopped whose rotation was cancelled.
const CANCELLED: &str = "The rotation of the secret was cancelled";

/// Sets rotation up, and rotates at once unless the caller does not want it. Said again with the same token while AWSPENDING or
/// AWSCURRENT is at that version, it has no further effect, but that an attempt which failed is made again at once.
///
/// # Errors
/// `InvalidRequestException` if no function is known, it cannot be run, the secret is scheduled for deletion, or a rotation is
/// not complete; `InvalidParameterException` for rules or an ARN that say nothing, and a token that names another version.
pub fn rotate(
    context: &mut Context<'_>,
    request: api::RotateSecretRequest,
) -> Result<api::RotateSecretResponse, Fault> {
    let external = request.external_secret_rotation_metadata.is_some();
    if external || request.external_secret_rotation_role_arn.is_some() {
        return Err(fault::parameter("Longshore does not rotate secrets that others manage."));
    }
    let (place, settings) = (context.place.clone(), context.settings);
    let at_once = request.rotate_immediately.unwrap_or(true);
    let (token, function, rules) = (request.client_request_token, request.rotation_lambda_arn, request.rotation_rules);
    let (secret, id) = find::change(context, &request.secret_id.unwrap_or_default(), |desk, secret| {
        let mut rotation = match secret.rotation.take() {
            Some(rotation) => rotation,
            None => fresh(),
        };
        configure(&mut rotation, function, rules)?;
        runnable(settings, desk.state, &place, &rotation)?;
        cluster::ensure_default(desk.state, desk.changes, &place, CLUSTER).map_err(of_ecs)?;
        rotation.enabled = true;
        rotation.next_at = scheduled(&rotation, desk.ring.now)?;
        let id = if at_once { Some(begin(desk, secret, &mut rotation, token)?) } else { None };
        secret.rotation = Some(rotation);
        Ok(id)
    })?;
    Ok(api::RotateSecretResponse { arn: Some(secret.arn(&context.place)), name: Some(secret.name), version_id: id })
}

fn fresh() -> Rotation {
    Rotation {
        function: String::new(),
        enabled: false,
        after_days: None,
        duration: None,
        schedule: None,
        rotated_at: None,
        next_at: None,
        try_at: None,
        failures: 0,
        running: None,
    }
}

/// Takes over what a request says; what it does not say stays.
///
/// # Errors
/// `InvalidRequestException` without a function, `InvalidParameterException` for rules that contradict themselves.
fn configure(
    rotation: &mut Rotation,
    function: Option<String>,
    rules: Option<api::RotationRulesType>,
) -> Result<(), Fault> {
    if let Some(function) = function.filter(|function| !function.is_empty()) {
        rotation.function = function;
    }
    if rotation.function.is_empty() {
        return Err(fault::request(
            "You tried to enable rotation on a secret that doesn't already have a Lambda function ARN configured and you \
             didn't include such an ARN as a parameter in this call.",
        ));
    }
    let Some(rules) = rules else { return Ok(()) };
    if rules.automatically_after_days.is_some() && rules.schedule_expression.is_some() {
        return Err(fault::parameter("You can't specify both AutomaticallyAfterDays and ScheduleExpression."));
    }
    let hours = rules.duration.as_deref().and_then(|duration| duration.strip_suffix('h')?.parse::<i64>().ok());
    if rules.duration.is_some() && !hours.is_some_and(|hours| (1..=LONGEST_WINDOW).contains(&hours)) {
        return Err(fault::parameter(format!("Duration must be between 1h and {LONGEST_WINDOW}h.")));
    }
    (rotation.after_days, rotation.schedule) = (rules.automatically_after_days, rules.schedule_expression);
    rotation.duration = rules.duration;
    Ok(())
}

/// When the next window opens; none without rules.
///
/// # Errors
/// `InvalidParameterException` for an expression that does not read or names no time that comes.
fn scheduled(rotation: &Rotation, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
    let next = next_window(rotation, now);
    match rotation.schedule.as_deref() {
        Some(text) if Schedule::parse(text).is_none() || next.is_none() => Err(fault::parameter(
            "Invalid ScheduleExpression. Use rate() or cron() with at least four hours between rotations.",
        )),
        _ => Ok(next),
    }
}

/// Checks that tasks of the function can be run.
///
/// # Errors
/// `InvalidParameterException` for an ARN of something else, `InvalidRequestException` for a task definition that is not
/// there, is not for Fargate, or has a role that tasks cannot have.
fn runnable(settings: &Settings, state: &State, place: &Place, rotation: &Rotation) -> Result<(), Fault> {
    let named = named(place, &rotation.function).ok_or_else(|| {
        fault::parameter(
            "RotationLambdaARN must be the ARN of an Amazon ECS task definition of this account and region: Longshore has no \
             Lambda functions.",
        )
    })?;
    let found: &TaskDefinition = definition::runnable(state, &place.account, &named).map_err(of_ecs)?;
    if !found.suits_fargate() {
        return Err(fault::request("The task definition that rotates a secret must be for FARGATE."));
    }
    role::check(settings, state, place, found, None).map_err(of_ecs)
}

/// The task definition that an ARN names.
fn named(place: &Place, arn: &str) -> Option<DefinitionRef> {
    resolve::definition_ref(place, arn).ok().filter(|_| arn.starts_with("arn:"))
}

/// What ECS refuses, in its words.
fn of_ecs(refused: Fault) -> Fault {
    if refused.sender { fault::request(refused.message) } else { refused }
}

/// Has AWSPENDING say which version is to come. Answers with its id.
///
/// # Errors
/// `InvalidRequestException` while a rotation is not complete, `InvalidParameterException` for a token that names another
/// version.
fn begin(
    desk: &mut Desk<'_, '_>,
    secret: &mut Secret,
    rotation: &mut Rotation,
    token: Option<String>,
) -> Result<String, Fault> {
    let id = token.unwrap_or_else(|| desk.mint.uuid());
    let running = rotation.running.is_some();
    match secret.pending() {
        Some(pending) if *pending == id && running => return Ok(id),
        Some(pending) if *pending == id => {}
        None if secret.stages.get(stage::CURRENT) == Some(&id) => return Ok(id),
        None if !running && version::find(desk.state, secret, &id).is_none() => {
            secret.stages.insert(stage::PENDING.to_owned(), id.clone());
        }
        None if !running => {
            return Err(fault::parameter(format!("ClientRequestToken {id} is in use for a version of the secret.")));
        }
        _ => return Err(fault::request("A previous rotation isn't complete. That rotation will be reattempted.")),
    }
    (rotation.try_at, rotation.failures) = (Some(desk.ring.now), 0);
    Ok(id)
}

/// Ends rotation, and stops the task of one that is under way. What it has made stays, with its labels.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException` if the secret is scheduled for deletion.
pub fn cancel(
    context: &mut Context<'_>,
    request: api::CancelRotateSecretRequest,
) -> Result<api::CancelRotateSecretResponse, Fault> {
    let (secret, ()) = find::change(context, &request.secret_id.unwrap_or_default(), |desk, secret| {
        let Some(rotation) = &mut secret.rotation else { return Ok(()) };
        rotation.enabled = false;
        (rotation.next_at, rotation.try_at) = (None, None);
        let running =
            rotation.running.as_ref().and_then(|attempt| desk.state.tasks.get(&attempt.task_key(&secret.account)));
        desk.changes.extend(running.and_then(|task| stopped(task, desk.ring.now)));
        Ok(())
    })?;
    let pending = secret.pending().cloned();
    let arn = Some(secret.arn(&context.place));
    Ok(api::CancelRotateSecretResponse { arn, name: Some(secret.name), version_id: pending })
}

/// The task, told to stop; none if it was before.
fn stopped(task: &Task, now: Timestamp) -> Option<Change> {
    let mut task = task.clone();
    let told = !task.is_stopped() && task.request_stop(TaskStopCode::UserInitiated, CANCELLED, now);
    told.then(|| task.into())
}

/// What descriptions show of it, if rotation was ever set up.
#[derive(Default)]
pub struct Shown {
    pub enabled: Option<bool>,
    pub function: Option<String>,
    pub rules: Option<api::RotationRulesType>,
    pub rotated_at: Option<Timestamp>,
    pub next_at: Option<Timestamp>,
}

impl Shown {
    pub fn of(secret: &Secret) -> Self {
        let Some(rotation) = &secret.rotation else { return Self::default() };
        let rules = api::RotationRulesType {
            automatically_after_days: rotation.after_days,
            duration: rotation.duration.clone(),
            schedule_expression: rotation.schedule.clone(),
        };
        Self {
            enabled: Some(rotation.enabled),
            function: Some(rotation.function.clone()),
            rules: (rules != api::RotationRulesType::default()).then_some(rules),
            rotated_at: rotation.rotated_at,
            next_at: rotation.next_at,
        }
    }
}

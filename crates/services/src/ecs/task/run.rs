//! RunTask.

use longshore_api::ecs;
use longshore_model::cluster::Cluster;
use longshore_model::definition::TaskDefinition;
use longshore_model::task::{Task, key};
use longshore_model::{Change, Mint, Place, State};
use longshore_plan::launch::{self as planned, Launch};
use longshore_plan::place::{Draft, Peers, Refusal};
use longshore_plan::strategy;
use longshore_wire::{Fault, Timestamp};

use super::launch::{self, Capacity};
use super::overrides;
use super::token::{self, Used};
use crate::Context;
use crate::ecs::resolve::{self, DefinitionRef};
use crate::ecs::service::extras;
use crate::ecs::{cluster, definition, describe, fault, role, tag};

/// Most tasks of one RunTask.
const COUNT: i32 = 10;

const STARTED_BY: usize = 128;
const GROUP: usize = 255;
const REFERENCE_ID: usize = 1024;
const CLIENT_TOKEN: usize = 64;

/// RunTask: place and record up to ten tasks. What no node takes is in `failures`.
///
/// # Errors
/// `InvalidParameterException` and `ClientException` for what the request says wrongly, `ConflictException` for a client
/// token that was used for something else, `UnsupportedFeatureException` for what Longshore does not have yet.
pub fn run(context: &mut Context<'_>, request: ecs::RunTaskRequest) -> Result<ecs::RunTaskResponse, Fault> {
    let place = context.place.clone();
    let (now, settings) = (context.now, context.settings);
    let asked = Asked::read(&place, request)?;
    context.transact(|state, changes, mint| {
        if let Some(made) = asked.token.as_ref().map(|token| token.made(state, now)).transpose()?.flatten() {
            return Ok(again(state, &place, &asked.cluster, &made));
        }
        let found = found(state, changes, &place, &asked)?;
        role::check(settings, state, &place, found.definition, found.overrides.as_ref())?;
        let outcome = place_all(state, &asked, &found, now, mint);
        Ok(record(state, changes, &place, &asked, outcome, now))
    })
}

/// The request, as far as it can be checked by itself.
struct Asked {
    place: Place,
    cluster: String,
    definition: DefinitionRef,
    count: i32,
    group: Option<String>,
    tags: Vec<ecs::Tag>,
    platform_version: String,
    token: Option<Used>,
    request: ecs::RunTaskRequest,
}

impl Asked {
    fn read(place: &Place, mut request: ecs::RunTaskRequest) -> Result<Self, Fault> {
        let cluster = resolve::cluster_name(place, request.cluster.as_deref())?;
        let definition = resolve::definition_ref(place, request.task_definition.as_deref().unwrap_or_default())?;
        let count = request.count.unwrap_or(1);
        if !(1..=COUNT).contains(&count) {
            return Err(fault::invalid_parameter(format!("count must be between 1 and {COUNT}.")));
        }
        check_words(&request)?;
        check_options(&request)?;
        let tags = tag::check_given(request.tags.as_deref())?;
        let platform_version = launch::platform_version(request.platform_version.as_deref())?;
        let given = request.client_token.take();
        request.cluster = Some(cluster.clone());
        let token = token::read(&place.account, &cluster, "RunTask", given.as_deref(), CLIENT_TOKEN, &request)?;
        let group = request.group.take().filter(|group| !group.is_empty());
        Ok(Self { place: place.clone(), cluster, definition, count, group, tags, platform_version, token, request })
    }
}

fn check_words(request: &ecs::RunTaskRequest) -> Result<(), Fault> {
    let started_by = request.started_by.as_deref().unwrap_or_default();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/.:@+=".contains(&byte);
    if started_by.len() > STARTED_BY {
        return Err(fault::invalid_parameter(format!("startedBy can be at most {STARTED_BY} characters long.")));
    }
    if !started_by.bytes().all(word) {
        return Err(fault::invalid_parameter("startedBy contains invalid characters."));
    }
    let group = request.group.as_deref().unwrap_or_default();
    if group.len() > GROUP || group.chars().any(char::is_control) {
        return Err(fault::invalid_parameter(format!("group can be at most {GROUP} printable characters long.")));
    }
    if group.starts_with("service:") {
        return Err(fault::invalid_parameter("Invalid namespace for group: service: is reserved for services."));
    }
    if request.reference_id.as_deref().is_some_and(|id| id.len() > REFERENCE_ID) {
        return Err(fault::invalid_parameter(format!("referenceId can be at most {REFERENCE_ID} characters long.")));
    }
    Ok(())
}

fn check_options(request: &ecs::RunTaskRequest) -> Result<(), Fault> {
    if request.propagate_tags == Some(ecs::PropagateTags::Service) {
        return Err(fault::invalid_parameter("propagateTags cannot be SERVICE for tasks without a service."));
    }
    Ok(())
}

/// What the request names, found in the state.
struct Found<'a> {
    definition: &'a TaskDefinition,
    capacity: Capacity,
    network: ecs::NetworkConfiguration,
    overrides: Option<ecs::TaskOverride>,
    tags: Vec<ecs::Tag>,
    group: String,
    storage_key: Option<String>,
}

fn found<'a>(state: &'a State, changes: &mut Vec<Change>, place: &Place, asked: &Asked) -> Result<Found<'a>, Fault> {
    let request = &asked.request;
    cluster::ensure_default(state, changes, place, &asked.cluster)?;
    let there: Option<&Cluster> = cluster::active(state, &place.account, &asked.cluster).ok().map(AsRef::as_ref);
    let definition = definition::runnable(state, &place.account, &asked.definition)?;
    let items = request.capacity_provider_strategy.as_deref();
    let capacity = launch::capacity(state, there, request.launch_type, items)?;
    launch::check_definition(definition)?;
    launch::check_placement(request.placement_constraints.as_deref(), request.placement_strategy.as_deref())?;
    let network = launch::network(state, &place.account, request.network_configuration.as_ref())?;
    let volumes = request.volume_configurations.as_deref().unwrap_or_default();
    extras::check_volumes(volumes.iter().map(|volume| &volume.name), definition)?;
    let overrides = request.overrides.as_ref().map(|given| overrides::check(given, definition)).transpose()?;
    let group = asked.group.clone().unwrap_or_else(|| format!("family:{}", definition.family));
    Ok(Found {
        definition,
        capacity,
        network,
        overrides,
        tags: tags(asked, definition)?,
        group,
        storage_key: cluster::storage_key(there),
    })
}

/// The caller's tags, over those of the definition where they are to be propagated, and those that ECS manages.
fn tags(asked: &Asked, definition: &TaskDefinition) -> Result<Vec<ecs::Tag>, Fault> {
    let propagated = match asked.request.propagate_tags {
        Some(ecs::PropagateTags::TaskDefinition) => definition.tags.as_slice(),
        _ => &[],
    };
    let mut tags = tag::merge(propagated, asked.tags.clone())?;
    if asked.request.enable_ecs_managed_tags == Some(true) {
        tags.extend(planned::managed_tags(&asked.cluster, None));
    }
    Ok(tags)
}

/// Tasks made, and why each of the others was not.
type Outcome = (Vec<Task>, Vec<Refusal>);

fn place_all(state: &State, asked: &Asked, found: &Found<'_>, now: Timestamp, mint: &mut Mint) -> Outcome {
    let (mut draft, mut peers) = (Draft::new(state), Peers::default());
    let (mut tasks, mut refusals) = (Vec::new(), Vec::new());
    let items = found.capacity.strategy();
    let mut placed = vec![0; items.len()];
    for _ in 0..asked.count {
        let provider = strategy::next(items, &placed);
        let name = provider.and_then(|index| items[index].capacity_provider.as_deref());
        let launch = one(asked, found, name);
        match planned::task(&launch, &mut draft, &mut peers, now, mint) {
            Ok(task) => {
                tasks.push(task);
                if let Some(index) = provider {
                    placed[index] += 1;
                }
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    (tasks, refusals)
}

fn one<'a>(asked: &'a Asked, found: &'a Found<'_>, capacity_provider: Option<&'a str>) -> Launch<'a> {
    static NOWHERE: ecs::AwsVpcConfiguration =
        ecs::AwsVpcConfiguration { subnets: None, security_groups: None, assign_public_ip: None };
    Launch {
        account: asked.place.account.as_str(),
        cluster: &asked.cluster,
        definition: found.definition,
        service: None,
        group: &found.group,
        started_by: asked.request.started_by.as_deref().filter(|text| !text.is_empty()),
        overrides: found.overrides.as_ref(),
        capacity_provider,
        platform_version: &asked.platform_version,
        network: found.network.awsvpc_configuration.as_ref().unwrap_or(&NOWHERE),
        enable_execute_command: asked.request.enable_execute_command == Some(true),
        tags: &found.tags,
        pins: &[],
        storage_key: found.storage_key.as_deref(),
    }
}

fn record(
    state: &State,
    changes: &mut Vec<Change>,
    place: &Place,
    asked: &Asked,
    (tasks, refusals): Outcome,
    now: Timestamp,
) -> ecs::RunTaskResponse {
    let shown = tasks.iter().map(|task| describe::task(state, place, task, true)).collect();
    let made: Vec<String> = tasks.iter().map(|task| place.task(&asked.cluster, &task.id)).collect();
    changes.extend(tasks.into_iter().map(Change::from));
    // A request that made nothing may be tried again under the same token.
    if let Some(token) = asked.token.clone().filter(|_| !made.is_empty()) {
        changes.push(token.record(made, now).into());
    }
    ecs::RunTaskResponse { tasks: Some(shown), failures: Some(refusals.iter().map(failure).collect()) }
}

fn failure(refusal: &Refusal) -> ecs::Failure {
    ecs::Failure { arn: None, reason: Some(refusal.reason().to_owned()), detail: Some(refusal.detail()) }
}

/// The answer to a request that was made before: what it made, as it is now.
fn again(state: &State, place: &Place, cluster: &str, made: &[String]) -> ecs::RunTaskResponse {
    let ids = made.iter().filter_map(|arn| arn.rsplit('/').next());
    let tasks = ids.filter_map(|id| state.tasks.get(&key(&place.account, cluster, id)));
    let tasks = tasks.map(|task| describe::task(state, place, task, true)).collect();
    ecs::RunTaskResponse { tasks: Some(tasks), failures: Some(Vec::new()) }
}

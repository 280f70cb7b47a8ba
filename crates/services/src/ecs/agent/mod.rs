//! What agents call: registration, the address of their session, reports.
//!
//! Our own node and Amazon's agent use the same operations. A node whose attributes hold `longshore.fargate` serves every
//! cluster and account: it registers under the pseudo cluster [`FARGATE_CLUSTER`], belongs to none, and says with
//! `longshore.public-pool` which block its public addresses come from.
//!
//! A clientToken (Amazon's agent sends one; the public model has none) makes the same node of a registration whose answer was
//! lost. Registering again with the ARN of before keeps the node's identity, also when this control plane has never seen it
//! (its data was lost): what the node still runs is then settled by its session. A node with a key of its own ([`crate::node`]) is the
//! one that the key says, and reports its own tasks alone. Of others, where signatures are verified, only who registered it first
//! can do so again, or open its session, and no session of a role registers a node that serves every cluster: a task whose role may
//! do everything in ECS would get the credentials of other tasks there. Their reports carry no node in this protocol; a task is
//! found by its ARN, of the node's account or the caller's.

#[cfg(test)]
mod tests;

use longshore_api::ecs;
use longshore_model::network::Block;
use longshore_model::node::{FARGATE_CLUSTER, Node};
use longshore_model::setting::{Token, token_key};
use longshore_model::{Arn, Change, Place, State};
use longshore_plan::reap;
use longshore_plan::report::{self, ContainerReport, Refused, TaskReport};
use longshore_wire::{Fault, ProtocolKind, Timestamp};

use super::{cluster, describe, fault, resolve, tag};
use crate::{Context, authority};

/// Marks a node that serves every cluster.
pub const FARGATE: &str = "longshore.fargate";

/// The block that a node's public addresses come from.
pub const PUBLIC_POOL: &str = "longshore.public-pool";

/// The zone that a node of ours says it is in.
pub const NODE_ZONE: &str = "longshore.zone";

/// The zone that ECS adds to every node.
const ZONE: &str = "ecs.availability-zone";

/// RegisterContainerInstance. Every attribute of the request is echoed; the zone is added where the agent gave none.
pub fn register(
    context: &mut Context<'_>,
    request: ecs::RegisterContainerInstanceRequest,
) -> Result<ecs::RegisterContainerInstanceResponse, Fault> {
    let now = context.now;
    let enforces = context.settings.enforces;
    let first_zone = context.settings.zones.first().cloned().unwrap_or_default();
    let offer = Offer::read(context, &request, first_zone)?.of_key(context)?;
    if enforces && offer.cluster.is_none() && context.caller.claims.is_some() {
        return Err(fault::client("A node that serves all clusters is not registered with temporary credentials."));
    }
    let instance = context.transact(|state, changes, mint| {
        if let Some(name) = &offer.cluster {
            cluster::ensure_default(state, changes, &offer.place, name)?;
        }
        let id = offer.id.clone().or_else(|| offer.registered(state, now)).unwrap_or_else(|| mint.hex32());
        changes.extend(offer.token(&id, now).map(Change::from));
        let known = state.nodes.get(&id).map(AsRef::as_ref);
        if enforces && !offer.own && known.is_some_and(|node| !node.is_of(&offer.owner)) {
            return Err(fault::client("The container instance was registered by somebody else."));
        }
        let node = offer.node(known, &id, now);
        let shown = describe::instance(state, &node, true);
        changes.push(node.into());
        Ok::<_, Fault>(shown)
    })?;
    Ok(ecs::RegisterContainerInstanceResponse { container_instance: Some(instance) })
}

/// A registration, read and checked.
struct Offer {
    place: Place,
    /// `None` for a Fargate node.
    cluster: Option<String>,
    /// Of a node that registers again.
    id: Option<String>,
    cpu: i32,
    memory_mib: i32,
    zone: String,
    public_pool: Option<String>,
    attributes: Vec<ecs::Attribute>,
    version_info: Option<ecs::VersionInfo>,
    tags: Vec<ecs::Tag>,
    client_token: Option<String>,
    /// ARN of who registers it.
    owner: String,
    /// That is the node itself, by its key.
    own: bool,
}

/// What registrations' client tokens are kept under.
const REGISTRATION: &str = "RegisterContainerInstance";

/// Longest client token of a registration.
const CLIENT_TOKEN: usize = 64;

impl Offer {
    fn read(
        context: &Context<'_>,
        request: &ecs::RegisterContainerInstanceRequest,
        first_zone: String,
    ) -> Result<Self, Fault> {
        let mut attributes = request.attributes.clone().unwrap_or_default();
        let fargate = value(&attributes, FARGATE).is_some();
        let place = match fargate {
            true => Place::new(&context.settings.region, &context.settings.account),
            false => context.place.clone(),
        };
        let cluster = match fargate {
            true => None,
            false => Some(resolve::cluster_name(&place, request.cluster.as_deref())?),
        };
        let name = cluster.as_deref().unwrap_or(FARGATE_CLUSTER);
        let given = request.container_instance_arn.as_deref().filter(|arn| !arn.is_empty());
        let id = given.map(|arn| resolve::container_instance_id(&place, name, arn)).transpose()?;
        let zone = value(&attributes, ZONE).or(value(&attributes, NODE_ZONE)).flatten();
        let zone = zone.filter(|zone| !zone.is_empty()).map(str::to_owned).unwrap_or(first_zone);
        if value(&attributes, ZONE).is_none() {
            let (name, value) = (Some(ZONE.to_owned()), Some(zone.clone()));
            attributes.push(ecs::Attribute { name, value, ..ecs::Attribute::default() });
        }
        let public_pool = value(&attributes, PUBLIC_POOL).flatten().map(str::to_owned);
        if public_pool.as_deref().is_some_and(|pool| Block::parse(pool).is_none()) {
            return Err(fault::invalid_parameter(format!("{PUBLIC_POOL} must be a block like 198.19.7.0/24.")));
        }
        let resources = request.total_resources.as_deref().unwrap_or_default();
        Ok(Self {
            cpu: amount(resources, "CPU")?,
            memory_mib: amount(resources, "MEMORY")?,
            version_info: request.version_info.clone(),
            tags: tag::check_given(request.tags.as_deref())?,
            client_token: client_token(request.client_token.as_deref())?,
            owner: context.principal.clone(),
            own: false,
            place,
            cluster,
            id,
            zone,
            public_pool,
            attributes,
        })
    }

    /// A key is one node's, which serves every cluster.
    fn of_key(self, context: &Context<'_>) -> Result<Self, Fault> {
        let Some(own) = context.caller.node() else { return Ok(self) };
        if self.cluster.is_some() || self.id.as_deref().is_some_and(|id| id != own) {
            let told = format!("User: {} is not authorized to register another container instance", self.owner);
            return Err(authority::denied(ProtocolKind::AwsJson11, &told));
        }
        Ok(Self { id: Some(own.to_owned()), own: true, ..self })
    }

    /// The pseudo cluster for a node that has none.
    fn cluster_name(&self) -> &str {
        self.cluster.as_deref().unwrap_or(FARGATE_CLUSTER)
    }

    /// The id that this client token was given before. Only what the node is counts, not what it says of itself: that may
    /// have changed between two tries.
    fn registered(&self, state: &State, now: Timestamp) -> Option<String> {
        let token = self.client_token.as_deref()?;
        let key = token_key(&self.place.account, self.cluster_name(), REGISTRATION, token);
        let known = state.tokens.get(&key).filter(|known| !reap::expired(state, known, now))?;
        known.made.first()?.rsplit('/').next().map(str::to_owned)
    }

    /// The record that remembers the client token of a first registration.
    fn token(&self, id: &str, now: Timestamp) -> Option<Token> {
        let token = self.client_token.clone().filter(|_| self.id.is_none())?;
        Some(Token {
            account: self.place.account.to_string(),
            operation: REGISTRATION.to_owned(),
            cluster: self.cluster_name().to_owned(),
            token,
            request: String::new(),
            made: vec![self.place.container_instance(self.cluster_name(), id)],
            created_at: now,
            until: None,
        })
    }

    fn node(&self, known: Option<&Node>, id: &str, now: Timestamp) -> Node {
        let name = self.cluster_name();
        let status = known.map(|node| node.status.as_str()).filter(|status| *status == "DRAINING");
        Node {
            id: id.to_owned(),
            account: self.place.account.to_string(),
            cluster: self.cluster.clone(),
            arn: self.place.container_instance(name, id),
            status: status.unwrap_or("ACTIVE").to_owned(),
            fargate: self.cluster.is_none(),
            zone: self.zone.clone(),
            cpu: self.cpu,
            memory_mib: self.memory_mib,
            public_pool: self.public_pool.clone(),
            attributes: self.attributes.clone(),
            version_info: self.version_info.clone(),
            connected: known.is_some_and(|node| node.connected),
            epoch: known.map_or(0, |node| node.epoch),
            registered_at: known.map_or(now, |node| node.registered_at),
            owner: Some(self.owner.clone()),
            disconnected_at: known.and_then(|node| node.disconnected_at),
            tags: self.tags.clone(),
        }
    }
}

fn client_token(given: Option<&str>) -> Result<Option<String>, Fault> {
    let given = given.filter(|token| !token.is_empty());
    match given {
        Some(token) if token.len() > CLIENT_TOKEN || !token.bytes().all(|byte| (33..=126).contains(&byte)) => Err(
            fault::invalid_parameter(format!("clientToken can be at most {CLIENT_TOKEN} printable characters long.")),
        ),
        given => Ok(given.map(str::to_owned)),
    }
}

/// The value of an attribute; the outer option says whether it is there.
fn value<'a>(attributes: &'a [ecs::Attribute], name: &str) -> Option<Option<&'a str>> {
    let found = attributes.iter().find(|attribute| attribute.name.as_deref() == Some(name))?;
    Some(found.value.as_deref())
}

fn amount(resources: &[ecs::Resource], name: &str) -> Result<i32, Fault> {
    let found = resources.iter().find(|resource| resource.name.as_deref() == Some(name));
    let amount = found.and_then(|resource| resource.integer_value).filter(|amount| *amount >= 0);
    amount.ok_or_else(|| fault::invalid_parameter(format!("totalResources must hold {name} as an INTEGER.")))
}

/// DiscoverPollEndpoint: where the agent opens its sessions. It appends `/ws` and a query itself.
pub fn discover(
    context: &mut Context<'_>,
    _: ecs::DiscoverPollEndpointRequest,
) -> Result<ecs::DiscoverPollEndpointResponse, Fault> {
    let at = |path: &str| Some(format!("ws://{}/{path}", context.settings.endpoint));
    Ok(ecs::DiscoverPollEndpointResponse {
        endpoint: at("acs"),
        telemetry_endpoint: at("tcs"),
        service_connect_endpoint: at("service-connect"),
    })
}

/// The node that reports with its own key: its own tasks and no others.
fn own_node(context: &Context<'_>) -> Option<String> {
    context.caller.node().map(str::to_owned)
}

/// What every report is answered with.
fn accept() -> Option<String> {
    Some("ACCEPT".to_owned())
}

/// SubmitTaskStateChange: the main report of an agent.
///
/// # Errors
/// `InvalidParameterException` for a task that is unknown or a status that is none.
pub fn submit_task(
    context: &mut Context<'_>,
    request: ecs::SubmitTaskStateChangeRequest,
) -> Result<ecs::SubmitTaskStateChangeResponse, Fault> {
    let node = own_node(context);
    submit_of(context, node.as_deref(), request)?;
    Ok(ecs::SubmitTaskStateChangeResponse { acknowledgment: accept() })
}

/// Many calls of SubmitTaskStateChange at once, as they come in the session of `node`, which reports its own tasks and no
/// others. Returns the tasks whose report is refused for good, with the reason.
///
/// # Errors
/// What may pass: then what is not settled by it is to be reported again.
pub fn submit_tasks(
    context: &mut Context<'_>,
    node: &str,
    requests: Vec<ecs::SubmitTaskStateChangeRequest>,
) -> Result<Vec<(String, Fault)>, Fault> {
    let mut refused = Vec::new();
    for request in requests {
        let task = request.task.clone().unwrap_or_default();
        match submit_of(context, Some(node), request) {
            Ok(()) => {}
            Err(fault) if fault.status >= 500 => return Err(fault),
            Err(fault) => refused.push((task, fault)),
        }
    }
    Ok(refused)
}

/// Whether a report was refused because its task is not, or no longer, one of the node's.
pub fn is_of_no_task(refused: &Fault) -> bool {
    refused.message == fault::task_not_found().message
}

fn submit_of(
    context: &mut Context<'_>,
    node: Option<&str>,
    request: ecs::SubmitTaskStateChangeRequest,
) -> Result<(), Fault> {
    let containers = request.containers.unwrap_or_default().into_iter().map(container);
    let report = TaskReport {
        status: status(request.status.as_deref())?,
        reason: request.reason.filter(|reason| !reason.is_empty()),
        containers: containers.collect::<Result<_, _>>()?,
        pull_started_at: request.pull_started_at,
        pull_stopped_at: request.pull_stopped_at,
        execution_stopped_at: request.execution_stopped_at,
    };
    submit(context, node, request.task.as_deref(), &report)
}

/// SubmitContainerStateChange: a report on one container.
pub fn submit_container(
    context: &mut Context<'_>,
    request: ecs::SubmitContainerStateChangeRequest,
) -> Result<ecs::SubmitContainerStateChangeResponse, Fault> {
    let change = ecs::ContainerStateChange {
        container_name: request.container_name,
        runtime_id: request.runtime_id,
        exit_code: request.exit_code,
        network_bindings: request.network_bindings,
        reason: request.reason,
        status: request.status,
        image_digest: None,
    };
    let report = TaskReport { containers: vec![container(change)?], ..TaskReport::default() };
    let node = own_node(context);
    submit(context, node.as_deref(), request.task.as_deref(), &report)?;
    Ok(ecs::SubmitContainerStateChangeResponse { acknowledgment: accept() })
}

/// SubmitAttachmentStateChanges. How far an interface is follows from its task, so there is nothing to write.
pub fn submit_attachments(
    _: &mut Context<'_>,
    _: ecs::SubmitAttachmentStateChangesRequest,
) -> Result<ecs::SubmitAttachmentStateChangesResponse, Fault> {
    Ok(ecs::SubmitAttachmentStateChangesResponse { acknowledgment: accept() })
}

/// Takes a report on a task: from `node`, or from whoever may call the operation.
fn submit(context: &mut Context<'_>, node: Option<&str>, task: Option<&str>, report: &TaskReport) -> Result<(), Fault> {
    let key = task_key(context, task.unwrap_or_default())?;
    let now = context.now;
    context.transact(|state: &State, changes: &mut Vec<Change>, mint| {
        let applied = report::task(state, &key, node, report, now, mint).map_err(|refused| match refused {
            Refused::UnknownTask | Refused::ForeignTask => fault::task_not_found(),
        })?;
        changes.extend(applied);
        Ok(())
    })
}

/// The key of the task with this ARN: one of the account that nodes belong to, or of the caller's.
fn task_key(context: &Context<'_>, text: &str) -> Result<String, Fault> {
    let arn = Arn::parse(text).filter(|arn| {
        let node = Place::new(&context.settings.region, &context.settings.account);
        let trusted = context.place.account == node.account || arn.account == context.account().as_str();
        arn.service == "ecs" && arn.region == node.region && trusted
    });
    let path = arn.and_then(|arn| Some((arn.account, arn.resource.strip_prefix("task/")?)));
    let (account, path) = path.ok_or_else(fault::task_not_found)?;
    Ok(format!("{account}/{path}"))
}

fn container(change: ecs::ContainerStateChange) -> Result<ContainerReport, Fault> {
    Ok(ContainerReport {
        name: change.container_name.unwrap_or_default(),
        status: status(change.status.as_deref())?,
        exit_code: change.exit_code,
        reason: change.reason.filter(|reason| !reason.is_empty()),
        image_digest: change.image_digest.filter(|digest| !digest.is_empty()),
        runtime_id: change.runtime_id.filter(|id| !id.is_empty()),
        network_bindings: change.network_bindings,
    })
}

fn status(text: Option<&str>) -> Result<Option<longshore_model::task::TaskStatus>, Fault> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => match report::status(text) {
            Some(status) => Ok(Some(status)),
            None => Err(fault::invalid_parameter(format!("Invalid status {}.", resolve::shown(text)))),
        },
    }
}

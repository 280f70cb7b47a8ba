//! TagResource, UntagResource and ListTagsForResource, for every kind of resource that carries tags.

use longshore_api::ecs::{self, Tag};
use longshore_model::{Arn, Change, Place, State, cluster, definition, service, task};
use longshore_wire::Fault;

use super::{check, check_key, merge, remove};
use crate::Context;
use crate::ecs::{fault, resolve};

/// TagResource: the tags are added to those there are, each in the place of the one of its key.
pub fn tag(context: &mut Context<'_>, request: ecs::TagResourceRequest) -> Result<ecs::TagResourceResponse, Fault> {
    let target = Target::of(&context.place, request.resource_arn.as_deref().unwrap_or_default())?;
    let new = check(request.tags.as_deref().unwrap_or_default())?;
    context.transact(|state, changes, _| {
        let tags = merge(target.tags(state)?, new)?;
        changes.extend(target.put(state, tags));
        Ok::<_, Fault>(ecs::TagResourceResponse::default())
    })
}

/// UntagResource
pub fn untag(
    context: &mut Context<'_>,
    request: ecs::UntagResourceRequest,
) -> Result<ecs::UntagResourceResponse, Fault> {
    let target = Target::of(&context.place, request.resource_arn.as_deref().unwrap_or_default())?;
    let keys = request.tag_keys.unwrap_or_default();
    keys.iter().try_for_each(|key| check_key(key))?;
    context.transact(|state, changes, _| {
        let old = target.tags(state)?;
        let tags = remove(old, &keys);
        if tags.len() < old.len() {
            changes.extend(target.put(state, tags));
        }
        Ok::<_, Fault>(ecs::UntagResourceResponse::default())
    })
}

/// ListTagsForResource
pub fn list(
    context: &mut Context<'_>,
    request: ecs::ListTagsForResourceRequest,
) -> Result<ecs::ListTagsForResourceResponse, Fault> {
    let target = Target::of(&context.place, request.resource_arn.as_deref().unwrap_or_default())?;
    let state = context.read();
    let tags = target.tags(&state)?.to_vec();
    Ok(ecs::ListTagsForResourceResponse { tags: Some(tags) })
}

/// What an ARN names, by the key of its record.
enum Target {
    Cluster(String),
    Definition(String),
    Service(String),
    Task(String),
    /// The node's id, and `ACCOUNT/CLUSTER` that it must be in.
    Node(String, String),
}

impl Target {
    fn of(place: &Place, arn: &str) -> Result<Self, Fault> {
        let parsed = Arn::parse_any(arn).ok_or_else(|| fault::invalid_parameter("Invalid ARN syntax."))?;
        let account = &place.account;
        let parts: Vec<&str> = parsed.resource.split('/').collect();
        match parts[..] {
            ["cluster", _] => Ok(Self::Cluster(cluster::key(account, &resolve::cluster_name(place, Some(arn))?))),
            ["task-definition", _] => Self::definition(place, arn),
            ["service", within, _] => {
                Ok(Self::Service(service::key(account, &name(within)?, &resolve::service_name(place, within, arn)?)))
            }
            ["task", within, _] => {
                Ok(Self::Task(task::key(account, &name(within)?, &resolve::task_id(place, within, arn)?)))
            }
            ["container-instance", within, _] => {
                let id = resolve::container_instance_id(place, within, arn)?;
                Ok(Self::Node(id, cluster::key(account, &name(within)?)))
            }
            ["service" | "task" | "container-instance", _] => {
                Err(fault::invalid_parameter("Long arn format must be used for tagging operations"))
            }
            _ => Err(fault::invalid_parameter("The ARN does not name a resource that can be tagged.")),
        }
    }

    fn definition(place: &Place, arn: &str) -> Result<Self, Fault> {
        let named = resolve::definition_ref(place, arn)?;
        let revision = named.revision.ok_or_else(|| fault::invalid_parameter("The ARN lacks a revision."))?;
        Ok(Self::Definition(definition::key(&place.account, &named.family, revision)))
    }

    /// Tags of the resource; an inactive one counts as gone.
    fn tags<'a>(&self, state: &'a State) -> Result<&'a [Tag], Fault> {
        let found = match self {
            Self::Cluster(key) => {
                let cluster = state.clusters.get(key).ok_or_else(fault::cluster_not_found)?;
                let active = cluster.is_active().then(|| cluster.api.tags.as_deref().unwrap_or_default());
                return active.ok_or_else(|| {
                    fault::invalid_parameter(
                        "The specified cluster is inactive. Specify an active cluster and try again.",
                    )
                });
            }
            Self::Definition(key) => state.definitions.get(key).map(|row| row.tags.as_slice()),
            Self::Service(key) => {
                let there = state.services.get(key).filter(|row| row.inactive_at.is_none());
                there.map(|row| row.api.tags.as_deref().unwrap_or_default())
            }
            Self::Task(key) => state.tasks.get(key).map(|row| row.tags.as_slice()),
            Self::Node(id, within) => node(state, id, within).map(|row| row.tags.as_slice()),
        };
        found.ok_or_else(fault::resource_not_found)
    }

    fn put(&self, state: &State, tags: Vec<Tag>) -> Option<Change> {
        match self {
            Self::Cluster(key) => {
                let mut row = state.clusters.get(key)?.as_ref().clone();
                row.api.tags = Some(tags);
                Some(row.into())
            }
            Self::Definition(key) => {
                let row = state.definitions.get(key)?.as_ref().clone();
                Some(definition::TaskDefinition { tags, ..row }.into())
            }
            Self::Service(key) => {
                let mut row = state.services.get(key)?.as_ref().clone();
                row.api.tags = Some(tags);
                Some(row.into())
            }
            Self::Task(key) => {
                let row = state.tasks.get(key)?.as_ref().clone();
                let version = row.version + 1;
                Some(task::Task { tags, version, ..row }.into())
            }
            Self::Node(id, within) => {
                let row = node(state, id, within)?.clone();
                Some(longshore_model::node::Node { tags, ..row }.into())
            }
        }
    }
}

fn node<'a>(state: &'a State, id: &str, within: &str) -> Option<&'a longshore_model::node::Node> {
    let row = state.nodes.get(id)?.as_ref();
    let cluster = row.cluster.as_ref().map(|name| format!("{}/{name}", row.account));
    (cluster.as_deref() == Some(within)).then_some(row)
}

fn name(text: &str) -> Result<String, Fault> {
    match resolve::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(fault::invalid_parameter("Invalid ARN syntax.")),
    }
}

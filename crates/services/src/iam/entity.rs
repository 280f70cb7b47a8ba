//! Users, groups and roles, as far as they are alike: each has a name, a path, and policies of its own.

use std::sync::Arc;

use longshore_model::iam::{Grants, Group, Role, User, key};
use longshore_model::table::Table;
use longshore_model::{AccountId, Change, Mint, State};
use longshore_wire::Fault;

use super::fault;
use crate::Context;

/// What kind of entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
    Role,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::User, Kind::Group, Kind::Role];

    pub fn word(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Group => "group",
            Kind::Role => "role",
        }
    }

    /// Characters that its inline policies may have together, white space aside.
    pub fn inline_limit(self) -> usize {
        match self {
            Kind::User => 2048,
            Kind::Group => 5120,
            Kind::Role => 10_240,
        }
    }
}

/// One of them.
#[derive(Clone, Debug)]
pub enum Entity {
    User(User),
    Group(Group),
    Role(Role),
}

impl Entity {
    /// # Errors
    /// `NoSuchEntity`
    pub fn find(state: &State, account: &AccountId, kind: Kind, name: &str) -> Result<Self, Fault> {
        let key = key(account, name);
        let found = match kind {
            Kind::User => state.users.get(&key).map(|user| Entity::User(User::clone(user))),
            Kind::Group => state.groups.get(&key).map(|group| Entity::Group(Group::clone(group))),
            Kind::Role => state.roles.get(&key).map(|role| Entity::Role(Role::clone(role))),
        };
        found.ok_or_else(|| fault::missing(kind.word(), name))
    }

    /// Every one of an account, of one kind.
    pub fn all(state: &State, account: &AccountId, kind: Kind) -> Vec<Entity> {
        match kind {
            Kind::User => {
                rows(&state.users, account, |_| true).iter().map(|(_, user)| Entity::User(User::clone(user))).collect()
            }
            Kind::Group => {
                let groups = rows(&state.groups, account, |_| true);
                groups.iter().map(|(_, group)| Entity::Group(Group::clone(group))).collect()
            }
            Kind::Role => {
                rows(&state.roles, account, |_| true).iter().map(|(_, role)| Entity::Role(Role::clone(role))).collect()
            }
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Entity::User(user) => &user.name,
            Entity::Group(group) => &group.name,
            Entity::Role(role) => &role.name,
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Entity::User(user) => &user.id,
            Entity::Group(group) => &group.id,
            Entity::Role(role) => &role.id,
        }
    }

    pub fn path(&self) -> &str {
        match self {
            Entity::User(user) => &user.path,
            Entity::Group(group) => &group.path,
            Entity::Role(role) => &role.path,
        }
    }

    pub fn boundary(&self) -> Option<&str> {
        match self {
            Entity::User(user) => user.boundary.as_deref(),
            Entity::Group(_) => None,
            Entity::Role(role) => role.boundary.as_deref(),
        }
    }

    pub fn grants(&self) -> Option<&Grants> {
        match self {
            Entity::User(user) => user.grants.as_ref(),
            Entity::Group(group) => group.grants.as_ref(),
            Entity::Role(role) => role.grants.as_ref(),
        }
    }

    pub fn grants_mut(&mut self) -> &mut Grants {
        match self {
            Entity::User(user) => user.grants.get_or_insert_default(),
            Entity::Group(group) => group.grants.get_or_insert_default(),
            Entity::Role(role) => role.grants.get_or_insert_default(),
        }
    }

    /// # Errors
    /// `UnmodifiableEntity` for a service-linked role.
    pub fn check_modifiable(&self) -> Result<(), Fault> {
        match self {
            Entity::Role(Role { name, service: Some(service), .. }) => Err(fault::protected(name, service)),
            _ => Ok(()),
        }
    }

    pub fn into_change(self) -> Change {
        match self {
            Entity::User(user) => user.into(),
            Entity::Group(group) => group.into(),
            Entity::Role(role) => role.into(),
        }
    }
}

/// Change one entity, unless it is a service's, and give back what `change` gives.
///
/// # Errors
/// `NoSuchEntity`, `UnmodifiableEntity`, and those of `change`.
pub fn change<T>(
    context: &mut Context<'_>,
    kind: Kind,
    name: &str,
    change: impl FnOnce(&State, &mut Entity) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let account = context.account().clone();
    context.transact(|state, changes, _| {
        let mut entity = Entity::find(state, &account, kind, name)?;
        entity.check_modifiable()?;
        let outcome = change(state, &mut entity)?;
        changes.push(entity.into_change());
        Ok(outcome)
    })
}

/// Rows of an account that are wanted, with their keys.
pub fn rows<T>(table: &Table<T>, account: &AccountId, wanted: impl Fn(&T) -> bool) -> Vec<(String, Arc<T>)> {
    let own = table.scan_after(account.as_str(), None).filter(|(_, row)| wanted(row));
    own.map(|(key, row)| (key.to_string(), row.clone())).collect()
}

/// A unique id: `AIDA`, `AGPA`, … and seventeen letters and digits.
pub fn unique_id(mint: &mut Mint, prefix: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = (0..17).map(|_| char::from(LETTERS[(mint.next_u64() >> 59) as usize]));
    prefix.chars().chain(letters).collect()
}

/// The path of a request, `/` if it has none.
pub fn path(given: Option<String>) -> String {
    given.unwrap_or_else(|| "/".to_owned())
}

/// Whether a path is under the request's prefix.
pub fn under(path: &str, prefix: Option<&str>) -> bool {
    prefix.is_none_or(|prefix| path.starts_with(prefix))
}

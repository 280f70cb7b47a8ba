//! The whole state in memory, and the only way to change it.
//!
//! [`State::apply`] is total and deterministic: the same changes in the same order give the same state, whoever applies
//! them and whenever. A [`Change`] puts or deletes one record.

use std::sync::Arc;

use longshore_wire::json;

use crate::balancer::{Listener, LoadBalancer, Target, TargetGroup};
use crate::certificate::{self, Certificate, CertificateAuthority};
use crate::cluster::Cluster;
use crate::definition::{Family, TaskDefinition};
use crate::iam::{AccessKey, AccountAlias, Group, InstanceProfile, ManagedPolicy, Role, User, entity_key};
use crate::index::Index;
use crate::kms::{EncryptionKey, KeyAlias, KeyGrant, grant_key};
use crate::network::{SecurityGroup, Subnet, Vpc};
use crate::node::Node;
use crate::node_key::{JoinToken, NodeKey};
use crate::parameter::{self, Parameter, ParameterVersion};
use crate::registry::{
    CacheRule, CreationTemplate, Image, ImageReplication, ImageScan, ImageTag, Layer, LifecyclePreview,
    RegistryReplication, RegistryScanning, RegistrySettings, Repository,
};
use crate::secret::{Secret, SecretVersion};
use crate::service::Service;
use crate::setting::{LogGroup, Setting, Token};
use crate::table::Table;
use crate::task::Task;
use crate::trail::Trail;

/// A stored record does not read as what its table holds.
#[derive(Debug, thiserror::Error)]
#[error("a {table} record does not read: {cause}")]
pub struct Unreadable {
    pub table: &'static str,
    pub cause: String,
}

macro_rules! tables {
    ($($name:ident $number:literal $field:ident |$row:ident| $key:expr;)*) => {
        /// The tables. The number is what is stored; it never changes meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum TableName { $($name = $number,)* }

        impl TableName {
            pub const ALL: &'static [TableName] = &[$(TableName::$name,)*];

            pub fn from_number(number: i64) -> Option<Self> {
                Self::ALL.iter().copied().find(|table| *table as i64 == number)
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($field),)* }
            }
        }

        /// One record of any table.
        #[derive(Clone, Debug)]
        pub enum Record { $($name(Arc<$name>),)* }

        impl Record {
            pub fn table(&self) -> TableName {
                match self { $(Self::$name(_) => TableName::$name,)* }
            }

            pub fn key(&self) -> String {
                match self { $(Self::$name($row) => $key,)* }
            }

            /// The stored form.
            pub fn to_bytes(&self) -> Vec<u8> {
                match self { $(Self::$name(row) => json::to_vec(row.as_ref()),)* }
            }

            pub fn from_bytes(table: TableName, bytes: &[u8]) -> Result<Self, Unreadable> {
                match table {
                    $(TableName::$name => json::from_slice::<$name>(bytes)
                        .map(|row| Self::$name(Arc::new(row)))
                        .map_err(|cause| Unreadable { table: stringify!($field), cause: cause.to_string() }),)*
                }
            }
        }

        $(impl From<$name> for Record {
            fn from(row: $name) -> Self { Self::$name(Arc::new(row)) }
        }
        impl From<$name> for Change {
            fn from(row: $name) -> Self { Self::Put(row.into()) }
        })*

        /// Every record there is.
        #[derive(Clone, Debug, Default)]
        pub struct State {
            $(pub $field: Table<$name>,)*
            pub index: Index,
        }

        impl State {
            fn put(&mut self, key: Arc<str>, record: &Record) {
                match record {
                    Record::Task(row) => {
                        let old = self.tasks.put(key.clone(), row.clone());
                        if old.as_deref().is_some_and(|old| self.index.moved_on(old, row)) {
                            return;
                        }
                        // Indices share the table's own copy of the key.
                        let known = old.as_ref().and_then(|_| self.tasks.key(&key));
                        let nodes = |id: &str| self.nodes.get(id).map(AsRef::as_ref);
                        self.index.replace(known.unwrap_or(&key), old.as_deref(), Some(row), nodes);
                    }
                    Record::TaskDefinition(row) => {
                        self.definitions.put(key.clone(), row.clone());
                        self.index.definitions.replace_definition(&key, Some(row));
                    }
                    Record::Service(row) => {
                        let old = self.services.put(key.clone(), row.clone());
                        self.index.replace_service(&key, old.as_deref(), Some(row));
                    }
                    Record::Node(row) => {
                        let old = self.nodes.put(key.clone(), row.clone());
                        self.index.replace_node(&key, old.as_deref(), Some(row));
                    }
                    Record::Token(row) => {
                        let old = self.tokens.put(key.clone(), row.clone());
                        self.index.ages.replace_token(&key, old.as_deref(), Some(row));
                    }
                    Record::Parameter(row) => {
                        let old = self.parameters.put(key.clone(), row.clone());
                        self.index.ages.replace_parameter(&key, old.as_deref(), Some(row));
                    }
                    Record::EncryptionKey(row) => {
                        let old = self.encryption_keys.put(key.clone(), row.clone());
                        self.index.ages.replace_encryption_key(&key, old.as_deref(), Some(row));
                    }
                    Record::Secret(row) => {
                        let old = self.secrets.put(key.clone(), row.clone());
                        self.index.replace_secret(&key, old.as_deref(), Some(row));
                    }
                    Record::SecretVersion(row) => {
                        let old = self.secret_versions.put(key, row.clone());
                        self.index.stocks.replace_version(old.as_deref(), Some(row));
                    }
                    Record::LoadBalancer(row) => self.set_load_balancer(&key, Some(row)),
                    Record::Listener(row) => self.set_listener(&key, Some(row)),
                    Record::Target(row) => self.set_target(&key, Some(row)),
                    Record::Repository(row) => self.set_repository(&key, Some(row)),
                    Record::Image(row) => self.set_image(&key, Some(row)),
                    Record::ImageTag(row) => self.set_image_tag(&key, Some(row)),
                    Record::Layer(row) => self.set_layer(&key, Some(row)),
                    Record::ImageScan(row) => self.set_image_scan(&key, Some(row)),
                    Record::ImageReplication(row) => self.set_image_replication(&key, Some(row)),
                    $(#[allow(unreachable_patterns)] Record::$name(row) => { self.$field.put(key, row.clone()); })*
                }
            }

            fn delete(&mut self, table: TableName, key: &str) {
                match table {
                    TableName::Task => {
                        let old = self.tasks.delete(key);
                        let nodes = |id: &str| self.nodes.get(id).map(AsRef::as_ref);
                        self.index.replace(&key.into(), old.as_deref(), None, nodes);
                    }
                    TableName::TaskDefinition => {
                        self.definitions.delete(key);
                        self.index.definitions.replace_definition(&key.into(), None);
                    }
                    TableName::Service => {
                        let old = self.services.delete(key);
                        self.index.replace_service(&key.into(), old.as_deref(), None);
                    }
                    TableName::Node => {
                        let old = self.nodes.delete(key);
                        self.index.replace_node(&key.into(), old.as_deref(), None);
                    }
                    TableName::Token => {
                        let old = self.tokens.delete(key);
                        self.index.ages.replace_token(&key.into(), old.as_deref(), None);
                    }
                    TableName::Parameter => {
                        let old = self.parameters.delete(key);
                        self.index.ages.replace_parameter(&key.into(), old.as_deref(), None);
                    }
                    TableName::EncryptionKey => {
                        let old = self.encryption_keys.delete(key);
                        self.index.ages.replace_encryption_key(&key.into(), old.as_deref(), None);
                    }
                    TableName::Secret => {
                        let old = self.secrets.delete(key);
                        self.index.replace_secret(&key.into(), old.as_deref(), None);
                    }
                    TableName::SecretVersion => {
                        let old = self.secret_versions.delete(key);
                        self.index.stocks.replace_version(old.as_deref(), None);
                    }
                    TableName::LoadBalancer => self.set_load_balancer(&key.into(), None),
                    TableName::Listener => self.set_listener(&key.into(), None),
                    TableName::Target => self.set_target(&key.into(), None),
                    TableName::Repository => self.set_repository(&key.into(), None),
                    TableName::Image => self.set_image(&key.into(), None),
                    TableName::ImageTag => self.set_image_tag(&key.into(), None),
                    TableName::Layer => self.set_layer(&key.into(), None),
                    TableName::ImageScan => self.set_image_scan(&key.into(), None),
                    TableName::ImageReplication => self.set_image_replication(&key.into(), None),
                    $(#[allow(unreachable_patterns)] TableName::$name => { self.$field.delete(key); })*
                }
            }

            /// The record of a table under a key.
            pub fn record(&self, table: TableName, key: &str) -> Option<Record> {
                match table {
                    $(TableName::$name => self.$field.get(key).map(|row| Record::$name(row.clone())),)*
                }
            }

            /// Every record, table by table: what a back end must hold to give this state again.
            pub fn records(&self) -> impl Iterator<Item = Record> {
                std::iter::empty()$(.chain(self.$field.iter().map(|(_, row)| Record::$name(row.clone()))))*
            }
        }
    };
}

/// Put or delete one record.
#[derive(Clone, Debug)]
pub enum Change {
    Put(Record),
    Delete(TableName, String),
}

impl Change {
    pub fn table(&self) -> TableName {
        match self {
            Self::Put(record) => record.table(),
            Self::Delete(table, _) => *table,
        }
    }

    pub fn key(&self) -> String {
        match self {
            Self::Put(record) => record.key(),
            Self::Delete(_, key) => key.clone(),
        }
    }
}

tables! {
    Cluster 1 clusters |row| format!("{}/{}", row.account, row.name);
    Family 2 families |row| format!("{}/{}", row.account, row.family);
    TaskDefinition 3 definitions |row| format!("{}/{}:{:010}", row.account, row.family, row.revision);
    Task 4 tasks |row| row.key();
    Service 5 services |row| row.key();
    Node 6 nodes |row| row.id.clone();
    Token 7 tokens |row| format!("{}/{}/{}/{}", row.account, row.cluster, row.operation, row.token);
    Setting 8 settings |row| format!("{}/{}/{}", row.account, row.name, row.principal);
    Vpc 9 vpcs |row| format!("{}/{}", row.account, row.id);
    Subnet 10 subnets |row| format!("{}/{}", row.account, row.id);
    SecurityGroup 11 security_groups |row| format!("{}/{}", row.account, row.id);
    LogGroup 12 log_groups |row| format!("{}/{}", row.account, row.name);
    User 13 users |row| entity_key(&row.account, &row.name);
    Group 14 groups |row| entity_key(&row.account, &row.name);
    Role 15 roles |row| entity_key(&row.account, &row.name);
    InstanceProfile 16 instance_profiles |row| entity_key(&row.account, &row.name);
    ManagedPolicy 17 managed_policies |row| entity_key(&row.account, &row.name);
    AccessKey 18 access_keys |row| row.id.clone();
    AccountAlias 19 account_aliases |row| row.account.clone();
    EncryptionKey 20 encryption_keys |row| format!("{}/{}", row.account, row.id);
    KeyAlias 21 key_aliases |row| format!("{}/{}", row.account, row.name);
    Secret 22 secrets |row| format!("{}/{}", row.account, row.name);
    SecretVersion 23 secret_versions |row| row.key();
    KeyGrant 24 key_grants |row| grant_key(&row.account, &row.key, &row.id);
    Parameter 25 parameters |row| parameter::key(&row.account, &row.name);
    ParameterVersion 26 parameter_versions |row| parameter::numbered_key(&row.account, &row.name, row.number);
    Trail 27 trails |row| format!("{}/{}", row.account, row.name);
    JoinToken 30 join_tokens |row| row.hash.clone();
    NodeKey 31 node_keys |row| row.node.clone();
    LoadBalancer 40 load_balancers |row| row.key();
    TargetGroup 41 target_groups |row| row.key();
    Listener 42 listeners |row| row.key();
    Target 43 targets |row| row.key();
    Certificate 44 certificates |row| row.key();
    CertificateAuthority 45 certificate_authorities |_row| certificate::LOCAL.to_owned();
    Repository 50 repositories |row| row.key();
    Image 51 images |row| row.key();
    ImageTag 52 image_tags |row| row.key();
    Layer 53 layers |row| row.key();
    RegistrySettings 55 registry_settings |row| row.account.clone();
    CreationTemplate 57 creation_templates |row| row.key();
    LifecyclePreview 60 lifecycle_previews |row| row.repository.clone();
    ImageScan 58 image_scans |row| row.key();
    RegistryScanning 59 registry_scannings |row| row.account.clone();
    CacheRule 64 cache_rules |row| row.key();
    RegistryReplication 68 registry_replications |row| row.account.clone();
    ImageReplication 69 image_replications |row| row.key();
}

impl State {
    /// The only mutation.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(record) => self.put(record.key().into(), record),
            Change::Delete(table, key) => self.delete(*table, key),
        }
    }

    /// The task definition a task runs.
    pub fn definition_of(&self, task: &Task) -> Option<&Arc<TaskDefinition>> {
        self.definitions.get(&task.definition_key())
    }
}

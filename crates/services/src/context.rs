//! What a handler is given: who calls, when, and the stores.

use std::collections::BTreeSet;

use longshore_model::iam::Caller;
use longshore_model::policy::Context as Conditions;
use longshore_model::registry::Destination;
use longshore_model::{AccountId, Change, Mint, Place, State};
use longshore_store::audit::Audit;
use longshore_store::blobs::Blobs;
use longshore_store::logs::{Logs, Ticket};
use longshore_store::{Full, Revision, Snapshot, Store};
use longshore_wire::{Fault, Timestamp};

use crate::access::Leave;
use crate::ecr::cache::{Tried, Upstream};
use crate::{Answer, Vault};

/// How this installation is set up, as far as an answer shows it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub region: String,
    /// The account that nodes belong to, and that callers without one of their own are in.
    pub account: AccountId,
    /// Zone names, `us-east-1a` and so on.
    pub zones: Vec<String>,
    /// `host:port` that nodes and clients reach this control plane by.
    pub endpoint: String,
    /// How long a stopped task stays visible.
    pub stopped_task_ttl_seconds: i64,
    /// Secret of this installation that page tokens are authenticated with.
    pub page_key: [u8; 32],
    /// Whether policies are asked: those of callers, and those that lend roles to tasks.
    pub enforces: bool,
    /// Seals secrets under the master key of this installation.
    pub vault: Vault,
    /// Registries that images can be copied to.
    pub peers: BTreeSet<Destination>,
    /// Registries that the operator lets images be fetched from, beside those that ECR knows.
    pub upstreams: Vec<Upstream>,
}

/// One request's surroundings.
pub struct Context<'a> {
    pub store: &'a Store,
    pub logs: &'a Logs,
    pub settings: &'a Settings,
    /// Region and account that the caller speaks for.
    pub place: Place,
    /// ARN of the caller.
    pub principal: String,
    pub caller: Caller,
    /// What is known of the request besides: the condition keys of policies.
    pub conditions: Conditions,
    /// Whether policies are asked what callers may do: for handlers that ask more of them than the gateway has.
    pub judged: bool,
    /// What the call was allowed by, where policies are asked: it is looked at again where the state is a later one.
    pub leave: Option<Leave>,
    /// Whether the call brings a copy from another registry.
    pub is_replica: bool,
    refusal: Option<Fault>,
    pub now: Timestamp,
    pub mint: Mint,
    /// Value of the `x-longshore-batch` header: `PUMP/SEQUENCE`, see `logs::put_log_events`.
    pub batch: Option<String>,
    /// The audit log; none where nobody keeps one.
    pub audit: Option<&'a Audit>,
    /// The bytes of images; none where nobody keeps any.
    pub blobs: Option<&'a Blobs>,
    /// `host:port` that the client called.
    pub host: Option<String>,
    /// What an upstream registry said, of a call that asks whether it answers.
    pub tried: Option<Tried>,
    revision: Revision,
    tickets: Vec<Ticket>,
}

impl<'a> Context<'a> {
    pub fn new(
        store: &'a Store,
        logs: &'a Logs,
        settings: &'a Settings,
        account: AccountId,
        now: Timestamp,
        seed: u64,
    ) -> Self {
        let place = Place::new(&settings.region, &account);
        let caller = Caller::root(account);
        Self {
            store,
            logs,
            settings,
            place,
            principal: caller.arn(),
            conditions: Conditions::default(),
            caller,
            judged: true,
            leave: None,
            is_replica: false,
            refusal: None,
            now,
            mint: Mint::new(seed),
            batch: None,
            audit: None,
            blobs: None,
            host: None,
            tried: None,
            revision: 0,
            tickets: Vec::new(),
        }
    }

    /// The same request, of another caller in the same account.
    pub fn called_by(mut self, caller: Caller, conditions: Conditions) -> Self {
        self.principal = caller.arn();
        self.caller = caller;
        self.conditions = conditions;
        self
    }

    pub fn account(&self) -> &AccountId {
        &self.place.account
    }

    /// The bytes of images.
    ///
    /// # Errors
    /// `InternalFailure` where nobody keeps any.
    pub fn blobs(&self) -> Result<&'a Blobs, Fault> {
        self.blobs.ok_or_else(Fault::internal)
    }

    /// The state, held still. The answer will wait until what is seen here is durable; it is withheld if the caller may
    /// not make the call any more ([`Self::refused`]).
    pub fn read(&mut self) -> Snapshot<'a> {
        let snapshot = self.store.read();
        self.revision = self.revision.max(snapshot.revision());
        let at = (&*snapshot, snapshot.revision());
        let renewed = self.leave.as_mut().map(|leave| leave.renew(at, &self.place, &self.caller, &self.conditions));
        if let Some(Err(refusal)) = renewed {
            self.refusal.get_or_insert(refusal);
        }
        snapshot
    }

    /// Decide and write. The answer will wait until it is durable. A caller that may not make the call any more writes
    /// nothing; what the handler writes after its first transaction belongs to that.
    ///
    /// # Errors
    /// Those of `decide`, a refusal if it would change something and the disk has no space, and the policies'.
    pub fn transact<T, E: From<Full> + From<Fault>>(
        &mut self,
        decide: impl FnOnce(&State, &mut Vec<Change>, &mut Mint) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(refusal) = self.refusal.take() {
            return Err(refusal.into());
        }
        let (mint, mut leave) = (&mut self.mint, self.leave.take());
        let (place, caller, conditions) = (&self.place, &self.caller, &self.conditions);
        let (outcome, revision) = self.store.transact_at(|state, revision, changes| {
            if let Some(leave) = &mut leave {
                leave.renew((state, revision), place, caller, conditions)?;
            }
            decide(state, changes, mint)
        })?;
        self.revision = self.revision.max(revision);
        Ok(outcome)
    }

    /// Writes what the answer does not rest on: nobody waits for it, and where the disk is full it is left undone.
    pub fn note(&mut self, decide: impl FnOnce(&State, &mut Vec<Change>)) {
        if self.refusal.is_some() {
            return;
        }
        let noted = self.store.transact(|state, changes| {
            decide(state, changes);
            Ok::<_, Full>(())
        });
        if let Err(Full) = noted {
            tracing::debug!("the disk is full: something was not noted");
        }
    }

    /// The answer, or the refusal of a call that may not be made any more.
    ///
    /// # Errors
    /// The handler's, or that refusal.
    pub fn refused(&mut self, answer: Answer) -> Answer {
        self.refusal.take().map_or(answer, Err)
    }

    /// What was written to the log store. The answer will wait until it is durable.
    pub fn await_logs(&mut self, ticket: Ticket) {
        self.tickets.push(ticket);
    }

    /// What must be durable before the answer is sent: a revision of the state and writes to the log store.
    pub fn into_waits(self) -> (Revision, Vec<Ticket>) {
        (self.revision, self.tickets)
    }
}

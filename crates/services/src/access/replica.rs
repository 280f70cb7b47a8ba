//! Copies that come from another registry: who brings one must be let, and so must the account that it comes from.
//!
//! In AWS the service itself copies, in the name of the account that an image comes from, and the registry's policy lets that
//! account. Here another installation comes with a key of this one. The key's own policies say whether its holder brings
//! copies at all, and for which accounts it may speak (`aws:SourceAccount`); the registry's policy says the rest, as there.

use longshore_model::iam::Caller;
use longshore_model::policy::Context;
use longshore_model::{AccountId, Place, State};

use super::{Needed, judge_one};

/// A copy that is brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The account that the image comes from.
    pub source: AccountId,
    pub registry: AccountId,
    pub repository: String,
}

impl Replica {
    /// Whether the caller may bring it: to a repository that is not there, make that as well.
    ///
    /// # Errors
    /// AWS's sentence about the first judgement that is against it.
    pub fn judge(&self, state: &State, region: &str, caller: &Caller, conditions: &Context) -> Result<(), String> {
        let is_there = state.repository(self.registry.as_str(), &self.repository).is_some();
        let actions: &[_] =
            if is_there { &["ecr:ReplicateImage"] } else { &["ecr:ReplicateImage", "ecr:CreateRepository"] };
        actions.iter().try_for_each(|action| self.judge_action(action, state, region, caller, conditions))
    }

    fn judge_action(
        &self,
        action: &'static str,
        state: &State,
        region: &str,
        caller: &Caller,
        conditions: &Context,
    ) -> Result<(), String> {
        let resource = Place::new(region, &self.registry).arn("ecr", &format!("repository/{}", self.repository));
        let mut context = Context::default();
        context.set("aws:ResourceAccount", [self.registry.as_str()]);
        context.set("aws:SourceAccount", [self.source.as_str()]);
        let needed = Needed { action, resource, owner: self.registry.clone(), context };
        judge_one(state, &needed, caller, conditions)?;
        if self.source == self.registry {
            return Ok(());
        }
        let source = Caller::root(self.source.clone());
        let mut known = conditions.clone();
        // What is known of who brings the copy is not known of that account.
        known.without(&caller.context());
        known.extend(source.context());
        judge_one(state, &needed, &source, &known)
    }
}

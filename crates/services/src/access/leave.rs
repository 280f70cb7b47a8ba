//! A judgement that holds on the very state that a call is carried out on.
//!
//! A call is judged before its handler runs, and others may write in between: a family gets a new revision, an alias another
//! key, a user loses a policy. What a call was judged on is kept, and the handler's state is compared: if it is a later
//! one, the call is judged again on it, within the transaction that writes. An answer that was only read is withheld.
//!
//! Left out: PutLogEvents, whose events are many and whose group is judged by its name, which means nothing else later.

use longshore_model::iam::{Caller, Identity};
use longshore_model::policy::Context as Conditions;
use longshore_model::{Place, State};
use longshore_store::Revision;
use longshore_wire::protocol::Call;
use longshore_wire::{Fault, ProtocolKind, Value};

use super::{Asked, Replica, judge};
use crate::authority::denied;

/// Operations that are judged once: their input is too large to be kept beside the handler's.
const ONCE: &[(&str, &str)] = &[("logs", "PutLogEvents")];

/// A call that may be carried out, as the state was at a revision.
pub struct Leave {
    what: What,
    kind: ProtocolKind,
    revision: Revision,
}

/// What was judged.
enum What {
    Operation { service: &'static str, operation: &'static str, input: Value },
    Replica(Replica),
}

impl Leave {
    /// Of a call that was judged and may be carried out.
    pub fn new(call: &Call, input: &Value, revision: Revision) -> Option<Self> {
        let (service, operation) = (call.service.name, call.operation.name);
        let kept = !ONCE.contains(&(service, operation));
        let what = || What::Operation { service, operation, input: input.clone() };
        kept.then(|| Self { what: what(), kind: call.protocol.kind(), revision })
    }

    /// Of a call that brings a copy, and was judged as that.
    pub fn of_replica(call: &Call, replica: Replica, revision: Revision) -> Self {
        Self { what: What::Replica(replica), kind: call.protocol.kind(), revision }
    }

    /// Whether it is good on this state too.
    ///
    /// # Errors
    /// The protocol's refusal.
    pub fn renew(
        &mut self,
        (state, revision): (&State, Revision),
        place: &Place,
        caller: &Caller,
        conditions: &Conditions,
    ) -> Result<(), Fault> {
        if revision == self.revision {
            return Ok(());
        }
        let judged = match &self.what {
            What::Operation { service, operation, input } => {
                let asked = Asked { place, state, input, user: user(caller) };
                judge(service, operation, &asked, caller, conditions)
            }
            What::Replica(replica) => replica.judge(state, &place.region, caller, conditions),
        };
        judged.map_err(|sentence| denied(self.kind, &sentence))?;
        self.revision = revision;
        Ok(())
    }
}

/// The name of the user that calls.
pub fn user(caller: &Caller) -> Option<&str> {
    if let Identity::User { name, .. } = &caller.identity { Some(name) } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use longshore_api::ecs as api;
    use longshore_model::definition::TaskDefinition;
    use longshore_model::iam::{Grants, User};
    use longshore_model::{Change, TableName};
    use longshore_wire::{Timestamp, json};

    use super::*;
    use crate::logs::testing::Bench;
    use crate::{Answer, Context, ecs};

    const ACCOUNT: &str = "123456789012";

    fn revision(number: i32) -> Change {
        let api = api::TaskDefinition {
            status: Some(api::TaskDefinitionStatus::Active),
            family: Some("web".to_owned()),
            revision: Some(number),
            ..Default::default()
        };
        let (account, family) = (ACCOUNT.to_owned(), "web".to_owned());
        TaskDefinition { account, family, revision: number, api, tags: Vec::new() }.into()
    }

    /// A user that may describe what there is, and run the first revision alone.
    fn ann() -> User {
        let first = format!("arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/web:1");
        let document = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Action":"ecs:RunTask","Resource":"{first}"}},
                {{"Effect":"Allow","Action":"ecs:DescribeClusters","Resource":"*"}}]}}"#
        );
        User {
            account: ACCOUNT.to_owned(),
            name: "ann".to_owned(),
            path: "/".to_owned(),
            id: "AIDA".to_owned(),
            created_at: Timestamp::from_millis(0),
            boundary: None,
            tags: BTreeMap::new(),
            groups: Vec::new(),
            grants: Some(Grants { attached: Vec::new(), inline: BTreeMap::from([("it".to_owned(), document)]) }),
        }
    }

    fn caller(bench: &Bench) -> Caller {
        let User { name, path, id, tags, .. } = ann();
        let identity = Identity::User { name, path, id, tags };
        Caller { account: bench.account.clone(), access_key: String::new(), identity, claims: None }
    }

    /// Judges a call, lets `change` happen, and carries the call out, as the gateway does.
    fn carried_out(bench: &Bench, operation: &str, body: &str, change: Vec<Change>) -> Answer {
        let def = ecs::SERVICE.def.operation(operation).unwrap();
        let input = json::decode(body.as_bytes(), def.input.unwrap().get()).unwrap();
        let caller = caller(bench);
        let mut context: Context<'_> = bench.context().called_by(caller.clone(), Conditions::default());
        let judged_at = {
            let state = bench.store.read();
            let asked = Asked { place: &context.place, state: &state, input: &input, user: user(&caller) };
            judge("ecs", def.name, &asked, &caller, &Conditions::default()).unwrap();
            state.revision()
        };
        let (service, operation, kind) = ("ecs", def.name, ProtocolKind::AwsJson11);
        context.leave = Some(Leave {
            what: What::Operation { service, operation, input: input.clone() },
            kind,
            revision: judged_at,
        });
        bench.apply(change);
        let answer = (ecs::SERVICE.operation(def.name).unwrap().run)(&mut context, input);
        context.refused(answer)
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        bench.apply(vec![revision(1), ann().into()]);
        bench
    }

    fn told(answer: Answer) -> String {
        answer.map_or_else(|fault| fault.to_string(), |_| "carried out".to_owned())
    }

    const RUN: &str = r#"{"taskDefinition":"web"}"#;

    #[test]
    fn a_family_that_came_to_mean_another_revision_is_judged_by_that() {
        let bench = bench();
        let refused = told(carried_out(&bench, "RunTask", RUN, vec![revision(2)]));
        let wanted = "AccessDeniedException: User: arn:aws:iam::123456789012:user/ann is not authorized to perform: \
                      ecs:RunTask on resource: arn:aws:ecs:us-east-1:123456789012:task-definition/web:2 because no \
                      identity-based policy allows the ecs:RunTask action";
        assert_eq!(refused, wanted);
        assert!(bench.store.read().tasks.is_empty());
    }

    #[test]
    fn a_policy_that_is_gone_before_the_effect_allows_nothing() {
        let bench = bench();
        let gone = User { grants: None, ..ann() };
        let refused = told(carried_out(&bench, "RunTask", RUN, vec![gone.into()]));
        assert!(refused.starts_with("AccessDeniedException: "), "{refused}");
        bench.apply(vec![ann().into()]);
        let gone = vec![Change::Delete(TableName::User, format!("{ACCOUNT}/ann"))];
        let refused = told(carried_out(&bench, "DescribeClusters", "{}", gone));
        assert!(refused.starts_with("AccessDeniedException: "), "{refused}");
    }

    #[test]
    fn what_others_write_meanwhile_is_no_matter() {
        let bench = bench();
        let other = User { name: "bob".to_owned(), ..ann() };
        assert_eq!(told(carried_out(&bench, "DescribeClusters", "{}", vec![other.into()])), "carried out");
        let run = told(carried_out(&bench, "RunTask", RUN, vec![User { name: "eve".to_owned(), ..ann() }.into()]));
        assert!(!run.starts_with("AccessDenied"), "{run}");
    }
}

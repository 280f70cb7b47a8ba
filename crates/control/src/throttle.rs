//! API throttling: what an account calls too often is refused, where that is switched on.

use longshore_model::iam::Caller;
use longshore_plan::quota::{Cost, Quotas};
use longshore_wire::protocol::Call;
use longshore_wire::{Fault, ProtocolKind, Value};
use parking_lot::Mutex;

use crate::clock;

/// The buckets of all accounts; `None` where nothing is throttled.
pub(crate) struct Throttle(Option<Mutex<Quotas>>);

impl Throttle {
    pub(crate) fn new(on: bool) -> Self {
        Self(on.then(Mutex::default))
    }

    /// Takes what a call costs.
    ///
    /// # Errors
    /// `ThrottlingException`, in the protocol's words, if the account lacks it.
    pub(crate) fn admit(&self, call: &Call, caller: &Caller, input: &Value) -> Result<(), Fault> {
        let Some(quotas) = self.0.as_ref().filter(|_| call.service.name == "ecs") else { return Ok(()) };
        let cost = cost(call.operation.name, input);
        // Seconds that everybody sees pass alike: a wall clock that jumps would fill buckets.
        let admitted = cost.is_nothing() || quotas.lock().take(caller.account.as_str(), &cost, clock::now());
        if admitted { Ok(()) } else { Err(refusal(call.protocol.kind())) }
    }
}

fn cost(operation: &str, input: &Value) -> Cost {
    let Value::Structure(input) = input else { return Cost::of(operation) };
    if operation != "RunTask" {
        return Cost::of(operation);
    }
    let text = |value: Option<&Value>| matches!(value, Some(Value::String(text)) if text == "FARGATE");
    let provider = input.get("capacityProviderStrategy").and_then(first_provider);
    let fargate = text(input.get("launchType")) || provider.is_some_and(|name| name.starts_with("FARGATE"));
    let tasks = match input.get("count") {
        Some(Value::Integer(count)) => u32::try_from(*count).unwrap_or(1).clamp(1, 10),
        _ => 1,
    };
    match fargate {
        true => Cost::of_fargate(tasks, provider == Some("FARGATE_SPOT")),
        false => Cost::of(operation),
    }
}

/// The provider of a strategy's first part.
fn first_provider(strategy: &Value) -> Option<&str> {
    let Value::List(parts) = strategy else { return None };
    let Value::Structure(part) = parts.first()? else { return None };
    match part.get("capacityProvider")? {
        Value::String(name) => Some(name),
        _ => None,
    }
}

fn refusal(kind: ProtocolKind) -> Fault {
    match kind {
        ProtocolKind::AwsJson10 | ProtocolKind::AwsJson11 => Fault::common("ThrottlingException", 400, "Rate exceeded"),
        ProtocolKind::AwsQuery => Fault::common("Throttling", 400, "Rate exceeded"),
        ProtocolKind::Ec2Query => Fault::common("RequestLimitExceeded", 503, "Request limit exceeded."),
    }
}

#[cfg(test)]
mod tests {
    use longshore_wire::json;

    use super::*;

    fn check(input: &str, wanted: &Cost) {
        let def = longshore_api::ecs::SERVICE.operation("RunTask").unwrap().input.unwrap().get();
        let value = json::decode(input.replace('\'', "\"").as_bytes(), def).unwrap();
        assert_eq!(cost("RunTask", &value), *wanted, "{input}");
    }

    #[test]
    fn what_a_launch_costs_is_read_from_the_request() {
        check("{}", &Cost::of("RunTask"));
        check("{'launchType':'EC2','count':7}", &Cost::of("RunTask"));
        check("{'launchType':'FARGATE','count':7}", &Cost::of_fargate(7, false));
        check("{'launchType':'FARGATE','count':-7}", &Cost::of_fargate(1, false));
        let spot = "{'capacityProviderStrategy':[{'capacityProvider':'FARGATE_SPOT'}],'count':2}";
        check(spot, &Cost::of_fargate(2, true));
        check("{'capacityProviderStrategy':[{'capacityProvider':'mine'}]}", &Cost::of("RunTask"));
    }

    #[test]
    fn each_protocol_has_its_own_words() {
        for (kind, code, status) in [
            (ProtocolKind::AwsJson11, "ThrottlingException", 400),
            (ProtocolKind::AwsQuery, "Throttling", 400),
            (ProtocolKind::Ec2Query, "RequestLimitExceeded", 503),
        ] {
            assert_eq!((refusal(kind).code, refusal(kind).status), (code, status));
        }
    }
}

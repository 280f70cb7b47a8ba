//! From what a caller calls a log group to its record.

use std::sync::Arc;

use longshore_model::setting::{LogGroup, log_group_key};
use longshore_model::{Arn, Place, State};
use longshore_wire::Fault;

use super::fault;
use crate::Context;

const KIND: &str = "log-group:";

/// A group by its name.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn by_name(context: &mut Context<'_>, name: &str) -> Result<Arc<LogGroup>, Fault> {
    let place = context.place.clone();
    in_state(&context.read(), &place, name).cloned()
}

/// A group of the caller's by its name, in a state.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn in_state<'a>(state: &'a State, place: &Place, name: &str) -> Result<&'a Arc<LogGroup>, Fault> {
    let key = log_group_key(&place.account, name);
    state.log_groups.get(&key).ok_or_else(fault::group_not_found)
}

/// A group by `logGroupName` or `logGroupIdentifier`, of which a request must have one.
///
/// # Errors
/// `InvalidParameterException` for both, none, or an ARN of something else; `ResourceNotFoundException`.
pub fn by_either(
    context: &mut Context<'_>,
    name: Option<&str>,
    identifier: Option<&str>,
) -> Result<Arc<LogGroup>, Fault> {
    let name = match (name, identifier) {
        (Some(name), None) => name.to_owned(),
        (None, Some(identifier)) => from_identifier(&context.place, identifier)?,
        (Some(_), Some(_)) => {
            return Err(fault::invalid_parameter(
                "LogGroup name and LogGroup identifier are mutually exclusive parameters.",
            ));
        }
        (None, None) => {
            return Err(fault::invalid_parameter("Exactly one of LogGroup name and LogGroup identifier is required."));
        }
    };
    by_name(context, &name)
}

/// The name in an identifier: a name as it stands, or an ARN.
pub fn from_identifier(place: &Place, identifier: &str) -> Result<String, Fault> {
    match identifier.starts_with("arn:") {
        true => from_arn(place, identifier),
        false => Ok(identifier.to_owned()),
    }
}

/// The name in a group's ARN. Without the `:*` that describing a group puts behind it: the model's patterns refuse it.
///
/// # Errors
/// `InvalidParameterException` if it is no log group's ARN. One of another account or region is as good as none:
/// `ResourceNotFoundException`.
pub fn from_arn(place: &Place, text: &str) -> Result<String, Fault> {
    let arn = Arn::parse_any(text).filter(|arn| arn.service == "logs");
    let name = arn.and_then(|arn| arn.resource.strip_prefix(KIND));
    let name = name.filter(|name| !name.is_empty() && !name.contains([':', '*']));
    let (Some(arn), Some(name)) = (arn, name) else {
        return Err(fault::invalid_parameter("The specified ARN is not a valid log group ARN."));
    };
    let here = arn.partition == "aws" && arn.region == place.region && arn.account == place.account.as_str();
    match here {
        true => Ok(name.to_owned()),
        false => Err(fault::group_not_found()),
    }
}

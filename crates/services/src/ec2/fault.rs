//! The faults EC2 answers with. Its model lists none; codes and words are those of its documentation.

use longshore_wire::Fault;

/// An id that names nothing; `code` is `Invalid….NotFound`.
pub fn not_found(code: &'static str, noun: &str, id: &str) -> Fault {
    Fault::common(code, 400, format!("The {noun} '{id}' does not exist"))
}

/// `InvalidParameterValue`
pub fn invalid_value(message: impl Into<String>) -> Fault {
    Fault::common("InvalidParameterValue", 400, message)
}

/// Ids and a page size in one request.
pub fn ids_with_page() -> Fault {
    let message = "The parameter MaxResults cannot be used with a list of identifiers";
    Fault::common("InvalidParameterCombination", 400, message)
}

pub fn invalid_token(token: &str) -> Fault {
    let shown: String = token.chars().take(100).collect();
    Fault::common("InvalidNextToken", 400, format!("The token '{shown}' is invalid"))
}

/// What a dry run that would succeed is answered.
pub fn dry_run() -> Fault {
    let message = "Request would have succeeded, but DryRun flag is set.";
    Fault::common("DryRunOperation", 412, message)
}

//! Names and ids.

use longshore_model::Mint;
use longshore_wire::Fault;

use super::fault;

/// Characters of a name.
const LONGEST: usize = 32;

/// Checks a name of a `kind`: `load balancer`, `target group`.
///
/// # Errors
/// `ValidationError`
pub fn name(kind: &str, name: &str) -> Result<(), Fault> {
    let refuse = |what: &str| Err(fault::invalid(format!("{kind} name '{name:.64}' {what}")));
    if name.is_empty() {
        return refuse("cannot be empty");
    }
    if name.chars().count() > LONGEST {
        return refuse("cannot be longer than '32' characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return refuse("can only contain characters that are alphanumeric characters or hyphens(-)");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return refuse("cannot begin or end with a hyphen(-)");
    }
    Ok(())
}

/// 16 hex digits.
pub fn id(mint: &mut Mint) -> String {
    format!("{:016x}", mint.next_u64())
}

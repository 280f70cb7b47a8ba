//! Values: what may be one, and in which tier.

use longshore_api::ssm::fault as def;
use longshore_wire::Fault;
use regex::RegexBuilder;

use super::fault;

/// Bytes of a value, by tier.
pub const STANDARD_BYTES: usize = 4096;
const ADVANCED_BYTES: usize = 8192;

/// Bytes that an allowed pattern may take when compiled, and how deep it may nest.
const PATTERN_BYTES: usize = 1 << 20;
const PATTERN_DEPTH: u32 = 50;

/// # Errors
/// `ValidationException` for a value that is empty or too long for its tier.
pub fn check_size(value: &str, advanced: bool) -> Result<(), Fault> {
    if value.is_empty() {
        return Err(fault::validation(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length \
             greater than or equal to 1.",
        ));
    }
    if !advanced && value.len() > STANDARD_BYTES {
        return Err(fault::validation(format!(
            "Standard tier parameters support a maximum parameter value of {STANDARD_BYTES} characters. To create a larger \
             parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see \
             https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
        )));
    }
    match value.len() > ADVANCED_BYTES {
        true => Err(fault::validation(format!(
            "Advanced tier parameters support a maximum parameter value of {ADVANCED_BYTES} characters."
        ))),
        false => Ok(()),
    }
}

/// Whether the whole of a value matches the pattern that its writer asks for; of a `StringList` each item.
///
/// # Errors
/// `InvalidAllowedPatternException`, `ParameterPatternMismatchException`.
pub fn check_pattern(pattern: &str, kind: &str, value: &str) -> Result<(), Fault> {
    let whole = format!(r"\A(?:{pattern})\z");
    let mut builder = RegexBuilder::new(&whole);
    let compiled = builder.size_limit(PATTERN_BYTES).nest_limit(PATTERN_DEPTH).build().map_err(|_| {
        fault::of(
            &def::INVALID_ALLOWED_PATTERN_EXCEPTION,
            format!("The allowed pattern is not a valid regular expression: {pattern}"),
        )
    })?;
    let matches = match kind {
        "StringList" => value.split(',').all(|item| compiled.is_match(item)),
        _ => compiled.is_match(value),
    };
    match matches {
        true => Ok(()),
        false => Err(fault::of(
            &def::PARAMETER_PATTERN_MISMATCH_EXCEPTION,
            format!("Parameter value, cannot be validated against allowedPattern: {pattern}"),
        )),
    }
}

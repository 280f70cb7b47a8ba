//! Tokens of pages.
//!
//! Lists use opaque tokens. Pages of one stream's events have AWS's own form, `f/DIGITS/s` and `b/DIGITS/s`: a direction
//! and 56 digits, which are a position and a code that only this installation can make for this stream. Searches use
//! the same digits alone, with the direction in the code.

use aws_lc_rs::hmac;
use longshore_store::logs::{Cursor, Position};
use longshore_wire::Fault;

use super::fault;
use crate::Context;
use crate::ecs::page;

/// Digits of the authentication code.
const CODE: usize = 16;

/// What a token is good for, beside the account.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub operation: &'a str,
    /// The request's other parameters, in any stable form.
    pub about: &'a str,
}

pub fn invalid() -> Fault {
    fault::invalid_parameter("The specified nextToken is invalid.")
}

/// The token of a page that begins behind `name`.
pub fn name(context: &Context<'_>, scope: Scope<'_>, name: &str) -> String {
    page::encode(&context.settings.page_key, of_page(context, scope), name)
}

/// The name in a token made by [`name`].
///
/// # Errors
/// `InvalidParameterException` when it was not.
pub fn open_name(context: &Context<'_>, scope: Scope<'_>, token: Option<&str>) -> Result<Option<String>, Fault> {
    let open = |token| page::decode(&context.settings.page_key, of_page(context, scope), token);
    token.map(|token| open(token).ok_or_else(invalid)).transpose()
}

fn of_page<'a>(context: &'a Context<'_>, scope: Scope<'a>) -> page::Scope<'a> {
    page::Scope { account: context.account().as_str(), operation: scope.operation, filter: scope.about }
}

/// 56 digits: a position and its code.
pub fn position(context: &Context<'_>, scope: Scope<'_>, position: Position) -> String {
    let place = format!("{:020}{:020}", position.timestamp, position.sequence);
    let code = code(context, scope, &place);
    format!("{place}{code}")
}

/// The position in digits made by [`position`].
///
/// # Errors
/// `InvalidParameterException` when they were not.
pub fn open_position(context: &Context<'_>, scope: Scope<'_>, digits: &str) -> Result<Position, Fault> {
    let read = || {
        let (place, given) = digits.split_at_checked(digits.len().checked_sub(CODE)?)?;
        let (timestamp, sequence) = place.split_at_checked(20)?;
        let position = Position { timestamp: timestamp.parse().ok()?, sequence: sequence.parse().ok()? };
        let wanted = code(context, scope, place);
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), wanted.as_bytes());
        same.is_ok().then_some(position)
    };
    read().ok_or_else(invalid)
}

/// `f/DIGITS/s`
pub fn forward(context: &Context<'_>, scope: Scope<'_>, place: Position) -> String {
    format!("f/{}/s", position(context, scope, place))
}

/// `b/DIGITS/s`
pub fn backward(context: &Context<'_>, scope: Scope<'_>, place: Position) -> String {
    format!("b/{}/s", position(context, scope, place))
}

/// The cursor of either.
///
/// # Errors
/// `InvalidParameterException` for anything else.
pub fn open_cursor(context: &Context<'_>, scope: Scope<'_>, token: &str) -> Result<Cursor, Fault> {
    let body = token.strip_suffix("/s").ok_or_else(invalid)?;
    if let Some(digits) = body.strip_prefix("f/") {
        return Ok(Cursor::Forward(open_position(context, scope, digits)?));
    }
    let digits = body.strip_prefix("b/").ok_or_else(invalid)?;
    Ok(Cursor::Backward(open_position(context, scope, digits)?))
}

fn code(context: &Context<'_>, scope: Scope<'_>, place: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &context.settings.page_key);
    let mut sum = hmac::Context::with_key(&key);
    for part in [context.account().as_str(), scope.operation, scope.about, place] {
        sum.update(&(part.len() as u64).to_be_bytes());
        sum.update(part.as_bytes());
    }
    let first = sum.sign().as_ref().first_chunk::<8>().copied().unwrap_or_default();
    format!("{:016}", u64::from_be_bytes(first) % 10_000_000_000_000_000)
}

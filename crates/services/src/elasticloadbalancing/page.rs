//! Pages: `Marker`, `PageSize`, `NextMarker`.

use longshore_wire::Fault;

use super::fault;
use crate::Context;
use crate::ecs::page::{Scope, decode, encode};

/// Entries on a page where the caller does not say: the most it may ask for.
const MOST: usize = 400;

/// What a request says about its page, and of which list it is.
pub struct Asked<'a> {
    pub operation: &'static str,
    /// The request's other parameters, in any stable form.
    pub filter: &'a str,
    pub marker: Option<&'a str>,
    pub size: Option<i32>,
}

/// Takes a page from `rows`, which are in the order of their keys; with the marker of the next.
///
/// # Errors
/// `ValidationError` for a marker that is none of this list's.
pub fn cut<T>(
    context: &Context<'_>,
    asked: &Asked<'_>,
    rows: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), Fault> {
    let account = context.account().as_str().to_owned();
    let scope = Scope { account: &account, operation: asked.operation, filter: asked.filter };
    let key = &context.settings.page_key;
    let open = |marker| decode(key, scope, marker).ok_or_else(|| fault::invalid("The specified marker is not valid"));
    let after = asked.marker.filter(|marker| !marker.is_empty()).map(open).transpose()?;
    let size = asked.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(MOST);
    let behind = |key: &String| after.as_ref().is_none_or(|after| key > after);
    let mut left: Vec<(String, T)> = rows.into_iter().filter(|(key, _)| behind(key)).take(size + 1).collect();
    let more = left.len() > size;
    left.truncate(size);
    let next = left.last().filter(|_| more).map(|(last, _)| encode(key, scope, last));
    Ok((left.into_iter().map(|(_, row)| row).collect(), next))
}

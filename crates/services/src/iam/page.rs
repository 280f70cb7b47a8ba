//! Pages of IAM's lists: `Marker`, `MaxItems`, `IsTruncated`.

use longshore_wire::Fault;

use super::fault;
use crate::Context;
use crate::ecs::page::{Scope, decode, encode};

/// Entries on a page where the caller does not say.
const USUAL: usize = 100;

/// A page, and the marker of the next one.
#[derive(Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub marker: Option<String>,
}

impl<T> Page<T> {
    pub fn truncated(&self) -> Option<bool> {
        Some(self.marker.is_some())
    }
}

/// What a request says about its page, and of which list it is.
pub struct Asked<'a> {
    pub operation: &'static str,
    /// The request's other parameters, in any stable form.
    pub filter: &'a str,
    pub marker: Option<&'a str>,
    pub max_items: Option<i32>,
}

/// Takes a page from `rows`, which are in the order of their keys.
///
/// # Errors
/// `InvalidInput` for a marker that is none of this list's.
pub fn cut<T>(context: &Context<'_>, asked: &Asked<'_>, rows: Vec<(String, T)>) -> Result<Page<T>, Fault> {
    let account = context.account().as_str().to_owned();
    let scope = Scope { account: &account, operation: asked.operation, filter: asked.filter };
    let key = &context.settings.page_key;
    let open = |marker| decode(key, scope, marker).ok_or_else(|| fault::invalid(format!("Invalid Marker: {marker}")));
    let after = asked.marker.map(open).transpose()?;
    let limit = asked.max_items.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL);
    let mut left = rows.into_iter().skip_while(|(key, _)| after.as_ref().is_some_and(|after| key <= after)).peekable();
    let mut page = Page { rows: Vec::new(), marker: None };
    let mut last = String::new();
    while let Some((key, row)) = left.next_if(|_| page.rows.len() < limit) {
        last = key;
        page.rows.push(row);
    }
    page.marker = left.peek().map(|_| encode(key, scope, &last));
    Ok(page)
}

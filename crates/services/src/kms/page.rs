//! Pages of KMS's lists: `Marker`, `Limit`, `Truncated`.

use longshore_api::kms::fault as def;
use longshore_model::Place;
use longshore_wire::Fault;

use super::fault;
use crate::ecs::page::{Scope, decode, encode};
use crate::{Context, Settings};

/// Entries on a page where the caller does not say.
const USUAL: usize = 100;

/// Rows that are looked at for a page.
const LOOKED: usize = 10_000;

/// A page, and the marker of the next one.
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
    pub limit: Option<i32>,
}

impl Asked<'_> {
    fn scope<'b>(&'b self, place: &'b Place) -> Scope<'b> {
        Scope { account: place.account.as_str(), operation: self.operation, filter: self.filter }
    }

    /// The key that the page begins behind.
    ///
    /// # Errors
    /// `InvalidMarkerException`
    pub fn after(&self, context: &Context<'_>) -> Result<Option<String>, Fault> {
        let open = |marker| {
            let position = decode(&context.settings.page_key, self.scope(&context.place), marker);
            position.ok_or_else(|| fault::of(&def::INVALID_MARKER_EXCEPTION, "The marker is not valid."))
        };
        self.marker.map(open).transpose()
    }
}

/// Takes a page from `rows`, which begin where it begins and carry their keys.
pub fn cut<T>(
    settings: &Settings,
    place: &Place,
    asked: &Asked<'_>,
    rows: impl Iterator<Item = (String, T)>,
) -> Page<T> {
    sift(settings, place, asked, rows.map(|(key, row)| (key, Some(row))))
}

/// As [`cut`], of rows some of which are not meant. A page whose rows are far apart is a short one.
pub fn sift<T>(
    settings: &Settings,
    place: &Place,
    asked: &Asked<'_>,
    rows: impl Iterator<Item = (impl AsRef<str>, Option<T>)>,
) -> Page<T> {
    let limit = asked.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL);
    let mut rows = rows.peekable();
    let mut page = Page { rows: Vec::new(), marker: None };
    let (mut last, mut looked) = (None, 0);
    while let Some((key, row)) = rows.next_if(|_| page.rows.len() < limit && looked < LOOKED) {
        looked += 1;
        last = Some(key);
        page.rows.extend(row);
    }
    let more = last.filter(|_| rows.peek().is_some());
    page.marker = more.map(|last| encode(&settings.page_key, asked.scope(place), last.as_ref()));
    page
}

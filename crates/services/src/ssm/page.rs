//! Pages of lists: `NextToken` and `MaxResults`.

use longshore_api::ssm::fault as def;
use longshore_wire::Fault;

use super::fault;
use crate::Context;
use crate::ecs::page::{Scope, decode, encode};

/// Rows that are looked at for one page. A filter that takes few leaves a page with fewer entries than asked for, even
/// none, and a token, as AWS's do.
const LOOKED_AT: usize = 5000;

/// What a request says about its page, and of which list it is.
pub struct Asked<'a> {
    pub operation: &'static str,
    /// The request's other parameters, in any stable form.
    pub filter: &'a str,
    pub token: Option<&'a str>,
    pub limit: usize,
}

impl Asked<'_> {
    /// The key that the page begins behind.
    ///
    /// # Errors
    /// `InvalidNextToken`.
    pub fn after(&self, context: &Context<'_>) -> Result<Option<String>, Fault> {
        let account = context.account().clone();
        let scope = Scope { account: account.as_str(), operation: self.operation, filter: self.filter };
        let open = |token| {
            decode(&context.settings.page_key, scope, token)
                .ok_or_else(|| fault::of(&def::INVALID_NEXT_TOKEN, "The specified token isn't valid."))
        };
        self.token.filter(|token| !token.is_empty()).map(open).transpose()
    }

    /// Takes a page from rows behind [`after`](Self::after), each under its key, `None` where the filter refuses it.
    pub fn take<T>(
        &self,
        context: &Context<'_>,
        rows: impl Iterator<Item = (String, Option<T>)>,
    ) -> (Vec<T>, Option<String>) {
        let (mut rows, mut taken) = (rows.enumerate().peekable(), Vec::new());
        let mut last = None;
        while let Some((_, (key, row))) = rows.next_if(|(index, _)| *index < LOOKED_AT && taken.len() < self.limit) {
            taken.extend(row);
            last = Some(key);
        }
        let account = context.account().as_str();
        let scope = Scope { account, operation: self.operation, filter: self.filter };
        let more = last.filter(|_| rows.peek().is_some());
        let token = more.map(|key| encode(&context.settings.page_key, scope, &key));
        (taken, token)
    }
}

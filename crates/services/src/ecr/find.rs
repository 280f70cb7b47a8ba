//! From what a request names to the records.

use std::sync::Arc;

use longshore_model::registry::Repository;
use longshore_model::{AccountId, Place, State};
use longshore_wire::Fault;

use super::content::repository;
use super::fault;
use crate::Context;
use crate::ecs::page::{Asked, Page};

/// The account whose registry is meant: the caller's, where none is named.
pub fn registry(context: &Context<'_>, given: Option<&str>) -> AccountId {
    given.and_then(AccountId::parse).unwrap_or_else(|| context.account().clone())
}

/// Which repository a request is about.
#[derive(Clone, Debug)]
pub struct Which {
    pub registry: AccountId,
    pub name: String,
}

impl Which {
    pub fn of(context: &Context<'_>, registry_id: Option<String>, name: Option<String>) -> Self {
        Self { registry: registry(context, registry_id.as_deref()), name: name.unwrap_or_default() }
    }

    /// # Errors
    /// `RepositoryNotFoundException`
    pub fn find<'a>(&self, state: &'a State) -> Result<&'a Arc<Repository>, Fault> {
        repository(state, &self.registry, &self.name)
    }

    /// As it is now.
    ///
    /// # Errors
    /// `RepositoryNotFoundException`
    pub fn read(&self, context: &mut Context<'_>) -> Result<Arc<Repository>, Fault> {
        self.find(&context.read()).cloned()
    }

    /// Changes the repository; its record is written if it is another then. Answers with what `change` does.
    ///
    /// # Errors
    /// `RepositoryNotFoundException`, and those of `change`.
    pub fn change<T>(
        &self,
        context: &mut Context<'_>,
        change: impl FnOnce(&mut Repository) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        context.transact(|state, changes, _| {
            let found = self.find(state)?;
            let mut repository = Repository::clone(found);
            let answer = change(&mut repository)?;
            if repository != **found {
                changes.push(repository.into());
            }
            Ok(answer)
        })
    }

    pub fn registry_id(&self) -> Option<String> {
        Some(self.registry.to_string())
    }

    pub fn repository_name(&self) -> Option<String> {
        Some(self.name.clone())
    }

    pub fn place(&self, context: &Context<'_>) -> Place {
        Place::new(&context.place.region, &self.registry)
    }
}

/// Entries on a page where the caller does not say, and at most.
const USUAL: i32 = 100;
const MOST: i32 = 1000;

/// A list: its operation and its parameters, in any stable form.
pub struct List<'a> {
    pub operation: &'static str,
    pub filter: &'a str,
}

impl List<'_> {
    /// # Errors
    /// `InvalidParameterException`
    pub fn page(&self, context: &Context<'_>, token: Option<&str>, most: Option<i32>) -> Result<Page, Fault> {
        let asked = Asked { token, max_results: Some(most.unwrap_or(USUAL)) };
        let page = Page::open(context, self.operation, self.filter, asked, MOST);
        page.map_err(|_| fault::parameter("nextToken", "must be what an answer of this operation had"))
    }

    pub fn take<T>(
        &self,
        context: &Context<'_>,
        page: &Page,
        rows: impl IntoIterator<Item = (String, T)>,
    ) -> (Vec<T>, Option<String>) {
        page.take(context, self.operation, self.filter, rows)
    }
}

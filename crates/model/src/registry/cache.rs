//! Rules of the pull-through cache: which repositories are filled from where.

use std::sync::Arc;

use longshore_api::ecr as api;
use longshore_wire::record;

use super::account::{ROOT, prefixes};
use crate::State;

/// Rules that an account may have: ECR's quota.
pub const MOST_RULES: usize = 50;

record! {
    /// What lies below a prefix is fetched from an upstream when it is first pulled.
    pub struct CacheRule {
        pub account: String = "account",
        /// Without a slash at its end; [`ROOT`] for every name that no other rule is for.
        pub prefix: String = "prefix",
        /// As it is shown.
        pub rule: api::PullThroughCacheRule = "rule",
    }
}

impl CacheRule {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.prefix)
    }

    /// The repository of the upstream that one of this name is filled from.
    pub fn upstream_of(&self, name: &str) -> Option<String> {
        let rest = match self.prefix.as_str() {
            ROOT => name,
            prefix => name.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let upstream = self.rule.upstream_repository_prefix.as_deref().unwrap_or(ROOT);
        let upstream = upstream.trim_end_matches('/');
        let whole = if upstream == ROOT { rest.to_owned() } else { format!("{upstream}/{rest}") };
        (!rest.is_empty()).then_some(whole)
    }
}

impl State {
    /// The rule that a repository of this name is filled by, that of the longest prefix; and what it is called there.
    pub fn cache_rule(&self, account: &str, name: &str) -> Option<(&Arc<CacheRule>, String)> {
        let mut rules = prefixes(name).filter_map(|prefix| self.cache_rules.get(&super::key(account, &prefix)));
        rules.find_map(|rule| Some((rule, rule.upstream_of(name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;

    fn rule(prefix: &str, upstream: Option<&str>) -> CacheRule {
        let rule = api::PullThroughCacheRule {
            ecr_repository_prefix: Some(prefix.to_owned()),
            upstream_repository_prefix: upstream.map(str::to_owned),
            ..Default::default()
        };
        CacheRule { account: "1".to_owned(), prefix: prefix.to_owned(), rule }
    }

    #[test]
    fn the_rule_of_the_longest_prefix_says_what_a_repository_is_called_upstream() {
        let mut state = State::default();
        for rule in [rule("hub", None), rule("hub/team", Some("corp/")), rule("quay", Some(ROOT))] {
            state.apply(&Change::from(rule));
        }
        let check = |state: &State, name: &str, wanted: Option<(&str, &str)>| {
            let found = state.cache_rule("1", name);
            let found = found.as_ref().map(|(rule, upstream)| (rule.prefix.as_str(), upstream.as_str()));
            assert_eq!(found, wanted, "{name}");
        };
        check(&state, "hub/library/web", Some(("hub", "library/web")));
        check(&state, "hub/team/web", Some(("hub/team", "corp/web")));
        check(&state, "hub/team", Some(("hub", "team")));
        check(&state, "quay/a", Some(("quay", "a")));
        for name in ["hub", "hubs/a", "team/web"] {
            check(&state, name, None);
        }
        state.apply(&Change::from(rule(ROOT, None)));
        check(&state, "hub", Some((ROOT, "hub")));
        check(&state, "team/web", Some((ROOT, "team/web")));
        assert!(state.cache_rule("2", "hub/a").is_none());
    }
}

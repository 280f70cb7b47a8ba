//! Documents that were read before.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use super::{Kind, Policy};

/// Documents of a kind that are kept; beyond that all are forgotten and read again.
const KEPT: usize = 4096;

type Documents = HashMap<String, Arc<Policy>>;

/// Parsing is much dearer than evaluating, and documents repeat. One map a kind.
static PARSED: LazyLock<RwLock<[Documents; 4]>> = LazyLock::new(RwLock::default);

/// What a document says; `None` if it does not read. The same text always says the same, so that it is read once.
pub fn parsed(kind: Kind, document: &str) -> Option<Arc<Policy>> {
    let slot = match kind {
        Kind::Identity => 0,
        Kind::Session => 1,
        Kind::Resource => 2,
        Kind::Trust => 3,
        Kind::Boundary => return Policy::parse(kind, document).ok().map(Arc::new),
    };
    let known = PARSED.read().ok().and_then(|kept| kept[slot].get(document).cloned());
    if known.is_some() {
        return known;
    }
    let policy = Arc::new(Policy::parse(kind, document).ok()?);
    if let Ok(mut kept) = PARSED.write() {
        if kept[slot].len() >= KEPT {
            kept[slot].clear();
        }
        kept[slot].insert(document.to_owned(), policy.clone());
    }
    Some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_once_as_each_kind() {
        let text = r#"{"Version": "2012-10-17", "Statement": {"Sid": "known", "Effect": "Allow",
            "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}}"#;
        let read = |kind| parsed(kind, text);
        let (one, again) = (read(Kind::Trust).unwrap(), read(Kind::Trust).unwrap());
        assert!(Arc::ptr_eq(&one, &again));
        assert!(read(Kind::Identity).is_none(), "an identity's policy names no principal");
        assert!(parsed(Kind::Trust, "{}").is_none());
    }
}

//! What all descriptions share: ids that must exist, filters, pages.

use longshore_api::ec2::Filter;
use longshore_wire::Fault;

use super::fault;
use crate::Context;
use crate::ecs::page;

/// Values that one filter may have.
const MAX_VALUES: usize = 200;

/// A filter: its name, and the values of a resource that it looks at.
pub type Look<T> = (&'static str, fn(&T) -> Vec<String>);

/// A kind of resource, described as `T`.
pub struct Kind<T: 'static> {
    pub operation: &'static str,
    pub id: fn(&T) -> &str,
    /// Code and noun of the fault for an id that names nothing.
    pub not_found: (&'static str, &'static str),
    pub filters: &'static [Look<T>],
    /// The least and the most that a page may be asked to hold; without a size it holds the most.
    pub page: (i32, i32),
}

/// What a request asks for.
pub struct Asked<'a> {
    pub ids: Option<&'a [String]>,
    pub filters: Option<&'a [Filter]>,
    pub max_results: Option<i32>,
    pub next_token: Option<&'a str>,
    pub dry_run: Option<bool>,
}

/// One page of `all` (in the order of their ids) and the token of the next.
///
/// # Errors
/// The kind's own for an id that names nothing; `InvalidParameterValue` for an unknown filter or a page size out of
/// bounds; `InvalidParameterCombination`, `InvalidNextToken`, `DryRunOperation`.
pub fn page<T>(
    context: &Context<'_>,
    kind: &Kind<T>,
    asked: &Asked<'_>,
    all: Vec<T>,
) -> Result<(Vec<T>, Option<String>), Fault> {
    if asked.dry_run == Some(true) {
        return Err(fault::dry_run());
    }
    let (chosen, all_known) = by_ids(kind, asked.ids, all)?;
    let chosen = filtered(kind, asked.filters, chosen)?;
    if all_known && asked.max_results.is_some() {
        return Err(fault::ids_with_page());
    }
    let limit = asked.max_results.unwrap_or(kind.page.1);
    if !(kind.page.0..=kind.page.1).contains(&limit) {
        return Err(fault::invalid_value(format!(
            "Value ( {limit} ) for parameter maxResults is invalid. Expecting a value between {} and {}.",
            kind.page.0, kind.page.1
        )));
    }
    let about = format!("{:?} {:?}", asked.ids, asked.filters);
    let scope = page::Scope { account: context.account().as_str(), operation: kind.operation, filter: &about };
    let key = &context.settings.page_key;
    let open = |token| page::decode(key, scope, token).ok_or_else(|| fault::invalid_token(token));
    let after = asked.next_token.filter(|token| !token.is_empty()).map(open).transpose()?;
    let behind = |row: &T| after.as_deref().is_none_or(|after| (kind.id)(row) > after);
    let mut rows: Vec<T> = chosen.into_iter().filter(behind).take(limit as usize + 1).collect();
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more);
    let token = last.map(|last| page::encode(key, scope, (kind.id)(last)));
    Ok((rows, token))
}

/// Those named, or all when none is; and whether there were names.
fn by_ids<T>(kind: &Kind<T>, ids: Option<&[String]>, mut all: Vec<T>) -> Result<(Vec<T>, bool), Fault> {
    let Some(ids) = ids.filter(|ids| !ids.is_empty()) else {
        return Ok((all, false));
    };
    for id in ids {
        if !all.iter().any(|row| (kind.id)(row) == id) {
            let (code, noun) = kind.not_found;
            return Err(fault::not_found(code, noun, id));
        }
    }
    all.retain(|row| ids.iter().any(|id| (kind.id)(row) == id));
    Ok((all, true))
}

/// Those for which every filter has one of its values. Tags are not kept yet, so a tag filter lets nothing through.
pub fn filtered<T>(kind: &Kind<T>, filters: Option<&[Filter]>, mut all: Vec<T>) -> Result<Vec<T>, Fault> {
    for filter in filters.unwrap_or_default() {
        let name = filter.name.as_deref().unwrap_or_default();
        let wanted = filter.values.as_deref().unwrap_or_default();
        if wanted.len() > MAX_VALUES {
            return Err(fault::invalid_value(format!("The filter '{name}' has more than {MAX_VALUES} values")));
        }
        if name == "tag-key" || name.starts_with("tag:") {
            all.clear();
            continue;
        }
        let known = kind.filters.iter().find(|(known, _)| *known == name);
        let (_, values) = known.ok_or_else(|| fault::invalid_value(format!("The filter '{name}' is invalid")))?;
        all.retain(|row| values(row).iter().any(|value| wanted.iter().any(|wanted| is_like(value, wanted))));
    }
    Ok(all)
}

/// Whether `text` is as `wanted` says, where `*` stands for any characters, `?` for one, and `\` takes the next as it is.
/// Goes back to the latest star only, so the time is bounded by the product of the lengths.
fn is_like(text: &str, wanted: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let wanted = marks(wanted);
    let (mut at, mut next, mut star) = (0, 0, None);
    while at < text.len() {
        match wanted.get(next) {
            Some(Mark::Any) => {
                star = Some((at, next));
                next += 1;
            }
            Some(Mark::One) => (at, next) = (at + 1, next + 1),
            Some(Mark::Is(character)) if *character == text[at] => (at, next) = (at + 1, next + 1),
            _ => match star {
                Some((from, mark)) => {
                    star = Some((from + 1, mark));
                    (at, next) = (from + 1, mark + 1);
                }
                None => return false,
            },
        }
    }
    wanted[next..].iter().all(|mark| *mark == Mark::Any)
}

#[derive(PartialEq, Eq)]
enum Mark {
    Any,
    One,
    Is(char),
}

fn marks(wanted: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut characters = wanted.chars();
    while let Some(character) = characters.next() {
        marks.push(match character {
            '*' => Mark::Any,
            '?' => Mark::One,
            '\\' => Mark::Is(characters.next().unwrap_or('\\')),
            other => Mark::Is(other),
        });
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_wildcards() {
        let rows = [
            ("available", "available", true),
            ("available", "avail", false),
            ("available", "avail*", true),
            ("available", "*a?l*e", true),
            ("10.0.0.1", "10.?.0.*", true),
            ("a*c", r"a\*c", true),
            ("abc", r"a\*c", false),
            ("", "*", true),
            ("", "?", false),
            ("aaab", "*a*b", true),
            ("aaac", "*a*b", false),
        ];
        for (text, wanted, like) in rows {
            assert_eq!(is_like(text, wanted), like, "{text} like {wanted}");
        }
    }
}

//! Which bytes of a blob a client wants, and which of an upload it sends.

/// What a `Range` header asks for, of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: no header, or one that is not understood, which is none.
    Whole,
    /// From the first to the last byte, both within.
    Part { first: u64, last: u64 },
    /// Bytes that there are not.
    Beyond,
}

/// One range in bytes; several at a time are answered by the whole, as is allowed.
pub(super) fn asked(header: Option<&str>, size: u64) -> Asked {
    let Some((first, last)) = header.and_then(bounds) else { return Asked::Whole };
    let Some(end) = size.checked_sub(1) else { return Asked::Beyond };
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() && first <= end => Asked::Part { first, last: end },
        (Some(first), Some(last)) if first > last => Asked::Whole,
        (Some(first), Some(last)) if first <= end => Asked::Part { first, last: last.min(end) },
        (None, Some(0)) if first.is_empty() => Asked::Beyond,
        (None, Some(length)) if first.is_empty() => Asked::Part { first: size.saturating_sub(length), last: end },
        (Some(_), _) if last.is_empty() || number(last).is_some() => Asked::Beyond,
        _ => Asked::Whole,
    }
}

fn bounds(header: &str) -> Option<(&str, &str)> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.split_once('-')?;
    unit.trim().eq_ignore_ascii_case("bytes").then(|| (first.trim(), last.trim()))
}

/// The bytes that a chunk is: `FIRST-LAST`, both within, with or without a unit and a total.
pub(super) fn sent(header: &str) -> Option<(u64, u64)> {
    let range = header.trim().strip_prefix("bytes").map_or(header, |rest| rest.trim_start_matches([' ', '=']));
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.trim().split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// Digits only: `u64`'s own reading takes a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, size: u64, wanted: Asked) {
        assert_eq!(asked(Some(header), size), wanted, "{header} of {size}");
    }

    #[test]
    fn a_range_is_what_http_says() {
        assert_eq!(asked(None, 10), Asked::Whole);
        check("bytes=0-0", 10, Asked::Part { first: 0, last: 0 });
        check("bytes=2-5", 10, Asked::Part { first: 2, last: 5 });
        check("Bytes= 2-5", 10, Asked::Part { first: 2, last: 5 });
        check("bytes=2-", 10, Asked::Part { first: 2, last: 9 });
        check("bytes=2-100", 10, Asked::Part { first: 2, last: 9 });
        check("bytes=-3", 10, Asked::Part { first: 7, last: 9 });
        check("bytes=-30", 10, Asked::Part { first: 0, last: 9 });
        for beyond in ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999-"] {
            check(beyond, 10, Asked::Beyond);
        }
        check("bytes=0-", 0, Asked::Beyond);
        check("bytes=-1", 0, Asked::Beyond);
        let none =
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=5-2", "bytes=1-2,4-5", "bytes=+1-2"];
        for none in none {
            check(none, 10, Asked::Whole);
        }
        check("bytes=0-99999999999999999999999", 10, Asked::Whole);
    }

    #[test]
    fn a_chunk_says_where_it_begins_and_ends() {
        for header in ["3-9", "bytes 3-9/*", "bytes=3-9", "bytes 3-9/10", " 3-9 "] {
            assert_eq!(sent(header), Some((3, 9)), "{header}");
        }
        for header in ["", "3", "3-", "-9", "9-3", "a-b", "+3-9", "3-9-12", "bytes */10", "99999999999999999999-1"] {
            assert_eq!(sent(header), None, "{header}");
        }
    }
}

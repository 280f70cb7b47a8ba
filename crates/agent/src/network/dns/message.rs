//! As much of DNS messages as a forwarder must know: header and question.

use std::net::Ipv4Addr;

/// Bytes of a header.
const HEADER: usize = 12;
/// In the first byte of the flags: answer, kind of query, recursion desired.
const ANSWER: u8 = 0x80;
const OPCODE: u8 = 0x78;
const RECURSION_DESIRED: u8 = 0x01;
const AUTHORITATIVE: u8 = 0x04;
/// The type of addresses of IPv4, the class of the Internet, and how long such an answer holds: 60 s, as AWS's balancers have it.
const A: u8 = 1;
const INTERNET: u8 = 1;
const SECONDS: u8 = 60;
/// Addresses of one answer: with them it is shorter than 512 bytes, whatever the name.
const MOST: usize = 14;
/// In the second byte of the flags: recursion available; the code of a server failure.
const RECURSION_AVAILABLE: u8 = 0x80;
const SERVFAIL: u8 = 2;

/// Whether it is a query at all: long enough, and not an answer (which would go round in circles).
pub(super) fn is_query(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & ANSWER == 0
}

/// Whether `answer` answers `query`: an answer with its id and its question. Names compare without case; an answer with
/// no question at all is taken too, as some servers leave it out of errors.
pub(super) fn is_answer_to(query: &[u8], answer: &[u8]) -> bool {
    if answer.len() < HEADER || answer[2] & ANSWER == 0 || answer[..2] != query[..2] {
        return false;
    }
    match (question(query), question(answer)) {
        (Some(asked), Some(answered)) => asked.eq_ignore_ascii_case(answered),
        (_, None) => answer[4..6] == [0, 0],
        (None, Some(_)) => false,
    }
}

/// The answer "server failure" to a query.
pub(super) fn servfail(query: &[u8]) -> Vec<u8> {
    let question = question(query).unwrap_or_default();
    let mut answer = query[..2].to_vec();
    answer.push(ANSWER | query[2] & (OPCODE | RECURSION_DESIRED));
    answer.push(RECURSION_AVAILABLE | SERVFAIL);
    answer.extend([0, u8::from(!question.is_empty()), 0, 0, 0, 0, 0, 0]);
    answer.extend(question);
    answer
}

/// The name that is asked for, in small letters, with dots between its labels.
pub(super) fn name(query: &[u8]) -> Option<String> {
    let mut labels = question(query)?;
    let mut name = String::new();
    while let Some((length, rest)) = labels.split_first().filter(|(length, _)| **length > 0) {
        let (label, behind) = rest.split_at_checked(usize::from(*length))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(label).ok()?);
        labels = behind;
    }
    Some(name.to_ascii_lowercase())
}

/// The answer for a name that has these addresses; to a question for anything but addresses of IPv4 there is nothing.
pub(super) fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let question = question(query).unwrap_or_default();
    let asks = question.ends_with(&[0, A, 0, INTERNET]);
    let told = if asks { &addresses[..addresses.len().min(MOST)] } else { &[] };
    let mut answer = query[..2].to_vec();
    answer.push(ANSWER | AUTHORITATIVE | query[2] & (OPCODE | RECURSION_DESIRED));
    answer.push(RECURSION_AVAILABLE);
    answer.extend([0, 1, 0, told.len() as u8, 0, 0, 0, 0]);
    answer.extend(question);
    for address in told {
        // The name of the question, which begins behind the header.
        answer.extend([0xc0, HEADER as u8, 0, A, 0, INTERNET, 0, 0, 0, SECONDS, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

/// The bytes of the one question: name, type, class. None if there is not exactly one, or it is cut off.
fn question(message: &[u8]) -> Option<&[u8]> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let label = usize::from(*message.get(at)?);
        at += 1 + label;
        match label {
            0 => break,
            64.. => return None,
            _ => {}
        }
    }
    message.get(HEADER..at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str) -> Vec<u8> {
        let mut query = vec![0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, 1, 0, 1]);
        query
    }

    #[test]
    fn a_server_failure_repeats_id_and_question() {
        let query = query("example.test");
        let answer = servfail(&query);
        assert!(is_answer_to(&query, &answer));
        assert_eq!((answer[3] & 0x0f, answer[2] & 1), (2, 1));
        assert_eq!(answer.len(), query.len());
    }

    #[test]
    fn a_query_cut_off_gets_a_failure_without_question() {
        let whole = query("example.test");
        for length in HEADER..whole.len() {
            assert_eq!(servfail(&whole[..length]).len(), HEADER, "{length}");
        }
    }

    #[test]
    fn answers_to_other_questions_do_not_count() {
        let asked = query("example.test");
        assert!(is_answer_to(&asked, &servfail(&query("EXAMPLE.test"))));
        assert!(!is_answer_to(&asked, &servfail(&query("another.test"))));
        let mut other_id = servfail(&asked);
        other_id[0] ^= 1;
        assert!(!is_answer_to(&asked, &other_id));
        assert!(!is_answer_to(&asked, &asked));
        assert!(!is_answer_to(&asked, &[]));
    }

    #[test]
    fn a_name_of_ones_own_is_answered_with_its_address() {
        let asked = query("Web-1.us-east-1.elb.localhost");
        assert_eq!(name(&asked).as_deref(), Some("web-1.us-east-1.elb.localhost"));
        let told = answer(&asked, &[Ipv4Addr::new(240, 64, 0, 7)]);
        assert!(is_answer_to(&asked, &told));
        assert_eq!((told[3] & 0x0f, &told[6..8]), (0, &[0, 1][..]));
        assert_eq!(&told[told.len() - 16..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 240, 64, 0, 7]);
        let mut other = asked.clone();
        let kind = other.len() - 3;
        other[kind] = 28;
        let told = answer(&other, &[Ipv4Addr::new(240, 64, 0, 7)]);
        assert_eq!((told.len(), &told[6..8]), (other.len(), &[0, 0][..]));
        for length in HEADER..asked.len() {
            assert_eq!(name(&asked[..length]), None, "{length}");
        }
    }

    #[test]
    fn an_answer_has_all_addresses_that_have_room() {
        let asked = query("web");
        for (count, expected) in [(0, 0), (1, 1), (3, 3), (MOST, MOST), (MOST + 1, MOST)] {
            let addresses: Vec<Ipv4Addr> = (0..count).map(|last| Ipv4Addr::new(240, 64, 0, last as u8)).collect();
            let told = answer(&asked, &addresses);
            assert_eq!((usize::from(told[7]), told.len()), (expected, asked.len() + 16 * expected), "{count}");
            let last = told.chunks_exact(16).count().checked_sub(1).map(|_| told[told.len() - 1]);
            assert!(expected == 0 || last == Some(expected as u8 - 1), "{last:?}");
        }
    }

    #[test]
    fn only_queries_are_queries() {
        let query = query("example.test");
        assert!(is_query(&query));
        assert!(!is_query(&servfail(&query)));
        assert!(!is_query(&query[..11]));
    }
}

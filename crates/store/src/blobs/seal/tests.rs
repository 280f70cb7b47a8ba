use proptest::prelude::*;

use super::super::{Algorithm, digest_of};
use super::*;

fn seal(number: u8) -> Seal {
    Seal::new(SealId::parse(&format!("k{number:032x}")).unwrap(), &[number; 32])
}

fn sha(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

/// What a file holds, if it is that of the digest.
fn opened(seal: &Seal, digest: &Digest, file: &[u8]) -> Result<Vec<u8>, Error> {
    let head = file.first_chunk().ok_or(Error::Damaged)?;
    let (key, size) = Head::verify(head, seal, digest, file.len() as u64)?;
    let mut rest = file[HEAD..].to_vec();
    let length = key.open_all(0, &mut rest)?;
    assert_eq!(length as u64, size);
    rest.truncate(length);
    Ok(rest)
}

const LENGTHS: [usize; 7] = [0, 1, PLAIN - 1, PLAIN, PLAIN + 1, 3 * PLAIN, 3 * PLAIN + 500];

#[test]
fn a_file_opens_and_has_the_length_that_is_foretold() {
    for length in LENGTHS {
        let plain = content(length);
        let file = sealed(&seal(1), &sha(&plain), &plain).unwrap();
        assert_eq!(file.len() as u64, raw_length(length as u64));
        assert_eq!(plain_length(file.len() as u64), Some(length as u64));
        assert_eq!(opened(&seal(1), &sha(&plain), &file).unwrap(), plain);
        assert!(opened(&seal(2), &sha(&plain), &file).is_err(), "another key");
        assert!(opened(&seal(1), &sha(b"other"), &file).is_err(), "another digest");
        let again = sealed(&seal(1), &sha(&plain), &plain).unwrap();
        assert_ne!(again, file);
    }
}

#[test]
fn a_cut_or_longer_file_does_not_open() {
    let plain = content(2 * PLAIN + 100);
    let digest = sha(&plain);
    let file = sealed(&seal(1), &digest, &plain).unwrap();
    let lengths = (0..HEAD + 2).chain([HEAD + RAW - 1, HEAD + RAW, HEAD + RAW + 29, HEAD + 2 * RAW, file.len() - 1]);
    for length in lengths {
        assert!(opened(&seal(1), &digest, &file[..length]).is_err(), "cut at {length}");
    }
    for more in [1, 29, 100, RAW] {
        let longer = [&file[..], &vec![0; more]].concat();
        assert!(opened(&seal(1), &digest, &longer).is_err(), "{more} more");
    }
    let repeated = [&file[..HEAD + RAW], &file[HEAD..]].concat();
    assert!(opened(&seal(1), &digest, &repeated).is_err());
}

#[test]
fn segments_have_their_place_in_their_file() {
    let plain = content(3 * PLAIN);
    let digest = sha(&plain);
    let file = sealed(&seal(1), &digest, &plain).unwrap();
    let twin = sealed(&seal(1), &digest, &plain).unwrap();
    let segment = |of: &[u8], number: usize| of[HEAD + number * RAW..HEAD + (number + 1) * RAW].to_vec();
    for (to, from) in [(0, 1), (1, 0), (1, 2), (2, 0)] {
        let mut forged = file.clone();
        forged[HEAD + to * RAW..HEAD + (to + 1) * RAW].copy_from_slice(&segment(&file, from));
        assert!(opened(&seal(1), &digest, &forged).is_err(), "{from} in the place of {to}");
    }
    for number in 0..3 {
        let mut forged = file.clone();
        forged[HEAD + number * RAW..HEAD + (number + 1) * RAW].copy_from_slice(&segment(&twin, number));
        assert!(opened(&seal(1), &digest, &forged).is_err(), "{number} of another file of the same bytes");
    }
    let head_of_twin = [&twin[..HEAD], &file[HEAD..]].concat();
    assert!(opened(&seal(1), &digest, &head_of_twin).is_err());
    // A file in another's place, or an upload that never ended.
    let other = content(3 * PLAIN).into_iter().rev().collect::<Vec<_>>();
    let swapped = sealed(&seal(1), &sha(&other), &other).unwrap();
    assert!(opened(&seal(1), &digest, &swapped).is_err());
    let head = Head::read(file.first_chunk().unwrap()).unwrap().open_ended();
    assert!(opened(&seal(1), &digest, &[&head[..], &file[HEAD..]].concat()).is_err());
}

#[test]
fn nothing_of_the_bytes_is_in_the_file() {
    let plain = b"a marker that nobody overlooks ".repeat(5000);
    let file = sealed(&seal(1), &sha(&plain), &plain).unwrap();
    let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(!holds(&plain[..12]));
    assert!(!holds(&[1; 32]) && !holds(sha(&plain).hex().as_bytes()));
}

#[test]
fn lengths_that_no_file_has_are_none() {
    for raw in (0..HEAD as u64).chain([HEAD as u64 + 1, HEAD as u64 + AROUND as u64, place(1) + 5]) {
        assert_eq!(plain_length(raw), None, "{raw}");
    }
    assert_eq!((plain_length(HEAD as u64), plain_length(place(2))), (Some(0), Some(2 * PLAIN as u64)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_flipped_bit_is_found(length in 0..3 * PLAIN, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let plain = content(length);
        let digest = sha(&plain);
        let mut file = sealed(&seal(1), &digest, &plain).unwrap();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(opened(&seal(1), &digest, &file).is_err(), "{} of {}", at, file.len());
    }

    #[test]
    fn a_cut_anywhere_is_found(length in 1..3 * PLAIN, at in any::<prop::sample::Index>()) {
        let plain = content(length);
        let digest = sha(&plain);
        let file = sealed(&seal(1), &digest, &plain).unwrap();
        prop_assert!(opened(&seal(1), &digest, &file[..at.index(file.len())]).is_err());
    }

    #[test]
    fn a_span_has_what_is_asked_for(size in 0..6 * PLAIN as u64, at in 0..7 * PLAIN as u64, most in 0..4 * PLAIN as u64,
                                    segments in 1..5_usize) {
        let wanted = size.min(at.saturating_add(most)).saturating_sub(at);
        let Some(span) = Span::of(at, most, size, segments) else {
            prop_assert_eq!(wanted, 0);
            return Ok(());
        };
        prop_assert!(span.wanted > 0 && span.wanted as u64 <= wanted && span.length <= segments * RAW);
        prop_assert!(span.at + span.length as u64 <= raw_length(size));
        prop_assert_eq!(span.first * PLAIN as u64 + span.skip as u64, at);
        let cut_short = (span.wanted as u64) < wanted;
        prop_assert!(!cut_short || span.skip + span.wanted == segments * PLAIN);
    }
}

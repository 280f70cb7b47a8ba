//! Bytes under a data key.
//!
//! ```text
//!      8 bytes   form
//!     32 bytes   salt: the file's key is HMAC-SHA-256 of it under the data key
//!      8 bytes   how many bytes are sealed                              ┐ zero while they still come
//!     32 bytes   HMAC-SHA-256, under the data key, of all that and the digest  ┘
//!      …         segments of 64 KiB, the last of what is left: 12 bytes nonce, AES-256-GCM text, 16 bytes tag
//! ```
//! A segment is bound to its file, by the key, and to its number; the file to its digest and its length, by the head. So what
//! was changed, cut off, moved within a file or put in another's place does not open, and a range is read by its own segments.
//! Nonces are random, because the last segment of an upload is written again whenever more comes.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};

use super::{Digest, Error, SealId};

const FORM: &[u8; 8] = b"LSSEAL\0\x01";
const SALT: usize = 32;
const MARK: usize = 32;

/// Bytes before the segments.
pub(super) const HEAD: usize = FORM.len() + SALT + 8 + MARK;

/// Bytes of a segment in its file, of what is sealed in it, and of what is around that.
pub(super) const RAW: usize = 64 * 1024;
pub(super) const PLAIN: usize = RAW - AROUND;
const AROUND: usize = NONCE_LEN + TAG;
const TAG: usize = 16;

/// A data key. Clones share it.
#[derive(Clone)]
pub struct Seal {
    id: SealId,
    key: Arc<hmac::Key>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Seal({})", self.id)
    }
}

impl Seal {
    pub fn new(id: SealId, key: &[u8; 32]) -> Self {
        Self { id, key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)) }
    }

    pub fn id(&self) -> &SealId {
        &self.id
    }

    /// What the segments of a file are sealed with.
    fn file_key(&self, salt: &[u8; SALT]) -> Result<FileKey, Error> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"segments");
        context.update(salt);
        let key = UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).map_err(|_| Error::Damaged)?;
        Ok(FileKey(Arc::new(LessSafeKey::new(key))))
    }

    fn marked(&self, salt: &[u8; SALT], digest: &Digest, size: u64) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"file");
        context.update(FORM);
        context.update(salt);
        context.update(&size.to_be_bytes());
        context.update(digest.as_str().as_bytes());
        context
    }
}

/// The head of a file that still comes, or that is whole.
#[derive(Clone)]
pub(super) struct Head {
    salt: [u8; SALT],
}

impl Head {
    pub fn new() -> Result<Self, Error> {
        Ok(Self { salt: random()? })
    }

    /// As it is written while bytes still come.
    pub fn open_ended(&self) -> [u8; HEAD] {
        self.laid_out(0, &[0; MARK])
    }

    /// As it is written when all of them are there.
    pub fn whole(&self, seal: &Seal, digest: &Digest, size: u64) -> [u8; HEAD] {
        self.laid_out(size, seal.marked(&self.salt, digest, size).sign().as_ref())
    }

    fn laid_out(&self, size: u64, mark: &[u8]) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let parts = [&FORM[..], &self.salt, &size.to_be_bytes(), mark].concat();
        bytes.copy_from_slice(&parts);
        bytes
    }

    /// Of an upload.
    pub fn read(bytes: &[u8; HEAD]) -> Result<Self, Error> {
        let (form, rest) = bytes.split_at(FORM.len());
        let salt = rest.first_chunk().filter(|_| form == FORM).ok_or(Error::Damaged)?;
        Ok(Self { salt: *salt })
    }

    /// Of a file that has `length` bytes; how many are sealed in it, and what they open with.
    pub fn verify(bytes: &[u8; HEAD], seal: &Seal, digest: &Digest, length: u64) -> Result<(FileKey, u64), Error> {
        let head = Self::read(bytes)?;
        let size = plain_length(length).ok_or(Error::Damaged)?;
        let (told, mark) = bytes[FORM.len() + SALT..].split_at(8);
        if told != size.to_be_bytes() {
            return Err(Error::Damaged);
        }
        let expected = seal.marked(&head.salt, digest, size).sign();
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), mark);
        same.map_err(|_| Error::Damaged)?;
        Ok((head.key(seal)?, size))
    }

    pub fn key(&self, seal: &Seal) -> Result<FileKey, Error> {
        seal.file_key(&self.salt)
    }
}

/// The key of one file. Clones share it.
#[derive(Clone)]
pub(super) struct FileKey(Arc<LessSafeKey>);

impl FileKey {
    /// Adds a segment to `to`.
    pub fn seal(&self, number: u64, plain: &[u8], to: &mut Vec<u8>) -> Result<(), Error> {
        let nonce: [u8; NONCE_LEN] = random()?;
        to.extend_from_slice(&nonce);
        let begin = to.len();
        to.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, bound(number), &mut to[begin..]);
        to.extend_from_slice(sealed.map_err(|_| Error::Damaged)?.as_ref());
        Ok(())
    }

    /// What a segment holds, in its own place.
    pub fn open<'a>(&self, number: u64, raw: &'a mut [u8]) -> Result<&'a [u8], Error> {
        let (nonce, text) = raw.split_at_mut_checked(NONCE_LEN).ok_or(Error::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Damaged)?;
        let plain = self.0.open_in_place(nonce, bound(number), text).map_err(|_| Error::Damaged)?;
        Ok(plain)
    }

    /// Opens the segments of a span, so that what is asked for begins at its `skip`.
    pub fn open_span(&self, span: &Span, raw: &mut [u8]) -> Result<(), Error> {
        match self.open_all(span.first, raw)? >= span.skip + span.wanted {
            true => Ok(()),
            false => Err(Error::Damaged),
        }
    }

    /// Opens segments that follow each other, and puts what they hold together at the beginning. How many bytes it is.
    pub fn open_all(&self, first: u64, raw: &mut [u8]) -> Result<usize, Error> {
        let (mut from, mut to) = (0, 0);
        for number in first.. {
            if from == raw.len() {
                break;
            }
            let end = raw.len().min(from + RAW);
            let length = self.open(number, &mut raw[from..end])?.len();
            raw.copy_within(from + NONCE_LEN..from + NONCE_LEN + length, to);
            (from, to) = (end, to + length);
        }
        Ok(to)
    }
}

fn bound(number: u64) -> Aad<[u8; 8]> {
    Aad::from(number.to_be_bytes())
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Error::NoRandomness)?;
    Ok(bytes)
}

/// All of a small file.
pub(super) fn sealed(seal: &Seal, digest: &Digest, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let head = Head::new()?;
    let key = head.key(seal)?;
    let mut bytes = Vec::with_capacity(HEAD + plain.len() + plain.len().div_ceil(PLAIN) * AROUND);
    bytes.extend_from_slice(&head.whole(seal, digest, plain.len() as u64));
    for (number, segment) in plain.chunks(PLAIN).enumerate() {
        key.seal(number as u64, segment, &mut bytes)?;
    }
    Ok(bytes)
}

/// Where a segment begins in its file.
pub(super) fn place(number: u64) -> u64 {
    HEAD as u64 + number * RAW as u64
}

/// Bytes of the file of so many.
pub(super) fn raw_length(plain: u64) -> u64 {
    HEAD as u64 + plain + plain.div_ceil(PLAIN as u64) * AROUND as u64
}

/// How many bytes are sealed in a file of so many; `None` if there is no such file.
pub(super) fn plain_length(raw: u64) -> Option<u64> {
    let segments = raw.checked_sub(HEAD as u64)?;
    match segments % RAW as u64 {
        0 => Some(segments / RAW as u64 * PLAIN as u64),
        rest if rest > AROUND as u64 => Some(segments / RAW as u64 * PLAIN as u64 + rest - AROUND as u64),
        _ => None,
    }
}

/// Segments that have what is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub first: u64,
    /// Where they lie in the file, and how many bytes they are.
    pub at: u64,
    pub length: usize,
    /// Bytes of the first segment before what is asked for, and how many bytes are meant.
    pub skip: usize,
    pub wanted: usize,
}

impl Span {
    /// Of `most` bytes from `at` on, of a file that holds `size`, as far as so many segments go; `None` at the end.
    pub fn of(at: u64, most: u64, size: u64, segments: usize) -> Option<Self> {
        let (plain, raw) = (PLAIN as u64, RAW as u64);
        let first = at / plain;
        let end = at.saturating_add(most).min(size).min((first + segments as u64) * plain);
        let wanted = end.checked_sub(at).filter(|wanted| *wanted > 0)?;
        let last = (end - 1) / plain;
        let beyond = ((last + 1) * raw).min(raw_length(size) - HEAD as u64);
        Some(Self {
            first,
            at: place(first),
            length: usize::try_from(beyond - first * raw).ok()?,
            skip: usize::try_from(at % plain).ok()?,
            wanted: usize::try_from(wanted).ok()?,
        })
    }
}

#[cfg(test)]
mod tests;

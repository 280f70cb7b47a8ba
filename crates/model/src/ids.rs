//! Identifiers and where chance comes from.
//!
//! Pure code never draws a random number: a [`Mint`] is seeded by the effects layer and hands out identifiers of the forms
//! that ECS and EC2 use, so one seed gives one sequence.

use std::fmt;

/// An AWS account id: twelve digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

impl AccountId {
    /// `None` unless `text` is twelve ASCII digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// Makes identifiers from a seed (SplitMix64). Not a secret: nothing that must be unguessable comes from here.
#[derive(Clone, Debug)]
pub struct Mint {
    state: u64,
}

impl Mint {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 32 lower-case hex digits: the id of a task, a container instance, a log pump.
    pub fn hex32(&mut self) -> String {
        format!("{:016x}{:016x}", self.next_u64(), self.next_u64())
    }

    /// 17 hex digits, as EC2 ids carry after their prefix (`eni-…`).
    pub fn hex17(&mut self) -> String {
        format!("{:016x}{:01x}", self.next_u64(), self.next_u64() & 0xf)
    }

    /// 19 decimal digits, as ECS writes in `ecs-svc/…` deployment ids.
    pub fn decimal19(&mut self) -> String {
        format!("{:019}", self.next_u64() % 10_000_000_000_000_000_000)
    }

    /// A UUID (version 4 form).
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next_u64(), self.next_u64());
        let high = (high & !0xf000) | 0x4000;
        let low = (low & !(0b11 << 62)) | (0b10 << 62);
        let digits = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        let mut text = String::with_capacity(36);
        for (at, byte) in digits.into_iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push(hexadecimal(byte >> 4));
            text.push(hexadecimal(byte & 15));
        }
        text
    }

    /// A locally administered unicast MAC address.
    pub fn mac(&mut self) -> String {
        let bits = self.next_u64();
        format!(
            "02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
            bits & 0xff,
            (bits >> 8) & 0xff,
            (bits >> 16) & 0xff,
            (bits >> 24) & 0xff,
            (bits >> 32) & 0xff
        )
    }
}

/// The digit of a number below 16.
fn hexadecimal(digit: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(digit)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut one, mut two) = (Mint::new(7), Mint::new(7));
        assert_eq!(one.hex32(), two.hex32());
        assert_ne!(one.hex32(), one.hex32());
    }

    #[test]
    fn identifiers_have_their_lengths() {
        let mut mint = Mint::new(1);
        assert_eq!(mint.hex32().len(), 32);
        assert_eq!(mint.hex17().len(), 17);
        assert_eq!(mint.decimal19().len(), 19);
        let uuid = mint.uuid();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!((&uuid[14..15], "89ab".contains(&uuid[19..20])), ("4", true), "{uuid}");
        assert_eq!(mint.mac().len(), 17);
    }

    #[test]
    fn an_account_is_twelve_digits() {
        assert!(AccountId::parse("000000000000").is_some());
        assert!(AccountId::parse("00000000000").is_none());
        assert!(AccountId::parse("00000000000a").is_none());
    }
}

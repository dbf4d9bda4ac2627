//! Passwords as argon2id keeps them (RFC 9106), in the PHC string format.

use super::secret::{MASK, Secret};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use data_encoding::BASE64_NOPAD;
use std::fmt::Write;

/// What a hash costs that is made here: 19 MiB and two passes, as OWASP advises.
const COST: Cost = Cost { memory_kib: 19_456, passes: 2, lanes: 1 };
/// Most memory that a hash of a configuration may cost, in KiB. Two are checked at a time.
const MAX_MEMORY_KIB: u32 = 256 << 10;
/// Most passes.
const MAX_PASSES: u32 = 16;
/// Most lanes.
const MAX_LANES: u32 = 16;
/// Length of the salt and of the hash that are made here, in bytes.
const SALT: usize = 16;
const HASH: usize = 32;
/// Longest password, in bytes.
pub const MAX_PASSWORD: usize = 1024;

/// The hash of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: Secret,
    cost: Cost,
    salt: Box<[u8]>,
    hash: Digest,
}

/// The hash itself, which is not printed.
#[derive(Clone, PartialEq, Eq)]
struct Digest(Box<[u8]>);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Why a password cannot be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// No password, or one that is too long.
    #[error("a password has 1 to {MAX_PASSWORD} bytes")]
    Length,
    /// The system has no random numbers or no memory.
    #[error("the system has no random numbers or not enough memory")]
    System,
}

impl PasswordHash {
    /// Hashes a password with a new salt. Takes tens of milliseconds.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn of(password: &str) -> Result<Self, PasswordError> {
        if !(1..=MAX_PASSWORD).contains(&password.len()) {
            return Err(PasswordError::Length);
        }
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| PasswordError::System)?;
        let mut hash = [0; HASH];
        COST.hash(password.as_bytes(), &salt, &mut hash).ok_or(PasswordError::System)?;
        let mut text = String::new();
        let Cost { memory_kib, passes, lanes } = COST;
        let (encoded_salt, encoded) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&hash));
        let _ = write!(text, "$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${encoded_salt}${encoded}");
        Ok(Self { text: Secret::new(text), cost: COST, salt: Box::new(salt), hash: Digest(Box::new(hash)) })
    }

    /// Reads `$argon2id$v=19$m=…,t=…,p=…$salt$hash`; `None` for anything else, and for costs that no check should have.
    pub fn parse(text: &str) -> Option<Self> {
        let parameters = text.strip_prefix("$argon2id$v=19$")?;
        let mut parts = parameters.split('$');
        let (cost, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let mut numbers = ["m=", "t=", "p="].into_iter().zip(cost.split(','));
        let mut number = |most: u32| {
            let (name, part) = numbers.next()?;
            let digits = part.strip_prefix(name)?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|number| is_number && (1..=most).contains(number))
        };
        let cost = Cost { memory_kib: number(MAX_MEMORY_KIB)?, passes: number(MAX_PASSES)?, lanes: number(MAX_LANES)? };
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        let is_good = parameters.matches(',').count() == 2
            && (8..=64).contains(&salt.len())
            && (16..=64).contains(&hash.len())
            && cost.parameters(hash.len()).is_some();
        is_good.then(|| Self { text: Secret::new(text), cost, salt, hash: Digest(hash) })
    }

    /// Stands for a hash that is not shown. No password matches.
    pub fn masked() -> Self {
        Self { text: Secret::new(MASK), cost: COST, salt: Box::default(), hash: Digest(Box::default()) }
    }

    /// Whether this is the password. Takes tens of milliseconds, whatever the answer.
    pub fn matches(&self, password: &str) -> bool {
        let mut hash = vec![0; self.hash.0.len()];
        let made = self.cost.hash(password.as_bytes(), &self.salt, &mut hash);
        made.is_some() && verify_slices_are_equal(&hash, &self.hash.0).is_ok() && !password.is_empty()
    }

    /// The PHC string.
    pub fn text(&self) -> &Secret {
        &self.text
    }
}

impl Cost {
    fn parameters(self, length: usize) -> Option<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(length)).ok()
    }

    fn hash(self, password: &[u8], salt: &[u8], hash: &mut [u8]) -> Option<()> {
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.parameters(hash.len())?);
        argon.hash_password_into(password, salt, hash).ok()
    }
}

/// Spends the time of a check for a user who does not exist, so that response times do not reveal who does.
pub fn pretend(password: &str) {
    let mut hash = [0; HASH];
    let _ = COST.hash(password.as_bytes(), &[0; SALT], &mut hash);
    std::hint::black_box(hash);
}

fn decode(text: &str) -> Option<Box<[u8]>> {
    /// Longer ones are no salt and no hash.
    const MAX: usize = 128;
    (text.len() <= MAX).then(|| BASE64_NOPAD.decode(text.as_bytes()).ok()).flatten().map(Vec::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_password_matches_its_hash() {
        let hash = PasswordHash::of("correct horse").unwrap();
        assert!(hash.matches("correct horse") && !hash.matches("correct horsf") && !hash.matches(""));
        let again = PasswordHash::parse(hash.text().expose()).unwrap();
        assert_eq!(again, hash);
        assert!(again.matches("correct horse"));
        assert_ne!(PasswordHash::of("correct horse").unwrap(), hash, "each has a salt of its own");
        assert!(!format!("{hash:?}").contains("argon2id$v"));
    }

    #[test]
    fn hashes_of_the_reference_program_are_understood() {
        // printf password | argon2 somesalt -id -t 2 -m 16 -p 4 -e, of the README of phc-winner-argon2 with -id.
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash::parse(text).unwrap();
        assert!(hash.matches("password") && !hash.matches("Password"));
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let (salt, hash) = ("c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc");
        for head in [
            "$argon2i$v=19$m=64,t=2,p=1",
            "$argon2id$v=16$m=64,t=2,p=1",
            "$argon2id$v=19$m=64,t=2",
            "$argon2id$v=19$t=2,m=64,p=1",
            "$argon2id$v=19$m=64,t=2,p=1,x=1",
            "$argon2id$v=19$m=999999999,t=2,p=1",
            "$argon2id$v=19$m=64,t=99,p=1",
            "$argon2id$v=19$m=64,t=0,p=1",
            "$argon2id$v=19$m=4,t=2,p=1",
            "$argon2id$v=19$m=+64,t=2,p=1",
        ] {
            assert_eq!(PasswordHash::parse(&format!("{head}${salt}${hash}")), None, "{head}");
        }
        let good = format!("$argon2id$v=19$m=64,t=2,p=1${salt}${hash}");
        assert!(PasswordHash::parse(&good).is_some());
        for wrong in ["", "secret", &good.replace(salt, ""), &good.replace(hash, "AA"), &format!("{good}$x")] {
            assert_eq!(PasswordHash::parse(wrong), None, "{wrong}");
        }
        assert_eq!(PasswordHash::of(""), Err(PasswordError::Length));
        assert_eq!(PasswordHash::of(&"x".repeat(MAX_PASSWORD + 1)), Err(PasswordError::Length));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\$argon2id\\$v=19\\$)?[mtp=,0-9$A-Za-z+/]{0,60}") {
            let _ = PasswordHash::parse(&text);
        }
    }
}

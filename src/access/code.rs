//! Codes that log in once, for whoever started the server or may administrate its machine. Pure.

use super::secret::Secret;
use data_encoding::BASE32_NOPAD;
use std::time::{Duration, Instant};

/// How long a code is good.
pub const LASTS: Duration = Duration::from_secs(15 * 60);
/// Most codes at a time; one more ends the oldest.
const MAX: usize = 8;
/// Random bytes of a code: with the limit for guesses nobody finds one while it is good.
const BYTES: usize = 10;
/// Characters between two hyphens.
const GROUP: usize = 4;

/// The codes that are good, by their digests: they themselves are not kept.
#[derive(Debug, Default)]
pub(super) struct Codes {
    open: Vec<([u8; 32], Instant)>,
}

impl Codes {
    /// A code with this digest is good from now on.
    pub(super) fn issue(&mut self, digest: [u8; 32], now: Instant) {
        self.open.retain(|(_, until)| *until > now);
        if self.open.len() >= MAX {
            self.open.remove(0);
        }
        self.open.push((digest, now + LASTS));
    }

    /// Takes the code with this digest, which is not good any more then. Whether it was good.
    pub(super) fn take(&mut self, digest: &[u8; 32], now: Instant) -> bool {
        self.open.retain(|(_, until)| *until > now);
        let Some(at) = self.open.iter().position(|(known, _)| known == digest) else { return false };
        self.open.remove(at);
        true
    }
}

/// A code as people read and type it: `abcd-efgh-ijkl-mnop`.
pub(super) fn written(random: [u8; BYTES]) -> Secret {
    let letters: Vec<char> = BASE32_NOPAD.encode(&random).to_ascii_lowercase().chars().collect();
    let groups: Vec<String> = letters.chunks(GROUP).map(|group| group.iter().collect()).collect();
    Secret::new(groups.join("-"))
}

/// A code as it was typed, without what people add: hyphens, spaces, capitals. `None` for what is none.
pub(super) fn typed(text: &str) -> Option<Secret> {
    let letters = text.chars().filter(|c| *c != '-' && !c.is_whitespace()).map(|c| c.to_ascii_lowercase());
    let letters: String = letters.take(2 * BYTES).collect();
    let is_code =
        letters.len() == (BYTES * 8).div_ceil(5) && letters.chars().all(|c| matches!(c, 'a'..='z' | '2'..='7'));
    let bytes = BASE32_NOPAD.decode(letters.to_ascii_uppercase().as_bytes()).ok().filter(|_| is_code)?;
    bytes.try_into().ok().map(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(number: u8) -> [u8; 32] {
        [number; 32]
    }

    #[test]
    fn a_code_is_good_once_and_for_a_while() {
        let (mut codes, now) = (Codes::default(), Instant::now());
        (1..=3).for_each(|number| codes.issue(digest(number), now));
        assert!(codes.take(&digest(2), now) && !codes.take(&digest(2), now) && !codes.take(&digest(9), now));
        assert!(codes.take(&digest(1), now + LASTS - Duration::from_secs(1)));
        assert!(!codes.take(&digest(3), now + LASTS));
    }

    #[test]
    fn codes_are_bounded() {
        let (mut codes, now) = (Codes::default(), Instant::now());
        (0..20).for_each(|number| codes.issue(digest(number), now));
        assert_eq!(codes.open.len(), MAX);
        assert!(codes.take(&digest(19), now) && !codes.take(&digest(11), now));
    }

    proptest! {
        #[test]
        fn a_code_is_read_as_it_is_written(random in any::<[u8; BYTES]>(), text in "\\PC{0,40}") {
            let code = written(random);
            prop_assert_eq!(code.expose().len(), 19);
            prop_assert_eq!(typed(code.expose()), Some(code.clone()));
            let shouted = format!("  {} ", code.expose().to_uppercase().replace('-', " "));
            prop_assert_eq!(typed(&shouted), Some(code));
            let _ = typed(&text);
        }
    }
}

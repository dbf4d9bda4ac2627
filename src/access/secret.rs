//! A text that no log, answer or page may show.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use std::fmt;

/// What stands for a secret.
pub const MASK: &str = "***";

/// A secret text. It prints as `***`; only [`Secret::expose`] gives it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps this text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Whether both are the same text. Takes the same time whatever they are.
    pub fn is_same(&self, other: &Self) -> bool {
        let digest = |secret: &Self| digest::digest(&digest::SHA256, secret.0.as_bytes());
        verify_slices_are_equal(digest(self).as_ref(), digest(other).as_ref()).is_ok()
    }

    /// The text itself, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("canary");
        assert_eq!(
            format!("{secret} {secret:?} {:?} {:#?}", Some(&secret), [&secret]),
            "*** *** Some(***) [\n    ***,\n]"
        );
        assert_eq!(secret.expose(), "canary");
        assert!(secret.is_same(&Secret::new("canary")) && !secret.is_same(&Secret::new("canar")));
    }
}

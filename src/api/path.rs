//! The path of a request as the parts that routes are made of. Pure.

use percent_encoding::percent_decode_str;
use std::str::Utf8Error;

/// The decoded parts of a path, so that `%2F` is a letter of a name and no separator.
///
/// # Errors
/// A part is no UTF-8.
pub fn parts(path: &str) -> Result<Vec<String>, Utf8Error> {
    path.split('/').map(|part| percent_decode_str(part).decode_utf8().map(|part| part.into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_any_letter() {
        let check = |path: &str, expect: &[&str]| assert_eq!(parts(path).unwrap(), expect, "{path}");
        check("", &[""]);
        check("streams/cam%201", &["streams", "cam 1"]);
        check("streams/a%2Fb/kick", &["streams", "a/b", "kick"]);
        check("streams/%2e%2e/x", &["streams", "..", "x"]);
        check("a//%", &["a", "", "%"]);
        assert!(parts("streams/%ff").is_err());
    }
}

//! Placeholders in a gst-launch pipeline. A value becomes one property value, or a plain word elsewhere; no value adds an
//! element, a property or a link.
//!
//! What matters here of the language is in GStreamer's `parse.l` and `grammar.y`: an assignment is `name=` and either a
//! text in double quotes or all up to a blank, with backslashes as escapes; caps go from a `!` to the next one, and
//! know no quotes. The scanner takes the longest match, so a backslash before a quote or blank keeps it inside
//! even where that backslash is escaped itself. No value is written in a way where that makes a difference.

use super::template::{Filler, Form, Hole, Piece, Target};
use std::fmt::Write as _;

/// What a text consists of.
#[derive(Debug, Clone, Copy)]
enum Atom<'a> {
    Char(char),
    Hole(&'a Hole),
}
use Atom::{Char, Hole as Gap};

impl Filler<'_> {
    /// A pipeline with its placeholders filled.
    pub(super) fn launch(&mut self, pieces: &[Piece]) -> String {
        let mut atoms = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => atoms.extend(text.chars().map(Char)),
                Piece::Hole(hole) => atoms.push(Gap(hole)),
            }
        }
        let mut text = String::new();
        let mut is_caps = false;
        let mut rest = atoms.as_slice();
        while let Some((first, behind)) = rest.split_first() {
            rest = match first {
                Char('\\') if is_caps => {
                    let (escaped, behind) = behind.split_at(behind.len().min(1));
                    text.push('\\');
                    self.plain(escaped, &mut text);
                    behind
                }
                Char(link @ ('!' | ':')) if *link == '!' || !is_caps => {
                    is_caps = begins_caps(behind);
                    text.push(*link);
                    behind
                }
                Char(c) if is_caps || c.is_whitespace() => {
                    text.push(*c);
                    behind
                }
                Gap(_) if is_caps => {
                    self.plain(std::slice::from_ref(first), &mut text);
                    behind
                }
                _ => self.word(rest, &mut text),
            };
        }
        text
    }

    /// Takes a word or an assignment from the front of `atoms` and returns what is after it.
    fn word<'a, 'b>(&mut self, atoms: &'b [Atom<'a>], text: &mut String) -> &'b [Atom<'a>] {
        match assigned(atoms) {
            Some(start) => {
                let (name, rest) = atoms.split_at(start);
                let (value, rest) = rest.split_at(value_length(rest));
                self.plain(name, text);
                self.property(value, text);
                rest
            }
            None => {
                let length = run_length(atoms).max(1);
                let (word, rest) = atoms.split_at(length);
                self.plain(word, text);
                rest
            }
        }
    }

    /// The value of a property. With a placeholder inside it is written again as a whole.
    fn property(&mut self, value: &[Atom<'_>], text: &mut String) {
        let is_raw = value.iter().any(|atom| matches!(atom, Gap(hole) if hole.form == Form::Raw));
        if is_raw || !value.iter().any(|atom| matches!(atom, Gap(_))) {
            return self.plain(value, text);
        }
        let inside = match value {
            [Char('"'), inside @ .., Char('"')] => inside,
            all => all,
        };
        let mut meant = String::new();
        let mut is_quoted = false;
        let mut atoms = inside.iter();
        while let Some(atom) = atoms.next() {
            let atom = match atom {
                Char('\\') if !is_quoted => atoms.next(),
                Char('"') => {
                    is_quoted = !is_quoted;
                    Some(atom)
                }
                atom => Some(atom),
            };
            match atom {
                Some(Char(c)) => meant.push(*c),
                Some(Gap(hole)) => meant.push_str(&self.value(hole, Target::Launch).unwrap_or_default()),
                None => {}
            }
        }
        text.push_str(&encoded(&meant));
    }

    /// Where nothing can be quoted, a value must need none.
    fn plain(&mut self, atoms: &[Atom<'_>], text: &mut String) {
        for atom in atoms {
            match atom {
                Char(c) => text.push(*c),
                Gap(hole) => {
                    let Some(value) = self.value(hole, Target::Launch) else { continue };
                    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '+' | '-');
                    if hole.form == Form::Value && (value.is_empty() || !value.chars().all(fits)) {
                        let message = format!(
                            "expected letters, digits and `_./+-`, because it is no whole property value there, found \
                             {value:?}"
                        );
                        self.misfit(&hole.name, message);
                    }
                    text.push_str(&value);
                }
            }
        }
    }
}

/// Whether caps follow a link: a media type, in spite of all placeholders in it.
fn begins_caps(atoms: &[Atom<'_>]) -> bool {
    let is_type =
        |atom: &Atom<'_>| matches!(atom, Gap(_)) || matches!(atom, Char(c) if c.is_ascii_alphanumeric() || *c == '-');
    let mut rest = atoms.iter().skip_while(|atom| is_blank(atom)).skip_while(|atom| is_type(atom));
    matches!(rest.next(), Some(Char('/')))
}

/// Where the value begins if this is `name=value`.
fn assigned(atoms: &[Atom<'_>]) -> Option<usize> {
    let is_name =
        |atom: &&Atom<'_>| matches!(atom, Char(c) if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%' | ':'));
    let blanks = |from: usize| atoms.iter().skip(from).take_while(|atom| is_blank(atom)).count();
    let name = atoms.iter().take_while(is_name).count();
    let sign = name + blanks(name);
    let is_assignment = name > 0 && matches!(atoms.get(sign), Some(Char('=')));
    is_assignment.then(|| sign + 1 + blanks(sign + 1))
}

/// How many atoms a value has: a quoted text, or all up to a blank.
fn value_length(atoms: &[Atom<'_>]) -> usize {
    if let Some((Char('"'), inside)) = atoms.split_first() {
        let mut escaped = false;
        for (index, atom) in inside.iter().enumerate() {
            match atom {
                Char('"') if !escaped => {
                    let end = index + 2;
                    return end + run_length(atoms.get(end..).unwrap_or_default());
                }
                Char('\\') => escaped = !escaped,
                _ => escaped = false,
            }
        }
    }
    run_length(atoms)
}

/// How many atoms there are up to a blank that is not escaped.
fn run_length(atoms: &[Atom<'_>]) -> usize {
    let mut escaped = false;
    for (index, atom) in atoms.iter().enumerate() {
        if is_blank(atom) && !escaped {
            return index;
        }
        escaped = !escaped && matches!(atom, Char('\\'));
    }
    atoms.len()
}

fn is_blank(atom: &Atom<'_>) -> bool {
    matches!(atom, Char(c) if c.is_ascii_whitespace())
}

/// A value as it stands after `name=`.
pub(super) fn encoded(value: &str) -> String {
    let is_bare =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | ':' | '+' | '-' | '@' | '%' | '=' | ',');
    if value.ends_with('\\') || value.starts_with('"') || value == "NULL" {
        return wrapped(value);
    }
    if !value.is_empty() && value.chars().all(is_bare) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

/// The form of `gst_string_wrap`, which properties of type string take: quotes and octal numbers, escaped once more.
/// It has neither blanks nor bare quotes, so the scanner cannot take it for anything else.
fn wrapped(value: &str) -> String {
    let mut text = String::from("\\\"");
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\\\{byte:03o}");
        }
    }
    text.push_str("\\\"");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::template::{Argument, Arguments, Misfit, pieces};
    use proptest::prelude::*;

    fn fill(text: &str, value: &str) -> Result<String, Vec<Misfit>> {
        let arguments: Arguments = [("a".to_owned(), Argument::Text(value.to_owned()))].into_iter().collect();
        let mut filler = Filler::new(&arguments);
        let filled = filler.launch(&pieces(text).unwrap());
        filler.finish(filled)
    }

    fn check(text: &str, value: &str, expect: &str) {
        assert_eq!(fill(text, value).unwrap(), expect);
    }

    #[test]
    fn a_value_stays_one_property_value() {
        let smuggler = "x ! filesink location=/tmp/x";
        check(
            "filesrc location={a} ! fakesink",
            smuggler,
            "filesrc location=\"x ! filesink location=/tmp/x\" ! fakesink",
        );
        check("filesrc location = \"/d/{a}.ts\"", "b c", "filesrc location = \"/d/b c.ts\"");
        check("filesrc location=/d\\ e/{a}", "b\"c", "filesrc location=\"/d e/b\\\"c\"");
        check("v4l2src device={a}", "/dev/video0", "v4l2src device=/dev/video0");
        check("alsasrc device={a}", "", "alsasrc device=\"\"");
        check("filesrc location={a} ! x", "a\\", "filesrc location=\\\"a\\\\134\\\" ! x");
        check("capsfilter caps=\"video/x-raw,width={a}\"", "640", "capsfilter caps=video/x-raw,width=640");
        check("a location=\"it's { x }\"", "", "a location=\"it's { x }\"");
    }

    #[test]
    fn elsewhere_a_value_must_be_plain() {
        check("a ! video/x-raw,format={a},width=1 ! b", "I420", "a ! video/x-raw,format=I420,width=1 ! b");
        check("a ! rtp{a}depay", "h264", "a ! rtph264depay");
        for text in [
            "a ! video/x-raw, format={a} ! b",
            "a ! video/x-raw,f=\"{a}\" ! b",
            "{a}",
            "a ! {a}enc",
            "b.{a}",
            "{a}=1",
            "a ! {a}/x-raw, f={a}",
            "a ! v/x,\\{a} ! b",
        ] {
            for value in ["", "x ! y", "x!y", "x\\", "x y", "x:y", "x,y", "x=y", "x\"y"] {
                assert!(fill(text, value).is_err(), "{text} {value}");
            }
        }
    }

    #[test]
    fn any_is_a_range_of_caps_and_raw_is_as_written() {
        check("a ! video/x-raw,width={a.width} ! b", "any", "a ! video/x-raw,width=[1,2147483647] ! b");
        check("a ! video/x-raw,framerate={a.fraction} ! b", "25", "a ! video/x-raw,framerate=25/1 ! b");
        check("a {a...} ! b", "c=1 d=2 ! e", "a c=1 d=2 ! e ! b");
        check("a b={a...}", "c d=\"e f\"", "a b=c d=\"e f\"");
    }

    /// The value of the assignment that `text` begins with, and what is after it: `_string` of `parse.l`, longest match,
    /// then `gst_parse_element_set`, `gst_parse_unescape` and `gst_value_deserialize` of a string.
    fn read(text: &str) -> (Option<String>, &str) {
        let chars: Vec<char> = text.chars().collect();
        // All ends that the two alternatives of the expression can have, not only the first.
        let mut ends = vec![0];
        for at in reachable(&chars, 0, |c| !c.is_ascii_whitespace(), |c| c != '\n') {
            ends.push(at);
        }
        if chars.first() == Some(&'"') {
            let inside = reachable(&chars, 1, |c| c != '"', |c| c == '"');
            ends.extend(inside.into_iter().filter(|at| chars.get(*at) == Some(&'"')).map(|at| at + 1));
        }
        let end = ends.into_iter().max().unwrap();
        let (mut token, rest) = (chars[..end].to_vec(), &text[chars[..end].iter().map(|c| c.len_utf8()).sum()..]);
        if token.first() == Some(&'"') && token.last() == Some(&'"') {
            token = token[1..token.len().max(2) - 1].to_vec();
        }
        let (mut meant, mut is_quoted, mut at) = (String::new(), false, 0);
        while at < token.len() {
            if token[at] == '\\' && !is_quoted {
                at += 1;
            } else if token[at] == '"' && (!is_quoted || token[at - 1] != '\\') {
                is_quoted = !is_quoted;
            }
            meant.extend(token.get(at));
            at += 1;
        }
        (deserialized(&meant), rest)
    }

    /// Where one can be after steps over single characters, and over pairs of a backslash and a character.
    fn reachable(
        chars: &[char],
        from: usize,
        single: impl Fn(char) -> bool,
        escaped: impl Fn(char) -> bool,
    ) -> Vec<usize> {
        let mut found = vec![false; chars.len() + 2];
        found[from] = true;
        for at in from..chars.len() {
            if found[at] {
                found[at + 1] |= single(chars[at]);
                found[at + 2] |= chars[at] == '\\' && chars.get(at + 1).is_some_and(|c| escaped(*c));
            }
        }
        (0..=chars.len()).filter(|at| found[*at]).collect()
    }

    fn deserialized(text: &str) -> Option<String> {
        if text == "NULL" {
            return None;
        }
        let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
            return Some(text.to_owned());
        };
        let (mut bytes, mut rest) = (Vec::new(), inside.as_bytes());
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            match first {
                b'\\' => {
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&rest[..3]).unwrap(), 8).unwrap());
                    rest = &rest[3..];
                }
                byte => bytes.push(*byte),
            }
        }
        Some(String::from_utf8(bytes).unwrap())
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_it_reads_back_as_itself(
            value in "[a ! \\\\\"'\n\t=;:,.(){}é]{0,16}|[^\\x00]{0,16}|NULL",
            behind in "| ! x y=\"z\"| b=\"c d\\\\\" e=\"f\"| ! video/x-raw ! z",
        ) {
            let text = fill(&format!("location={{a}}{behind}"), &value).unwrap();
            let (found, rest) = read(text.strip_prefix("location=").unwrap());
            prop_assert_eq!(found.as_deref(), Some(value.as_str()), "{}", text);
            prop_assert_eq!(rest, behind);
        }

        #[test]
        fn no_text_panics(text in "[a{}!:=\"\\\\ /.,-]{0,30}", value in "[a!\" \\\\]{0,4}") {
            if let Ok(pieces) = pieces(&text) {
                let arguments: Arguments = [("a".to_owned(), Argument::Text(value))].into_iter().collect();
                let mut filler = Filler::new(&arguments);
                filler.launch(&pieces);
            }
        }
    }
}

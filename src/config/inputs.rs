//! `{input1}`, `{input2}` … in the words of a command: the files that its feeds are read from.

use super::{diagnostics::Path, model::FeedName, spans::Place, validator::Validator};
use std::collections::BTreeSet;

/// What stands before the number of an input, and after it.
const OPEN: &str = "{input";
const CLOSE: char = '}';

/// A piece of a word.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    /// The number of an input, counted from 1 by who wrote it.
    Input(usize),
}

fn pieces(word: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest, mut searched) = (Vec::new(), word, 0);
    while let Some(found) = rest.get(searched..).and_then(|behind| behind.find(OPEN)) {
        let start = searched + found;
        let (text, behind) = rest.split_at(start);
        let digits = behind.get(OPEN.len()..).and_then(|behind| behind.split_once(CLOSE));
        let number = digits.filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match number.and_then(|(digits, behind)| Some((digits.parse().ok()?, behind))) {
            Some((number, behind)) => {
                pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
                pieces.push(Piece::Input(number));
                (rest, searched) = (behind, 0);
            }
            None => searched = start + OPEN.len(),
        }
    }
    pieces.extend((!rest.is_empty()).then_some(Piece::Text(rest)));
    pieces
}

/// The numbers of all inputs that a command names.
fn named(words: &[String]) -> BTreeSet<usize> {
    let pieces = words.iter().flat_map(|word| pieces(word));
    pieces.filter_map(|piece| if let Piece::Input(number) = piece { Some(number) } else { None }).collect()
}

/// The words of a command with the names of files for its inputs, which `file` knows by their numbers from 1 on. `None`
/// when the command names none: it reads its standard input.
pub fn with_inputs(words: &[String], file: impl Fn(usize) -> String) -> Option<Vec<String>> {
    if named(words).is_empty() {
        return None;
    }
    let filled = |word: &String| {
        let pieces = pieces(word).into_iter().map(|piece| match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Input(number) => file(number),
        });
        pieces.collect()
    };
    Some(words.iter().map(filled).collect())
}

impl Validator {
    /// Notes what is wrong with the inputs of a command: it reads all its feeds, and nothing else.
    pub(super) fn inputs(&mut self, path: &Path, words: &[String], feeds: &[FeedName]) {
        let named = named(words);
        let unknown = named.iter().find(|number| !(1..=feeds.len()).contains(*number));
        if let Some(number) = unknown {
            let there = match feeds {
                [] => "it has no feed".to_owned(),
                [feed] => format!("its only one is `{{input1}}`, feed `{feed}`"),
                _ => format!("it has `{{input1}}` to `{{input{}}}`", feeds.len()),
            };
            self.note(path, Place::Value, format!("the command has no `{{input{number}}}`: {there}"));
            return;
        }
        if named.is_empty() && feeds.len() < 2 {
            return;
        }
        if let Some((at, feed)) = feeds.iter().enumerate().find(|(at, _)| !named.contains(&(at + 1))) {
            let message = format!(
                "the command does not read feed `{feed}`: name it `{{input{}}}`, where the file to read stands",
                at + 1
            );
            self.note(path, Place::Value, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use proptest::prelude::*;

    fn filled(words: &[&str]) -> Option<Vec<String>> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        with_inputs(&words, |number| format!("/dev/fd/{}", number + 2))
    }

    #[test]
    fn inputs_become_files() {
        let check = |words: &[&str], expect: &[&str]| assert_eq!(filled(words).unwrap(), expect);
        check(&["ffmpeg", "-i", "{input1}", "-i", "{input2}"], &["ffmpeg", "-i", "/dev/fd/3", "-i", "/dev/fd/4"]);
        check(&["x", "movie={input12}:a,{input1}{input1}"], &["x", "movie=/dev/fd/14:a,/dev/fd/3/dev/fd/3"]);
        check(&["x", "{input{input1}"], &["x", "{input/dev/fd/3"]);
        for words in [&["cat"][..], &["x", "{input}", "{inputs1}", "{input 1}", "{input1", "input1}", "{input-1}"]] {
            assert_eq!(filled(words), None, "{words:?}");
        }
    }

    #[test]
    fn a_command_reads_all_its_feeds_and_nothing_else() {
        let check = |keys: &str, expect: &str| {
            let text =
                format!("feeds: {{a: {{command: cat}}, b: {{command: cat}}}}\nstreams:\n  s:\n    command: {keys}\n");
            let faults = parse(&text).err().unwrap_or_default();
            let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
            assert_eq!(found.join("\n"), expect, "of\n{text}");
        };
        check("x '{input1}' '{input2}'\n    feeds: [a, b]", "");
        check("x\n    feed: a", "");
        check("x '{input1}'\n    feed: a", "");
        check("x {input1} {input2}\n    feeds: [b, a]", "");
        check("x", "");
        let at = "4:14: streams.s.command: the command ";
        check("x '{input1}'", &format!("{at}has no `{{input1}}`: it has no feed"));
        check("x '{input2}'\n    feed: a", &format!("{at}has no `{{input2}}`: its only one is `{{input1}}`, feed `a`"));
        check(
            "x '{input0}'\n    feeds: [a, b]",
            &format!("{at}has no `{{input0}}`: it has `{{input1}}` to `{{input2}}`"),
        );
        let unread = |feed, number| {
            format!("{at}does not read feed `{feed}`: name it `{{input{number}}}`, where the file to read stands")
        };
        check("x\n    feeds: [a, b]", &unread("a", 1));
        check("x '{input1}'\n    feeds: [a, b]", &unread("b", 2));
    }

    #[test]
    fn templates_and_sets_write_them_with_two_braces() {
        let text = "
templates: {mix: {command: 'x {{input1}} {{input2}} {rate}'}}
feeds: {a: {command: cat}, b: {command: cat}}
streams: {s: {feeds: [a, b], command: {use: mix, rate: 5}}}
sets: {t: {for: [1], streams: {'t{name}': {feeds: [b, a], command: 'y{name} {{input1}} {{input2}}'}}}}
";
        let words = parse(text).unwrap().streams.into_iter().map(|stream| match stream.encoding {
            crate::config::Encoding::Command(words) => words.join(" "),
            other => panic!("{other:?}"),
        });
        assert_eq!(words.collect::<Vec<_>>(), ["x {input1} {input2} 5", "y1 {input1} {input2}"]);
    }

    proptest! {
        #[test]
        fn words_without_inputs_stay_as_they_are(words in prop::collection::vec("[a-z{}0-9é]{0,12}|\\{input[0-9a]{0,3}", 1..5)) {
            prop_assert_eq!(with_inputs(&words, |_| unreachable!()), None);
        }

        #[test]
        fn what_is_around_an_input_stays(before in "[^{]{0,9}", number in 1_usize..99, after in "[^{]{0,9}") {
            let word = format!("{before}{{input{number}}}{after}");
            let filled = with_inputs(&[word], |number| format!("<{number}>"));
            prop_assert_eq!(filled, Some(vec![format!("{before}<{number}>{after}")]));
        }
    }
}

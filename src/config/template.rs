//! Texts with placeholders, and how values get into them.
//!
//! `{name}` is a value, `{size.width}` a part of one, `{name...}` a text that is inserted as it stands. `{{` and `}}`
//! are braces, and so are those around anything that is no placeholder, like `{ I420, NV12 }`.
//! A value stays one value: one word of a command, one property of an element (see [`launch`](super::launch)).

use super::{
    expected::suggestion,
    units::{Bitrate, Fps, Size},
};
use indexmap::IndexMap;

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    /// One value.
    Text(String),
    /// Words of a command, for `{name...}` only.
    Words(Vec<String>),
}

/// Arguments by their names.
pub(super) type Arguments = IndexMap<String, Argument>;

/// Part of a text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Inserted unchanged.
    Text(String),
    /// A placeholder.
    Hole(Hole),
}

/// A placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// Of the argument.
    pub(super) name: String,
    /// What of it.
    pub(super) form: Form,
}

/// What of an argument a placeholder wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `{name}`: the value.
    Value,
    /// `{name...}`: a text or words, inserted as they stand.
    Raw,
    /// `{name.width}` of `1280x720`.
    Width,
    /// `{name.height}` of `1280x720`.
    Height,
    /// `{name.fraction}` of `25`: `25/1`.
    Fraction,
    /// `{name.bits}` of `800k`: `800000`.
    Bits,
    /// `{name.kilobits}` of `2M`: `2000`.
    Kilobits,
}

/// The parts of a value that a placeholder can ask for.
const PARTS: [(&str, Form); 5] = [
    ("width", Form::Width),
    ("height", Form::Height),
    ("fraction", Form::Fraction),
    ("bits", Form::Bits),
    ("kilobits", Form::Kilobits),
];
/// Stands for every size or rate, in the caps of a pipeline.
const ANY: &str = "any";

/// Takes a text apart.
///
/// # Errors
/// When a placeholder asks for a part that no value has.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if matches!(c, '{' | '}') && rest.as_str().starts_with(c) {
            literal.push(c);
            rest.next();
        } else if c == '{'
            && let Some((inside, behind)) = rest.as_str().split_once('}')
            && let Some(hole) = hole(inside)?
        {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Hole(hole));
            rest = behind.chars();
        } else {
            literal.push(c);
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

fn hole(inside: &str) -> Result<Option<Hole>, String> {
    let (name, form) = match (inside.strip_suffix("..."), inside.split_once('.')) {
        (Some(name), _) => (name, Some(Form::Raw)),
        (None, None) => (inside, Some(Form::Value)),
        (None, Some((name, part))) => {
            (name, PARTS.iter().find(|(candidate, _)| *candidate == part).map(|(_, form)| *form))
        }
    };
    if !is_argument_name(name) {
        return Ok(None);
    }
    match form {
        Some(form) => Ok(Some(Hole { name: name.to_owned(), form })),
        None => {
            let part = inside.split_once('.').map_or("", |(_, part)| part);
            let hint = suggestion(part, PARTS.iter().map(|(part, _)| *part));
            let parts: Vec<_> = PARTS.iter().map(|(part, _)| format!("`{{{name}.{part}}}`")).collect();
            Err(format!("expected {} in place of `{{{inside}}}`{hint}", parts.join(", ")))
        }
    }
}

/// A letter, then letters, digits, `-` and `_`.
pub(super) fn is_argument_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// The placeholders among pieces.
pub(super) fn holes(pieces: &[Piece]) -> impl Iterator<Item = &Hole> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Hole(hole) => Some(hole),
        Piece::Text(_) => None,
    })
}

/// Why a placeholder cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// There is no such argument.
    Missing(String),
    /// Its value is no good.
    Value {
        /// Of the argument.
        name: String,
        /// Begins with "expected".
        message: String,
    },
}

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A pipeline, where a size or rate may be `any`.
    Launch,
    /// Anything else.
    Text,
}

/// Puts arguments in place of placeholders, and collects what does not fit.
#[derive(Debug)]
pub(super) struct Filler<'a> {
    arguments: &'a Arguments,
    misfits: Vec<Misfit>,
}

impl<'a> Filler<'a> {
    pub(super) fn new(arguments: &'a Arguments) -> Self {
        Self { arguments, misfits: Vec::new() }
    }

    /// What was filled, if everything fits.
    pub(super) fn finish<T>(self, filled: T) -> Result<T, Vec<Misfit>> {
        if self.misfits.is_empty() { Ok(filled) } else { Err(self.misfits) }
    }

    /// One value: what is inserted is never looked at again.
    pub(super) fn text(&mut self, pieces: &[Piece]) -> String {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Hole(hole) => text.push_str(&self.value(hole, Target::Text).unwrap_or_default()),
            }
        }
        text
    }

    /// The words of a command. One that is nothing but `{name...}` becomes as many as its argument has.
    pub(super) fn words(&mut self, words: &[Vec<Piece>]) -> Vec<String> {
        let mut filled = Vec::new();
        for pieces in words {
            match pieces.as_slice() {
                [Piece::Hole(hole)] if hole.form == Form::Raw => filled.extend(self.raw_words(hole)),
                pieces => filled.push(self.text(pieces)),
            }
        }
        filled
    }

    fn raw_words(&mut self, hole: &Hole) -> Vec<String> {
        match self.arguments.get(&hole.name) {
            Some(Argument::Words(words)) => words.clone(),
            Some(Argument::Text(text)) => shell_words::split(text).unwrap_or_else(|_| {
                self.misfit(&hole.name, "expected words, found a quote that is not closed".to_owned());
                Vec::new()
            }),
            None => self.missing(&hole.name),
        }
    }

    /// The text that a placeholder stands for.
    pub(super) fn value(&mut self, hole: &Hole, target: Target) -> Option<String> {
        let text = match self.arguments.get(&hole.name) {
            Some(Argument::Text(text)) => text,
            Some(Argument::Words(_)) => {
                self.misfit(&hole.name, "expected a single value, found a list".to_owned());
                return None;
            }
            None => {
                self.missing::<()>(&hole.name);
                return None;
            }
        };
        match part(hole.form, text, target) {
            Ok(value) => Some(value),
            Err(what) => {
                self.misfit(&hole.name, format!("expected {what}, found {text:?}"));
                None
            }
        }
    }

    /// Notes a value that is no good.
    pub(super) fn misfit(&mut self, name: &str, message: String) {
        let misfit = Misfit::Value { name: name.to_owned(), message };
        if !self.misfits.contains(&misfit) {
            self.misfits.push(misfit);
        }
    }

    fn missing<T>(&mut self, name: &str) -> Vec<T> {
        let misfit = Misfit::Missing(name.to_owned());
        if !self.misfits.contains(&misfit) {
            self.misfits.push(misfit);
        }
        Vec::new()
    }
}

fn part(form: Form, text: &str, target: Target) -> Result<String, &'static str> {
    if text == ANY && target == Target::Launch {
        match form {
            Form::Width | Form::Height => return Ok(format!("[1,{}]", i32::MAX)),
            Form::Fraction => return Ok(format!("[0/1,{}/1]", i32::MAX)),
            _ => {}
        }
    }
    let size = || Size::parse(text).ok_or("even width and height from 16 to 16384, like 1280x720");
    let bitrate = || Bitrate::parse(text).ok_or("bits per second, like 800k or 2M");
    Ok(match form {
        Form::Value | Form::Raw => text.to_owned(),
        Form::Width => size()?.width.to_string(),
        Form::Height => size()?.height.to_string(),
        Form::Fraction => Fps::parse(text).ok_or("frames per second, like 25, 12.5 or 30000/1001")?.to_string(),
        Form::Bits => bitrate()?.0.to_string(),
        Form::Kilobits => bitrate()?.kilobits().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arguments(pairs: &[(&str, &str)]) -> Arguments {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Argument::Text((*value).to_owned()))).collect()
    }

    fn check(text: &str, expect: Result<&str, &[Misfit]>) {
        let arguments =
            arguments(&[("a", "{b} x"), ("size", "1280x720"), ("fps", "29.97"), ("rate", "1.5M"), ("odd", "any")]);
        let mut filler = Filler::new(&arguments);
        let filled = filler.text(&pieces(text).unwrap());
        let filled = filler.finish(filled);
        assert_eq!(filled.as_deref().map_err(Vec::as_slice), expect, "{text}");
    }

    #[test]
    fn placeholders_take_values_and_parts_of_them() {
        check("-{a}-", Ok("-{b} x-"));
        check("{size.width}:{size.height}", Ok("1280:720"));
        check("{fps.fraction} {rate.bits} {rate.kilobits}k", Ok("30000/1001 1500000 1500k"));
        check("{ I420, NV12 } {} {1} {a", Ok("{ I420, NV12 } {} {1} {a"));
        check("{{a}} }} {{{a}}}", Ok("{a} } {{b} x}"));
        check("{b}{b}", Err(&[Misfit::Missing("b".into())]));
        let message = "expected even width and height from 16 to 16384, like 1280x720, found \"any\"".to_owned();
        check("{odd.width}", Err(&[Misfit::Value { name: "odd".into(), message }]));
    }

    #[test]
    fn a_part_that_no_value_has_is_a_fault() {
        let message = pieces("{size.witdh}").unwrap_err();
        assert!(message.ends_with(" in place of `{size.witdh}`, did you mean `width`?"), "{message}");
    }

    #[test]
    fn only_a_raw_argument_splits_into_words() {
        let mut arguments = arguments(&[("a", "x y 'z"), ("b", "-v 'a b'"), ("none", "")]);
        arguments.insert("list".into(), Argument::Words(vec!["1 2".into(), "3".into()]));
        let words: Vec<_> = ["p", "{a}", "{b...}", "-{b...}", "{none...}", "{list...}", "{none}"]
            .map(|word| pieces(word).unwrap())
            .into();
        let mut filler = Filler::new(&arguments);
        let filled = filler.words(&words);
        assert_eq!(filler.finish(filled).unwrap(), ["p", "x y 'z", "-v", "a b", "--v 'a b'", "1 2", "3", ""]);
    }

    proptest! {
        #[test]
        fn a_value_is_one_word_whatever_it_is(value in "\\PC{0,20}|[ '\"\\\\{}$;|\n-]{0,20}") {
            let arguments = arguments(&[("a", &value)]);
            let mut filler = Filler::new(&arguments);
            let words = filler.words(&[pieces("p").unwrap(), pieces("x{a}y").unwrap(), pieces("{a}").unwrap()]);
            prop_assert_eq!(filler.finish(words).unwrap(), ["p".to_owned(), format!("x{value}y"), value]);
        }

        #[test]
        fn doubled_braces_are_the_text_again(text in "[a-z{}. ]{0,20}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let pieces = pieces(&doubled).unwrap();
            prop_assert_eq!(Filler::new(&Arguments::new()).text(&pieces), text);
        }

        #[test]
        fn no_text_panics(text in "[a-c{}.é \\\\\"]{0,30}") {
            let _ = pieces(&text);
        }
    }
}

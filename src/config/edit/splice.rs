//! The surgery on a text: finds the lines of an entry and writes others in their place. What it gives is a proposal: whoever asks
//! proves it.

use super::{
    super::{
        diagnostics::Path,
        spans::{Place, locate},
        yaml,
    },
    render::{self, Rendered},
    tree::{Edit, get, set},
};
use serde_yaml::{Mapping, Value};

/// The text with `value` at `path`, or without the entry there; `None` where that cannot be written.
pub(super) fn splice(text: &str, path: &[String], value: Option<&Value>) -> Option<String> {
    let text = Text::new(text)?;
    if has_entries(&text.tree) && text.is_flow(&[]) {
        return text.unfold(path, value);
    }
    // What flow style is around it is written as a whole.
    for length in 1..path.len() {
        let around = path.get(..length)?;
        if get(&text.tree, around).is_some_and(has_entries) && text.is_flow(around) {
            let mut whole = get(&text.tree, around)?.clone();
            set(&mut whole, path.get(length..)?, value.cloned());
            return text.replace(around, &whole, true);
        }
    }
    match (get(&text.tree, path), value) {
        (Some(_), Some(value)) => text.replace(path, value, false),
        (Some(_), None) => text.remove(path),
        (None, Some(value)) => text.insert(path, value),
        (None, None) => None,
    }
}

/// The text with new entries behind those of a section in block style that has some; `None` where that cannot be written.
pub(super) fn insert_all(text: &str, edits: &[Edit]) -> Option<String> {
    let around = edits.first()?.path.split_last()?.1;
    let text = Text::new(text)?;
    if text.is_flow(&[]) || text.is_flow(around) {
        return None;
    }
    let siblings = get(&text.tree, around).and_then(Value::as_mapping)?;
    let (indent, behind) = text.end_of(around, siblings)?;
    let entry = |edit: &Edit| Some(render::entry(edit.path.last()?, edit.value.as_ref()?, indent));
    text.written(behind, behind, edits.iter().map(entry).collect::<Option<String>>()?)
}

fn has_entries(value: &Value) -> bool {
    value.as_mapping().is_some_and(|entries| !entries.is_empty())
}

struct Text<'a> {
    text: &'a str,
    /// With their line ends.
    lines: Vec<&'a str>,
    /// Merge keys are entries like others.
    tree: Value,
    /// What ends a line.
    end: &'static str,
}

/// The lines of an entry, counted from 0.
struct Span {
    first: usize,
    last: usize,
    /// Characters before the key.
    indent: usize,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Option<Self> {
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Some(Self { text, lines: text.split_inclusive('\n').collect(), tree: yaml::unmerged(text).ok()?, end })
    }

    /// Line and character, counted from 0.
    fn place(&self, path: &[String], place: Place) -> Option<(usize, usize)> {
        let path = path.iter().fold(Path::default(), |path, key| path.key(key));
        let (line, column) = locate(self.text, &path, place)?;
        Some((line.checked_sub(1)?, column.checked_sub(1)?))
    }

    fn line(&self, line: usize) -> &'a str {
        self.lines.get(line).copied().unwrap_or_default()
    }

    /// What is after a character of a line, without the line end.
    fn behind(&self, line: usize, character: usize) -> &'a str {
        let line = self.line(line).trim_end_matches(['\n', '\r']);
        line.char_indices().nth(character).and_then(|(at, _)| line.get(at..)).unwrap_or_default()
    }

    fn before(&self, line: usize, character: usize) -> &'a str {
        let text = self.line(line).trim_end_matches(['\n', '\r']);
        let at = text.char_indices().nth(character).map_or(text.len(), |(at, _)| at);
        text.get(..at).unwrap_or_default()
    }

    fn is_flow(&self, path: &[String]) -> bool {
        let start = self.place(path, Place::Value).map(|(line, character)| self.behind(line, character));
        start.is_some_and(|start| start.starts_with(['{', '[']))
    }

    /// The lines of an entry in block style.
    fn span(&self, path: &[String]) -> Option<Span> {
        let (first, indent) = self.place(path, Place::Key)?;
        let mut end = self.document_end(first);
        for length in (1..=path.len()).rev() {
            let entry = path.get(..length)?;
            let (key, around) = entry.split_last()?;
            let siblings = get(&self.tree, around)?.as_mapping()?;
            let next = siblings.keys().skip_while(|other| other.as_str() != Some(key)).nth(1);
            if let Some(next) = next.and_then(Value::as_str) {
                let (line, _) = self.place(&[around, &[next.to_owned()]].concat(), Place::Key)?;
                end = end.min(line);
                break;
            }
        }
        let is_outside = |line: &&str| {
            let content = line.trim();
            content.is_empty() || (content.starts_with('#') && indent_of(line) <= indent)
        };
        let trailing = self.lines.get(first + 1..end)?.iter().rev().take_while(|line| is_outside(line)).count();
        Some(Span { first, last: end.checked_sub(1 + trailing)?, indent })
    }

    /// The line after the last one of the document that has `line`.
    fn document_end(&self, line: usize) -> usize {
        let is_end = |line: &&str| line.trim_end() == "..." || line.starts_with("---");
        let later = self.lines.get(line + 1..).unwrap_or_default();
        later.iter().position(is_end).map_or(self.lines.len(), |end| line + 1 + end)
    }

    /// A text that is one map in flow style, in block style. One with comments is not touched.
    fn unfold(&self, path: &[String], value: Option<&Value>) -> Option<String> {
        let (first, _) = self.place(&[], Place::Value)?;
        let end = self.document_end(first);
        let mut whole = self.tree.clone();
        set(&mut whole, path, value.cloned());
        let is_bare = !self.lines.get(first..end)?.iter().any(|line| line.contains('#'));
        let entry = |(key, value): (&Value, &Value)| render::entry(key.as_str().unwrap_or_default(), value, 0);
        let lines = whole.as_mapping()?.iter().map(entry).collect();
        is_bare.then(|| self.written(first, end, lines)).flatten()
    }

    fn remove(&self, path: &[String]) -> Option<String> {
        let Span { mut first, last, indent } = self.span(path)?;
        if !self.before(first, indent).trim().is_empty() {
            return None;
        }
        // Comments right above it are about it.
        let is_about = |line: &&str| line.trim_start().starts_with('#') && indent_of(line) == indent;
        first -= self.lines.get(..first)?.iter().rev().take_while(|line| is_about(line)).count();
        self.written(first, last + 1, String::new())
    }

    fn replace(&self, path: &[String], value: &Value, in_flow: bool) -> Option<String> {
        let Span { first, last, indent } = self.span(path)?;
        let key = self.behind(first, indent);
        let colon = token_length(key)?;
        let (key, rest) = key.split_at_checked(colon)?;
        let after = rest.strip_prefix(':').or_else(|| rest.trim_start().strip_prefix(':'))?;
        let head = format!("{}{key}:", self.before(first, indent));
        // What is after the value, or after the key of a value on further lines: blanks and a comment.
        let old = after.trim_start();
        let kept = if old.starts_with('#') || old.is_empty() {
            after
        } else if first == last {
            old.get(token_length(old)?..)?
        } else {
            ""
        };
        let kept = Some(kept).filter(|kept| kept.trim_start().starts_with('#')).unwrap_or_default();
        let rendered = if in_flow { Rendered::Inline(render::flow(value)) } else { render::value(value, indent) };
        let lines = match rendered {
            Rendered::Inline(text) if text.is_empty() => format!("{head}{kept}\n"),
            Rendered::Inline(text) => format!("{head} {text}{kept}\n"),
            Rendered::Block(lines) => format!("{head}{kept}\n{lines}"),
            Rendered::Literal(start, lines) => format!("{head} {start}{kept}\n{lines}"),
        };
        self.written(first, last + 1, lines)
    }

    fn insert(&self, path: &[String], value: &Value) -> Option<String> {
        let known = (0..path.len())
            .rev()
            .find(|length| path.get(..*length).is_some_and(|around| get(&self.tree, around).is_some()))?;
        let (around, below) = (path.get(..known)?, path.get(known..)?);
        let (key, inner) = below.split_first()?;
        let mut nested = Value::Null;
        set(&mut nested, inner, Some(value.clone()));
        let siblings = get(&self.tree, around).and_then(Value::as_mapping).filter(|entries| !entries.is_empty());
        let Some(siblings) = siblings else {
            if !around.is_empty() {
                let is_empty = |value: &Value| value.is_null() || value.is_mapping();
                get(&self.tree, around).filter(|value| is_empty(value))?;
                let entries = Mapping::from_iter([(Value::String(key.clone()), nested)]);
                return self.replace(around, &Value::Mapping(entries), false);
            }
            let marker = self.lines.iter().position(|line| line.starts_with("---")).map_or(0, |line| line + 1);
            let end = if self.lines.is_empty() { 0 } else { self.document_end(marker.saturating_sub(1)) };
            return self.written(end, end, render::entry(key, &nested, 0));
        };
        let (indent, behind) = self.end_of(around, siblings)?;
        self.written(behind, behind, render::entry(key, &nested, indent))
    }

    /// The characters before the keys of a map in block style, and the line after its last entry.
    fn end_of(&self, around: &[String], siblings: &Mapping) -> Option<(usize, usize)> {
        let child = |key: &Value| Some([around, &[key.as_str()?.to_owned()]].concat());
        let indent = siblings.keys().next().and_then(child).and_then(|path| self.place(&path, Place::Key))?.1;
        Some((indent, siblings.keys().last().and_then(child).and_then(|path| self.span(&path))?.last + 1))
    }

    /// The text with other lines in place of those from `first` up to, not including, `end`.
    fn written(&self, first: usize, end: usize, lines: String) -> Option<String> {
        let mut text = self.lines.get(..first)?.concat();
        let rest = self.lines.get(end..)?.concat();
        let is_last = rest.is_empty();
        if !lines.is_empty() {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push_str(self.end);
            }
            text.push_str(&lines.replace('\n', self.end));
        }
        // A text without a last line end stays one.
        if is_last && !self.text.ends_with('\n') && !self.text.is_empty() {
            text.truncate(text.strip_suffix(self.end).map_or(text.len(), str::len));
        }
        text.push_str(&rest);
        Some(text)
    }
}

/// The blanks before a line, in characters.
fn indent_of(line: &str) -> usize {
    line.chars().take_while(|c| *c == ' ').count()
}

/// Length in bytes of the key or value that a text begins with, on one line.
fn token_length(text: &str) -> Option<usize> {
    match text.chars().next() {
        None => Some(0),
        Some(quote @ ('"' | '\'')) => quoted_length(text, quote),
        Some('{' | '[') => {
            let mut depth = 0_usize;
            let mut at = 0;
            while let Some(c) = text.get(at..)?.chars().next() {
                match c {
                    '{' | '[' => depth += 1,
                    '}' | ']' => depth = depth.checked_sub(1)?,
                    // A quote inside of a plain scalar is a letter.
                    '"' | '\'' if text.get(..at)?.trim_end().ends_with([',', '[', '{', ':']) => {
                        at += quoted_length(text.get(at..)?, c)?;
                        continue;
                    }
                    _ => {}
                }
                at += c.len_utf8();
                if depth == 0 {
                    return Some(at);
                }
            }
            None
        }
        Some(_) => {
            let ends = |pattern: &str| text.find(pattern).unwrap_or(text.len());
            let colon = text.strip_suffix(':').map_or(text.len(), str::len);
            let end = ends(" #").min(ends("\t#")).min(colon).min(ends(": "));
            Some(text.get(..end)?.trim_end().len())
        }
    }
}

fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') {
                chars.next();
                continue;
            }
            return Some(at + c.len_utf8());
        }
    }
    None
}

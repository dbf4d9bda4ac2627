//! Texts of configuration files without their secrets, and back. Pure.
//!
//! A text is shown with masks, line by line; a text that comes back gets the secrets where the masks stand at the same paths. Both are
//! proven by parsing.

use super::{
    json::{from_yaml, masked, to_yaml, unmasked},
    problem::{Kind, Problem},
};
use crate::config::{
    edit::{self, Edit},
    text_without_secrets,
};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// The text of a file with its secrets masked, also in comments.
pub fn masked_text(text: &str) -> String {
    let Some(tree) = edit::read(text) else { return comments_masked(text) };
    let said = from_yaml(&tree);
    let hidden = masked(&said);
    let Ok(wanted) = to_yaml(&hidden) else { return String::new() };
    let mut secrets = Vec::new();
    collect(&said, &hidden, &mut secrets);
    secrets.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
    let replaced = secrets.iter().fold(text.to_owned(), |text, (secret, mask)| replaced(&text, secret, mask));
    let replaced = comments_masked(&replaced);
    if edit::says(&replaced, &wanted) {
        return replaced;
    }
    let near = if edit::read(&replaced).is_some() { &replaced } else { text };
    let edited = edit::edit(near, &[Edit { path: Vec::new(), value: Some(wanted.clone()) }]);
    // What is shared by anchors is shown without comments.
    edited.map(|text| comments_masked(&text)).unwrap_or_else(|_| serde_yaml::to_string(&wanted).unwrap_or_default())
}

/// A text that was shown with masks, and perhaps edited, with the secrets of `old`.
///
/// # Errors
/// When a mask stands where `old` has no secret, or the text cannot be read.
pub(super) fn unmasked_text(text: &str, old: &str) -> Result<String, Problem> {
    // What is no YAML is refused with its line when it is checked.
    let Some(tree) = edit::read(text) else { return Ok(text.to_owned()) };
    let old_tree = edit::read(old).unwrap_or_default();
    let wanted = to_yaml(&unmasked(&from_yaml(&tree), &from_yaml(&old_tree))?)?;
    let restored = lines_restored(text, old);
    if edit::says(&restored, &wanted) {
        return Ok(restored);
    }
    edit::edit(text, &[Edit { path: Vec::new(), value: Some(wanted) }])
        .map_err(|error| Problem::new(Kind::CannotEditInPlace, format!("the secrets cannot be put back: {error}")))
}

/// The text with those lines of `old` that were not edited.
fn lines_restored(text: &str, old: &str) -> String {
    let shown = masked_text(old);
    let originals: Vec<&str> = old.split_inclusive('\n').collect();
    if shown.split_inclusive('\n').count() != originals.len() {
        return text.to_owned();
    }
    let difference = TextDiff::from_lines(&shown, text);
    let line = |change: similar::Change<&str>| match change.tag() {
        ChangeTag::Delete => String::new(),
        ChangeTag::Insert => change.value().to_owned(),
        ChangeTag::Equal => {
            change.old_index().and_then(|at| originals.get(at)).map_or(change.value(), |line| *line).to_owned()
        }
    };
    difference.iter_all_changes().map(line).collect()
}

/// The text with a mask for each occurrence of a secret, in quotes where it would be an alias.
fn replaced(text: &str, secret: &str, mask: &str) -> String {
    if !mask.starts_with('*') {
        return text.replace(secret, mask);
    }
    let quoted =
        |quote: char, text: &str| text.replace(&format!("{quote}{secret}{quote}"), &format!("{quote}{mask}{quote}"));
    quoted('"', &quoted('\'', text)).replace(secret, &format!("\"{mask}\""))
}

/// The scalars that differ, with what is shown of them.
fn collect(said: &Value, shown: &Value, found: &mut Vec<(String, String)>) {
    match (said, shown) {
        (Value::Object(said), Value::Object(shown)) => {
            said.iter().zip(shown).for_each(|((_, said), (_, shown))| collect(said, shown, found));
        }
        (Value::Array(said), Value::Array(shown)) => {
            said.iter().zip(shown).for_each(|(said, shown)| collect(said, shown, found));
        }
        (said, Value::String(shown)) if said.as_str() != Some(shown) => match said {
            // As it stands in the text.
            Value::String(said) if !said.is_empty() => found.push((said.clone(), shown.clone())),
            Value::Array(items) => {
                found.extend(items.iter().filter_map(|item| Some((item.as_str()?.to_owned(), shown.clone()))));
            }
            Value::Number(number) => found.push((number.to_string(), shown.clone())),
            _ => {}
        },
        _ => {}
    }
}

fn comments_masked(text: &str) -> String {
    let line = |line: &str| {
        if line.trim_start().starts_with('#') { text_without_secrets(line) } else { line.to_owned() }
    };
    text.split_inclusive('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# rtsp://u:canary@h/old is gone\nfeeds:\n  a: {url: 'rtsp://u:canary@h/x'}   # the gate\n  b:\n    url: rtsp://10.0.0.5/y\nhooks:\n  x:\n    # Two of them.\n    secret:   # words\n      - whsec_canary1\n      - whsec_canary2\n";

    #[test]
    fn secrets_leave_and_come_back() {
        let shown = masked_text(TEXT);
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("# the gate") && shown.contains("'rtsp://***@h/x'"), "{shown}");
        let restored = unmasked_text(&shown, TEXT).unwrap();
        // A list with secrets is written again.
        assert!(edit::says(&restored, &edit::read(TEXT).unwrap()) && restored.contains("# the gate"), "{restored}");
    }

    #[test]
    fn edits_keep_secrets_and_comments() {
        let old = TEXT.split("hooks").next().unwrap();
        let shown = masked_text(old);
        assert_eq!(shown.lines().count(), old.lines().count());
        let edited = shown.replace("10.0.0.5", "10.0.0.6") + "  c: {url: rtsp://10.0.0.7/z}\n";
        let expect = old.replace("10.0.0.5", "10.0.0.6") + "  c: {url: rtsp://10.0.0.7/z}\n";
        assert_eq!(unmasked_text(&edited, old).unwrap(), expect);
        // Also in the line of a mask.
        let edited = shown.replace("/x'}", "/x', mode: 5}");
        let found = unmasked_text(&edited, old).unwrap();
        assert!(found.contains("u:canary@h/x") && found.contains("mode: 5") && !found.contains("***@h/x"), "{found}");
    }

    #[test]
    fn a_mask_at_another_place_is_refused() {
        let old = "feeds:\n  a:\n    title: x\n    url: rtsp://u:canary@h/x\n";
        let shown = masked_text(old);
        for moved in [
            shown.replace("  a:", "  b:"),
            shown.replace("title: x\n    url:", "title:"),
            shown.replace("@h", "@other"),
        ] {
            assert_eq!(unmasked_text(&moved, old).unwrap_err().kind, Kind::SecretMoved, "{moved}");
        }
        // What is no YAML is left to who says so.
        assert_eq!(unmasked_text("a: [", old).unwrap(), "a: [");
    }
}

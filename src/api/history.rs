//! The versions of the configuration: listed, compared, taken back and restored.

use super::{
    call::{Answer, Call},
    config::{ordered, outcome},
    configurator::{Proposal, Refusal},
    problem::{Kind, Problem},
    texts::masked_text,
};
use crate::{
    config::{Loaded, change::ChangedFile, edit},
    store::{History, Version, VersionFile},
};
use serde_json::{Value, json};
use similar::TextDiff;

/// `GET /config/history`: the newest first.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let versions = call.api.configurator().history().list();
    let after = call.query.get("after").map(|after| after.parse::<u64>().map_err(|_| bad("after: expected a number")));
    let after = after.transpose()?;
    let limit = match call.query.get("limit").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit @ 1..=1000)) => limit,
        Some(_) => return Err(bad("limit: expected a number, 1 to 1000")),
    };
    let total = versions.len();
    let mut left = versions.iter().filter(|version| after.is_none_or(|after| version.number < after));
    let items: Vec<_> = left.by_ref().take(limit).map(about).collect();
    let next = left.next().and(items.last()).map(|last| last["number"].to_string());
    Ok(Answer::json(json!({"items": items, "next": next, "total": total})))
}

/// `GET /config/history/{version}`: what it changed, or what differs between it and another one.
pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    let version = read(&call, call.parameter(0)).await?;
    let files = match call.query.get("against") {
        None => version.files.clone(),
        Some(other) => {
            let (mine, theirs) = match other {
                "now" => (version.number, None),
                other => (version.number, Some(read(&call, other).await?.number)),
            };
            let loaded = call.api.configurator().current();
            let before = texts_at(&call, &loaded, Some(mine)).await?;
            let after = texts_at(&call, &loaded, theirs).await?;
            pair(before, after)
        }
    };
    let mut shown = about(&version);
    if let Value::Object(shown) = &mut shown {
        shown.insert("diff".to_owned(), diff(&files).into());
    }
    Ok(Answer::json(shown))
}

/// `POST /config/history/{version}/undo`: takes back what this version changed, and leaves what later ones did.
pub(super) async fn undo(call: Call) -> Result<Answer, Problem> {
    let version = read(&call, call.parameter(0)).await?;
    let plan = Box::new(move |loaded: &Loaded| {
        let undone = |VersionFile { name, before, after }: &VersionFile| {
            let current = text_of(loaded, name);
            let undone = edit::undo(&current, before, after);
            let text = undone.map_err(|error| Refusal::Conflict(format!("{name}: {error}")))?;
            Ok(ChangedFile { path: name.into(), before: current, after: text })
        };
        let files: Result<Vec<_>, Refusal> = version.files.iter().map(undone).collect();
        Ok(Proposal::Texts(changed(files?)))
    });
    let done = ordered(&call, plan, "undo").await?;
    Ok(Answer::json(outcome(&call, &done)))
}

/// `POST /config/history/{version}/restore`: all files as they were after this version.
pub(super) async fn restore(call: Call) -> Result<Answer, Problem> {
    let number = read(&call, call.parameter(0)).await?.number;
    let wanted = texts_at(&call, &call.api.configurator().current(), Some(number)).await?;
    let plan = Box::new(move |loaded: &Loaded| {
        let file = |(name, after): &(String, String)| ChangedFile {
            path: name.into(),
            before: text_of(loaded, name),
            after: after.clone(),
        };
        Ok(Proposal::Texts(changed(wanted.iter().map(file).collect())))
    });
    let done = ordered(&call, plan, "restore").await?;
    Ok(Answer::json(outcome(&call, &done)))
}

fn changed(mut files: Vec<ChangedFile>) -> Vec<ChangedFile> {
    files.retain(|file| file.before != file.after);
    files
}

fn text_of(loaded: &Loaded, wanted: &str) -> String {
    loaded.texts().find(|(name, _)| *name == wanted).map(|(_, text)| text.to_owned()).unwrap_or_default()
}

fn about(version: &Version) -> Value {
    json!({
        "number": version.number, "time": version.time, "by": version.by, "address": version.address,
        "action": version.action, "paths": version.paths.iter().take(MOST_PATHS).collect::<Vec<_>>(),
        "files": version.files.iter().map(|file| &file.name).collect::<Vec<_>>(),
    })
}

/// Most paths that are shown of a version.
const MOST_PATHS: usize = 50;

fn diff(files: &[VersionFile]) -> String {
    let diff = |VersionFile { name, before, after }: &VersionFile| {
        let [before, after] = [before, after].map(|text| masked_text(text));
        TextDiff::from_lines(&before, &after).unified_diff().header(name, name).to_string()
    };
    files.iter().map(diff).collect()
}

/// Files that differ in two states of the configuration.
fn pair(before: Vec<(String, String)>, after: Vec<(String, String)>) -> Vec<VersionFile> {
    let text = |texts: &[(String, String)], wanted: &str| {
        texts.iter().find(|(name, _)| name == wanted).map(|(_, text)| text.clone()).unwrap_or_default()
    };
    let mut names: Vec<_> = before.iter().chain(&after).map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let file = |name: String| VersionFile { before: text(&before, &name), after: text(&after, &name), name };
    names.into_iter().map(file).filter(|file| file.before != file.after).collect()
}

/// The texts of the files as they were after a version, or as they are. Every later change is taken away, the newest first.
async fn texts_at(call: &Call, loaded: &Loaded, number: Option<u64>) -> Result<Vec<(String, String)>, Problem> {
    let mut texts: Vec<(String, String)> =
        loaded.texts().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let Some(number) = number else { return Ok(texts) };
    let history = call.api.configurator().history();
    for later in history.list().into_iter().map(|version| version.number).filter(|later| *later > number) {
        for VersionFile { name, before, .. } in
            load(history, later).await?.map_or_else(Vec::new, |version| version.files)
        {
            match texts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, text)) => *text = before,
                None => texts.push((name, before)),
            }
        }
    }
    Ok(texts)
}

async fn read(call: &Call, wanted: &str) -> Result<Version, Problem> {
    let missing = || Problem::not_found("version", wanted);
    let number = wanted.parse().map_err(|_| missing())?;
    load(call.api.configurator().history(), number).await?.ok_or_else(missing)
}

async fn load(history: &History, number: u64) -> Result<Option<Version>, Problem> {
    let history = history.clone();
    let found = tokio::task::spawn_blocking(move || history.read(number)).await;
    let failed = |error: String| Problem::new(Kind::Internal, format!("the history cannot be read: {error}"));
    found.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

fn bad(detail: &str) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}

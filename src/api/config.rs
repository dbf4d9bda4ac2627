//! Entries of the configuration: read, set, merged, removed, several at a time.

use super::{
    call::{Answer, Call},
    configurator::{Outcome, Plan, Proposal, Refusal},
    json::{etag, from_yaml, masked, to_yaml, unmasked},
    merge_patch::merge,
    problem::{Kind, Problem},
};
use crate::{
    access::{Action, Decision, Subject},
    config::{Loaded, change::ChangeError, edit::Edit},
};
use http::{StatusCode, header};
use serde_json::{Value, json};

/// Most changes at a time.
const MOST_CHANGES: usize = 1000;
/// Sections whose entries have a path of their own.
pub(super) const SECTIONS: [&str; 4] = ["feeds", "streams", "templates", "sets"];

/// One change that a client wants.
#[derive(Debug, Clone)]
struct Wanted {
    op: Op,
    path: Vec<String>,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// Only where there is none.
    Create,
    Put,
    Merge,
    Remove,
}

/// What has to be so.
#[derive(Debug, Clone, Default)]
struct Condition {
    /// The tags that are good, `*` for any.
    matches: Option<String>,
    /// There must be none.
    is_new: bool,
}

/// `GET /config/{section}`.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let section = section(&call)?;
    let loaded = call.api.configurator().current();
    let entries = loaded.said(std::slice::from_ref(&section)).and_then(serde_yaml::Value::as_mapping);
    let entry = |(name, value): (&serde_yaml::Value, &serde_yaml::Value)| {
        let name = name.as_str()?;
        let value = from_yaml(value);
        let place = loaded.place_of(&[section.clone(), name.to_owned()]);
        Some(json!({"name": name, "value": masked(&value), "etag": etag(&value), "owner": place}))
    };
    let items = entries.into_iter().flatten().filter_map(entry).collect();
    Ok(Answer::json(call.query.page(items, "name")?))
}

/// `GET /config/{section}/{name}`.
pub(super) async fn get(call: Call) -> Result<Answer, Problem> {
    let (section, name) = (section(&call)?, call.parameter(1).to_owned());
    let loaded = call.api.configurator().current();
    let Some(value) = loaded.said(&[section.clone(), name.clone()]) else {
        return match loaded.made_by_set(&section, &name) {
            Some(set) => {
                Err(Problem::new(Kind::MadeBySet, format!("`{section}.{name}` is made by `{set}`: see there")))
            }
            None => Err(missing(&section, &name)),
        };
    };
    let value = from_yaml(value);
    let etag = etag(&value);
    if call.header(header::IF_NONE_MATCH).is_some_and(|known| has_tag(known, &etag)) {
        return Ok(Answer { etag: Some(etag), ..Answer::status(StatusCode::NOT_MODIFIED) });
    }
    Ok(Answer { etag: Some(etag), ..Answer::json(masked(&value)) })
}

/// `PUT`: 201 for a new entry.
pub(super) async fn put(call: Call) -> Result<Answer, Problem> {
    change_entry(call, Op::Put).await
}

/// `PATCH`, a merge patch.
pub(super) async fn patch(call: Call) -> Result<Answer, Problem> {
    change_entry(call, Op::Merge).await
}

/// `DELETE`.
pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    change_entry(call, Op::Remove).await
}

/// `POST /config/changes`: all of them or none.
pub(super) async fn changes(call: Call) -> Result<Answer, Problem> {
    let body = call.body()?;
    let bad = |detail: String| Problem::new(Kind::BadRequest, detail);
    let Some(list) = body.as_array().filter(|list| (1..=MOST_CHANGES).contains(&list.len())) else {
        return Err(bad(format!("expected a list of 1 to {MOST_CHANGES} changes")));
    };
    let mut wanted = Vec::new();
    for (number, change) in list.iter().enumerate() {
        let at = |what: &str| bad(format!("change {number}: {what}"));
        let op = match change.get("op").and_then(Value::as_str) {
            Some("create") => Op::Create,
            Some("put") => Op::Put,
            Some("merge") => Op::Merge,
            Some("remove") => Op::Remove,
            _ => return Err(at("expected `op`: create, put, merge or remove")),
        };
        let path: Option<Vec<_>> = change
            .get("path")
            .and_then(Value::as_array)
            .and_then(|path| path.iter().map(|key| key.as_str().map(str::to_owned)).collect());
        let path = path.filter(|path| (1..=16).contains(&path.len()));
        let path = path.ok_or_else(|| at("expected `path`: a list of keys, [\"feeds\", \"cam0\"]"))?;
        let value = change.get("value").cloned();
        if value.is_none() != (op == Op::Remove) {
            return Err(at("expected a `value` with create, put and merge, and none with remove"));
        }
        wanted.push(Wanted { op, path, value: value.unwrap_or_default() });
    }
    let outcome = order(&call, wanted, Condition::default()).await?;
    Ok(Answer::json(self::outcome(&call, &outcome)))
}

/// `POST /server/reload`: what is on the disk.
pub(super) async fn reload(call: Call) -> Result<Answer, Problem> {
    call.api.configurator().reload();
    Ok(Answer::status(StatusCode::ACCEPTED))
}

async fn change_entry(call: Call, op: Op) -> Result<Answer, Problem> {
    let (section, name) = (section(&call)?, call.parameter(1).to_owned());
    let path = vec![section.clone(), name.clone()];
    let value = if op == Op::Remove { Value::Null } else { call.body()? };
    if op == Op::Put && !value.is_object() {
        return Err(Problem::new(Kind::BadRequest, "expected an object with the keys of the entry"));
    }
    let matches = call.header(header::IF_MATCH).map(str::to_owned);
    let is_new = call.header(header::IF_NONE_MATCH).is_some_and(|known| known.trim() == "*");
    let existed = call.api.configurator().current().said(&path).is_some();
    let wanted = vec![Wanted { op, path: path.clone(), value }];
    let outcome = order(&call, wanted, Condition { matches, is_new }).await?;
    let is_dry = call.query.flag("dry_run")?;
    let now = call.api.configurator().current();
    let tag = now.said(&path).filter(|_| !is_dry).map(|value| etag(&from_yaml(value)));
    let status = if existed || is_dry { StatusCode::OK } else { StatusCode::CREATED };
    Ok(Answer { status, etag: tag, ..Answer::json(self::outcome(&call, &outcome)) })
}

/// What a change does. Of one that is not made yet also how many viewers would see a break.
pub(super) fn outcome(call: &Call, outcome: &Outcome) -> Value {
    let ends = |kind: &str, name: &str| outcome.ended.iter().any(|ended| ended.split_once(' ') == Some((kind, name)));
    let is_dry = call.query.flag("dry_run").unwrap_or_default();
    let broken = call.state.registry.streams().iter().filter(|stream| {
        let config = &stream.config;
        ends("stream", config.name.as_str()) || config.feeds.iter().any(|feed| ends("feed", feed.as_str()))
    });
    let viewers = is_dry.then(|| broken.map(|stream| stream.viewers.list().len()).sum::<usize>());
    json!({
        "diff": outcome.diff, "ended": outcome.ended, "begun": outcome.begun,
        "version": outcome.version, "viewers": viewers,
    })
}

fn section(call: &Call) -> Result<String, Problem> {
    let section = call.parameter(0);
    let known = SECTIONS.contains(&section).then(|| section.to_owned());
    known.ok_or_else(|| Problem::not_found("section of the configuration", section))
}

fn missing(section: &str, name: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("the configuration has no `{section}.{name}`"))
}

async fn order(call: &Call, wanted: Vec<Wanted>, condition: Condition) -> Result<Outcome, Problem> {
    let plan = Box::new(move |loaded: &Loaded| edits(loaded, &wanted, &condition).map(Proposal::Edits));
    ordered(call, plan, "change").await
}

/// Has the one task that changes the configuration do this.
pub(super) async fn ordered(call: &Call, plan: Plan, action: &'static str) -> Result<Outcome, Problem> {
    let dry_run = call.query.flag("dry_run")?;
    let permission = call.access.decide(Action::ConfigExec, Subject::Server);
    let may_exec = call.state.api.exec && matches!(permission, Decision::Allowed { .. });
    let by = call.access.identity.name().unwrap_or_else(|| "anyone".to_owned());
    let outcome = call.api.configurator().order((plan, action), may_exec, dry_run, (by, call.access.peer)).await;
    let Some(outcome) = outcome else {
        return Err(Problem::new(Kind::TooMany, "other changes are waiting: try again in a second"));
    };
    outcome.map_err(|refusal| refused(refusal, call.state.api.exec))
}

/// The edits that make what is wanted of what there is. Each change sees those before it.
fn edits(loaded: &Loaded, wanted: &[Wanted], condition: &Condition) -> Result<Vec<Edit>, Refusal> {
    let mut edits: Vec<Edit> = Vec::new();
    // Where an earlier change has set the same entry.
    let mut known: Vec<(Vec<String>, Value)> = Vec::new();
    for Wanted { op, path, value } in wanted {
        let earlier = known.iter().rev().find(|(other, _)| other == path).map(|(_, value)| value.clone());
        let old = earlier.or_else(|| loaded.said(path).map(from_yaml));
        let tag = old.as_ref().map(etag);
        let is_met =
            condition.matches.as_ref().is_none_or(|wanted| tag.as_ref().is_some_and(|tag| has_tag(wanted, tag)));
        if !is_met || ((condition.is_new || *op == Op::Create) && old.is_some()) {
            return Err(Refusal::Precondition(tag));
        }
        if matches!(op, Op::Merge | Op::Remove) && old.is_none() {
            // What a set has made says so by itself.
            let is_made = matches!(path.as_slice(), [section, name] if loaded.made_by_set(section, name).is_some());
            if !is_made {
                return Err(Refusal::Missing(path.join(".")));
            }
        }
        let old = old.unwrap_or_default();
        let new = match op {
            Op::Remove => {
                edits.push(Edit { path: path.clone(), value: None });
                continue;
            }
            Op::Create | Op::Put => value.clone(),
            Op::Merge => {
                let mut merged = masked(&old);
                merge(&mut merged, value);
                merged
            }
        };
        let new = unmasked(&new, &old).map_err(|problem| Refusal::SecretMoved(problem.detail))?;
        let yaml = to_yaml(&new).map_err(|problem| Refusal::SecretMoved(problem.detail))?;
        known.push((path.clone(), new));
        edits.push(Edit { path: path.clone(), value: Some(yaml) });
    }
    Ok(edits)
}

/// Whether a list of tags has this one.
pub(super) fn has_tag(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|known| known == "*" || known == tag)
}

fn refused(refusal: Refusal, exec_is_on: bool) -> Problem {
    match refusal {
        Refusal::Precondition(etag) => {
            let kind = if etag.is_some() { Kind::PreconditionFailed } else { Kind::NotFound };
            let detail = "read the entry again: it is another one, it exists already, or it is gone";
            Problem { etag, ..Problem::new(kind, detail) }
        }
        Refusal::Missing(path) => Problem::new(Kind::NotFound, format!("the configuration has no `{path}`")),
        Refusal::SecretMoved(detail) => Problem::new(Kind::SecretMoved, detail),
        Refusal::NeedsExec(path) if exec_is_on => {
            let detail = format!(
                "`{path}` may run a program, read a file or change a rule: that needs the permission config:exec"
            );
            Problem::new(Kind::Forbidden, detail)
        }
        Refusal::NeedsExec(path) => {
            let detail = format!(
                "`{path}` may run a program, read a file or change a rule: set `api: {{exec: true}}` in the file to allow that by the API"
            );
            Problem::new(Kind::Forbidden, detail)
        }
        Refusal::ChangedOnDisk(file) => {
            Problem::new(Kind::ChangedOnDisk, format!("{file} has been edited: reload it first, then try again"))
        }
        Refusal::Conflict(detail) => Problem::new(Kind::Conflict, detail),
        Refusal::Change(error) => {
            let kind = match &error {
                ChangeError::OwnedByVariable { .. } => Kind::OwnedByVariable,
                ChangeError::MadeBySet { .. } => Kind::MadeBySet,
                ChangeError::NotWritable { .. } => Kind::NotWritable,
                ChangeError::BuiltIn | ChangeError::Edit { .. } => Kind::CannotEditInPlace,
            };
            Problem::new(kind, error.to_string())
        }
        Refusal::Diagnostics(faults) => {
            let detail = "nothing was changed: the configuration would have these faults";
            Problem { faults, ..Problem::new(Kind::Diagnostics, detail) }
        }
        Refusal::NotApplied(reason) => Problem::new(Kind::NotApplied, reason),
        Refusal::NotWritten(reason) => Problem::new(Kind::NotWritten, reason),
        Refusal::Failed(reason) => Problem::new(Kind::Internal, reason),
    }
}

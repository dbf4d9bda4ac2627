//! The files of the configuration as texts, with their secrets masked.

use super::{
    call::{Answer, Call},
    config::{has_tag, ordered, outcome},
    configurator::{Proposal, Refusal},
    json::etag,
    problem::{Kind, Problem},
    texts::{masked_text, unmasked_text},
};
use crate::{
    config::{Loaded, change::ChangedFile},
    store::can_write,
};
use http::header;
use serde_json::{Value, json};
use std::path::Path;

/// `GET /config/files`.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let loaded = call.api.configurator().current();
    let items = loaded.texts().enumerate().map(|(number, (name, text))| about(number, name, text)).collect();
    Ok(Answer::json(call.query.page(items, "file")?))
}

/// `GET /config/files/{file}`.
pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    let loaded = call.api.configurator().current();
    let (number, name, text) = find(&loaded, call.parameter(0))?;
    let mut shown = about(number, name, text);
    if let Value::Object(shown) = &mut shown {
        shown.insert("text".to_owned(), masked_text(text).into());
    }
    Ok(Answer { etag: Some(etag(&text.into())), ..Answer::json(shown) })
}

/// `PUT /config/files/{file}`: another text, by the tag of the one that was read.
pub(super) async fn put(call: Call) -> Result<Answer, Problem> {
    let Some(tags) = call.header(header::IF_MATCH).map(str::to_owned) else {
        let detail = "send the ETag of the text that was edited as If-Match";
        return Err(Problem::new(Kind::PreconditionRequired, detail));
    };
    let body = call.body()?;
    let Some(text) = body.get("text").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Problem::new(Kind::BadRequest, "expected an object with the key `text`"));
    };
    let wanted = call.parameter(0).to_owned();
    // Whether there is such a file.
    find(&call.api.configurator().current(), &wanted)?;
    let plan = Box::new(move |loaded: &Loaded| {
        let gone = || Refusal::Precondition(None);
        let (_, name, before) = find(loaded, &wanted).map_err(|_| gone())?;
        let tag = etag(&before.into());
        if !has_tag(&tags, &tag) {
            return Err(Refusal::Precondition(Some(tag)));
        }
        let after = unmasked_text(&text, before).map_err(|problem| match problem.kind {
            Kind::SecretMoved => Refusal::SecretMoved(problem.detail),
            _ => Refusal::Conflict(problem.detail),
        })?;
        let file = ChangedFile { path: name.into(), before: before.to_owned(), after };
        Ok(Proposal::Texts(Some(file).filter(|file| file.before != file.after).into_iter().collect()))
    });
    let done = ordered(&call, plan, "text").await?;
    let loaded = call.api.configurator().current();
    let tag = find(&loaded, call.parameter(0)).ok().map(|(_, _, text)| etag(&text.into()));
    Ok(Answer {
        etag: tag.filter(|_| !call.query.flag("dry_run").unwrap_or_default()),
        ..Answer::json(outcome(&call, &done))
    })
}

fn about(number: usize, name: &str, text: &str) -> Value {
    json!({
        "number": number, "file": name, "bytes": text.len(), "lines": text.lines().count(),
        "writable": can_write(Path::new(name)), "etag": etag(&text.into()),
    })
}

/// A file by its number in the list.
fn find<'a>(loaded: &'a Loaded, wanted: &str) -> Result<(usize, &'a str, &'a str), Problem> {
    let number = wanted.parse::<usize>().ok();
    let found = number.and_then(|number| Some((number, loaded.texts().nth(number)?)));
    found.map(|(number, (name, text))| (number, name, text)).ok_or_else(|| Problem::not_found("file", wanted))
}

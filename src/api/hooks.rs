//! Hooks: how far they are, and tests of them.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
};
use crate::telemetry::{Fact, HookFigures};
use http::StatusCode;
use serde_json::{Value, json};

/// `GET /hooks`.
pub(super) async fn hooks(call: Call) -> Result<Answer, Problem> {
    let newest = call.api.events.journal.newest();
    let items = call.state.reader.info().hook_stats().read();
    let items = items.iter().map(|(name, figures)| shown(name, figures, newest)).collect();
    Ok(Answer::json(call.query.page(items, "name")?))
}

/// `POST /hooks/{name}/test`: an event for this hook alone.
pub(super) async fn test(call: Call) -> Result<Answer, Problem> {
    let name = call.parameter(0);
    let known = call.state.reader.info().hook_stats().read();
    let Some((_, figures)) = known.iter().find(|(known, _)| known == name) else {
        return Err(Problem::not_found("hook", name));
    };
    if figures.position.is_none() {
        let detail = "the hook gets no events: it has `during` or `every`";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    call.report(Fact::server("hook.test").with("hook", name));
    Ok(Answer::status(StatusCode::ACCEPTED))
}

fn shown(name: &str, figures: &HookFigures, newest: u64) -> Value {
    let HookFigures { delivered, running, failed, given_up, position, error, is_disabled } = figures;
    let state = match (is_disabled, error) {
        (true, _) => "disabled",
        (false, Some(_)) => "failing",
        (false, None) => "well",
    };
    json!({
        "name": name, "state": state, "delivered": delivered, "running": running, "failed": failed, "given_up": given_up,
        "position": position, "behind": position.map(|position| newest.saturating_sub(position)), "error": error,
    })
}

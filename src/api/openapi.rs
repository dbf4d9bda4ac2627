//! The document of the API (OpenAPI 3.1), printed from the table of routes.

use super::{
    problem::Kind,
    route::{May, Route},
};
use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(format!("/api/v1{}", route.path)).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.to_ascii_lowercase(), operation(route));
        }
    }
    let words: Vec<_> = Kind::ALL.iter().map(|kind| format!("/api/problems/{}", kind.parts().0)).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": "voyandz", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "see LICENSE"}},
        "paths": paths,
        "security": [{"basic": []}, {"bearer": []}],
        "components": {
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {
                "Any": {},
                "Entry": {"type": "object", "additionalProperties": true},
                "Server": {"type": "object", "required": ["server", "totals"], "properties": {
                    "server": {"$ref": "#/components/schemas/Entry"}, "totals": {"$ref": "#/components/schemas/Entry"},
                }},
                "Page": {"type": "object", "required": ["items", "next", "total"], "properties": {
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}},
                    "next": {"type": ["string", "null"], "description": "Give it as `after` for the next page."},
                    "total": {"type": "integer"},
                }},
                "Event": {"type": "object", "required": ["specversion", "id", "source", "type", "time", "data"],
                    "description": "As CloudEvents 1.0 has it.", "properties": {
                    "specversion": {"const": "1.0"}, "id": {"type": "string", "description": "Its number."},
                    "source": {"type": "string"}, "type": {"type": "string"}, "time": {"type": "string"},
                    "subject": {"type": "string", "description": "The name of the feed or stream."},
                    "data": {"type": "object", "additionalProperties": true},
                }},
                "Events": {"type": "object", "required": ["items", "next", "lost"], "properties": {
                    "items": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
                    "next": {"type": "integer", "description": "Give it as `after` for those that follow."},
                    "lost": {"type": ["object", "null"], "description": "Numbers of events that there are no more.",
                        "properties": {"from": {"type": "integer"}, "to": {"type": "integer"}}},
                }},
                "Outcome": {"type": "object", "required": ["diff", "ended", "begun"], "properties": {
                    "diff": {"type": "string", "description": "Of the files, as a unified diff."},
                    "ended": {"type": "array", "items": {"type": "string"}},
                    "begun": {"type": "array", "items": {"type": "string"}},
                    "version": {"type": ["integer", "null"], "description": "In the history, once it was made."},
                    "viewers": {"type": ["integer", "null"], "description": "Of what would end; with `dry_run` only."},
                }},
                "Changes": {"type": "array", "items": {"type": "object", "required": ["op", "path"], "properties": {
                    "op": {"enum": ["create", "put", "merge", "remove"]},
                    "path": {"type": "array", "items": {"type": "string"}},
                    "value": {},
                }}},
                "Login": {"type": "object", "description": "A user and a password, or a code.", "properties": {
                    "user": {"type": "string"}, "password": {"type": "string", "writeOnly": true},
                    "code": {"type": "string", "writeOnly": true}}},
                "Code": {"type": "object", "required": ["code", "path", "seconds"], "properties": {
                    "code": {"type": "string"}, "path": {"type": "string", "description": "Of the page that logs in with it."},
                    "seconds": {"type": "integer", "description": "How long it is good."}}},
                "Session": {"type": "object", "required": ["user", "server", "streams"], "properties": {
                    "user": {"type": ["string", "null"], "description": "`null` for anyone."},
                    "server": {"type": "array", "items": {"type": "string"}, "description": "Permissions on the server; `view` and others of streams where there is some stream."},
                    "streams": {"type": "array", "items": {"type": "string"}, "description": "Permissions on every stream."},
                }},
                "Protection": {"type": "object", "required": ["protected"], "additionalProperties": false,
                    "properties": {"protected": {"type": "boolean"}}},
                "Edited": {"type": "object", "required": ["changed", "bytes", "files", "unchanged", "kept"], "properties": {
                    "changed": {"type": "integer"}, "bytes": {"type": "integer"},
                    "files": {"type": "array", "items": {"type": "string"}, "description": "The first 1000 of them."},
                    "unchanged": {"type": "integer", "description": "Files that were so before."},
                    "kept": {"type": "object", "description": "Files that were not deleted, by the reason.", "properties": {
                        "open": {"type": "integer"}, "protected": {"type": "integer"}, "partly": {"type": "integer"}}},
                }},
                "Diagnostic": {"type": "object", "required": ["path", "message"], "properties": {
                    "file": {"type": "string"}, "line": {"type": "integer"}, "column": {"type": "integer"},
                    "variable": {"type": "string"}, "path": {"type": "string"}, "message": {"type": "string"},
                }},
                "Problem": {"type": "object", "required": ["type", "title", "status", "detail"], "properties": {
                    "type": {"enum": words}, "title": {"type": "string"}, "status": {"type": "integer"},
                    "detail": {"type": "string"}, "etag": {"type": "string"},
                    "faults": {"type": "array", "items": {"$ref": "#/components/schemas/Diagnostic"}},
                }},
            },
        },
    });
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas")
        && let Value::Object(more) = of_files_and_machine()
    {
        schemas.extend(more);
    }
    document
}

/// Schemas of the files of the configuration, of their history, and of the machine.
fn of_files_and_machine() -> Value {
    json!({
        "History": {"type": "object", "required": ["seconds", "samples"], "properties": {
            "seconds": {"type": "integer", "description": "From one sample to the next."},
            "samples": {"type": "array", "items": {"type": "object", "required": ["bit_rate", "viewers", "gaps"], "properties": {
                "bit_rate": {"type": "integer"}, "viewers": {"type": "integer"},
                "gaps": {"type": "integer", "description": "Skips of slow viewers since the sample before."}}}},
        }},
        "FeedHistory": {"type": "object", "required": ["seconds", "samples"], "properties": {
            "seconds": {"type": "integer", "description": "From one sample to the next."},
            "samples": {"type": "array", "items": {"type": "object", "required": ["state", "failed"], "properties": {
                "state": {"type": "string", "description": "The name of the state at that moment."},
                "failed": {"type": "boolean", "description": "It was restarted after a failure since the sample before."}}}},
        }},
        "Terms": {"type": "object", "required": ["streams", "for"], "additionalProperties": false, "properties": {
            "streams": {"type": "string", "description": "A name, in which `*` stands for any characters."},
            "for": {"type": "string", "description": "How long it is good: `90s`, `15m`, `12h`, `7d`."},
            "open": {"type": "string", "description": "How long it can be opened, if that is shorter."},
            "from": {"type": "string", "description": "The network that it is for."},
            "name": {"type": "string", "description": "Who it is for, for the log."},
            "may": {"type": "array", "items": {"enum": ["view", "still", "playback", "publish"]},
                "description": "`view` and `still` where there is nothing."},
        }},
        "Link": {"type": "object", "required": ["link", "paths", "until", "open_until"], "properties": {
            "link": {"type": "string", "description": "What is added to the query of any path of the streams."},
            "paths": {"type": "array", "items": {"type": "string"}}, "until": {"type": "string"}, "open_until": {"type": "string"}}},
        "Address": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
        "Probe": {"type": "object", "required": ["works", "error", "tracks", "seconds"], "properties": {
            "works": {"type": "boolean"}, "error": {"type": ["string", "null"]},
            "tracks": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}, "description": "As those of a feed are."},
            "seconds": {"type": "number"}}},
        "Examination": {"type": "object", "required": ["is_well", "sections"], "properties": {
            "is_well": {"type": "boolean", "description": "Nothing is missing without which nothing works."},
            "sections": {"type": "array", "items": {"type": "object", "required": ["title", "findings"], "properties": {
                "title": {"type": "string"},
                "findings": {"type": "array", "items": {"type": "object", "required": ["level", "what", "detail", "remedy"], "properties": {
                    "level": {"enum": ["good", "absent", "lacking"]}, "what": {"type": "string"},
                    "detail": {"type": "string"}, "remedy": {"type": "string"}}}},
            }}},
        }},
        "File": {"type": "object", "required": ["number", "file", "text", "etag", "writable"], "properties": {
            "number": {"type": "integer"}, "file": {"type": "string"}, "text": {"type": "string"},
            "etag": {"type": "string"}, "bytes": {"type": "integer"}, "lines": {"type": "integer"},
            "writable": {"type": "boolean"},
        }},
        "Text": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
        "Version": {"type": "object", "required": ["number", "time", "by", "action", "paths", "files", "diff"], "properties": {
            "number": {"type": "integer"}, "time": {"type": "string"},
            "by": {"type": ["string", "null"], "description": "`null` for an edit on the disk."},
            "address": {"type": ["string", "null"]},
            "action": {"enum": ["change", "text", "undo", "restore", "disk"]},
            "paths": {"type": "array", "items": {"type": "string"}},
            "files": {"type": "array", "items": {"type": "string"}},
            "diff": {"type": "string", "description": "Of the files, as a unified diff."},
        }},
    })
}

fn operation(route: &Route) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = route.query.iter().map(|name| {
        let kind = if matches!(*name, "limit" | "wait") { "integer" } else { "string" };
        json!({"name": name, "in": "query", "schema": {"type": kind}})
    });
    // An object in this style is one parameter for each of its keys; the prefix is said in words, as OpenAPI has no way to say it.
    let labels = route.query.contains(&"state").then(|| {
        let description = "`label.NAME=VALUE` chooses by a label; `*` stands for any characters.";
        json!({"name": "labels", "in": "query", "style": "form", "explode": true, "description": description,
               "schema": {"type": "object", "additionalProperties": {"type": "string"}}})
    });
    let condition = ["put_entry", "patch_entry", "delete_entry", "put_config_file"].contains(&route.id).then(|| {
        let description = "The `ETag` of what was read: the change is made only if that was not changed meanwhile.";
        json!({"name": "If-Match", "in": "header", "description": description, "schema": {"type": "string"}})
    });
    let parameters: Vec<_> = in_path.chain(in_query).chain(labels).chain(condition).collect();
    let (status, schema) = route.answer;
    let mut success = json!({"description": "Success."});
    if let (Some(schema), Value::Object(success)) = (schema, &mut success) {
        let mut content = json!({"application/json": {"schema": reference(schema)}});
        if let (true, Value::Object(content)) = (schema == "Events", &mut content) {
            content.insert("text/event-stream".to_owned(), json!({"schema": {"type": "string"}}));
        }
        success.insert("content".to_owned(), content);
    }
    let problem = json!({
        "description": "A refusal.", "content": {"application/problem+json": {"schema": reference("Problem")}},
    });
    let mut responses = Map::from_iter([(status.to_string(), success.clone())]);
    if route.method == "PUT" || route.id == "start_recording" {
        responses.insert("201".to_owned(), success);
    }
    responses.insert("default".to_owned(), problem);
    let may = match route.may {
        May::Anyone => "anyone".to_owned(),
        May::Server(action) => format!("`{}`", action.name()),
        May::Stream(action) => format!("`{}` on the stream", action.name()),
    };
    let mut operation = json!({
        "operationId": route.id, "summary": route.summary, "description": format!("Permission: {may}."),
        "parameters": parameters, "responses": responses,
    });
    if let (Some(body), Value::Object(operation)) = (route.body, &mut operation) {
        let kind = if route.method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        operation.insert(
            "requestBody".to_owned(),
            json!({"required": true, "content": {kind: {"schema": reference(body)}}}),
        );
    }
    if route.may == May::Anyone
        && let Value::Object(operation) = &mut operation
    {
        operation.insert("security".to_owned(), json!([]));
    }
    operation
}

//! Answers of the API are what its document says. Knows the keywords of JSON Schema that the document has, and refuses all others.

use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../config/openapi.json")).unwrap());

/// The document of the repository.
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Checks an answer to a request below `/api/v1`. What the document does not have is answered with 404 or 405.
pub fn check(method: &str, target: &str, status: u16, answer: &Value) {
    let path = target.split('?').next().unwrap();
    let found = operation(method, path);
    let Some(operation) = found else {
        assert!(matches!(status, 404 | 405), "{method} {path} is not in the document and is answered with {status}");
        return conforms(&reference("Problem"), answer, "answer").unwrap();
    };
    let responses = &operation["responses"];
    let response = responses.get(status.to_string());
    assert!(response.is_some() || status == 304 || status >= 400, "{method} {path}: {status} is not documented");
    let content = &response.unwrap_or(&responses["default"])["content"];
    let kind = if status >= 400 { "application/problem+json" } else { "application/json" };
    match content.get(kind) {
        Some(media) => {
            conforms(&media["schema"], answer, "answer").unwrap_or_else(|why| panic!("{method} {path}: {why}"))
        }
        None => assert!(answer.is_null(), "{method} {path}: has an answer that is not documented: {answer}"),
    }
}

fn operation<'a>(method: &str, path: &str) -> Option<&'a Value> {
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let fits = |known: &str| {
        let known: Vec<_> = known.trim_start_matches("/api/v1/").split('/').collect();
        known.len() == parts.len()
            && known.iter().zip(&parts).all(|(known, part)| known.starts_with('{') || known == part)
    };
    // One without parameters goes before one with them.
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    let mut fitting: Vec<_> = paths.filter(|(known, _)| fits(known)).collect();
    fitting.sort_by_key(|(known, _)| known.matches('{').count());
    fitting.into_iter().find_map(|(_, methods)| methods.get(method.to_lowercase()))
}

fn reference(name: &str) -> Value {
    serde_json::json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Checks a value against a schema; says what is wrong where.
pub fn conforms(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{place} {what}, found {value}"));
    for (keyword, wanted) in schema.as_object().expect("a schema") {
        match keyword.as_str() {
            "$ref" => {
                let name = wanted.as_str().unwrap().strip_prefix("#/components/schemas/").unwrap();
                conforms(&DOCUMENT["components"]["schemas"][name], value, place)?;
            }
            "type" => {
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("a type {other}"),
                };
                let kinds = wanted.as_array().map_or(std::slice::from_ref(wanted), Vec::as_slice);
                if !kinds.iter().any(is) {
                    return wrong(&format!("should be of type {wanted}"));
                }
            }
            "const" if value != wanted => return wrong(&format!("should be {wanted}")),
            "enum" if !wanted.as_array().unwrap().contains(value) => {
                return wrong(&format!("should be one of {wanted}"));
            }
            "required" if value.is_object() => {
                for key in wanted.as_array().unwrap() {
                    if value.get(key.as_str().unwrap()).is_none() {
                        return wrong(&format!("should have {key}"));
                    }
                }
            }
            "properties" => {
                for (key, schema) in wanted.as_object().unwrap() {
                    value.get(key).map_or(Ok(()), |found| conforms(schema, found, &format!("{place}.{key}")))?;
                }
            }
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    conforms(wanted, item, &format!("{place}[{at}]"))?;
                }
            }
            "additionalProperties" => assert_eq!(*wanted, true),
            "const" | "enum" | "required" | "description" => {}
            other => panic!("the keyword {other} is not known here"),
        }
    }
    Ok(())
}

#[test]
fn wrong_answers_are_found() {
    let check = |name: &str, value: Value, expect: Option<&str>| {
        let found = conforms(&reference(name), &value, "answer").err();
        assert_eq!(found.is_some(), expect.is_some(), "{name} {value}: {found:?}");
        assert!(found.unwrap_or_default().contains(expect.unwrap_or_default()));
    };
    let page = |items: Value| serde_json::json!({"items": items, "next": null, "total": 1});
    check("Page", page(serde_json::json!([{}])), None);
    check("Page", page(serde_json::json!({})), Some("answer.items should be of type"));
    check("Page", page(serde_json::json!([1])), Some("answer.items[0] should be of type"));
    check("Page", serde_json::json!({"items": []}), Some("should have \"next\""));
    let problem = serde_json::json!({"type": "/api/problems/none", "title": "", "status": 404, "detail": ""});
    check("Problem", problem, Some("answer.type should be one of"));
}

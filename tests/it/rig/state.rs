//! What a server says of itself.

use super::{SOON, Server, wait_until};
use serde_json::Value;

/// The state of all.
pub fn state(server: &Server) -> Value {
    state_at(server, "/stat.json")
}

/// The same, or another page in JSON, at this path.
pub fn state_at(server: &Server, path: &str) -> Value {
    let mut answer = server.get(path);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.text()).unwrap()
}

/// The entry with this name in one of the lists.
pub fn entry<'a>(state: &'a Value, list: &str, name: &str) -> &'a Value {
    let entries = state[list].as_array().unwrap();
    entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name} in {state:#}"))
}

/// Waits until an entry is as wished; returns it.
pub fn wait_for(server: &Server, list: &str, name: &str, wish: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{name} as wished"), SOON, || {
        found = entry(&state(server), list, name).clone();
        wish(&found)
    });
    found
}

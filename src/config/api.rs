//! `api:`: what programs and pages may do by the API.

use super::{
    diagnostics::Path,
    expected::{Expected, flag, path_name},
    model::{Api, ControlPlace, Editing},
    raw,
    validator::Validator,
};
use serde_yaml::Value;

impl Validator {
    /// The rules; the usual ones where there are errors, which are noted.
    pub(super) fn api(&mut self, path: &Path, value: Option<Value>) -> Api {
        let Some(value) = value else { return Api::default() };
        let keys: raw::Api = self.section(path, value);
        let editing = self.value(&path.key("config"), keys.config, editing).unwrap_or_default();
        let exec = self.value(&path.key("exec"), keys.exec, flag).unwrap_or_default();
        let socket = self.value(&path.key("socket"), keys.socket, control_place).unwrap_or_default();
        let file = self.value(&path.key("file"), keys.file, path_name);
        Api { editing, exec, file, socket }
    }
}

fn editing(text: &str) -> Result<Editing, Expected> {
    let found = Editing::ALL.into_iter().find(|editing| editing.name() == text);
    found.ok_or_else(|| format!("one of {}", Editing::ALL.map(Editing::name).join(", ")).into())
}

/// A path, or `none`.
fn control_place(text: &str) -> Result<ControlPlace, Expected> {
    /// The longest that the system has (sockaddr_un, unix(7)).
    const LONGEST: usize = 107;
    match text {
        "none" => Ok(ControlPlace::Off),
        _ if text.len() > LONGEST => Err(format!("a path of at most {LONGEST} bytes").into()),
        _ => path_name(text).map(ControlPlace::Path),
    }
}

/// The keys that make these rules; `None` for the usual ones.
pub(super) fn printed(api: &Api) -> Option<Value> {
    let given = raw::Api {
        config: (api.editing != Editing::default()).then(|| api.editing.name().into()),
        exec: api.exec.then_some(Value::Bool(true)),
        file: api.file.as_ref().map(|file| file.to_string_lossy().into()),
        socket: match &api.socket {
            ControlPlace::Usual => None,
            ControlPlace::Path(path) => Some(path.to_string_lossy().into()),
            ControlPlace::Off => Some("none".into()),
        },
    };
    (*api != Api::default()).then(|| serde_yaml::to_value(given).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn rules_are_read() {
        let api = |text: &str| parse(text).map(|config| config.api).map_err(|faults| faults[0].to_string());
        assert_eq!(api("{}"), Ok(Api::default()));
        assert_eq!(
            api("api: {config: read-only, exec: true}"),
            Ok(Api { editing: Editing::ReadOnly, exec: true, ..Api::default() })
        );
        let socket = |text: &str| api(text).map(|api| api.socket);
        assert_eq!(socket("api: {socket: /a/b.sock}"), Ok(ControlPlace::Path("/a/b.sock".into())));
        assert_eq!(socket("api: {socket: none}"), Ok(ControlPlace::Off));
        let long = format!("api: {{socket: /{}}}", "a".repeat(107));
        assert!(socket(&long).unwrap_err().contains("expected a path of at most 107 bytes"));
        let expect = "1:15: api.config: expected one of write, read-only, found \"no\"";
        assert_eq!(api("api: {config: no}"), Err(expect.to_owned()));
    }
}

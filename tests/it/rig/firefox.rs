//! A headless Firefox, driven over Marionette: messages of JSON, each behind its length.

use super::{SOON, wait_until};
use serde_json::{Value, json};
use std::{
    cell::RefCell,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// What the tests need, and what would otherwise be asked of the network. The candidates of a server on this machine alone are of the
/// loopback interface: Firefox has them with both of the last lines, since without permission for a microphone it knows the addresses of the default
/// route only.
const PREFERENCES: &str = r#"
user_pref("marionette.port", 0);
user_pref("media.autoplay.default", 0);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("permissions.default.microphone", 1);
"#;

/// A browser and the connection to it.
pub struct Firefox {
    process: Child,
    connection: RefCell<Connection>,
    _profile: TempDir,
}

struct Connection {
    reader: BufReader<TcpStream>,
    /// That of the last command.
    number: u64,
}

impl Firefox {
    /// `preferences`: lines beside those of all.
    pub fn start(preferences: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        fs::write(profile.path().join("user.js"), [PREFERENCES, preferences].concat()).unwrap();
        let mut command = Command::new("firefox-esr");
        command.args(["--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile"]);
        command.arg(profile.path());
        command.env("HOME", profile.path()).env("MOZ_CRASHREPORTER_DISABLE", "1");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (file, mut port) = (profile.path().join("MarionetteActivePort"), None::<u16>);
        wait_until("Firefox listens", SOON, || {
            port = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            port.is_some()
        });
        let stream = TcpStream::connect(("127.0.0.1", port.unwrap())).unwrap();
        stream.set_read_timeout(Some(2 * SOON)).unwrap();
        let mut connection = Connection { reader: BufReader::new(stream), number: 0 };
        assert_eq!(connection.read()["marionetteProtocol"], 3);
        // The end of loading is not waited for: a page whose pictures never end has none.
        connection.command("WebDriver:NewSession", &json!({ "pageLoadStrategy": "none" })).unwrap();
        Self { process, connection: RefCell::new(connection), _profile: profile }
    }

    /// What a script of the browser itself returns, which may do what no page may.
    pub fn run_inside(&self, script: &str, arguments: &Value) -> Value {
        let context = |name: &str| self.command("Marionette:SetContext", &json!({ "value": name })).unwrap();
        context("chrome");
        let returned = self.command("WebDriver:ExecuteScript", &json!({ "script": script, "args": arguments }));
        context("content");
        returned.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What a command of WebDriver returns, or the error.
    pub fn command(&self, name: &str, parameters: &Value) -> Result<Value, Value> {
        self.connection.borrow_mut().command(name, parameters)
    }
}

impl Connection {
    fn command(&mut self, name: &str, parameters: &Value) -> Result<Value, Value> {
        self.number += 1;
        let message = json!([0, self.number, name, parameters]).to_string();
        write!(self.reader.get_mut(), "{}:{message}", message.len()).unwrap();
        let mut answer = self.read();
        assert_eq!(answer[1], self.number, "{name}");
        match answer[2].take() {
            // Some have several values.
            Value::Null if answer[3].get("value").is_none() => Ok(answer[3].take()),
            Value::Null => Ok(answer[3]["value"].take()),
            error => Err(error),
        }
    }

    fn read(&mut self) -> Value {
        let mut length = Vec::new();
        self.reader.read_until(b':', &mut length).unwrap();
        let length = String::from_utf8(length).unwrap();
        let mut message = vec![0; length.trim_end_matches(':').parse().expect("Firefox has ended")];
        self.reader.read_exact(&mut message).unwrap();
        serde_json::from_slice(&message).unwrap()
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

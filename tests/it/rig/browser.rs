//! A headless Chromium, driven over WebDriver.

use super::{SOON, have, log::Log, millis};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    // The candidates of a server on this machine alone are of this address.
    "--allow-loopback-in-peer-connection",
];

/// Whether there is a browser, and what drives it; see [`have`].
pub fn have_browser() -> bool {
    have("chromedriver") && have("chromium")
}

/// One browser with one page.
pub struct Browser {
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Browser {
    pub fn start() -> Self {
        Self::start_with(json!({}))
    }

    /// One that runs no scripts of pages.
    pub fn start_without_scripts() -> Self {
        Self::start_with(json!({ "profile.managed_default_content_settings.javascript": 2 }))
    }

    fn start_with(preferences: Value) -> Self {
        let (driver, port) = loop {
            let mut command = Command::new("chromedriver");
            command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut driver = command.spawn().unwrap();
            let said = Log::read(driver.stdout.take().unwrap());
            let line = said.wait(r"started successfully on port \d+|IPv4 port not available", SOON);
            match line.split_once(" on port ") {
                Some((_, port)) => break (driver, port.trim_end_matches('.').to_owned()),
                // It has the kernel choose a port of IPv6, and somebody had that of IPv4: another choice.
                None => driver.wait().unwrap(),
            };
        };
        let profile = tempfile::tempdir().unwrap();
        let flags =
            FLAGS.map(str::to_owned).into_iter().chain([format!("--user-data-dir={}", profile.path().display())]);
        let options = json!({ "args": flags.collect::<Vec<_>>(), "prefs": preferences });
        let wish = json!({
            // The end of loading is not waited for: a page whose pictures never end has none.
            "pageLoadStrategy": "none",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{port}/session"), _profile: profile };
        let created = browser.post("", json!({ "capabilities": { "alwaysMatch": wish } }));
        let id = created["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {created}"));
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn post(&self, command: &str, body: Value) -> Value {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(format!("{}{command}", self.session)).send_json(body).unwrap();
        let (status, mut value) = (answer.status(), answer.body_mut().read_json::<Value>().unwrap());
        assert!(status.is_success(), "{command}: {value}");
        value["value"].take()
    }

    /// Loads a page, but for its pictures, which may never end. Its script has run, which a document that is
    /// `interactive` does not tell.
    pub fn open(&self, url: &str) {
        self.post("/timeouts", json!({ "script": 20_000, "pageLoad": 20_000 }));
        self.post("/url", json!({ "url": url }));
        let until = Instant::now() + SOON;
        let loaded = format!(
            "return location.href === {} && performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd > 0",
            json!(url),
        );
        while self.run(&loaded) != Value::Bool(true) {
            assert!(Instant::now() < until, "{url} is not loaded");
            std::thread::sleep(millis(20));
        }
    }

    /// Runs a script in the page.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Fails unless the script returns a true value within this time.
    pub fn wait(&self, script: &str, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let value = self.run(script);
            if value == Value::Bool(true) {
                return;
            }
            assert!(Instant::now() < until, "{script} is {value} after {within:?}");
            std::thread::sleep(millis(50));
        }
    }

    /// Presses keys one after the other, as a person does; those of `held` stay down meanwhile. Keys without a letter are those of WebDriver.
    pub fn press(&self, held: &str, keys: &str) {
        let down = |key: char| json!({ "type": "keyDown", "value": key });
        let up = |key: char| json!({ "type": "keyUp", "value": key });
        let strokes = keys.chars().flat_map(|key| [down(key), up(key)]);
        let actions: Vec<_> = held.chars().map(down).chain(strokes).chain(held.chars().map(up)).collect();
        self.post("/actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// Makes the page this wide, and as high as it needs to be.
    pub fn resize(&self, width: u32) {
        let metrics = |height: &Value| {
            let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
            let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
            self.post("/goog/cdp/execute", command);
        };
        metrics(&json!(800));
        metrics(&self.run("return document.documentElement.scrollHeight"));
    }

    /// Whether the page is to be dark.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.post("/goog/cdp/execute", command);
    }

    /// Keeps a picture of the page, for people, as `target/screenshots/<name>.png`.
    pub fn keep_picture(&self, name: &str) {
        let mut answer = ureq::get(format!("{}/screenshot", self.session)).call().unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), base64(answer["value"].as_str().unwrap())).unwrap();
    }

    /// What the page's console had to say since the last look, but for notes.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({ "type": "browser" }));
        let entries = entries.as_array().unwrap().iter();
        entries.filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG").map(Value::to_string).collect()
    }
}

/// Decodes base64 (RFC 4648, section 4).
fn base64(text: &str) -> Vec<u8> {
    let alphabet = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect::<String>();
    let digits: Vec<usize> = text.chars().filter_map(|c| alphabet.find(c)).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - group.len()));
        bytes.extend([bits >> 16, bits >> 8, bits].map(|byte| (byte & 255) as u8).iter().take(group.len() - 1));
    }
    bytes
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

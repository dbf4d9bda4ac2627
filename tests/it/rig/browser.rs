//! A headless Chromium, driven over WebDriver; or a Firefox, whose commands are the same.

use super::{SOON, firefox::Firefox, have, log::Log, millis, process};
use rustix::process::Signal;
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

/// Whether there is the other browser; see [`have`].
pub fn have_firefox() -> bool {
    have("firefox-esr")
}

/// One browser with one page.
pub struct Browser(Driver);

enum Driver {
    Chromium(Chromium),
    Firefox(Firefox),
}

/// A network between the browser and the server, as slow as this.
pub struct Network {
    /// Bits per second, either way.
    pub rate: u64,
    /// Added to each request.
    pub latency: Duration,
}

impl Browser {
    pub fn start() -> Self {
        Self(Driver::Chromium(Chromium::start(&json!({}))))
    }

    /// One that runs no scripts of pages.
    pub fn start_without_scripts() -> Self {
        let preferences = json!({ "profile.managed_default_content_settings.javascript": 2 });
        Self(Driver::Chromium(Chromium::start(&preferences)))
    }

    pub fn start_firefox() -> Self {
        Self(Driver::Firefox(Firefox::start("")))
    }

    /// One that runs no scripts of pages.
    pub fn start_firefox_without_scripts() -> Self {
        Self(Driver::Firefox(Firefox::start("user_pref(\"javascript.enabled\", false);\n")))
    }

    pub fn name(&self) -> &'static str {
        match self.0 {
            Driver::Chromium(_) => "Chromium",
            Driver::Firefox(_) => "Firefox",
        }
    }

    /// What a command of WebDriver returns, or the error. It has a path there, and a name in Marionette.
    fn command(&self, path: &str, name: &str, parameters: &Value) -> Result<Value, Value> {
        match &self.0 {
            Driver::Chromium(chromium) => chromium.post(path, parameters),
            Driver::Firefox(firefox) => firefox.command(name, parameters),
        }
    }

    fn attempt(&self, script: &str) -> Result<Value, Value> {
        self.command("/execute/sync", "WebDriver:ExecuteScript", &json!({ "script": script, "args": [] }))
    }

    /// Sends a signal to the browser, which is not asked to end.
    pub fn kill(&self, signal: Signal) {
        for browser in process::children(self.chromium().driver.id().try_into().unwrap()) {
            process::send(browser.pid, signal);
        }
    }

    fn chromium(&self) -> &Chromium {
        match &self.0 {
            Driver::Chromium(chromium) => chromium,
            Driver::Firefox(_) => panic!("Firefox has no such command"),
        }
    }

    /// Loads a page, but for its pictures, which may never end. Its script has run, which a document that is
    /// `interactive` does not tell.
    pub fn open(&self, url: &str) {
        self.command("/timeouts", "WebDriver:SetTimeouts", &json!({ "script": 20_000, "pageLoad": 20_000 })).unwrap();
        self.command("/url", "WebDriver:Navigate", &json!({ "url": url })).unwrap();
        let loaded = format!(
            "return location.href === {} && performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd > 0",
            json!(url),
        );
        self.wait(&loaded, SOON);
    }

    /// Runs a script in the page.
    pub fn run(&self, script: &str) -> Value {
        self.attempt(script).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Fails unless the script returns a true value within this time. What a page says that is just being left does not count.
    pub fn wait(&self, script: &str, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let value = self.attempt(script).unwrap_or_else(|error| error);
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
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.command("/actions", "WebDriver:PerformActions", &actions).unwrap();
    }

    /// Makes the page this wide, and as high as it needs to be.
    pub fn resize(&self, width: u32) {
        self.resize_to(width, 800);
        let height = self.run("return document.documentElement.scrollHeight").as_u64().unwrap();
        self.resize_to(width, height.try_into().unwrap());
    }

    fn resize_to(&self, width: u32, height: u32) {
        match &self.0 {
            Driver::Chromium(chromium) => {
                let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
                chromium.tool("Emulation.setDeviceMetricsOverride", size);
            }
            // No window of it is as narrow as a phone, but a page may be narrower than its window.
            Driver::Firefox(firefox) => {
                let script = "const [width, height] = arguments; const { style } = gBrowser.selectedBrowser;
                    for (const side of ['', 'min-', 'max-']) {
                        style.setProperty(`${side}width`, `${width}px`);
                        style.setProperty(`${side}height`, `${height}px`);
                    }";
                firefox.run_inside(script, &json!([width, height]));
                self.wait(&format!("return innerWidth === {width} && innerHeight === {height}"), SOON);
            }
        }
    }

    /// Whether the page is to be dark.
    pub fn prefer(&self, scheme: &str) {
        match &self.0 {
            Driver::Chromium(chromium) => {
                let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
                chromium.tool("Emulation.setEmulatedMedia", json!({ "features": features }));
            }
            Driver::Firefox(firefox) => {
                let script =
                    "Services.prefs.setIntPref('layout.css.prefers-color-scheme.content-override', arguments[0])";
                firefox.run_inside(script, &json!([u8::from(scheme != "dark")]));
                self.wait(&format!("return matchMedia('(prefers-color-scheme: {scheme})').matches"), SOON);
            }
        }
    }

    /// Does something while the page is hidden behind another one, as behind another tab.
    pub fn hidden_while<T>(&self, act: impl FnOnce() -> T) -> T {
        let switch = |handle: &Value| {
            self.command("/window", "WebDriver:SwitchToWindow", &json!({ "handle": handle })).unwrap();
        };
        let page = match &self.0 {
            Driver::Chromium(chromium) => chromium.get("/window"),
            Driver::Firefox(firefox) => firefox.command("WebDriver:GetWindowHandle", &json!({})).unwrap(),
        };
        let front = self.command("/window/new", "WebDriver:NewWindow", &json!({ "type": "tab" })).unwrap();
        switch(&front["handle"]);
        let done = act();
        // To look at a page is to have it in front.
        switch(&page);
        done
    }

    /// Makes the network as slow as this, for HTTP.
    pub fn slow_down(&self, network: &Network) {
        let (rate, latency) = (network.rate / 8, u64::try_from(network.latency.as_millis()).unwrap());
        let conditions =
            json!({ "offline": false, "latency": latency, "downloadThroughput": rate, "uploadThroughput": rate });
        self.chromium().tool("Network.enable", json!({}));
        self.chromium().tool("Network.emulateNetworkConditions", conditions);
    }

    /// Keeps a picture of the page, for people, as `target/screenshots/<name>.png`.
    pub fn keep_picture(&self, name: &str) {
        let (picture, prefix) = match &self.0 {
            Driver::Chromium(chromium) => (chromium.get("/screenshot"), ""),
            Driver::Firefox(firefox) => {
                let picture = firefox.command("WebDriver:TakeScreenshot", &json!({ "full": false })).unwrap();
                (picture, "firefox-")
            }
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{prefix}{name}.png")), base64(picture.as_str().unwrap())).unwrap();
    }

    /// What the page's console had to say since the last look, but for notes.
    pub fn complaints(&self) -> Vec<String> {
        let firefox = match &self.0 {
            Driver::Chromium(chromium) => return chromium.complaints(),
            Driver::Firefox(firefox) => firefox,
        };
        // Without those of its own pages, what it advises about scrolling, and that the machine has no device to play sound with.
        let script = "const all = Services.console.getMessageArray();
            Services.console.reset();
            const isOfPage = (one) => one instanceof Ci.nsIScriptError && one.sourceName.startsWith('http') && one.category !== 'Async Pan/Zoom';
            const isOfSound = ({ errorMessage }) => /OnMediaSinkAudioError|radio\\S* could not be decoded\\.$/.test(errorMessage);
            return all.filter((one) => isOfPage(one) && !isOfSound(one))
                .map((one) => `${one.sourceName}:${one.lineNumber} ${one.category}: ${one.errorMessage}`)";
        serde_json::from_value(firefox.run_inside(script, &json!([]))).unwrap()
    }
}

/// A Chromium behind its driver.
struct Chromium {
    driver: Child,
    session: String,
    _profile: TempDir,
}

impl Chromium {
    fn start(preferences: &Value) -> Self {
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
        let mut chromium = Self { driver, session: format!("http://127.0.0.1:{port}/session"), _profile: profile };
        let created = chromium.post("", &json!({ "capabilities": { "alwaysMatch": wish } })).unwrap();
        let id = created["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {created}"));
        chromium.session = format!("{}/{id}", chromium.session);
        chromium
    }

    fn post(&self, command: &str, body: &Value) -> Result<Value, Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(format!("{}{command}", self.session)).send_json(body).unwrap();
        let (status, mut value) = (answer.status(), answer.body_mut().read_json::<Value>().unwrap());
        if status.is_success() { Ok(value["value"].take()) } else { Err(value) }
    }

    fn get(&self, what: &str) -> Value {
        let mut answer = ureq::get(format!("{}{what}", self.session)).call().unwrap();
        answer.body_mut().read_json::<Value>().unwrap()["value"].take()
    }

    /// What its console had to say since the last look, but for notes.
    fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" })).unwrap();
        let entries = entries.as_array().unwrap().iter();
        entries.filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG").map(Value::to_string).collect()
    }

    /// A command of its developer tools.
    fn tool(&self, command: &str, parameters: Value) {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).unwrap();
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

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

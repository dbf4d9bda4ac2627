//! The pages for those who change something, in a browser.

use crate::{
    control, login,
    pages::{examine, look_at, watch},
    rig::{
        Launch, SOON, Server,
        browser::{Browser, have_browser},
        http,
        pushes::camera,
        script::{H264, PICTURE, shell},
        secs, srt, tool, wait_until,
    },
};
use serde_json::{Value, json};
use std::{fs, net::UdpSocket};

/// The password of the administrator.
pub const PASSWORD: &str = "a password";

pub fn yaml(more: &str) -> String {
    format!(
        "# The yard.\nfeeds:\n  cam: {{pipeline: '{PICTURE}'}}   # at the gate\n  \
         ticks: {{command: {ticks}}}\nstreams:\n  cam: {{feed: cam, title: Front door, video: {H264}}}\n  \
         ticks.raw: {{feed: ticks, container: raw}}\nauth:\n  anyone: [viewer]\n  users:\n    \
         anna: {{password: {anna}, may: admin}}\n    ed: {{password: {ed}, may: editor}}\n{more}",
        ticks = shell("while echo tick; do sleep 0.05; done"),
        anna = login::hash(PASSWORD),
        ed = login::hash(PASSWORD),
    )
}

pub fn log_in(server: &Server, browser: &Browser, user: &str) {
    browser.open(&server.url("/login"));
    browser.run(&format!(
        "const form = document.querySelector('form'); form.elements.user.value = {}; \
         form.elements.password.value = {}; form.submit();",
        json!(user),
        json!(PASSWORD)
    ));
    browser.wait("return location.pathname === '/' && document.readyState === 'complete'", SOON);
}

pub fn text(browser: &Browser, selector: &str) -> String {
    let found = browser.run(&format!("return document.querySelector({})?.textContent ?? ''", json!(selector)));
    found.as_str().unwrap().to_owned()
}

pub fn says(browser: &Browser, what: &str) {
    browser.wait(&format!("return document.getElementById('notice').textContent.includes({})", json!(what)), SOON);
}

pub fn click(browser: &Browser, selector: &str) {
    browser.wait(&format!("return document.querySelector({}) !== null", json!(selector)), SOON);
    browser.run(&format!("document.querySelector({}).click()", json!(selector)));
}

/// Types another text.
fn edit(browser: &Browser, from: &str, to: &str) {
    browser.run(&format!(
        "const text = document.getElementById('text'); text.value = text.value.replace({}, {}); \
         text.dispatchEvent(new Event('input'));",
        json!(from),
        json!(to)
    ));
}

#[test]
fn u3_the_configuration_is_edited_checked_applied_and_taken_back() {
    if have_browser() {
        edits_the_configuration(Browser::start);
    }
}

pub fn edits_the_configuration(start: fn() -> Browser) {
    let (server, browser) = (Server::start(&yaml("api: {exec: true}\n")), start());
    let original = fs::read_to_string(server.file()).unwrap();
    log_in(&server, &browser, "anna");
    browser.open(&server.url("/configuration"));
    browser.wait("return document.getElementById('text').value.includes('# at the gate')", SOON);
    assert!(!browser.run("return document.getElementById('text').value").as_str().unwrap().contains("argon2id"));
    // An error is found while one types, with its line.
    edit(&browser, "feed: cam", "feed: came");
    says(&browser, "1 error: nothing can be applied yet.");
    let faults = text(&browser, "#faults");
    let line = original.lines().position(|line| line.contains("feed: cam,")).unwrap() + 1;
    assert!(faults.contains(&format!("Line {line}")) && faults.contains("streams.cam.feed"), "{faults}");
    click(&browser, "#faults button");
    let selected = browser.run(
        "const t = document.getElementById('text'); return t.value.slice(0, t.selectionStart).split('\\n').length",
    );
    assert_eq!(selected, line);
    click(&browser, "#apply");
    says(&browser, "1 error");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), original);
    // A good one says what it does, and is applied.
    edit(&browser, "feed: came", "feed: cam");
    edit(&browser, "title: Front door", "title: Back door");
    says(&browser, "Good.");
    click(&browser, "#check");
    browser.wait("return document.querySelector('#diff .add')?.textContent.includes('Back door') === true", SOON);
    click(&browser, "#apply");
    says(&browser, "Applied.");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), original.replace("Front door", "Back door"));
    browser.wait("return document.querySelectorAll('#versions li').length === 1", SOON);
    assert!(text(&browser, "#versions").contains("anna"));
    // Somebody else is faster: nothing is lost.
    edit(&browser, "title: Back door", "title: Side door");
    let by_another = original.replace("Front door", "Back door").replace("# The yard.", "# The yard, by another.");
    assert!(server.reload_exact(&by_another).contains("reloaded"));
    click(&browser, "#apply");
    says(&browser, "Somebody else has changed this file");
    browser.wait("return !document.getElementById('conflict').hidden", SOON);
    assert!(fs::read_to_string(server.file()).unwrap().contains("by another"));
    click(&browser, "#theirs");
    browser.wait("return document.getElementById('text').value.includes('by another')", SOON);
    // Taken back: first shown, then done.
    click(&browser, "[aria-label='Undo 1']");
    says(&browser, "This would be changed.");
    assert!(fs::read_to_string(server.file()).unwrap().contains("Back door"));
    click(&browser, "#then button");
    says(&browser, "Done.");
    assert_eq!(fs::read_to_string(server.file()).unwrap(), original.replace("# The yard.", "# The yard, by another."));
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("/api/v1/config")), "{complaints:#?}");
    // An editor sees no more than it may do; who may only watch sees none of it.
    let other = start();
    log_in(&server, &other, "ed");
    let menu = text(&other, "nav.menu");
    assert!(menu.contains("Configuration") && menu.contains("Viewers") && !menu.contains("Access"), "{menu}");
    let public = server.get("/").text();
    assert!(!public.contains("/configuration") && !public.contains("/viewers"), "{public}");
    for path in ["/configuration", "/viewers", "/access", "/add"] {
        assert!(matches!(server.get(path).status, 401 | 403), "{path}");
    }
}

/// Has the page get answers late to what it sends with PUT: those that write, or those that check.
fn delay(browser: &Browser, dry: bool) {
    browser.run(&format!(
        "window.fast ??= fetch; window.fetch = async (path, options) => {{ const answer = await fast(path, options); \
         if (options?.method === 'PUT' && path.includes('dry_run') === {dry}) {{ window.waits = true; \
         await new Promise((then) => {{ window.release = then; }}); }} return answer; }};"
    ));
}

#[test]
fn answers_that_come_late_take_nothing_from_who_types() {
    if have_browser() {
        answers_come_late(&Browser::start());
    }
}

pub fn answers_come_late(browser: &Browser) {
    let server = Server::start(&yaml(""));
    log_in(&server, browser, "anna");
    browser.open(&server.url("/configuration"));
    browser.wait("return document.getElementById('text').value.includes('# at the gate')", SOON);
    // What is typed while a change is written stays, and is no conflict with that change.
    delay(browser, false);
    edit(browser, "title: Front door", "title: Back door");
    click(browser, "#apply");
    browser.wait("return window.waits === true", SOON);
    edit(browser, "# at the gate", "# at the wall");
    browser.run("setTimeout(() => release(), 1500)");
    says(browser, "Applied.");
    let typed = browser.run("return document.getElementById('text').value");
    assert!(typed.as_str().unwrap().contains("# at the wall"), "{typed}");
    says(browser, "Good.");
    assert_eq!(browser.run("return document.getElementById('conflict').hidden"), true);
    // The history changes no file under a text that is not saved.
    click(browser, "[aria-label='Undo 1']");
    says(browser, "Apply or discard");
    // A check of before says nothing about the text that took its place.
    delay(browser, true);
    browser.run("window.waits = false");
    edit(browser, "feed: cam,", "feed: came,");
    browser.wait("return window.waits === true", SOON);
    click(browser, "#revert");
    browser.wait("return document.getElementById('text').value.includes('feed: cam,')", SOON);
    browser.run("release()");
    browser.wait("return document.getElementById('notice').textContent === ''", SOON);
    assert_eq!(text(browser, "#faults"), "");
    assert!(fs::read_to_string(server.file()).unwrap().contains("Back door"));
}

#[test]
fn a43_the_configuration_is_read_without_scripts() {
    if have_browser() {
        reads_the_configuration(&Browser::start_without_scripts());
    }
}

pub fn reads_the_configuration(browser: &Browser) {
    let rules = "auth: {anyone: [viewer, 'config:read']}\n";
    let yaml =
        format!("feeds:\n  far: {{url: 'rtsp://u:canary@192.0.2.1/x'}}\nstreams:\n  far: {{feed: far}}\n{rules}");
    let server = Server::start(&yaml);
    browser.open(&server.url("/configuration"));
    let body = browser.run("return document.body.innerText");
    let body = body.as_str().unwrap();
    assert!(body.contains("***@192.0.2.1/x") && body.contains("No change yet."), "{body}");
}

#[test]
fn u4_a_test_picture_is_added_and_seen() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (Server::start(&yaml("")), Browser::start());
    log_in(&server, &browser, "ed");
    add_a_test_picture(&server, &browser);
    // An address of this machine is not tried for an editor; one that has nothing says so.
    browser.open(&server.url("/add"));
    browser.run(&format!("document.getElementById('url').value = {}", json!(server.url("/cam.ts"))));
    click(&browser, "#probe");
    says(&browser, "an address of this machine");
}

/// Adds a stream that is not there, and watches it.
fn add_a_test_picture(server: &Server, browser: &Browser) {
    browser.open(&server.url("/add"));
    click(browser, "input[value=test]");
    browser.wait("return document.getElementById('name').value === 'test'", SOON);
    click(browser, "#see");
    says(browser, "This is what the file will have.");
    assert!(text(browser, "#diff").contains("test-picture"), "{}", text(browser, "#diff"));
    // What exists already does not change.
    browser.run("document.getElementById('name').value = 'cam'");
    click(browser, "#add");
    says(browser, "There is a feed or stream of this name");
    browser.run("document.getElementById('name').value = 'hall'; document.getElementById('title').value = 'The hall'");
    click(browser, "#add");
    browser.wait("return location.pathname === '/hall/play'", SOON);
    browser.wait("return document.querySelector('.view video')?.currentTime > 0.2", secs(20));
    assert_eq!(text(browser, "h1"), "The hall");
    let file = fs::read_to_string(server.file()).unwrap();
    assert!(file.contains("hall:\n") && file.contains("# at the gate"), "{file}");
}

#[test]
fn a42_a_stream_is_made_changed_deleted_and_brought_back() {
    if have_browser() {
        makes_and_deletes_a_stream(&Browser::start());
    }
}

pub fn makes_and_deletes_a_stream(browser: &Browser) {
    let server = Server::start(&yaml(""));
    // With a code that is good once, as a start on a terminal prints it.
    browser.open(&server.url("/stat"));
    browser.run(&format!("location.href = {}", json!(server.url(&format!("/login#{}", control::code(&server))))));
    browser.wait("return document.querySelector('nav.menu').innerText.includes('Administrator')", SOON);
    add_a_test_picture(&server, browser);
    let open = || {
        browser.open(&server.url("/configuration"));
        browser.wait("return document.getElementById('text').value.includes('# at the gate')", SOON);
    };
    open();
    edit(browser, "title: The hall", "title: The lobby");
    click(browser, "#apply");
    says(browser, "Applied.");
    browser.open(&server.url("/hall/play"));
    assert_eq!(text(browser, "h1"), "The lobby");
    // Its entries are deleted, in both sections.
    open();
    let lines: Value = browser.run("return document.getElementById('text').value");
    let lines: Vec<_> = lines.as_str().unwrap().lines().map(str::to_owned).collect();
    let mut left = Vec::new();
    let mut is_hall = false;
    for line in &lines {
        let indent = line.len() - line.trim_start().len();
        is_hall = line.starts_with("  hall:") || (is_hall && indent > 2);
        if !is_hall {
            left.push(line.as_str());
        }
    }
    edit(browser, &lines.join("\n"), &left.join("\n"));
    click(browser, "#check");
    browser.wait("return document.querySelector('#diff .del')?.textContent.includes('hall') === true", SOON);
    click(browser, "#apply");
    says(browser, "Applied.");
    assert_eq!(server.get("/hall/play").status, 404);
    // And back, from the history.
    browser.wait("return document.querySelectorAll('#versions li').length === 3", SOON);
    click(browser, "[aria-label='Undo 3']");
    says(browser, "This would be changed.");
    click(browser, "#then button");
    says(browser, "Done.");
    browser.open(&server.url("/hall/play"));
    browser.wait("return document.querySelector('.view video')?.currentTime > 0.2", secs(20));
    assert_eq!(text(browser, "h1"), "The lobby");
}

#[test]
fn a9_addresses_are_tried() {
    let server = Server::start(&yaml("api: {exec: true}\n"));
    let cookie = login_cookie(&server, "anna");
    let probe = |url: &str| post(&server, &cookie, "/probe", &json!({ "url": url }));
    let (status, value) = probe(&server.url("/cam.ts"));
    assert_eq!((status, &value["works"]), (200, &json!(true)), "{value}");
    let codecs = |value: &Value| {
        let tracks =
            value["tracks"].as_array().unwrap().iter().map(|track| track["codec"].as_str().unwrap().to_owned());
        tracks.collect::<Vec<_>>()
    };
    assert_eq!((codecs(&value), &value["tracks"][0]["width"]), (vec!["h264".to_owned()], &json!(320)), "{value}");
    // A link is called, or waited for.
    let origin = Server::start(&format!("{}srt: {{listen: '127.0.0.1:0'}}\n", camera(&[])));
    let (status, value) = probe(&format!("srt://{}?streamid=cam0", srt::port(&origin)));
    assert_eq!((status, codecs(&value)), (200, vec!["h264".to_owned(), "aac".to_owned()]), "{value}");
    let (status, value) = probe(&format!("srt://{}?streamid=none", srt::port(&origin)));
    assert_eq!((status, &value["works"], codecs(&value)), (200, &json!(false), Vec::new()), "{value}");
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (_, value) = probe(&format!("udp://{}", taken.local_addr().unwrap()));
    assert!(value["error"].as_str().unwrap().contains("cannot listen at"), "{value}");
    let (status, value) = probe(&server.url("/livez"));
    assert_eq!((status, &value["works"]), (200, &json!(false)), "{value}");
    assert!(!value["error"].as_str().unwrap().is_empty());
    assert_eq!(probe("file:///etc/passwd").0, 400);
    assert_eq!(probe("nothing").0, 400);
    let (status, value) = post(&server, &login_cookie(&server, "ed"), "/probe", &json!({"url": "rtsp://127.0.0.1/x"}));
    assert_eq!(status, 403, "{value}");
    for path in ["/devices", "/devices?caps=1", "/doctor"] {
        let mut answer = http::request(server.address(), "GET", &format!("/api/v1{path}"), &cookie);
        let value: Value = serde_json::from_str(&answer.text()).unwrap();
        crate::rig::openapi::check("GET", path.split('?').next().unwrap(), answer.status, &value);
        assert_eq!(answer.status, 200);
        let has_some = value["items"].is_array() || value["sections"].as_array().is_some_and(|all| all.len() >= 4);
        assert!(has_some, "{value}");
    }
}

/// The header with the cookie of a login.
fn login_cookie(server: &Server, user: &str) -> String {
    let body = json!({"user": user, "password": PASSWORD}).to_string();
    let answer = send(server, "", "/session", &body);
    format!("Cookie: {}\r\n", answer.header("set-cookie").unwrap().split(';').next().unwrap())
}

fn send(server: &Server, headers: &str, path: &str, body: &str) -> crate::rig::Answer {
    let (address, length) = (server.address(), body.len());
    let head = format!("Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}");
    http::send(address, &format!("POST /api/v1{path} HTTP/1.1\r\nHost: {address}\r\n{head}\r\n{body}"))
}

fn post(server: &Server, headers: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = format!("{headers}Sec-Fetch-Site: same-origin\r\n");
    let mut answer = send(server, &headers, path, &body.to_string());
    let value = serde_json::from_str(&answer.text()).unwrap();
    crate::rig::openapi::check("POST", path, answer.status, &value);
    (answer.status, value)
}

#[test]
fn u5_viewers_are_shown_and_ended() {
    if have_browser() {
        ends_a_viewer(&Browser::start());
    }
}

pub fn ends_a_viewer(browser: &Browser) {
    let server = Server::start(&yaml(""));
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    log_in(&server, browser, "anna");
    browser.open(&server.url("/viewers"));
    browser.wait("return document.querySelectorAll('#viewers tr').length === 1", SOON);
    let row = text(browser, "#viewers tr");
    assert!(row.contains("ticks.raw") && row.contains("127.0.0.1"), "{row}");
    click(browser, "#viewers button");
    says(browser, "was ended");
    viewer.rest(secs(2));
    browser.wait("return document.querySelectorAll('#viewers tr').length === 0", SOON);
    browser.wait("return !document.getElementById('none').hidden", SOON);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn u8_feeds_take_orders_and_hooks_are_tested() {
    if have_browser() {
        gives_orders(Browser::start);
    }
}

pub fn gives_orders(start: fn() -> Browser) {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let hook = format!("hooks: {{note: {{run: [tee, -a, '{}'], events: ['none.*']}}}}\n", told.display());
    let (server, browser) = (Server::start(&yaml(&hook)), start());
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    log_in(&server, &browser, "anna");
    browser.open(&server.url("/feeds"));
    let state = |wanted: &str| {
        let script = "return document.querySelector('[data-feed=ticks] .badge').textContent.includes";
        browser.wait(&format!("{script}({})", json!(wanted)), SOON);
    };
    state("Live");
    click(&browser, "[aria-label='Stop ticks']");
    state("Stopped by an operator");
    wait_until("it is stopped", SOON, || server.programs("echo tick").is_empty());
    click(&browser, "[aria-label='Start ticks']");
    let mut again = server.get("/ticks.raw");
    again.piece(SOON);
    state("Live");
    // A hook gets a test, whatever it is for.
    click(&browser, "nav.menu a[href='/hooks']");
    browser.wait("return location.pathname === '/hooks'", SOON);
    click(&browser, "[aria-label='Test note']");
    says(&browser, "on its way");
    wait_until("the hook has it", SOON, || fs::read_to_string(&told).is_ok_and(|told| told.contains("hook.test")));
    // Who may only watch sees the state, and no buttons.
    let public = start();
    public.open(&server.url("/feeds"));
    public.wait("return document.querySelector('[data-feed=ticks] .kind').textContent.includes('command')", SOON);
    assert_eq!(public.run("return document.querySelectorAll('button').length"), 0);
    assert!(matches!(server.get("/hooks").status, 401 | 403));
}

#[test]
fn u9_the_past_of_feeds_is_drawn() {
    let bad = shell("exit 1");
    let yaml = yaml("").replace("streams:\n", &format!("  bad: {{command: {bad}, mode: continuous}}\nstreams:\n"));
    let server = Server::start(&yaml.replace("auth:\n", "  odd.raw: {feed: bad, container: raw}\nauth:\n"));
    let past = |page: &str, feed: &str| {
        let card = page.split("<article ").find(|card| card.contains(&format!("data-feed=\"{feed}\""))).unwrap();
        let label = card.split("role=\"img\" aria-label=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
        label.unwrap_or_default().to_owned()
    };
    // Words are in the page as it comes, for who has no scripts and for who does not see.
    let mut page = String::new();
    wait_until("both have a past", secs(30), || {
        page = server.get("/feeds").text();
        past(&page, "bad").contains("Trying again for") && past(&page, "ticks").contains("Idle for 10 s")
    });
    assert!(page.contains("Idle</span> 10 s") && page.contains("class=\"calm\" x="), "{page}");
    // The API has what is drawn.
    let samples = |feed: &str| {
        let known: Value = serde_json::from_str(&server.get(&format!("/api/v1/feeds/{feed}/history")).text()).unwrap();
        assert_eq!(known["seconds"], 5, "{known}");
        known["samples"].as_array().unwrap().clone()
    };
    let idle = samples("ticks");
    assert!(idle.len() >= 2 && idle.iter().all(|one| *one == json!({"state": "idle", "failed": false})), "{idle:?}");
    assert!(samples("bad").iter().any(|one| one["failed"] == true), "{:?}", samples("bad"));
    if !have_browser() {
        return;
    }
    // The page continues by itself.
    let browser = Browser::start();
    browser.open(&server.url("/feeds"));
    let label = "document.querySelector('[data-feed=ticks] .history').getAttribute('aria-label')";
    let before = browser.run(&format!("return {label}"));
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    browser.wait(&format!("return {label}.includes('then Live for')"), secs(30));
    assert!(before.as_str().unwrap().ends_with("s."), "{before}");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn u6_events_are_chosen_and_continue_after_a_restart() {
    if have_browser() {
        follows_events(&Browser::start());
    }
}

pub fn follows_events(browser: &Browser) {
    let state = tempfile::tempdir().unwrap();
    let more = format!("statedir: {}\n", state.path().display());
    let mut server = Server::start(&yaml(&more));
    let port = server.address().port();
    browser.open(&server.url("/journal?type=viewer.*,server.*"));
    browser.wait("return document.getElementById('list').textContent.includes('server.started')", SOON);
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    browser.wait("return document.getElementById('list').textContent.includes('viewer.joined')", SOON);
    assert!(!text(browser, "#list").contains("feed.started"));
    drop(viewer);
    browser.wait("return document.getElementById('list').textContent.includes('viewer.left')", SOON);
    // A pause keeps what comes.
    click(browser, "#pause");
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    browser.wait("return document.getElementById('pause').textContent.includes('new')", SOON);
    let joined = "return document.getElementById('list').textContent.split('viewer.joined').length - 1";
    assert_eq!(browser.run(joined), 1);
    click(browser, "#pause");
    browser.wait(&format!("{joined} === 2"), SOON);
    drop(viewer);
    let text_of_file = fs::read_to_string(server.file()).unwrap();
    server.terminate();
    server.wait(secs(10));
    let again = Launch::exact(&text_of_file.replacen("listenport: 0", &format!("listenport: {port}"), 1)).start();
    let started = "return document.getElementById('list').textContent.split('server.started').length - 1 === 2";
    browser.wait(started, secs(20));
    assert!(text(browser, "#list").contains("server.stopped"), "{}", text(browser, "#list"));
    let numbers = browser.run("return [...document.querySelectorAll('#list li')].map(({ id }) => Number(id))");
    let numbers: Vec<u64> = serde_json::from_value(numbers).unwrap();
    assert!(numbers.windows(2).all(|pair| pair[0] > pair[1]), "each once, the newest first: {numbers:?}");
    drop(again);
}

#[test]
fn u7_a_link_is_shared_that_ends() {
    let key = "0123456789abcdef0123456789abcdef";
    let yaml = yaml("")
        .replace("auth:\n", &format!("auth:\n  link_keys: {{one: {key}}}\n"))
        .replace("anyone: [viewer]", "anyone: []");
    let server = Server::start(&yaml);
    let cookie = login_cookie(&server, "anna");
    let page = |query: &str, host: &str| {
        let request = format!("GET /access{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{cookie}\r\n");
        http::send(server.address(), &request).text()
    };
    let shown = page("", "127.0.0.1");
    assert!(shown.contains("<td>anna</td>") && shown.contains("admin") && !shown.contains("argon2"), "{shown}");
    assert!(!shown.contains("id=\"link\""));
    let shared = page("?stream=ticks.raw&for=midnight", "tv.example");
    let link = regex::Regex::new("id=\"link\">http://tv.example([^<]+)<").unwrap();
    let path = link.captures(&shared).unwrap_or_else(|| panic!("{shared}"))[1].replace("&amp;", "&");
    assert!(shared.contains("class=\"qr\"") && shared.contains("is good until"), "{shared}");
    // It opens this stream and no other.
    assert_eq!(server.get(&path).status, 200);
    let query = path.split_once('?').unwrap().1;
    assert_eq!(server.get(&format!("/ticks.raw?{query}")).status, 200);
    assert_ne!(server.get(&format!("/cam.ts?{query}")).status, 200);
    assert_eq!(server.get("/ticks.raw").status, 401);
    for wrong in ["?stream=none&for=1h", "?stream=cam&for=1000y", "?stream=cam"] {
        assert!(!page(wrong, "tv.example").contains("id=\"link\""), "{wrong}");
    }
    // Who may not, cannot.
    let answer = http::request(server.address(), "GET", "/access?stream=cam&for=1h", &login_cookie(&server, "ed"));
    assert!(matches!(answer.status, 401 | 403), "{}", answer.status);
}

/// What is to be seen of each page, and what tells that it is there.
const PAGES: [(&str, &str, &str); 7] = [
    (
        "configuration",
        "/configuration",
        "return document.querySelectorAll('#versions li').length === 2 && document.getElementById('text').value !== ''",
    ),
    ("feeds", "/feeds", "return document.querySelectorAll('[data-feed=cam] button').length === 5"),
    ("hooks", "/hooks", "return document.querySelector('#hooks button') !== null"),
    ("add", "/add", "return document.getElementById('name').value !== ''"),
    ("viewers", "/viewers", "return document.querySelectorAll('#viewers tr').length === 2"),
    ("journal", "/journal", "return document.querySelectorAll('#list li').length > 3"),
    ("access", "/access?stream=cam&for=midnight", "return document.getElementById('link') !== null"),
];

#[test]
fn pages_of_those_who_manage_fit_every_width_and_can_be_read_by_everyone() {
    if have_browser() {
        pages_for_everyone(&Browser::start());
    }
}

pub fn pages_for_everyone(browser: &Browser) {
    let Some(axe) = tool("axe-core-4.14.1.js") else { return };
    let axe = fs::read_to_string(axe).unwrap();
    let key = "0123456789abcdef0123456789abcdef";
    let yaml = yaml("pages: {clients: true}\nhooks: {alarm: {run: ['true']}}\n")
        .replace("auth:\n", &format!("auth:\n  link_keys: {{one: {key}}}\n"));
    let server = Server::start(&yaml);
    ["/ticks.raw", "/cam.ts"].iter().for_each(|path| watch(&server, path));
    let cookie = login_cookie(&server, "anna");
    for (name, title) in [("cam", "Back door"), ("ticks.raw", "Ticks")] {
        let put = json!([{"op": "merge", "path": ["streams", name], "value": {"title": title}}]);
        assert_eq!(post(&server, &cookie, "/config/changes", &put).0, 200);
    }
    log_in(&server, browser, "anna");
    let page = http::request(server.address(), "GET", "/configuration", &cookie).text();
    assert!(page.contains("link_keys") && !page.contains(key), "the keys of links are secret: {page}");
    let mut found = Vec::new();
    look_at(&server, browser, &PAGES, &mut |name| found.extend(examine(browser, &axe, name)));
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(browser.complaints(), [""; 0]);
}

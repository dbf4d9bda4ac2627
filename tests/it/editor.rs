//! The editor of the configuration: it completes by the schema and marks lines with errors, by keyboard alone.

use crate::{
    manage::{log_in, says, text, yaml},
    pages::{examine, looks_at_all},
    rig::{
        SOON, Server,
        browser::{Browser, have_browser},
        figure, millis,
        server::run,
        tool,
    },
};
use regex::Regex;
use serde_json::json;
use std::{collections::BTreeSet, fs, time::Duration};

pub const CONTROL: &str = "\u{e009}";
pub const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const UP: &str = "\u{e013}";
const DOWN: &str = "\u{e015}";
/// From the keys to the list, as people see it.
const MOST: Duration = millis(50);

/// What somebody does, and what comes of it.
struct Script {
    /// What it shows.
    shows: &'static str,
    /// The text before, with the caret as `¦`.
    text: &'static str,
    /// What is typed before Ctrl+Space.
    typed: &'static str,
    /// The first proposals then; none where nothing may be proposed.
    proposals: &'static [&'static str],
    /// The keys that follow.
    keys: &'static [&'static str],
    /// The text after that.
    result: &'static str,
}

const SCRIPTS: [Script; 29] = [
    Script {
        shows: "a section of the top level begins a block",
        text: "¦",
        typed: "fe",
        proposals: &["feeds"],
        keys: &[ENTER],
        result: "feeds:\n  ¦",
    },
    Script {
        shows: "keys that begin with what is typed come first",
        text: "feeds:\n  cam:\n    ¦",
        typed: "m",
        proposals: &["mode", "command"],
        keys: &[ENTER],
        result: "feeds:\n  cam:\n    mode: ¦",
    },
    Script {
        shows: "a value of a closed set",
        text: "feeds:\n  cam:\n    mode: ¦",
        typed: "",
        proposals: &["on-demand", "continuous", "autostart"],
        keys: &[DOWN, ENTER],
        result: "feeds:\n  cam:\n    mode: continuous¦",
    },
    Script {
        shows: "a key within braces",
        text: "streams:\n  x: {feed: cam, ¦}",
        typed: "vi",
        proposals: &["video"],
        keys: &[ENTER],
        result: "streams:\n  x: {feed: cam, video: ¦}",
    },
    Script {
        shows: "a value within braces within braces",
        text: "streams:\n  x: {feed: cam, video: {codec: ¦}}",
        typed: "h",
        proposals: &["h264", "h265"],
        keys: &[DOWN, ENTER],
        result: "streams:\n  x: {feed: cam, video: {codec: h265¦}}",
    },
    Script {
        shows: "a feed of this text",
        text: "feeds:\n  door: {url: 'rtsp://door.example/'}\n  # At the back.\n  yard: {url: 'rtsp://yard.example/'}\nstreams:\n  x: {feed: ¦}",
        typed: "ya",
        proposals: &["yard"],
        keys: &[ENTER],
        result: "feeds:\n  door: {url: 'rtsp://door.example/'}\n  # At the back.\n  yard: {url: 'rtsp://yard.example/'}\nstreams:\n  x: {feed: yard¦}",
    },
    Script {
        shows: "a feed of the configuration, as an item",
        text: "streams:\n  x:\n    feeds:\n    - ¦",
        typed: "",
        proposals: &["cam", "ticks"],
        keys: &[DOWN, ENTER],
        result: "streams:\n  x:\n    feeds:\n    - ticks¦",
    },
    Script {
        shows: "an item within brackets",
        text: "streams:\n  x: {feed: cam, outputs: [ts, ¦]}",
        typed: "mk",
        proposals: &["mkv"],
        keys: &[ENTER],
        result: "streams:\n  x: {feed: cam, outputs: [ts, mkv¦]}",
    },
    Script {
        shows: "keys that are there are not proposed again",
        text: "streams:\n  x:\n    feed: cam\n    ¦\n    # Beside it.\n    title: A stream\n    url: /y\n  y: {type: shot}",
        typed: "",
        proposals: &["labels", "feeds", "type"],
        keys: &[DOWN, DOWN, ENTER],
        result: "streams:\n  x:\n    feed: cam\n    type: ¦\n    # Beside it.\n    title: A stream\n    url: /y\n  y: {type: shot}",
    },
    Script {
        shows: "Escape closes the list and changes nothing",
        text: "feeds:\n  cam:\n    ¦",
        typed: "p",
        proposals: &["pipeline", "publish"],
        keys: &[DOWN, ESCAPE],
        result: "feeds:\n  cam:\n    p¦",
    },
    Script {
        shows: "above the first is the last",
        text: "feeds:\n  cam:\n    url: rtsp://door.example/\n    restart: ¦",
        typed: "",
        proposals: &["true", "false"],
        keys: &[UP, ENTER],
        result: "feeds:\n  cam:\n    url: rtsp://door.example/\n    restart: false¦",
    },
    Script {
        shows: "nothing in a comment",
        text: "feeds:\n  cam: {url: 'rtsp://door.example/'}  # the mo¦",
        typed: "d",
        proposals: &[],
        keys: &[],
        result: "feeds:\n  cam: {url: 'rtsp://door.example/'}  # the mod¦",
    },
    Script {
        shows: "nothing in a text of several lines",
        text: "templates:\n  a:\n    pipeline: |\n      videotestsrc\n      ¦",
        typed: "de",
        proposals: &[],
        keys: &[],
        result: "templates:\n  a:\n    pipeline: |\n      videotestsrc\n      de¦",
    },
    Script {
        shows: "nothing in quotes",
        text: "streams:\n  x: {title: \"a, fe¦\"}",
        typed: "e",
        proposals: &[],
        keys: &[],
        result: "streams:\n  x: {title: \"a, fee¦\"}",
    },
    Script {
        shows: "a template, built in or of this text",
        text: "templates:\n  v4l2-mine: {pipeline: videotestsrc}\nfeeds:\n  cam:\n    pipeline: {use: ¦}",
        typed: "v4l2-m",
        proposals: &["v4l2-mine", "v4l2-mjpeg"],
        keys: &[ENTER],
        result: "templates:\n  v4l2-mine: {pipeline: videotestsrc}\nfeeds:\n  cam:\n    pipeline: {use: v4l2-mine¦}",
    },
    Script {
        shows: "a template of a file of the configuration",
        text: "feeds:\n  cam:\n    pipeline: {use: ¦}",
        typed: "work",
        proposals: &["workshop"],
        keys: &[ENTER],
        result: "feeds:\n  cam:\n    pipeline: {use: workshop¦}",
    },
    Script {
        shows: "what it takes",
        text: "streams:\n  x:\n    feed: cam\n    pipeline:\n    - use: workshop\n      ¦",
        typed: "",
        proposals: &["device", "brightness"],
        keys: &[DOWN, ENTER],
        result: "streams:\n  x:\n    feed: cam\n    pipeline:\n    - use: workshop\n      brightness: ¦",
    },
    Script {
        shows: "a template of a command is for commands",
        text: "templates:\n  work-tone: {pipeline: audiotestsrc}\n  work-cat:\n    command: cat {file}\nfeeds:\n  cam: {command: {use: ¦}}",
        typed: "w",
        proposals: &["work-cat"],
        keys: &[ENTER],
        result: "templates:\n  work-tone: {pipeline: audiotestsrc}\n  work-cat:\n    command: cat {file}\nfeeds:\n  cam: {command: {use: work-cat¦}}",
    },
    Script {
        shows: "the names of permissions as keys",
        text: "auth:\n  allow:\n    ¦",
        typed: "st",
        proposals: &["still", "status"],
        keys: &[DOWN, ENTER],
        result: "auth:\n  allow:\n    status: ¦",
    },
    Script {
        shows: "a key of keys, in the middle of a text",
        text: "streams:\n  x:\n    feed: cam\n    ¦\n  y: {feed: none}",
        typed: "rec",
        proposals: &["record"],
        keys: &[ENTER],
        result: "streams:\n  x:\n    feed: cam\n    record:\n      ¦\n  y: {feed: none}",
    },
    Script {
        shows: "braces over several lines",
        text: "streams:\n  x: {\n    feed: cam,\n    ¦\n  }",
        typed: "cont",
        proposals: &["container"],
        keys: &[ENTER],
        result: "streams:\n  x: {\n    feed: cam,\n    container: ¦\n  }",
    },
    Script {
        shows: "keys of an item, after a colon that is there",
        text: "streams:\n  x:\n    feed: cam\n    video:\n    - bitrate: 1M\n      ¦: h264\n    - {codec: vp8}",
        typed: "co",
        proposals: &["codec"],
        keys: &[ENTER],
        result: "streams:\n  x:\n    feed: cam\n    video:\n    - bitrate: 1M\n      codec¦: h264\n    - {codec: vp8}",
    },
    Script {
        shows: "what continues to be typed narrows the list",
        text: "feeds:\n  cam: {url: 'rtsp://door.example/', ¦}",
        typed: "t",
        proposals: &["title", "transport", "latency"],
        keys: &["r", "a", ENTER, "t", "o", "p"],
        result: "feeds:\n  cam: {url: 'rtsp://door.example/', transport: top¦}",
    },
    Script {
        shows: "a role of those who prove nothing",
        text: "auth:\n  anyone: ¦",
        typed: "",
        proposals: &["viewer", "operator", "editor", "admin", "view"],
        keys: &[ENTER],
        result: "auth:\n  anyone: viewer¦",
    },
    Script {
        shows: "a role of a user, in a list",
        text: "auth:\n  users:\n    ed:\n      may: [still, ¦]",
        typed: "ope",
        proposals: &["operator"],
        keys: &[ENTER],
        result: "auth:\n  users:\n    ed:\n      may: [still, operator¦]",
    },
    Script {
        shows: "an action of a token, as an item",
        text: "auth:\n  tokens:\n    ci:\n      may:\n      - ¦",
        typed: "config",
        proposals: &["config:read", "config:write", "config:exec"],
        keys: &[DOWN, ENTER],
        result: "auth:\n  tokens:\n    ci:\n      may:\n      - config:write¦",
    },
    Script {
        shows: "an argument of a template that is built in",
        text: "feeds:\n  cam: {pipeline: {use: v4l2, ¦}}",
        typed: "",
        proposals: &["device", "size", "fps"],
        keys: &[DOWN, DOWN, ENTER, "5"],
        result: "feeds:\n  cam: {pipeline: {use: v4l2, fps: 5¦}}",
    },
    Script {
        shows: "the same in a block, but what is there",
        text: "feeds:\n  cam:\n    pipeline:\n      use: v4l2-alsa  # with sound\n      device: /dev/video1\n      ¦",
        typed: "",
        proposals: &["size", "fps", "sound", "rate", "channels"],
        keys: &[UP, ENTER],
        result: "feeds:\n  cam:\n    pipeline:\n      use: v4l2-alsa  # with sound\n      device: /dev/video1\n      channels: ¦",
    },
    Script {
        shows: "what a template of this text takes",
        text: "templates:\n  mine:\n    pipeline: videotestsrc pattern={what} ! video/x-raw,format={{ I420 }},width={size.width} ! {more...}\nfeeds:\n  cam:\n    pipeline: {use: 'mine', ¦}",
        typed: "",
        proposals: &["what", "size", "more"],
        keys: &[DOWN, ENTER],
        result: "templates:\n  mine:\n    pipeline: videotestsrc pattern={what} ! video/x-raw,format={{ I420 }},width={size.width} ! {more...}\nfeeds:\n  cam:\n    pipeline: {use: 'mine', size: ¦}",
    },
];

/// Replaces the text in the page, and puts the caret into it.
pub fn put(browser: &Browser, text: &str) {
    browser.run(&format!(
        "const [before, after] = {}.split('¦'); const text = document.getElementById('text'); \
         text.focus(); text.value = before + after; text.setSelectionRange(before.length, before.length); \
         text.dispatchEvent(new Event('input'));",
        json!(text)
    ));
}

/// The text of the page, with its caret.
pub fn got(browser: &Browser) -> String {
    let script = "const { value, selectionStart: at } = document.getElementById('text'); return value.slice(0, at) + '¦' + value.slice(at)";
    browser.run(script).as_str().unwrap().to_owned()
}

/// What the list says to those who see it and those who hear it; empty while there is none.
pub fn listed(browser: &Browser) -> Vec<String> {
    let script = "
        const [text, list] = ['text', 'proposals'].map((id) => document.getElementById(id));
        if (document.getElementById('completion').hidden) return text.hasAttribute('aria-activedescendant') ? ['a rest'] : [];
        const options = [...list.querySelectorAll('[role=option]')];
        const chosen = options.filter((option) => option.getAttribute('aria-selected') === 'true');
        const isRight = list.role === 'listbox' && text.getAttribute('aria-controls') === list.id && chosen.length === 1 &&
            text.getAttribute('aria-activedescendant') === chosen[0].id && document.activeElement === text;
        return isRight ? options.map((option) => option.textContent) : ['wrong roles'];";
    serde_json::from_value(browser.run(script)).unwrap()
}

/// Opens the editor, with a clock that takes the time from Ctrl+Space until the list is there, or what there is instead of it.
fn open(server: &Server, browser: &Browser) {
    log_in(server, browser, "anna");
    browser.open(&server.url("/configuration"));
    browser.wait("return document.getElementById('text').value.includes('# at the gate')", SOON);
    browser.wait("return document.getElementById('text').getAttribute('aria-autocomplete') === 'list'", SOON);
    browser.run(
        "window.spent = []; let began = null;
         addEventListener('keydown', (event) => { if (event.ctrlKey && event.key === ' ') began = event.timeStamp; }, true);
         const note = () => { if (began !== null) window.spent.push(performance.now() - began); began = null; };
         const observer = new MutationObserver(note);
         observer.observe(document.getElementById('completion'), { attributes: true });
         observer.observe(document.querySelector('.unseen'), { childList: true });",
    );
}

/// The times so far, in milliseconds.
fn times(browser: &Browser) -> Vec<f64> {
    serde_json::from_value(browser.run("return window.spent")).unwrap()
}

/// The median of times in milliseconds is one that people do not notice.
fn assert_quick(what: &str, spent: &mut [f64]) {
    spent.sort_by(f64::total_cmp);
    let seconds = |millis: f64| Duration::from_secs_f64(millis / 1000.0);
    let median = seconds(spent[spent.len() / 2]);
    figure(46, what, median, MOST);
    println!("{what}: the longest took {:?}", seconds(spent[spent.len() - 1]));
    assert!(median <= MOST, "{what}: {median:?}");
}

/// The lines with errors as `voyandz check` finds them.
pub fn wrong_lines(text: &str) -> BTreeSet<usize> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voyandz.yaml");
    fs::write(&file, text).unwrap();
    let output = run(&["check", "-f", file.to_str().unwrap()]);
    let said = [output.stdout, output.stderr].concat();
    let place = Regex::new(r"(?m)voyandz\.yaml:(\d+):\d+: ").unwrap();
    place.captures_iter(&String::from_utf8_lossy(&said)).map(|found| found[1].parse().unwrap()).collect()
}

/// Waits until these lines are marked, where they are to be seen, and no others.
pub fn marked(browser: &Browser, lines: &BTreeSet<usize>) {
    let script = "
        const text = document.getElementById('text');
        const { lineHeight, paddingTop } = getComputedStyle(text);
        const begin = text.getBoundingClientRect().top + parseFloat(paddingTop) - text.scrollTop;
        const isThere = (row) => Math.abs(begin + (row.dataset.line - 1) * parseFloat(lineHeight) - row.getBoundingClientRect().top) < 1;
        const rows = [...document.querySelectorAll('#lines .wrong')];
        return JSON.stringify(rows.map((row) => (isThere(row) ? Number(row.dataset.line) : -1)))";
    browser.wait(&format!("return (() => {{ {script} }})() === JSON.stringify({})", json!(lines)), SOON);
}

#[test]
fn u46_scripts_of_typing_are_completed_and_errors_marked() {
    if have_browser() {
        completes_and_marks(&Browser::start());
    }
}

pub fn completes_and_marks(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let workshop = "# A camera of the workshop.\n# needs: v4l2src\n# takes: device brightness=128\n# gives: a track of raw video\n\
                    v4l2src device={device} brightness={brightness} ! queue name=video\n";
    fs::write(folder.path().join("workshop.launch"), workshop).unwrap();
    let server = Server::start(&yaml(&format!("api: {{exec: true}}\npipelines_dir: {}\n", folder.path().display())));
    open(&server, browser);
    let mut faulty = 0;
    // Firefox, whose keys are what differs, gets some of them.
    let step = if browser.name() == "Firefox" && !looks_at_all() { 3 } else { 1 };
    let scripts: Vec<_> = SCRIPTS.iter().step_by(step).collect();
    for script in &scripts {
        put(browser, script.text);
        browser.press("", script.typed);
        browser.press(CONTROL, " ");
        let listed_now = listed(browser);
        assert_eq!(
            listed_now.len().min(script.proposals.len().max(1)),
            script.proposals.len(),
            "{}: {listed_now:?}",
            script.shows
        );
        assert!(
            listed_now.iter().zip(script.proposals).all(|(one, other)| one == other),
            "{}: {listed_now:?}",
            script.shows
        );
        browser.press("", &script.keys.concat());
        assert_eq!(got(browser), script.result, "{}", script.shows);
        assert_eq!(listed(browser), [""; 0], "{}", script.shows);
        // What is marked is what the command line finds.
        let wrong = wrong_lines(&script.result.replace('¦', ""));
        faulty += usize::from(!wrong.is_empty());
        browser.wait("return document.getElementById('notice').textContent !== ''", SOON);
        marked(browser, &wrong);
    }
    assert!(faulty * step >= 5, "{faulty} scripts end with an error");
    let mut spent = times(browser);
    assert_eq!(spent.len(), scripts.len());
    // The median: other tests have the processor, too.
    assert_quick(&format!("completion ({})", browser.name()), &mut spent);
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("/api/v1/config")), "{complaints:#?}");
}

#[test]
fn u46_a_thousand_streams_are_completed_as_quickly() {
    if have_browser() {
        completes_a_thousand_streams(&Browser::start());
    }
}

pub fn completes_a_thousand_streams(browser: &Browser) {
    let server = Server::start(&yaml("api: {exec: true}\n"));
    open(&server, browser);
    const FEEDS: &str = "feeds: {cam: {url: 'rtsp://door.example/'}}\n";
    let streams: String = (0..1000)
        .map(|at| format!("  # The {at}th.\n  s{at}:\n    feed: cam\n    title: \"Camera: {at}\"\n    video: {{codec: h264, gop: 50}}\n"))
        .collect();
    for _ in 0..5 {
        put(browser, &format!("{FEEDS}streams:\n{streams}  last:\n    ¦\n"));
        browser.press(CONTROL, " ");
        assert_eq!(listed(browser)[..3], ["title", "labels", "feed"]);
    }
    let mut spent = times(browser);
    assert_quick(&format!("completion in a file of a thousand streams ({})", browser.name()), &mut spent);
    // The line is marked where it is, also after the text was scrolled.
    put(browser, &format!("{FEEDS}streams:\n{streams}  last:\n    fed: cam¦\n"));
    browser.run("const text = document.getElementById('text'); text.scrollTop = text.scrollHeight");
    says(browser, "nothing can be applied yet");
    browser.wait("return document.querySelectorAll('#lines .wrong').length > 0", SOON);
    let line = 5 * 1000 + 4;
    assert!(text(browser, "#faults").contains(&format!("Line {line}")), "{}", text(browser, "#faults"));
    browser.wait(&format!("return document.querySelector('#lines [data-line=\"{line}\"].wrong') !== null"), SOON);
}

#[test]
fn u46_proposals_can_be_used_by_everyone() {
    if have_browser() {
        proposals_for_everyone(&Browser::start());
    }
}

pub fn proposals_for_everyone(browser: &Browser) {
    let Some(axe) = tool("axe-core-4.14.1.js") else { return };
    let axe = fs::read_to_string(axe).unwrap();
    let server = Server::start(&yaml("api: {exec: true}\n"));
    open(&server, browser);
    let mut found = Vec::new();
    for (width, pixels) in [("phone", 360), ("desktop", 1440)] {
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.resize(pixels);
            put(
                browser,
                "feeds:\n  cam: {url: 'rtsp://door.example/'}\nstreams:\n  cam:\n    fed: cam\n    ¦\n  door: {feed: cam}\n",
            );
            browser.wait("return document.querySelectorAll('#lines .wrong').length > 0", SOON);
            browser.press(CONTROL, " ");
            browser.press("", DOWN);
            let name = format!("completion-{width}-{scheme}");
            browser.keep_picture(&name);
            found.extend(examine(browser, &axe, &name));
            let fits = "const [list, box] = ['completion', 'box'].map((id) => document.getElementById(id).getBoundingClientRect()); \
                        return list.left >= box.left && list.right <= box.right";
            assert_eq!(browser.run(fits), true, "{name}");
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    // A press on a proposal takes it, too, and the text keeps the focus.
    browser.run("document.querySelector('#proposals li').click()");
    assert!(got(browser).contains("    title: ¦\n"), "{}", got(browser));
    // The keys that take typing back take a proposal back.
    browser.press(CONTROL, "z");
    assert!(got(browser).contains("    ¦\n"), "{}", got(browser));
    // Other editors get the schema, too.
    let schema: serde_json::Value = serde_json::from_str(&server.get("/configuration/schema.json").text()).unwrap();
    assert!(schema["$defs"]["stream"].is_object());
}

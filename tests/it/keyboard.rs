//! The pages without a mouse.

use crate::{
    editor::ENTER,
    manage::{PASSWORD, log_in, says, yaml},
    rig::{
        SOON, Server,
        browser::{Browser, have_browser},
        secs,
    },
};
use serde_json::{Value, json};

const TAB: &str = "\u{e004}";
const SHIFT: &str = "\u{e008}";

/// Each page, and what tells that it is there.
const PAGES: [(&str, &str); 14] = [
    ("/", "return document.querySelectorAll('a.view').length > 0"),
    ("/wall?stream=cam", "return document.querySelector('voyandz-view')?.now?.state === 'playing'"),
    ("/cam/play", "return document.querySelector('voyandz-view')?.now?.state === 'playing'"),
    ("/radio.mp3/play", "return document.querySelector('.view audio')?.currentTime > 0.2"),
    ("/recordings", "return document.querySelectorAll('.line button').length > 0"),
    ("/stat", "return document.querySelectorAll('dd').length > 20"),
    ("/configuration", "return document.getElementById('text').getAttribute('aria-autocomplete') === 'list'"),
    ("/feeds", "return document.querySelectorAll('[data-feed=cam] button').length === 5"),
    ("/hooks", "return document.querySelector('#hooks button') !== null"),
    ("/add", "return document.getElementById('name').value !== ''"),
    ("/viewers", "return document.querySelectorAll('#viewers tr').length > 0"),
    ("/journal", "return document.querySelectorAll('#list li').length > 3"),
    ("/access?stream=cam&for=midnight", "return document.getElementById('link') !== null"),
    ("/login", "return document.querySelector('button[name=logout]') !== null"),
];

/// Opens whatever is closed, stops a list that grows, and keeps what can be used, what had the focus, and of that what did not show it.
const WATCH: &str = "
    document.querySelectorAll('details').forEach((details) => { details.open = true });
    document.getElementById('pause')?.click();
    const isOne = (element) => element.type !== 'radio' || element.checked ||
        (!document.querySelector(`[name='${element.name}']:checked`) && document.querySelector(`[name='${element.name}']`) === element);
    const usable = () => [...document.querySelectorAll('a[href],button,input,select,textarea,summary,[tabindex],video[controls],audio[controls]')]
        .filter((element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility({ visibilityProperty: true }) && isOne(element));
    const hasOutline = (element) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 1;
    };
    const shows = (element) => [element, element.parentElement, element.parentElement?.parentElement].some((one) => one && hasOutline(one));
    window.had = new Set();
    window.unseen = new Set();
    addEventListener('focusin', ({ target }) => {
        had.add(target);
        const { top, bottom } = target.getBoundingClientRect();
        if (!shows(target)) unseen.add(target.outerHTML.slice(0, 200) + ' shows no focus');
        if (bottom < 0 || top > innerHeight) unseen.add(target.outerHTML.slice(0, 200) + ' is not in sight');
    });
    // Pages that stay fresh have others in their place by now.
    window.missed = () => usable().filter((element) => !had.has(element)).map((element) => element.outerHTML.slice(0, 200));
    document.activeElement?.blur();";

#[test]
fn all_that_can_be_used_is_reached_by_keyboard_and_shows_it() {
    if have_browser() {
        reaches_all(&Browser::start());
    }
}

pub fn reaches_all(browser: &Browser) {
    let folder = tempfile::tempdir().unwrap();
    let key = "0123456789abcdef0123456789abcdef";
    let text = yaml("pages: {clients: true}\nhooks: {alarm: {run: ['true']}}\n")
        .replace("auth:\n", &format!("auth:\n  link_keys: {{one: {key}}}\n"))
        .replace(
            "streams:\n",
            &format!(
                "  kept: {{pipeline: '{}', mode: continuous}}\nstreams:\n  kept: {{feed: kept, video: {}, record: {{folder: {}, every: 2s, part: 0.5}}}}\n  \
                 radio.mp3: {{feed: tone, audio: {{codec: mp3}}}}\n",
                crate::rig::script::PICTURE,
                crate::rig::script::H264,
                folder.path().display()
            ),
        )
        .replace("feeds:\n", &format!("feeds:\n  tone: {{pipeline: '{}'}}\n", crate::rig::script::TONE));
    let server = Server::start(&text);
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    log_in(&server, browser, "anna");
    let mut wrong = Vec::new();
    for (page, is_there) in PAGES {
        browser.open(&server.url(page));
        browser.wait(is_there, secs(30));
        browser.run(WATCH);
        let missed = || browser.run("return missed()");
        // The controls of a player take several.
        for _ in 0..20 {
            browser.press("", &TAB.repeat(15));
            if missed() == Value::Array(Vec::new()) {
                break;
            }
        }
        let count = browser.run("return had.size").as_u64().unwrap();
        println!("{page}: {count} had the focus");
        assert!(count > 3, "{page}");
        let missed = missed();
        let unseen = browser.run("return [...unseen]");
        let all = missed.as_array().unwrap().iter().map(|what| format!("{page}: {what} is not reached"));
        wrong.extend(all.chain(unseen.as_array().unwrap().iter().map(|what| format!("{page}: {what}"))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Presses Tab until this has the focus.
fn go_to(browser: &Browser, selector: &str) {
    go(browser, "", selector);
}

/// The same backwards. A Firefox whose own buttons had the focus in between, and that follows a link then, gives no clicks to the
/// buttons of the next page, whatever page that is.
fn go_back_to(browser: &Browser, selector: &str) {
    go(browser, SHIFT, selector);
}

fn go(browser: &Browser, held: &str, selector: &str) {
    for _ in 0..150 {
        browser.press(held, TAB);
        if browser.run(&format!("return document.activeElement.matches({})", json!(selector))) == true {
            return;
        }
    }
    panic!("{selector} does not get the focus");
}

#[test]
fn one_logs_in_watches_and_ends_a_viewer_by_keyboard_alone() {
    if have_browser() {
        needs_no_mouse(&Browser::start());
    }
}

pub fn needs_no_mouse(browser: &Browser) {
    let server = Server::start(&yaml(""));
    browser.open(&server.url("/"));
    go_to(browser, "nav.menu a[href='/login']");
    browser.press("", ENTER);
    // The first field has the focus.
    browser.wait("return document.activeElement?.name === 'user'", SOON);
    browser.press("", "anna");
    browser.press("", TAB);
    browser.press("", PASSWORD);
    browser.press("", ENTER);
    browser.wait(
        "return location.pathname === '/' && document.querySelector('nav.menu')?.innerText.includes('anna')",
        SOON,
    );
    browser.wait("return document.readyState === 'complete'", SOON);
    go_to(browser, "article[aria-label='Front door'] a.view");
    browser.press("", ENTER);
    browser.wait("return document.querySelector('article video')?.videoWidth === 320", secs(30));
    assert_eq!(browser.run("return location.pathname"), "/");
    // Once more, it is the page of the stream.
    browser.press("", ENTER);
    browser.wait(
        "return location.pathname === '/cam/play' && document.querySelector('.view video')?.currentTime > 0.2",
        secs(30),
    );
    go_to(browser, "#mute");
    browser.press("", ENTER);
    browser.wait("return document.querySelector('voyandz-view').muted === false", SOON);
    go_to(browser, "#still");
    browser.press("", " ");
    browser.wait("return document.querySelector('#kept img')?.naturalWidth === 320", SOON);
    let mut viewer = server.get("/ticks.raw");
    viewer.piece(SOON);
    go_back_to(browser, "nav.menu a[href='/viewers']");
    browser.press("", ENTER);
    // The player of the page before is gone by then.
    browser.wait(
        "return location.pathname === '/viewers' && document.querySelectorAll('#viewers button').length === 1",
        SOON,
    );
    go_to(browser, "#viewers button");
    browser.press("", ENTER);
    says(browser, "was ended");
    viewer.rest(SOON);
}

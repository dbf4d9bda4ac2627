//! The pages and the player behind a network of 1 Mbit/s with a latency of 100 ms.

use crate::rig::{
    SOON, Server,
    browser::{Browser, Network, have_browser},
    figure, millis,
    script::PICTURE,
    secs,
};
use std::time::Duration;

const SLOW: Network = Network { rate: 1_000_000, latency: millis(100) };
/// From a click to a text that is read.
const READ: Duration = secs(2);
/// From a click to a page with all that it shows.
const WHOLE: Duration = secs(10);

/// Streams of a rate that fits through, and one that does not.
fn studio() -> Server {
    let noise = PICTURE.replace("pattern=ball", "pattern=snow").replace("320", "640").replace("240", "480");
    let fine: String = (0..4)
        .map(|at| {
            format!("  fine{at}: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: 300k, gop: 25}}}}\n")
        })
        .collect();
    Server::start(&format!(
        "feeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\n  snow: {{pipeline: '{noise}'}}\nstreams:\n{fine}  \
         wide: {{feed: snow, video: {{codec: h264, preset: ultrafast, bitrate: 4M, gop: 25}}}}\n  ladder:\n    feed: snow\n    \
         video: {{codec: h264, preset: ultrafast, bitrate: 4M, gop: 25}}\n    renditions: {{small: {{height: 120, bitrate: 200k}}}}\n\
         pages: {{config: true}}\nauth: {{anyone: admin}}\n"
    ))
}

/// The time from the start of navigation until this holds, as the page has it.
fn shown(browser: &Browser, what: &str, is_there: &str, within: Duration) -> Duration {
    browser.wait(is_there, 3 * within);
    let now = browser.run("return performance.now()").as_f64().unwrap();
    let taken = Duration::from_secs_f64(now / 1000.0);
    figure(49, what, taken, within);
    assert!(taken <= within, "{what}: {taken:?}");
    taken
}

#[test]
fn pages_are_of_use_on_a_slow_network() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    browser.open(&server.url("/"));
    browser.wait("return document.querySelectorAll('a.view').length >= 6", SOON);
    // All tiles can be seen.
    browser.resize(1280);
    browser.slow_down(&SLOW);
    let painted = "return performance.getEntriesByName('first-contentful-paint').length > 0";
    for (page, whole) in [
        (
            "/",
            "const views = [...document.querySelectorAll('a.view')]; return views.length >= 6 && views.every((view) => view.querySelector('img')?.naturalWidth > 0)",
        ),
        (
            "/fine0/play",
            "return document.querySelector('voyandz-view')?.now?.state === 'playing' && document.querySelector('.view video').currentTime > 0.5",
        ),
        ("/configuration", "return document.getElementById('text').getAttribute('aria-autocomplete') === 'list'"),
    ] {
        browser.open(&server.url(page));
        shown(&browser, &format!("text of {page} at 1 Mbit/s"), painted, READ);
        shown(&browser, &format!("all of {page} at 1 Mbit/s"), whole, WHOLE);
    }
}

/// Counts what is to be seen: changes of the picture, and the longest time in which the page did nothing.
const WATCH: &str = "
    Object.assign(window, { changes: -1, last: '', longest: 0, before: performance.now() });
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 48];
    const look = (now) => {
        window.longest = Math.max(window.longest, now - window.before);
        window.before = now;
        const media = document.querySelector('voyandz-view video, voyandz-view canvas');
        if (media) canvas.getContext('2d').drawImage(media, 0, 0, 64, 48);
        const seen = canvas.toDataURL();
        if (seen !== window.last) { window.last = seen; window.changes += 1 }
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);";

/// Waits until the picture has changed so often, and the page did not stop meanwhile.
fn moves(browser: &Browser, changes: u32, within: Duration) {
    browser.run(WATCH);
    browser.wait(&format!("return window.changes >= {changes}"), within);
    let longest = browser.run("return window.longest").as_f64().unwrap();
    assert!(longest < 1000.0, "the page does nothing for {longest} ms");
}

#[test]
fn the_player_shows_what_a_slow_network_carries() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    browser.slow_down(&SLOW);
    let now = |what: &str| browser.run(&format!("return document.querySelector('voyandz-view').now.{what}"));
    // What fits plays as ever.
    browser.open(&server.url("/fine0/play"));
    moves(&browser, 100, SOON);
    assert_eq!((now("way"), now("state")), ("stream".into(), "playing".into()));
    // Of what does not fit, keyframes come: a picture each second.
    browser.open(&server.url("/wide/play"));
    moves(&browser, 15, secs(40));
    assert_eq!(now("state"), "playing");
    // Where there is a smaller rendition, that is played.
    browser.open(&server.url("/ladder/play"));
    browser.wait("return document.querySelector('voyandz-view').player?.videoWidth === 160", secs(60));
    moves(&browser, 100, secs(40));
    assert_eq!(now("way"), "hls");
}

//! The player and the pages in Firefox, which decides about codecs, connections and autoplay in its own way.

use crate::{
    browsers, editor, embedding, keyboard, manage, pages, recording_edits,
    rig::{
        SOON, Server,
        browser::{Browser, have_browser, have_firefox},
        figure,
        script::{H264, PICTURE},
        secs,
    },
};
use std::time::Duration;

fn studio() -> Server {
    Server::start(&format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
        streams:
          peer: {{feed: cam, video: {{codec: vp8, gop: 25}}}}
          film: {{feed: cam, video: {H264}}}
          only.ts: {{feed: cam, video: {H264}}}
          images.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          old.ts: {{feed: cam, video: {{codec: mpeg2}}}}
        "
    ))
}

/// Whether the page's picture has been another one four times.
const MOVES: &str = "
    const media = document.querySelector('voyandz-view video, voyandz-view canvas'), canvas = document.createElement('canvas');
    if ((media?.videoWidth ?? media?.width) !== 320) return false;
    [canvas.width, canvas.height] = [320, 240];
    canvas.getContext('2d').drawImage(media, 0, 0, 320, 240);
    const now = canvas.toDataURL();
    if (now !== window.last) { window.last = now; window.changes = (window.changes ?? -1) + 1 }
    return window.changes > 3";

#[test]
fn firefox_plays_every_way() {
    if !have_firefox() {
        return;
    }
    let (server, browser) = (studio(), Browser::start_firefox());
    // Its codec is known then: no browser plays it.
    server.get("/old.ts").take(1000, SOON);
    for (stream, way) in
        [("peer", "whep"), ("film", "stream"), ("only.ts", "hls"), ("images.mjpeg", "images"), ("old.ts", "stills")]
    {
        browser.open(&server.url(&format!("/{stream}/play")));
        browser.wait(MOVES, secs(30));
        assert_eq!(browser.run("return document.querySelector('voyandz-view').now.way"), way, "{stream}");
    }
}

#[test]
fn firefox_without_webrtc_plays_what_it_can_append() {
    if !have_firefox() {
        return;
    }
    // The codec is not known before it runs, and Firefox waits without an end for VP8 in MP4.
    let server = Server::start(&format!(
        "feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\nstreams: {{peer: {{feed: cam, video: {{codec: vp8, gop: 25}}}}}}"
    ));
    let browser = Browser::start_firefox();
    browser.open(&server.url("/peer/play"));
    browser.wait(MOVES, secs(30));
    assert_eq!(browser.run("return document.querySelector('voyandz-view').player.src.startsWith('blob:')"), true);
}

/// Opens a page whose player gets this answer to its first offer, WebRTC, from a script that has the `answer` of the server and its
/// `text`; the time until something is to be seen.
fn first_picture(server: &Server, browser: &Browser, answer: &str) -> Duration {
    // A page without a policy for scripts of its own.
    browser.open(&server.url("/livez"));
    browser.run(&format!(
        "window.taken = null;
         const asked = window.fetch;
         window.fetch = async (address, options) => {{
             const answer = await asked(address, options);
             if (!String(address).endsWith('/whep')) return answer;
             const text = await answer.text();
             return {answer};
         }};
         import('/player.js').then(() => {{
             const view = document.createElement('voyandz-view');
             view.setAttribute('src', '/film');
             const began = performance.now();
             const look = () => {{
                 if (view.player?.currentTime > 0 && view.now.way === 'stream') window.taken = performance.now() - began;
                 else requestAnimationFrame(look);
             }};
             document.body.replaceChildren(view);
             look();
         }});"
    ));
    browser.wait("return window.taken !== null", secs(20));
    Duration::from_secs_f64(browser.run("return window.taken").as_f64().unwrap() / 1000.0)
}

/// Blocks the first offer in several ways, and takes the time.
fn falls_back(browser: &Browser, name: &str) {
    let server = Server::start(&format!(
        "webrtc: {{}}\nfeeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}\nstreams: {{film: {{feed: cam, video: {{codec: vp8, gop: 25}}}}}}"
    ));
    // It runs before it is measured.
    server.get("/film.webm").take(1000, SOON);
    let answered = |text: &str| format!("new Response({text}, {{ status: 201, headers: answer.headers }})");
    for (what, answer) in [
        ("refused", "new Response('blocked', { status: 404 })".to_owned()),
        // As an ordinary Firefox finds a server on its own machine.
        ("no address", answered("text.replaceAll(/a=candidate.*\\r\\n/g, '')")),
        ("a firewall", answered("text.replaceAll('127.0.0.1', '198.51.100.1')")),
    ] {
        let taken = first_picture(&server, browser, &answer);
        figure(48, &format!("WebRTC is blocked ({what}) until a picture, in {name}"), taken, secs(2));
        assert!(taken <= secs(2), "{what}: {taken:?}");
    }
}

#[test]
fn a48_firefox_falls_back_within_two_seconds() {
    if have_firefox() {
        falls_back(&Browser::start_firefox(), "Firefox");
    }
}

#[test]
fn a48_chromium_falls_back_within_two_seconds() {
    if have_browser() {
        falls_back(&Browser::start(), "Chromium");
    }
}

#[test]
fn firefox_shows_streams() {
    if have_firefox() {
        browsers::shows_streams(&Browser::start_firefox());
    }
}

#[test]
fn a42_firefox_makes_and_deletes_a_stream() {
    if have_firefox() {
        manage::makes_and_deletes_a_stream(&Browser::start_firefox());
    }
}

#[test]
fn a42_firefox_edits_the_configuration() {
    if have_firefox() {
        manage::edits_the_configuration(Browser::start_firefox);
    }
}

#[test]
fn a42_firefox_keeps_what_is_typed_when_answers_come_late() {
    if have_firefox() {
        manage::answers_come_late(&Browser::start_firefox());
    }
}

#[test]
fn a42_firefox_ends_viewers_and_saves_clips() {
    if have_firefox() {
        let browser = Browser::start_firefox();
        recording_edits::saves_clips(&browser);
        manage::ends_a_viewer(&browser);
    }
}

#[test]
fn a42_firefox_gives_orders_to_feeds() {
    if have_firefox() {
        manage::gives_orders(Browser::start_firefox);
    }
}

#[test]
fn a42_firefox_follows_events() {
    if have_firefox() {
        manage::follows_events(&Browser::start_firefox());
    }
}

#[test]
fn a43_firefox_without_scripts_reads_and_logs_in() {
    if have_firefox() {
        let browser = Browser::start_firefox_without_scripts();
        manage::reads_the_configuration(&browser);
        pages::reads_without_scripts(&browser);
    }
}

#[test]
fn a44_pages_in_firefox_fit_and_can_be_read_by_everyone() {
    if have_firefox() {
        pages::pages_for_everyone(&Browser::start_firefox());
    }
}

#[test]
fn a44_pages_of_those_who_manage_in_firefox_fit_and_can_be_read_by_everyone() {
    if have_firefox() {
        manage::pages_for_everyone(&Browser::start_firefox());
    }
}

#[test]
fn a44_firefox_needs_no_mouse() {
    if have_firefox() {
        keyboard::needs_no_mouse(&Browser::start_firefox());
    }
}

#[test]
fn a44_firefox_reaches_all_by_keyboard() {
    if have_firefox() {
        keyboard::reaches_all(&Browser::start_firefox());
    }
}

#[test]
fn a45_fifty_tiles_cost_little_in_firefox() {
    if have_firefox() {
        pages::fifty_tiles(&Browser::start_firefox(), secs(6));
    }
}

#[test]
fn a46_firefox_completes() {
    if have_firefox() {
        editor::completes_and_marks(&Browser::start_firefox());
    }
}

#[test]
fn a44_proposals_in_firefox_can_be_used_by_everyone() {
    if have_firefox() {
        editor::proposals_for_everyone(&Browser::start_firefox());
    }
}

#[test]
fn a46_firefox_completes_a_thousand_streams() {
    if have_firefox() {
        editor::completes_a_thousand_streams(&Browser::start_firefox());
    }
}

#[test]
fn firefox_gets_nothing_while_it_is_hidden() {
    if have_firefox() {
        embedding::hidden_players(&Browser::start_firefox());
    }
}

#[test]
fn firefox_is_back_soon_after_its_server_was_away() {
    if have_firefox() {
        embedding::is_back_after_its_server("Firefox", &Browser::start_firefox());
    }
}

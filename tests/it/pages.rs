//! Every page for people, as it looks and as it is read aloud.

use crate::login;
use crate::rig::{
    Launch, Server,
    browser::{Browser, have_browser},
    figure,
    http::{self, Next},
    process,
    script::{H264, PICTURE, TONE, shell},
    secs, tool, wait_until,
};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What is to be seen of each page, and what tells that it is there.
const PAGES: [(&str, &str, &str); 9] = [
    ("home", "/", "return document.querySelector('.view img').naturalWidth === 320"),
    ("wall", "/wall", "return [...document.querySelectorAll('.view img, .view canvas, .view video')].length >= 3"),
    ("recordings", "/recordings", "return document.querySelectorAll('.line button').length > 0"),
    ("login", "/login?failed=wrong", "return document.querySelector('input[type=password]') !== null"),
    ("state", "/stat", "return document.querySelectorAll('dd').length > 50"),
    ("player-film", "/cam.webm/play", "return document.querySelector('.view video')?.currentTime > 0.5"),
    ("player-pictures", "/cam.mjpeg/play", "return document.querySelector('.view canvas')?.width === 320"),
    ("player-stills", "/cam.ts/play", "return document.querySelector('.view canvas')?.width === 320"),
    ("player-sound", "/radio.mp3/play", "return document.querySelector('.view audio')?.currentTime > 0.2"),
];

/// Something of each kind, some of it in trouble.
fn plant(folder: &Path) -> Server {
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} {TONE} name=audio', mode: continuous}}
          door: {{pipeline: '{PICTURE}'}}
          bad: {{command: {bad}, mode: continuous}}
        streams:
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.webm: {{feed: cam, video: {{codec: vp8, gop: 25}}}}
          kept: {{feed: cam, video: {H264}, record: {{folder: {folder}, every: 2s, part: 0.5}}}}
          cam.ts: {{feed: cam, video: {{codec: mpeg2}}}}
          radio.mp3: {{feed: cam, audio: {{codec: mp3}}}}
          door.ts: {{feed: door, video: {H264}}}
          odd: {{feed: bad}}
          shot: {{type: shot, command: [echo, hello], mimetype: text/plain}}
        pages: {{clients: true, config: true}}
        auth: {{anyone: [viewer, playback, 'config:read'], users: {{anna: {{password: {hash}, may: admin}}}}}}
        ",
        hash = login::hash("a password"),
        folder = folder.display(),
        bad = shell("echo cannot open the camera >&2; sleep 0.2; exit 1")
    ))
}

/// Watches a stream as long as the server is there.
pub fn watch(server: &Server, path: &str) {
    let mut viewer = server.get(path);
    viewer.take(1000, secs(20));
    std::thread::spawn(move || while let Next::Data(_) = viewer.next(Instant::now() + secs(20)) {});
}

/// Goes through all pages in both schemes and at all widths, keeps pictures of them, and opens all that can be opened.
fn tour(server: &Server, browser: &Browser, mut look: impl FnMut(&str)) {
    // What stops while a page loads has no picture any more, which browsers complain of.
    ["/cam.ts", "/cam.mjpeg", "/cam.webm"].iter().for_each(|path| watch(server, path));
    server.log.wait("ended feed=bad", secs(20));
    look_at(server, browser, &PAGES, &mut look);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Looks at a page that stand for all: the narrowest and the widest window.
const SAMPLES: [&str; 2] = ["phone-light", "desktop-dark"];

/// Whether all pages are looked at in all ways: `ci/long` does.
pub fn looks_at_all() -> bool {
    std::env::var_os("VOYANDZ_PAGES").is_some()
}

/// Goes through pages in both schemes and at all widths. Firefox, to which they look the same, gets one sample of each.
pub fn look_at(server: &Server, browser: &Browser, pages: &[(&str, &str, &str)], look: &mut impl FnMut(&str)) {
    let open = |all: bool| {
        browser.run(&format!("document.querySelectorAll('details').forEach((details) => {{ details.open = {all} }})"));
    };
    for (number, (name, path, is_there)) in pages.iter().enumerate() {
        let sample = SAMPLES[number % SAMPLES.len()];
        let takes_one = browser.name() == "Firefox" && !looks_at_all();
        browser.open(&server.url(path));
        browser.wait(is_there, secs(20));
        for (width, pixels) in [("phone", 360), ("tablet", 768), ("desktop", 1440)] {
            for scheme in ["light", "dark"] {
                let look_name = format!("{name}-{width}-{scheme}");
                if takes_one && !look_name.ends_with(sample) {
                    continue;
                }
                browser.prefer(scheme);
                open(false);
                browser.resize(pixels);
                browser.keep_picture(&look_name);
                open(true);
                look(&look_name);
            }
        }
    }
}

/// What keeps people from using a page, as axe-core finds it in samples, or in all; that it fits its window.
pub fn examine(browser: &Browser, axe: &str, name: &str) -> Vec<String> {
    let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
    assert_eq!(browser.run(fits), true, "{name} is wider than its window");
    if !SAMPLES.iter().any(|sample| name.ends_with(sample)) && !looks_at_all() {
        return Vec::new();
    }
    if browser.run("return typeof axe") == "undefined" {
        browser.run(axe);
    }
    // All else is as in the light.
    let rules = if name.ends_with("dark") { "runOnly: { type: 'rule', values: ['color-contrast'] }," } else { "" };
    let grave = browser.run(&format!(
        "return axe.run({{ {rules} resultTypes: ['violations'] }}).then(({{ violations }}) => violations
            .filter(({{ impact }}) => impact === 'serious' || impact === 'critical')
            .map(({{ id, nodes }}) => id + ': ' + nodes.map((node) => node.html + ' ' + node.failureSummary).join()))"
    ));
    let Value::Array(grave) = grave else { panic!("axe says {grave}") };
    grave.into_iter().map(|what| format!("{name}: {what}")).collect()
}

#[test]
fn the_page_of_a_stream_shows_what_its_reader_may_know() {
    let yaml = |rules: &str| {
        format!(
            "listenport: 0\nwebrtc: {{}}\npages: {{clients: true}}\nfeeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\n  \
             far: {{url: 'rtsp://user:s3cret@192.0.2.1/x'}}\nstreams:\n  film: {{feed: cam, title: Front door, video: {H264}}}\n  \
             far.ts: {{feed: far, video: {H264}}}\n{rules}\n"
        )
    };
    let open = Launch::exact(&yaml("")).start();
    let page = |server: &Server, path: &str, host: &str| {
        http::send(server.address(), &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).text()
    };
    let here = page(&open, "/film/play", "127.0.0.1");
    for address in ["/film.ts", "/film.mp4", "/film.m3u8", "/film.mpd", "/film/whep"] {
        assert!(here.contains(&format!("<code>http://127.0.0.1{address}</code>")), "{address} {here}");
    }
    // People read its title, also where there are several.
    assert!(here.contains("<h1>Front door</h1>") && here.contains("<title>Front door</title>"), "{here}");
    for path in ["/", "/wall"] {
        let all = page(&open, path, "127.0.0.1");
        assert!(all.contains(">Front door</a>") && all.contains(">far.ts</a>"), "{path} {all}");
    }
    assert!(!here.contains("class=\"qr\""), "no phone opens this address");
    let away = page(&open, "/film/play", "tv.example");
    assert!(
        away.contains("class=\"qr\"") && away.contains("&lt;voyandz-view src=&quot;http://tv.example/film&quot;"),
        "{away}"
    );
    assert!(here.contains("Nobody watches now.") && here.contains("no viewers") && here.contains("href=\"/wall\""));
    watch(&open, "/film.ts");
    let watched = page(&open, "/film/play", "127.0.0.1");
    assert!(watched.contains("<td>http</td>") && watched.contains("1 viewer"), "{watched}");
    // The configuration is for those who may read it, and never has secrets.
    assert!(!here.contains("videotestsrc"));
    let reader = Launch::exact(&yaml("auth: {anyone: [viewer, 'config:read']}")).start();
    assert!(page(&reader, "/film/play", "127.0.0.1").contains("videotestsrc"));
    let far = page(&reader, "/far.ts/play", "127.0.0.1");
    assert!(far.contains("rtsp://") && !far.contains("s3cret"), "{far}");
    assert!(!far.contains("videotestsrc"), "its own feed only");
    // Who may only watch this stream sees no pages of the server and no viewers.
    let viewer = Launch::exact(&yaml("auth: {anyone: [view film]}")).start();
    let alone = page(&viewer, "/film/play", "127.0.0.1");
    assert!(alone.contains("voyandz-view") && !alone.contains("/wall") && !alone.contains("viewers"), "{alone}");
}

#[test]
fn fifty_tiles_are_less_than_a_megabyte() {
    let names = || (0..50).map(|at| format!("cam{at}.mjpeg"));
    let streams: String = names().map(|name| format!("  {name}: {{feed: cam, video: {{codec: mjpeg}}}}\n")).collect();
    let picture = PICTURE.replace("pattern=ball", "pattern=smpte100");
    let yaml =
        format!("listenport: 0\nfeeds:\n  cam: {{pipeline: '{picture}', mode: continuous}}\nstreams:\n{streams}");
    let server = Launch::exact(&yaml).start();
    let still = regex::Regex::new("data-still=\"([^\"]+)\"").unwrap();
    for page in ["/", "/wall"] {
        let page = server.get(page).text();
        let stills: Vec<_> = still.captures_iter(&page).map(|still| still[1].replace("&amp;", "&")).collect();
        assert_eq!(stills.len(), 50, "one for each tile");
        let size: usize = stills.iter().step_by(10).map(|still| server.get(still).rest(secs(20)).len()).sum();
        let scripts: usize = ["/home.js", "/player.js"].iter().map(|path| server.get(path).text().len()).sum();
        let all = page.len() + scripts + 10 * size;
        assert!(size > 5000 && all < 1_000_000, "{all} bytes, {size} of them five stills");
    }
}

#[test]
fn a45_fifty_tiles_in_sight_cost_little() {
    if have_browser() {
        fifty_tiles(&Browser::start(), secs(15));
    }
}

/// `long`: how long it is looked at.
pub fn fifty_tiles(browser: &Browser, long: Duration) {
    let name = browser.name();
    // One program delivers pictures that have to be made smaller, and costs next to nothing itself.
    let launch = Launch::bare();
    let picture = launch.folder().join("one.jpg");
    // As many details as a camera sees.
    let pixel = |x: u32, y: u32| {
        let noise = (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729)) % 24;
        image::Rgb([x / 6 + noise, y / 4 + noise, (x + y) / 10].map(|part| part as u8))
    };
    image::RgbImage::from_fn(1280, 720, pixel).save(&picture).unwrap();
    let command = shell(&format!("while cat {}; do sleep 1; done", picture.display()));
    let streams: String = (0..50).map(|at| format!("  cam{at}.mjpeg: {{feed: cam}}\n")).collect();
    let yaml = format!("feeds: {{cam: {{command: {command}, mode: continuous}}}}\nstreams:\n{streams}");
    let server = launch.with(&yaml).start();
    browser.open(&server.url("/"));
    browser.wait("return document.querySelectorAll('a.view').length === 50", secs(30));
    // All of them can be seen, from the beginning.
    browser.resize(1440);
    browser.open(&server.url("/wall?stream=none"));
    browser.open(&server.url("/"));
    let seen = "const views = [...document.querySelectorAll('a.view')]; return views.length === 50 && \
                views.every((view) => view.getBoundingClientRect().bottom <= innerHeight && view.querySelector('img')?.naturalWidth === 320)";
    browser.wait(seen, secs(30));
    let sum = "performance.getEntries().reduce((sum, entry) => sum + (entry.transferSize ?? 0), 0)";
    let bytes = usize::try_from(browser.run(&format!("return {sum}")).as_u64().unwrap()).unwrap();
    figure(45, &format!("bytes of a page with fifty tiles ({name})"), bytes, 1_000_000);
    assert!((50_000..1_000_000).contains(&bytes), "{bytes} bytes");
    // The stills of what began with the page are over.
    let requests = || browser.run("return performance.getEntriesByType('resource').length").as_u64().unwrap();
    // Workers come and go: the time of those that ended is with the process that started them.
    let used = || {
        let pids = server.descendants().into_iter().map(|process| process.pid).chain([server.pid()]);
        pids.map(process::cpu_with_ended).sum::<Duration>()
    };
    browser.run("performance.setResourceTimingBufferSize(10000)");
    let (began, asked, spent) = (Instant::now(), requests(), used());
    std::thread::sleep(long);
    let (asked, spent, taken) = (requests() - asked, used() - spent, began.elapsed());
    let (rate, share) = (asked as f64 / taken.as_secs_f64(), spent.as_secs_f64() / taken.as_secs_f64());
    println!("{rate:.2} requests/s, {:.2} % of a core", share * 100.0);
    let of = |what: &str| format!("{what} of a page with fifty tiles, in {long:?} ({name})");
    figure(45, &of("requests"), usize::try_from(asked).unwrap(), 5 * usize::try_from(long.as_secs()).unwrap());
    figure(45, &of("time on a core"), spent, long.mul_f64(0.05));
    assert!(rate > 2.0 && rate <= 5.0, "{rate} requests/s");
    assert!(share <= 0.05, "{share} of a core");
}

#[test]
fn every_page_fits_every_width_and_can_be_read_by_everyone() {
    if have_browser() {
        pages_for_everyone(&Browser::start());
    }
}

pub fn pages_for_everyone(browser: &Browser) {
    let Some(axe) = tool("axe-core-4.14.1.js") else { return };
    let axe = std::fs::read_to_string(axe).unwrap();
    let folder = TempDir::new().unwrap();
    let server = plant(folder.path());
    let mut found = Vec::new();
    tour(&server, browser, |name| found.extend(examine(browser, &axe, name)));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a43_pages_are_read_and_logins_made_without_scripts() {
    if have_browser() {
        reads_without_scripts(&Browser::start_without_scripts());
    }
}

pub fn reads_without_scripts(browser: &Browser) {
    let folder = TempDir::new().unwrap();
    let server = plant(folder.path());
    ["/cam.webm", "/kept"].iter().for_each(|path| watch(&server, path));
    wait_until("something is recorded", secs(20), || {
        let text = server.get("/recordings").text();
        text.contains("Recording") && !text.contains(">0 files")
    });
    // What is in trouble is between two tries for most of the time only.
    let shows = |page: &str, what: &[&str]| {
        wait_until(&format!("{page} has {what:?}"), secs(20), || {
            browser.open(&server.url(page));
            let body = browser.run("return document.body.innerText");
            what.iter().all(|what| body.as_str().unwrap().contains(what))
        });
        assert_eq!(browser.run("return document.querySelectorAll('script[src]').length > 0 && window.customElements.get('voyandz-view') === undefined"), true, "{page}: a script runs");
    };
    // Streams with their stills, state and addresses; what is wrong with one.
    shows("/", &["cam.webm", "Live", "viewer", "Trying again", "cannot open the camera", "/cam.webm"]);
    browser
        .wait("return document.querySelector('article[aria-label=\"cam.webm\"] img')?.naturalWidth === 320", secs(20));
    // A stream, played by the browser itself.
    shows("/cam.webm/play", &["cam.webm", "Live", "Addresses", "Viewers", "Configuration"]);
    browser.wait("return document.querySelector('.view video')?.currentTime > 0.2", secs(20));
    // The newest of what was recorded is a film, and there is a list of its files.
    shows("/recordings", &["kept", "Recording", "files"]);
    let links =
        browser.run("return [...document.querySelectorAll('article nav a')].map((link) => link.getAttribute('href'))");
    let links: Vec<String> = serde_json::from_value(links).unwrap();
    assert_eq!(links.len(), 2, "{links:?}");
    for link in links {
        assert_eq!(server.get(&link).status, 200, "{link}");
    }
    shows("/configuration", &["videotestsrc", "record:", "***"]);
    browser.open(&server.url("/login"));
    browser.run(
        "const form = document.querySelector('form'); form.elements.user.value = 'anna'; form.elements.password.value = 'a password'; \
         form.querySelector('button').click()",
    );
    browser.wait(
        "return location.pathname === '/' && document.querySelector('nav.menu')?.innerText.includes('anna')",
        secs(20),
    );
    browser.open(&server.url("/login"));
    browser.run("document.querySelector('button[name=logout]').click()");
    browser.wait("return document.querySelector('nav.menu')?.innerText.includes('Log in')", secs(20));
}

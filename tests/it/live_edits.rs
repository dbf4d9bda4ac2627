//! Changes by the API while everything is watched: what a dry run names is what ends, and nobody else notices.

use crate::{
    api::{ADMIN, admin, ask, watch, yaml},
    rig::{
        Answer, Dice, SOON, Server, figure,
        http::Next,
        millis,
        script::{H264, PICTURE},
        secs, times,
    },
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

const FEEDS: usize = 3;
const STREAMS: usize = 4;

/// A number below `limit`.
fn number(dice: &mut Dice, limit: usize) -> usize {
    (dice.below(secs(1)).as_secs_f64() * limit as f64) as usize
}

/// A program that writes its pid, and one that writes its own in front of what it reads. `mark` changes nothing but the command.
fn feed(mark: usize) -> Value {
    // One on demand restarts with its only stream, as that is its only viewer.
    json!({"mode": "continuous", "command": ["sh", "-c", format!("while echo $$; do sleep 0.02; done #{mark}")]})
}

fn stream(feed: usize, mark: usize) -> Value {
    let command = format!("while read pid; do echo $$ $pid; done #{mark}");
    json!({"feed": format!("f{feed}"), "container": "raw", "command": ["sh", "-c", command]})
}

/// The pids of what makes a stream: of its own program, and of the one of its feed. From what came after `since` only: what comes
/// first may be older.
fn pids(server: &Server, number: usize) -> [u32; 2] {
    let mut viewer = watch(server, ADMIN, &format!("/s{number}.raw"));
    let text = viewer.take_until(SOON, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() > 3);
    let text = String::from_utf8(text).unwrap();
    // The first line may be cut, and the last one.
    let line = text.lines().rev().nth(1).unwrap();
    let mut pids = line.split(' ').map(|pid| pid.parse().unwrap_or_else(|_| panic!("{text}")));
    [pids.next().unwrap(), pids.next().unwrap()]
}

/// One change, and what it makes of the configuration.
fn change(dice: &mut Dice, config: &mut Map<String, Value>, marks: &mut usize) -> Value {
    *marks += 1;
    let (name, value) = match number(dice, 6) {
        0 => (format!("feeds f{}", number(dice, FEEDS)), feed(*marks)),
        1 => (format!("streams s{}.raw", number(dice, STREAMS)), stream(number(dice, FEEDS), *marks)),
        // The same command at another feed.
        2 => {
            let name = format!("streams s{}.raw", number(dice, STREAMS));
            let mut value = config[&name].clone();
            value["feed"] = json!(format!("f{}", number(dice, FEEDS)));
            (name, value)
        }
        // What is only shown.
        place @ (3 | 4) => {
            let name = match place {
                3 => format!("feeds f{}", number(dice, FEEDS)),
                _ => format!("streams s{}.raw", number(dice, STREAMS)),
            };
            let mut value = config[&name].clone();
            value["title"] = json!(format!("Number {marks}"));
            value["labels"] = json!({"mark": marks.to_string()});
            (name, value)
        }
        // As it is.
        _ => {
            let name = format!("streams s{}.raw", number(dice, STREAMS));
            let value = config[&name].clone();
            (name, value)
        }
    };
    config.insert(name.clone(), value.clone());
    let (section, name) = name.split_once(' ').unwrap();
    json!({"op": "put", "path": [section, name], "value": value})
}

/// Acceptance 7: what a dry run says, the change says as well; and by the process ids of all programs it is what happens.
#[test]
fn a_dry_run_names_exactly_what_ends() {
    let server = Server::start(&yaml("api: {exec: true}\n"));
    let (mut config, mut dice, mut marks) = (Map::new(), Dice::new(7), 0);
    for number in 0..FEEDS {
        config.insert(format!("feeds f{number}"), feed(0));
    }
    for number in 0..STREAMS {
        config.insert(format!("streams s{number}.raw"), stream(number % FEEDS, 0));
    }
    let all: Vec<_> = config
        .iter()
        .map(|(name, value)| {
            let (section, name) = name.split_once(' ').unwrap();
            json!({"op": "put", "path": [section, name], "value": value})
        })
        .collect();
    assert_eq!(admin(&server, "POST", "/config/changes", Some(&json!(all))).0, 200);
    // Somebody watches each of them all the time, so all programs run.
    let mut viewers: Vec<_> = (0..STREAMS).map(|number| watch(&server, ADMIN, &format!("/s{number}.raw"))).collect();
    let mut before: Vec<_> = (0..STREAMS).map(|number| pids(&server, number)).collect();
    for case in 0..times("VOYANDZ_DRY_RUNS", 25) {
        let feeds_before: Vec<_> =
            (0..STREAMS).map(|number| config[&format!("streams s{number}.raw")]["feed"].clone()).collect();
        let count = 1 + number(&mut dice, 3);
        let changes: Vec<_> = (0..count).map(|_| change(&mut dice, &mut config, &mut marks)).collect();
        let (status, dry) = admin(&server, "POST", "/config/changes?dry_run=1", Some(&json!(changes)));
        assert_eq!(status, 200, "{dry}");
        let (status, done) = admin(&server, "POST", "/config/changes", Some(&json!(changes)));
        assert_eq!(status, 200, "{done}");
        assert_eq!((&dry["ended"], &dry["begun"], &dry["diff"]), (&done["ended"], &done["begun"], &done["diff"]));
        let ended: Vec<_> =
            dry["ended"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(dry["ended"], dry["begun"], "nothing is new");
        for viewer in viewers.iter_mut().enumerate() {
            keep(&server, viewer);
        }
        let after: Vec<_> = (0..STREAMS).map(|number| pids(&server, number)).collect();
        for number in 0..STREAMS {
            let feed = &config[&format!("streams s{number}.raw")]["feed"];
            let is_same_feed = *feed == feeds_before[number];
            let (own, fed) = (before[number][0] != after[number][0], before[number][1] != after[number][1]);
            let context =
                format!("case {case}, s{number}: {before:?} {after:?}\n{changes:#?}\n{dry:#}\n{}", server.log.text());
            assert_eq!(ended.contains(&format!("stream s{number}.raw")), own, "{context}");
            if is_same_feed {
                assert_eq!(ended.contains(&format!("feed {}", feed.as_str().unwrap())), fed, "{context}");
            }
        }
        before = after;
    }
}

/// A viewer takes what came, and asks again when its stream was ended.
fn keep(server: &Server, (number, viewer): (usize, &mut Answer)) {
    loop {
        match viewer.next(Instant::now()) {
            Next::Data(_) => {}
            Next::Late => return,
            Next::End => *viewer = watch(server, ADMIN, &format!("/s{number}.raw")),
        }
    }
}

/// Acceptance 5: a stream plays within a second of its `PUT`, and whoever watches another one sees no gap.
#[test]
fn edits_disturb_nobody() {
    let server = Server::start(&yaml("").replace(
        "\nstreams:\n",
        &format!("\n  cam: {{pipeline: '{PICTURE}'}}\nstreams:\n  cam.ts: {{feed: cam, video: {H264}}}\n"),
    ));
    let mut viewer = watch(&server, ADMIN, "/cam.ts");
    viewer.take(10_000, SOON);
    let count = times("VOYANDZ_LIVE_EDITS", 40);
    let (worst, slowest) = thread::scope(|scope| {
        let edits = scope.spawn(|| edits(&server, count));
        let (mut last, mut worst) = (Instant::now(), Duration::ZERO);
        while !edits.is_finished() {
            if let Next::Data(_) = viewer.next(Instant::now() + millis(20)) {
                worst = worst.max(last.elapsed());
                last = Instant::now();
            }
        }
        (worst.max(last.elapsed()), edits.join().unwrap())
    });
    // A picture comes every 40 ms.
    figure(13, "edits: longest gap of another stream", worst, millis(140));
    figure(13, "edits: a new stream plays after", slowest, secs(1));
    assert!(worst <= millis(140) && slowest <= secs(1), "{worst:?} {slowest:?}");
}

/// Makes changes one after the other. Returns how long it took a new stream to play at most.
fn edits(server: &Server, count: u32) -> Duration {
    let (mut dice, mut slowest, mut there) = (Dice::new(5), Duration::ZERO, BTreeMap::new());
    for round in 0..count {
        let name = format!("new{}.ts", number(&mut dice, 5));
        let path = format!("/config/streams/{name}");
        // No client makes more than 20 changes a second.
        let begun = Instant::now();
        match (there.contains_key(&name), number(&mut dice, 3)) {
            (true, 0) => {
                assert_eq!(admin(server, "DELETE", &path, None).0, 200);
                there.remove(&name);
            }
            (true, _) => {
                let patch = json!({"title": format!("Number {round}")});
                assert_eq!(ask(server, ADMIN, "PATCH", &path, "", Some(&patch)).0, 200);
            }
            (false, _) => {
                let value = json!({"feed": format!("test{round}"), "video": {"codec": "h264", "preset": "ultrafast"}});
                let source = json!({"pipeline": {"use": "test-picture", "size": "160x120"}});
                let changes = json!([
                    {"op": "put", "path": ["feeds", format!("test{round}")], "value": source},
                    {"op": "put", "path": ["streams", name], "value": value},
                ]);
                let (status, answer) = admin(server, "POST", "/config/changes", Some(&changes));
                assert_eq!(status, 200, "{answer}");
                let put = Instant::now();
                watch(server, ADMIN, &format!("/{name}")).piece(SOON);
                slowest = slowest.max(put.elapsed());
                there.insert(name, round);
            }
        }
        thread::sleep(millis(50).saturating_sub(begun.elapsed()));
    }
    slowest
}

/// Acceptance 13: pages of a long list are quick, and show each entry once while others are added and removed.
#[test]
fn a_long_list_is_whole_while_it_changes() {
    let server = Server::start(&yaml(""));
    let put =
        |name: String| json!({"op": "put", "path": ["streams", name], "value": {"feed": "ticks", "container": "raw"}});
    let first: Vec<_> = (0..1000).map(|number| put(format!("s{:03}.raw", number))).collect();
    assert_eq!(admin(&server, "POST", "/config/changes", Some(&json!(first))).0, 200);
    let (mut slowest, mut added) = (Vec::new(), 0);
    thread::scope(|scope| {
        let adding = scope.spawn(|| {
            for number in 0..10 {
                let path = format!("/config/streams/s{:03}x.raw", number * 97);
                assert_eq!(admin(&server, "PUT", &path, Some(&json!({"feed": "ticks", "container": "raw"}))).0, 201);
            }
        });
        while !adding.is_finished() {
            let (mut names, mut after) = (Vec::new(), String::new());
            loop {
                let begun = Instant::now();
                let (status, page) = admin(&server, "GET", &format!("/streams?limit=100{after}"), None);
                slowest.push(begun.elapsed());
                assert_eq!(status, 200);
                let of_page =
                    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned());
                names.extend(of_page);
                let Some(next) = page["next"].as_str() else { break };
                after = format!("&after={next}");
            }
            assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
            let old = names.iter().filter(|name| name.len() == "s000.raw".len()).count();
            assert_eq!(old, 1000);
            added = names.len() - 1001;
        }
        adding.join().unwrap();
    });
    let last = admin(&server, "GET", "/streams?limit=1", None).1["total"].as_u64();
    assert!(last == Some(1011) && added <= 10, "{last:?} {added}");
    slowest.sort();
    let median = slowest[slowest.len() / 2];
    figure(13, "list of 1000 streams, a page of 100: median", median, millis(20));
    assert!(median <= millis(20), "{slowest:?}");
}

//! The API of SRS on a port of its own, as SRS's console and scripts ask it.

use crate::{
    api::{ADMIN, VIEWER, yaml},
    rig::{
        Launch, SOON, Server, have, http,
        log::field,
        publisher::{H264_AAC, LIVE, Publisher},
        script::{H264, PICTURE},
        state::wait_for,
        wait_until,
    },
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};

const LISTEN: &str = "srs: {listen: 127.0.0.1:0}\n";

/// Where a server serves it.
fn address(server: &Server) -> SocketAddr {
    field(&server.log.wait("listening address=.* protocol=srs", SOON), "address").parse().unwrap()
}

/// Asks with these headers: status, head and JSON.
fn ask_with(at: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String, Value) {
    let mut answer = http::request(at, method, path, &format!("Connection: close\r\n{headers}"));
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.head);
    let (status, head, text) = (answer.status, answer.head.clone(), answer.text());
    (status, head, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Asks as an admin for what there is.
fn get(at: SocketAddr, path: &str) -> Value {
    let (status, _, answer) = ask_with(at, "GET", path, &bearer(ADMIN));
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a14_srs_clients_see_streams_viewers_and_publishers() {
    if !have("ffmpeg") {
        return;
    }
    let rules = yaml("").split_once("auth:").map(|(_, rules)| format!("auth:{rules}")).unwrap();
    let rules = rules.replace("tokens:", "anyone: [viewer]\n  tokens:");
    let server = Server::start(&format!(
        "{LISTEN}rtmp: {{listen: 127.0.0.1:0}}\nfeeds:\n  cam: {{pipeline: '{PICTURE}'}}\n  anna: {{publish: {{key: s3cret}}}}\nstreams:\n  \
         cam: {{feed: cam, video: {H264}}}\n  anna: {{feed: anna, url: /studio/anna}}\n{rules}"
    ));
    let at = address(&server);
    let line = server.log.wait("listening .*protocol=rtmp", SOON);
    let url = format!("rtmp://{}/live/anna?key=s3cret", field(&line, "address"));
    let idle = get(at, "/api/v1/streams/");
    assert_eq!(idle["total"], 2, "{idle}");
    assert_eq!(idle["streams"][0]["publish"], json!({"active": false}));
    let _publisher = Publisher::start(&[LIVE, H264_AAC, &["-f", "flv", &url]]);
    wait_for(&server, "feeds", "anna", |feed| feed["publish"]["publisher"]["samples"].as_u64() > Some(50));
    let mut viewers = ["/cam.ts", "/cam.flv", "/studio/anna.flv"].map(|path| server.get(path));
    viewers.iter_mut().for_each(|viewer| drop(viewer.take(20_000, SOON)));
    wait_until("the bytes are counted", SOON, || {
        viewers.iter_mut().for_each(http::Answer::drain);
        let clients = get(at, "/api/v1/clients");
        clients["clients"]
            .as_array()
            .unwrap()
            .iter()
            .all(|client| client["publish"] == true || client["send_bytes"].as_u64() > Some(10_000))
    });

    let all = get(at, "/api/v1/streams");
    assert_eq!(keys(&all), ["code", "server", "service", "pid", "total", "streams"]);
    assert_eq!((&all["code"], &all["pid"]), (&json!(0), &json!(server.pid().to_string())));
    let [cam, anna] = &all["streams"].as_array().unwrap()[..] else { panic!("{all}") };
    let fields = [
        "id",
        "name",
        "vhost",
        "app",
        "tcUrl",
        "url",
        "live_ms",
        "clients",
        "frames",
        "send_bytes",
        "recv_bytes",
        "kbps",
        "publish",
        "video",
        "audio",
    ];
    assert_eq!((keys(cam), keys(anna)), (fields.to_vec(), fields.to_vec()));
    assert_eq!((&cam["name"], &cam["app"], &cam["url"]), (&json!("cam"), &json!("live"), &json!("/live/cam")));
    assert_eq!((&anna["name"], &anna["app"], &anna["url"]), (&json!("anna"), &json!("studio"), &json!("/studio/anna")));
    assert_eq!(anna["tcUrl"], "rtmp://127.0.0.1/studio");
    assert_eq!((&cam["clients"], &anna["clients"]), (&json!(2), &json!(2)), "a publisher is a client");
    assert_eq!(cam["publish"], json!({"active": true}));
    for (stream, counts) in
        [(cam, ["send_bytes", "recv_bytes", "frames"]), (anna, ["send_bytes", "recv_bytes", "frames"])]
    {
        for count in counts {
            assert!(stream[count].as_u64() > Some(0), "{count}: {stream}");
        }
        assert!(stream["kbps"]["recv_30s"].as_u64() > Some(0), "{stream}");
        assert_eq!((&stream["video"]["codec"], &stream["video"]["width"]), (&json!("H264"), &json!(320)), "{stream}");
    }
    assert_eq!(cam["audio"], Value::Null);
    assert_eq!(anna["audio"], json!({"codec": "AAC", "sample_rate": 48000, "channel": 1, "profile": "LC"}));
    // One by one, by ids that stay.
    for stream in [cam, anna] {
        let found = get(at, &format!("/api/v1/streams/{}", stream["id"].as_str().unwrap()));
        assert_eq!((&found["stream"]["id"], &found["stream"]["name"]), (&stream["id"], &stream["name"]));
    }
    let hosts = get(at, "/api/v1/vhosts/");
    let host = &hosts["vhosts"][0];
    assert_eq!((&host["name"], &host["id"], &host["streams"]), (&json!("__defaultVhost__"), &cam["vhost"], &json!(2)));
    assert_eq!((&host["clients"], &host["hls"]["enabled"]), (&json!(4), &json!(true)), "{host}");
    let one = get(at, &format!("/api/v1/vhosts/{}", host["id"].as_str().unwrap()));
    assert_eq!(one["vhost"]["id"], host["id"]);

    let clients = get(at, "/api/v1/clients/");
    assert_eq!((&clients["total"], clients["clients"].as_array().unwrap().len()), (&json!(4), 4), "{clients}");
    let clients = clients["clients"].as_array().unwrap();
    let fields = [
        "id",
        "vhost",
        "stream",
        "ip",
        "pageUrl",
        "swfUrl",
        "tcUrl",
        "url",
        "name",
        "type",
        "publish",
        "alive",
        "send_bytes",
        "recv_bytes",
        "kbps",
    ];
    assert!(clients.iter().all(|client| keys(client) == fields && client["ip"] == "127.0.0.1"), "{clients:#?}");
    let publisher = clients.iter().find(|client| client["publish"] == true).unwrap();
    assert_eq!((&publisher["id"], &publisher["stream"]), (&anna["publish"]["cid"], &anna["id"]));
    assert_eq!((&publisher["type"], &publisher["name"]), (&json!("fmle-publish"), &json!("anna")));
    assert!(publisher["recv_bytes"].as_u64() > Some(1000) && publisher["alive"].as_f64() > Some(0.0));
    let viewer = clients.iter().find(|client| client["stream"] == cam["id"]).unwrap();
    assert_eq!((&viewer["type"], &viewer["publish"]), (&json!("flv-play"), &json!(false)));
    let id = viewer["id"].as_str().unwrap();
    let again = get(at, &format!("/api/v1/clients/{id}"));
    assert_eq!((&again["client"]["id"], &again["client"]["url"]), (&viewer["id"], &json!("/live/cam")));

    // A viewer ends, and then the publisher.
    let (status, _, answer) = ask_with(at, "DELETE", &format!("/api/v1/clients/{id}"), &bearer(ADMIN));
    assert_eq!((status, keys(&answer)), (200, vec!["code", "server", "service", "pid"]), "{answer}");
    assert_eq!(answer["code"], 0);
    wait_until("the viewer is gone", SOON, || get(at, "/api/v1/clients")["total"] == 3);
    server.log.wait("viewer disconnected by the API stream=cam", SOON);
    let publisher = publisher["id"].as_str().unwrap();
    // SRS's clients put a slash behind it.
    assert_eq!(ask_with(at, "DELETE", &format!("/api/v1/clients/{publisher}/"), &bearer(ADMIN)).2["code"], 0);
    server.log.wait("publisher left feed=anna .*reason=\"ended by an operator\"", SOON);
    let (_, events) = crate::api::admin(&server, "GET", "/events?type=*.ordered&limit=10", None);
    let orders: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| &event["data"]["order"]).collect();
    assert_eq!(orders, ["end viewer", "end publisher"]);
    let (status, _, answer) = ask_with(at, "DELETE", &format!("/api/v1/clients/{id}"), &bearer(ADMIN));
    assert_eq!((status, answer), (200, json!({"code": 2049})));
}

#[test]
fn a14_lists_of_srs_come_in_parts_and_errors_are_numbers() {
    let text = yaml("");
    let more: String = (0..12).map(|number| format!("  more{number}: {{feed: ticks, container: raw}}\n")).collect();
    let text = text.replace("  # The end.\n", &more);
    let server = Server::start(&format!("{LISTEN}{text}"));
    let at = address(&server);
    let part = |query: &str| {
        let answer = get(at, &format!("/api/v1/streams{query}"));
        assert_eq!(answer["total"], 13);
        let streams = answer["streams"].as_array().unwrap();
        streams.iter().map(|stream| stream["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(part("").len(), 10, "as SRS has it");
    let all = part("?start=0&count=100");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 13);
    let parts = ["?start=0&count=5", "?start=5&count=5", "/?start=10&count=5"].map(part).concat();
    assert_eq!(parts, all);
    assert!(part("?start=13").is_empty());
    for (path, code) in [("streams/none", 2048), ("clients/none", 2049), ("vhosts/none", 2014)] {
        assert_eq!(get(at, &format!("/api/v1/{path}")), json!({"code": code}), "{path}");
    }
    // What asks by JSONP gets JSON, and ends nobody.
    let streams = get(at, "/api/v1/clients/x?callback=f&method=DELETE");
    assert_eq!(streams, json!({"code": 2049}));
    for (method, path, status) in [
        ("GET", "/api/v1/raw?rpc=raw", 404),
        ("GET", "/cam.raw", 404),
        ("POST", "/api/v1/streams", 405),
        ("DELETE", "/api/v1/streams/x", 405),
    ] {
        let (found, _, answer) = ask_with(at, method, path, &bearer(ADMIN));
        assert_eq!((found, &answer), (status, &json!({"code": status})), "{method} {path}");
    }
    for (path, list) in [("/", "api"), ("/api/", "v1"), ("/api/v1", "streams")] {
        assert!(get(at, path)["urls"][list].is_string(), "{path}");
    }
    let version = get(at, "/api/v1/versions")["data"].clone();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["major"].is_u64() && version["revision"].is_u64());
    assert_eq!(get(at, "/api/v1/features")["data"]["features"]["hls"], true);
    let summary = get(at, "/api/v1/summaries")["data"].clone();
    assert_eq!((&summary["ok"], &summary["self"]["pid"]), (&json!(true), &json!(server.pid())));
    assert!(summary["self"]["mem_kbyte"].as_u64() > Some(1000), "{summary}");
    for field in ["cpu_percent", "load_1m", "mem_ram_percent"] {
        assert!(summary["system"][field].as_f64().is_some_and(|value| value >= 0.0), "{field}: {summary}");
    }
    assert!(summary["system"]["cpu_percent"].as_f64() <= Some(1.0), "{summary}");
}

#[test]
fn a14_the_rights_of_the_api_count_on_the_port_of_srs() {
    let server = Server::start(&format!(
        "{LISTEN}{}",
        yaml("").replace("streams:\n", "streams:\n  door.raw: {feed: ticks, container: raw}\n")
    ));
    let at = address(&server);
    let mut viewer = http::request(server.address(), "GET", "/cam.raw", &bearer(VIEWER));
    viewer.piece(SOON);
    let check = |method: &str, path: &str, headers: &str, status: u16| {
        let (found, head, answer) = ask_with(at, method, path, headers);
        assert_eq!(found, status, "{method} {path}: {answer}");
        if status != 200 {
            assert_eq!(answer, json!({"code": status}), "{method} {path}");
        }
        // Pages of other origins read nothing.
        assert!(!head.to_ascii_lowercase().contains("access-control-allow-origin"), "{head}");
        head.to_ascii_lowercase()
    };
    for path in ["/api/v1/streams", "/api/v1/summaries", "/api/v1/clients", "/api/v1"] {
        let head = check("GET", path, "", 401);
        assert!(head.contains("www-authenticate: bearer"), "{head}");
        check("GET", path, &bearer("vyz_wrong"), 401);
    }
    // Who may watch `cam*` sees no other stream, and no clients.
    check("GET", "/api/v1/streams", &bearer(VIEWER), 200);
    let seen = ask_with(at, "GET", "/api/v1/streams", &bearer(VIEWER)).2;
    assert_eq!((&seen["total"], &seen["streams"][0]["name"]), (&json!(1), &json!("cam.raw")), "{seen}");
    check("GET", "/api/v1/clients", &bearer(VIEWER), 403);
    let id = get(at, "/api/v1/clients")["clients"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/clients/{id}");
    check("DELETE", &path, &bearer(VIEWER), 403);
    check("DELETE", &path, "", 401);
    viewer.piece(SOON);
    check("DELETE", &path, &bearer(ADMIN), 200);
    viewer.rest(SOON);
    // The refusal is in the journal.
    let (_, events) = crate::api::admin(&server, "GET", "/events?type=api.refused&limit=10", None);
    assert_eq!(events["items"][0]["data"]["path"], path, "{events}");
}

#[test]
fn a14_users_log_in_by_basic_and_foreign_pages_end_nobody() {
    let hash = crate::rig::server::password_hash("correct horse");
    let ticks = crate::rig::script::shell("while echo tick; do sleep 0.05; done");
    let server = Server::start(&format!(
        "{LISTEN}feeds: {{ticks: {{command: {ticks}}}}}\nstreams: {{cam.raw: {{feed: ticks, container: raw}}}}\n\
         auth: {{anyone: viewer, users: {{anna: {{password: {hash}, may: operator}}}}}}\n"
    ));
    let at = address(&server);
    let basic = format!("Authorization: Basic {}\r\n", BASE64.encode(b"anna:correct horse"));
    let mut viewer = server.get("/cam.raw");
    viewer.piece(SOON);
    let (status, head, _) = ask_with(at, "GET", "/api/v1/clients", "");
    assert_eq!(status, 401);
    assert!(head.to_ascii_lowercase().contains("www-authenticate: basic"), "{head}");
    let (status, _, clients) = ask_with(at, "GET", "/api/v1/clients", &basic);
    assert_eq!((status, &clients["total"]), (200, &json!(1)));
    let path = format!("/api/v1/clients/{}", clients["clients"][0]["id"].as_str().unwrap());
    // A browser adds the password of the user to the request of any page.
    let foreign = format!("{basic}Origin: http://evil.example\r\n");
    assert_eq!(ask_with(at, "DELETE", &path, &foreign).0, 403);
    viewer.piece(SOON);
    assert_eq!(ask_with(at, "DELETE", &path, &basic).2["code"], 0);
    viewer.rest(SOON);
}

#[test]
fn a14_the_port_of_srs_is_there_while_it_is_configured() {
    let server = Server::start(&yaml(""));
    assert_eq!(server.get("/livez").status, 200, "all ports listen by now");
    assert_eq!(server.log.count("protocol=srs"), 0, "not by default");
    server.reload(&format!("{LISTEN}{}", yaml("")));
    let first = address(&server);
    assert_eq!(get(first, "/api/v1/versions")["code"], 0);
    // Another address.
    server.reload(&format!("srs: {{listen: 127.0.0.2:0}}\n{}", yaml("")));
    let line = server.log.wait("listening address=127.0.0.2:.* protocol=srs", SOON);
    let second: SocketAddr = field(&line, "address").parse().unwrap();
    assert_eq!(get(second, "/api/v1/versions")["code"], 0);
    wait_until("the first one is closed", SOON, || std::net::TcpStream::connect(first).is_err());
    // One that is taken changes nothing.
    let taken = server.address();
    let line = server.reload(&format!("srs: {{listen: '{taken}'}}\n{}", yaml("")));
    assert!(line.contains("cannot serve the API of SRS") && line.contains(&taken.to_string()), "{line}");
    assert_eq!(get(second, "/api/v1/versions")["code"], 0);
    server.reload(&yaml(""));
    wait_until("it is closed", SOON, || std::net::TcpStream::connect(second).is_err());
    // At the start it is an error.
    let mut other = Launch::exact(&format!("listenport: 0\nsrs: {{listen: '{taken}'}}\n")).spawn();
    other.log.wait(&format!("cannot serve the API of SRS: listen on {taken}"), SOON);
    assert!(!other.wait(SOON).success());
}

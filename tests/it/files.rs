//! Files of a folder that is shared: as they are, to those who may, and nothing beside them.

use crate::rig::{Server, http, server::password_hash};
use data_encoding::BASE64;
use std::{fs, os::unix::fs::symlink, path::Path};
use tempfile::TempDir;

fn server(folder: &Path, rules: &str) -> Server {
    Server::start(&format!(
        "
        files: {}
        feeds: {{cam: {{publish: {{key: s3cret}}}}}}
        streams: {{cam: {{feed: cam}}}}
        {rules}
        ",
        folder.display()
    ))
}

/// Requests a path; the status, the head, and the body.
fn get(server: &Server, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut answer = http::request(server.address(), "GET", path, headers);
    (answer.status, answer.head.to_lowercase(), answer.rest(crate::rig::SOON))
}

#[test]
fn files_are_had_as_they_are_and_in_ranges() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let film: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(folder.path().join("sub/a film.mp4"), &film).unwrap();
    fs::write(folder.path().join("page.html"), "<script>alert(1)</script>").unwrap();
    fs::write(folder.path().join("empty.txt"), "").unwrap();
    fs::write(folder.path().join("ä.txt"), "text").unwrap();
    let server = server(folder.path(), "auth: {anyone: [playback]}");
    let (status, head, body) = get(&server, "/files/sub/a%20film.mp4", "");
    assert_eq!((status, body == film), (200, true), "{head}");
    for line in [
        "content-type: video/mp4",
        "accept-ranges: bytes",
        "inline; filename=\"a film.mp4\"",
        "content-length: 4000000",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let (status, head, body) = get(&server, "/files/sub/a%20film.mp4", "Range: bytes=1000000-1000999\r\n");
    assert!(status == 206 && body == film[1_000_000..1_001_000], "{head}");
    assert!(head.contains("content-range: bytes 1000000-1000999/4000000"), "{head}");
    assert_eq!(get(&server, "/files/sub/a%20film.mp4", "Range: bytes=4000000-\r\n").0, 416);
    let head = http::request(server.address(), "HEAD", "/files/sub/a%20film.mp4", "");
    assert_eq!((head.status, head.header("content-length")), (200, Some("4000000")));
    let (status, head, body) = get(&server, "/files/empty.txt", "");
    assert!(status == 200 && body.is_empty() && head.contains("content-length: 0"), "{head}");
    let (_, head, _) = get(&server, "/files/%C3%A4.txt", "");
    assert!(head.contains("inline; filename*=utf-8''%c3%a4.txt"), "{head}");
    // No page of the folder is one of the server.
    let (status, head, _) = get(&server, "/files/page.html", "");
    assert_eq!(status, 200);
    for line in ["content-type: application/octet-stream", "attachment;", "x-content-type-options: nosniff"] {
        assert!(head.contains(line), "{line} in {head}");
    }
    assert!(!head.contains("access-control-allow-origin: *"), "{head}");
    // What changes is another file.
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned)).unwrap();
    let before = tag(&get(&server, "/files/page.html", "").1);
    fs::write(folder.path().join("page.html"), "other").unwrap();
    assert_ne!(tag(&get(&server, "/files/page.html", "").1), before);
}

#[test]
fn nothing_beside_the_folder_is_had() {
    let folder = TempDir::new().unwrap();
    let (inside, outside) = (folder.path().join("share"), folder.path().join("secret.txt"));
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::write(&outside, "canary").unwrap();
    fs::write(inside.join("good.txt"), "good").unwrap();
    fs::write(inside.join(".hidden"), "canary").unwrap();
    symlink(&outside, inside.join("link.txt")).unwrap();
    symlink("/etc", inside.join("etc")).unwrap();
    symlink(inside.join("good.txt"), inside.join("sub/inner.txt")).unwrap();
    let server = server(&inside, "auth: {anyone: [playback]}");
    assert_eq!(get(&server, "/files/good.txt", "").2, b"good");
    // A link within the folder is one of its files.
    assert_eq!(get(&server, "/files/sub/inner.txt", "").2, b"good");
    for path in [
        "/files/../secret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/sub/..%2f..%2fsecret.txt",
        "/files/sub/%2e%2e/%2e%2e/secret.txt",
        "/files/%2fetc/passwd",
        "/files//etc/passwd",
        "/files/..%5csecret.txt",
        "/files/good.txt%00.mp4",
        "/files/link.txt",
        "/files/etc/passwd",
        "/files/.hidden",
        "/files/sub",
        "/files/sub/",
        "/files/",
        "/files",
        "/files/none.txt",
    ] {
        let (status, _, body) = get(&server, path, "");
        assert!([400, 404].contains(&status), "{path}: {status}");
        assert!(!String::from_utf8_lossy(&body).contains("canary"), "{path}");
    }
}

#[test]
fn files_are_for_those_who_may_play_them_back() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("show")).unwrap();
    fs::write(folder.path().join("show/a.txt"), "a").unwrap();
    fs::write(folder.path().join("b.txt"), "b").unwrap();
    let hash = password_hash("pass-canary");
    let user = |name: &str, may: &str| format!("{name}: {{password: {hash}, may: [{may}]}}");
    let rules = format!(
        "auth: {{anyone: [viewer], users: {{{}, {}}}}}",
        user("anna", "playback files"),
        user("bert", "playback cam")
    );
    let server = server(folder.path(), &rules);
    let as_user =
        |name: &str| format!("Authorization: Basic {}\r\n", BASE64.encode(format!("{name}:pass-canary").as_bytes()));
    let (anna, bert) = (as_user("anna"), as_user("bert"));
    for (path, headers, expect) in [
        ("/files/show/a.txt", "", 401),
        ("/files/show/a.txt", &*anna, 200),
        ("/files/show/a.txt", &*bert, 403),
        // Whether there is such a file is for those to know who may have it.
        ("/files/none.txt", "", 401),
        ("/files/none.txt", &*bert, 403),
        ("/files/none.txt", &*anna, 404),
    ] {
        assert_eq!(get(&server, path, headers).0, expect, "{path} {headers}");
    }
    // Without the key there are none.
    let without = Server::start("feeds: {cam: {publish: {key: s3cret}}}\nstreams: {cam: {feed: cam}}\n");
    assert_eq!(get(&without, "/files/b.txt", "").0, 404);
}

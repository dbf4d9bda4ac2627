//! A disk of its own that is really full.

use crate::{
    recordings::{files, json},
    rig::{
        Launch, SOON, Server, have, have_failpoints, http, media,
        script::{H264, PICTURE},
        state::{entry, state, wait_for},
        wait_until,
    },
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A small disk in memory, which only a program of its own has mounted: it is reached through that one.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    /// `None` where a user may not have one.
    fn mount(place: &Path, size: &str) -> Option<Self> {
        let script =
            format!("mount -t tmpfs -o size={size} tmpfs '{}' && echo ready && exec sleep 600", place.display());
        let mut holder = Command::new("unshare");
        holder.args(["-Urm", "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = holder.spawn().ok()?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut said).ok()?;
        let folder = PathBuf::from(format!("/proc/{}/root{}", holder.id(), place.display()));
        let disk = Self { holder, folder };
        (said == "ready\n").then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Writes a file until nothing more fits.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for length in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; length]).is_ok() {}
    }
}

#[test]
fn without_a_byte_of_room_viewers_stay_and_protected_files_too() {
    if !have("unshare") || !have("ffmpeg") {
        return;
    }
    let place = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount(place.path(), "24m") else {
        assert!(std::env::var_os("CI").is_none(), "a user may not mount a disk");
        eprintln!("SKIPPED: a user may not mount a disk");
        return;
    };
    let root = disk.folder.join("rec");
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams:
          cam:
            feed: cam
            video: {{codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}}
            record: {{folder: {}, every: 1s, part: 0.3, keep: {{free: 8M}}}}
        auth: {{anyone: [operator]}}
        ",
        root.display()
    ));
    let mut viewer = server.get("/cam.ts");
    viewer.take(1000, SOON);
    server.log.wait_nth("recording file closed", 4, SOON);
    let list = json(&server, "/rec/cam/list");
    let path = |number: usize| root.join(list[number]["file"].as_str().unwrap());
    let id = list[0]["id"].as_str().unwrap();
    let body = "{\"protected\": true}";
    let head = format!(
        "PATCH /api/v1/recordings/cam/{id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(http::send(server.address(), &head).status, 200);

    let ballast = disk.folder.join("ballast");
    fill(&ballast);
    let full = wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "disk-full");
    assert!(full["recording"]["error"].as_str().unwrap().contains("the disk is full"), "{full}");
    // Room is made of what may go.
    wait_until("the oldest files are deleted", SOON, || !path(1).exists() && !path(2).exists());
    server.log.wait("recording deleted .*reason=\"free space\"", SOON);
    assert!(path(0).exists(), "a protected file was deleted");
    viewer.take(20_000, SOON);

    fs::remove_file(&ballast).unwrap();
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    let closed = server.log.count("recording file closed");
    server.log.wait_nth("recording file closed", closed + 2, SOON);
    viewer.take(20_000, SOON);
    assert_eq!(entry(&state(&server), "streams", "cam")["gaps"], 0);
    drop(server);
    let all = files(&root, "mp4");
    assert!(all.len() >= 3, "{all:?}");
    all.iter().for_each(|file| media::assert_decodes_file(file));
}

#[test]
fn a_disk_that_hangs_costs_its_own_recording_alone() {
    if !have_failpoints() {
        return;
    }
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let yaml = format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams:
          one: {{feed: cam, video: {H264}, record: {{folder: {}, part: 0.3, every: 1h}}}}
          other: {{feed: cam, video: {H264}, record: {{folder: {}, part: 0.3, every: 1h}}}}
        auth: {{anyone: [operator]}}
        ",
        one.path().display(),
        other.path().display()
    );
    // A disk may hold up 60 kB; one of the two does so for so long that more than that comes.
    let points = "recording-queue=return(60000);recording-disk=12*off->1*sleep(9000)->off";
    let server = Launch::new(&yaml).env("FAILPOINTS", points).start();
    let mut viewer = server.get("/one.ts");
    viewer.take(1000, SOON);
    let recording = |name: &str| entry(&state(&server), "streams", name)["recording"].clone();
    let hangs = |name: &str| recording(name)["queued_bytes"].as_u64() > Some(25_000);
    wait_until("a disk hangs", SOON, || hangs("one") || hangs("other"));
    let (stuck, well) = if hangs("one") { ("one", "other") } else { ("other", "one") };
    let before = recording(well)["bytes"].as_u64().unwrap();
    wait_until("the queue is full", SOON, || recording(stuck)["state"] == "disk-slow");
    let end = recording(well);
    assert!(end["bytes"].as_u64().unwrap() > before + 10_000, "{before} {end:#}");
    assert_eq!((&end["failures"], &end["lost_samples"]), (&0.into(), &0.into()), "{end:#}");
    let full = recording(stuck);
    assert!(full["error"].as_str().unwrap().contains("the disk is too slow"), "{full:#}");
    assert!(full["queued_bytes"].as_u64() <= Some(60_000), "{full:#}");

    // It records again as soon as the disk works, and the list says where something is missing.
    wait_until("it records again", SOON, || recording(stuck)["state"] == "recording");
    assert!(recording(stuck)["lost_samples"].as_u64() > Some(0));
    wait_until("both files are listed", SOON, || {
        json(&server, &format!("/rec/{stuck}/list")).as_array().unwrap().len() == 2
    });
    let list = json(&server, &format!("/rec/{stuck}/list"));
    assert_eq!((&list[0]["ended"], &list[1]["continues"]), (&"gap".into(), &false.into()), "{list:#}");
    let (_, list) = (list, json(&server, &format!("/rec/{well}/list")));
    assert_eq!(list.as_array().unwrap().len(), 1, "{list:#}");
    viewer.take(20_000, SOON);
    assert_eq!(entry(&state(&server), "streams", "one")["gaps"], 0);
}

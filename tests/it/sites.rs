//! Programs that read what video sites show, as sources: those of the manual, whose site is a server beside.

use crate::rig::{
    Launch, Server, have,
    media::{self, Frames},
    pushes::camera,
    secs,
    state::wait_for,
    tool,
};
use std::path::Path;

/// The recipe of the manual, with what a site has in place of the addresses in it.
fn recipe(address: &str) -> String {
    let manual = include_str!("../../docs/sources.md");
    let block = manual.split("```yaml\n").find(|block| block.contains("streamlink")).unwrap();
    let block = block.split("```").next().unwrap();
    let is_of_site = |word: &&str| word.trim_matches(['"', ']', '}', ',']).starts_with("https://");
    let of_sites: Vec<_> =
        block.split_whitespace().filter(is_of_site).map(|word| word.trim_end_matches([']', '}', ','])).collect();
    assert_eq!(of_sites.len(), 2, "{block}");
    of_sites.iter().fold(block.to_owned(), |text, word| text.replace(word, &format!("\"{address}\"")))
}

/// A server that finds these programs before others.
fn with_programs(folder: &Path, yaml: &str) -> Server {
    let search = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&search));
    Launch::new(yaml).env("PATH", std::env::join_paths(folders).unwrap()).start()
}

#[test]
fn w21_channels_of_sites_are_read_by_programs_that_know_them() {
    let Some(streamlink) = tool("sites/bin/streamlink") else { return };
    if !have("ffmpeg") {
        return;
    }
    // What sites have for live channels are playlists of HLS.
    let site = Server::start(&camera(&[]));
    let yaml = recipe(&site.url("/cam0.m3u8"));
    let server = with_programs(streamlink.parent().unwrap(), &yaml);
    for name in ["channel", "show"] {
        let mut viewer = server.get(&format!("/{name}.ts"));
        assert_eq!(viewer.status, 200, "{name}");
        let mut bytes = viewer.piece(secs(40));
        bytes.extend(viewer.collect(secs(2)));
        assert!(bytes.chunks_exact(188).all(|packet| packet[0] == 0x47), "{name}: not as it was sent");
        wait_for(&server, "feeds", name, |feed| feed["state"] == "running" && feed["restarts"] == 0);
        // Its other containers are made of the same bytes.
        let mut film = server.get(&format!("/{name}.mp4"));
        let bytes = film.collect(secs(3));
        let frames = Frames::of(media::whole(&bytes), false);
        let seen = (&frames.codecs[..], frames.pictures.len() > 25, frames.sounds > 40, &*frames.complaints);
        assert_eq!(seen, (&["aac".to_owned(), "h264".to_owned()][..], true, true, ""), "{name}");
    }
}

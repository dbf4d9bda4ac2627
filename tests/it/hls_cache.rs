//! A cache in front of the server, as those who have many viewers put there.

use crate::{
    hls::{camera, media_playlists, metric, text},
    rig::{SOON, Server, have, http, playlist::Playlist, wait_until},
};
use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// How many play through the cache.
const VIEWERS: usize = 100;

/// nginx as a cache. Dropped, it is killed.
struct Cache {
    program: Child,
    address: SocketAddr,
}

impl Cache {
    fn start(folder: &Path, server: &Server) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (inside, origin) = (folder.display(), server.address());
        let text = format!(
            "pid {inside}/pid;\nerror_log {inside}/error.log;\ndaemon off;\nmaster_process off;\n\
             events {{ worker_connections 1024; }}\nhttp {{\n  access_log off;\n  client_body_temp_path {inside}/body;\n  \
             proxy_temp_path {inside}/temp;\n  fastcgi_temp_path {inside}/f;\n  uwsgi_temp_path {inside}/u;\n  \
             scgi_temp_path {inside}/s;\n  proxy_cache_path {inside}/cache keys_zone=media:1m;\n  server {{\n    \
             listen {address};\n    location / {{\n      proxy_pass http://{origin};\n      proxy_http_version 1.1;\n      \
             proxy_cache media;\n      proxy_cache_lock on;\n      proxy_cache_lock_timeout 20s;\n    }}\n  }}\n}}\n"
        );
        let config = folder.join("nginx.conf");
        fs::write(&config, text).unwrap();
        let program =
            Command::new("nginx").args(["-c", config.to_str().unwrap()]).stdin(Stdio::null()).spawn().unwrap();
        wait_until("nginx listens", SOON, || TcpStream::connect(address).is_ok());
        Self { program, address }
    }

    /// All viewers request a path at the same time; how many bytes each got.
    fn viewed(&self, path: &str) -> usize {
        let lengths: Vec<usize> = thread::scope(|scope| {
            let viewer = || {
                let mut answer = http::get(self.address, path);
                let length = answer.rest(SOON).len();
                assert_eq!(answer.status, 200, "{path}");
                length
            };
            let viewers: Vec<_> = (0..VIEWERS).map(|_| scope.spawn(viewer)).collect();
            viewers.into_iter().map(|viewer| viewer.join().unwrap()).collect()
        });
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{path}: {lengths:?}");
        lengths[0]
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn a_cache_fetches_each_segment_and_part_once_for_a_hundred_viewers() {
    if !have("nginx") {
        return;
    }
    let (server, folder) = (camera(", hls: {segment: 1}"), tempfile::tempdir().unwrap());
    let cache = Cache::start(folder.path(), &server);
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let requests = |kind: &str| metric(&server, &format!("voyandz_hls_requests_total{{kind=\"{kind}\"}}"));
    for _ in 0..3 {
        let list = Playlist::parse(&text(&server, &playlist));
        let before = (requests("segment"), requests("part"));
        // The part and the segment that are being made: all of them wait.
        let part = cache.viewed(&format!("/cam/hls/{}", list.hint.as_ref().unwrap()));
        let open = format!("/cam/hls/v0-{}.m4s", list.open_number());
        let segment = cache.viewed(&open);
        assert!(part > 0 && segment >= part, "{segment} and {part} bytes");
        // Once more, of the cache alone.
        cache.viewed(&open);
        assert_eq!((requests("segment") - before.0, requests("part") - before.1), (1.0, 1.0), "{open}");
    }
}

//! What the system around GStreamer has.

use super::report::Finding;
use crate::{
    config::{self, Loaded, Origin},
    net::interface_addresses,
    output::webrtc::candidates::{advertised, doubt},
    sys::{
        devices::{self, Device},
        programs,
    },
};
use rustix::process::{Resource, getrlimit};
use std::{
    fs,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    path::{Path, PathBuf},
};

/// Fewer open files than this are too few for a server with viewers.
const FILES: u64 = 4096;
/// Programs that feeds and streams are often made of, and what for.
const PROGRAMS: [(&str, &str); 3] = [
    ("ffmpeg", "feeds and streams that are commands"),
    ("gst-launch-1.0", "trying a pipeline by hand"),
    ("v4l2-ctl", "finding out what a capture card delivers"),
];

/// Capture cards, sound cards and graphics cards, and whether this user may use them.
pub(super) fn devices() -> Vec<Finding> {
    let finding = |device: Device| {
        let fault = device.fault();
        let Device { kind, path, name, .. } = device;
        let label = match kind {
            "audio" => format!("records audio {name}").trim().to_owned(),
            "render" => "encodes and decodes in hardware".to_owned(),
            _ => name,
        };
        match fault {
            None => Finding::good(&path, &label),
            Some(fault) => Finding::absent(&path, &label, &fault),
        }
    };
    let mut findings: Vec<_> = devices::devices().into_iter().map(finding).collect();
    if findings.is_empty() {
        findings.push(Finding::absent("none", "no capture card, sound card or graphics card", ""));
    }
    findings
}

/// Programs on `PATH`.
pub(super) fn programs() -> Vec<Finding> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let finding = |(name, purpose): &(&str, &str)| match found(name) {
        Some(file) => Finding::good(name, &format!("{purpose}: {}", file.display())),
        None => {
            let remedy =
                programs::remedy(name).map_or("not on PATH".to_owned(), |remedy| format!("not on PATH; {remedy}"));
            Finding::absent(name, purpose, &remedy)
        }
    };
    PROGRAMS.iter().map(finding).collect()
}

/// Open files and processors.
pub(super) fn limits() -> Vec<Finding> {
    let files = getrlimit(Resource::Nofile).maximum;
    let told = files.map_or("unlimited".to_owned(), |files| files.to_string());
    let files = match files {
        Some(few) if few < FILES => {
            Finding::absent("open files", &told, "one per viewer: raise it with ulimit -Hn, or LimitNOFILE= of systemd")
        }
        _ => Finding::good("open files", &told),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    vec![files, Finding::good("processors", &cores.to_string())]
}

/// The configuration: its errors, and what of the machine it needs.
pub(super) fn configuration(loaded: &Result<(Origin, Loaded), Vec<String>>, faults: &[String]) -> Vec<Finding> {
    let fault = |fault: &String| Finding::lacks("fault", fault, "");
    let (origin, loaded) = match loaded {
        Ok(loaded) => loaded,
        Err(faults) => return faults.iter().map(fault).collect(),
    };
    let file = match origin {
        Origin::File(path) => path.clone(),
        Origin::Demo => PathBuf::from("the built-in demo"),
    };
    let config = &loaded.config;
    let address = SocketAddr::new(config.listen_addr, config.listen_port);
    let mut findings = vec![Finding::good("file", &file.display().to_string())];
    findings.push(match TcpListener::bind(address) {
        Ok(_) => Finding::good("address", &format!("{address} is free")),
        Err(error) => Finding::lacks("address", &address.to_string(), &error.to_string()),
    });
    if let Some(webrtc) = &config.webrtc {
        findings.push(candidates(webrtc, address));
    }
    if let Some(folder) = &config.logdir {
        findings.push(logdir(folder));
    }
    findings.extend(faults.iter().map(fault));
    findings.extend(loaded.missing_files().faults.iter().map(|fault| Finding::absent("file", &fault.to_string(), "")));
    findings
}

/// The addresses that viewers of WebRTC are offered, and why they may not reach them.
fn candidates(webrtc: &config::WebRtc, listen: SocketAddr) -> Finding {
    let port = webrtc.udp.unwrap_or(listen.port());
    let mut hosts = Vec::new();
    for host in &webrtc.hosts {
        match (host.as_str(), port).to_socket_addrs() {
            Ok(found) => hosts.extend(found.map(|address| address.ip())),
            Err(error) => return Finding::lacks("webrtc", host, &error.to_string()),
        }
    }
    let found = advertised(&hosts, listen.ip(), &interface_addresses());
    let listed: Vec<_> = found.iter().map(ToString::to_string).collect();
    let mut told = format!("viewers are sent to {}, port {port} over UDP", listed.join(", "));
    if webrtc.tcp {
        told += &format!(", {} over TCP", listen.port());
    }
    match doubt(&found) {
        None => Finding::good("webrtc", &told),
        Some(doubt) => Finding::absent("webrtc", &told, doubt),
    }
}

fn logdir(folder: &Path) -> Finding {
    let shown = folder.display().to_string();
    match fs::create_dir_all(folder).and_then(|()| tempfile_in(folder)) {
        Ok(()) => Finding::good("logdir", &shown),
        Err(error) => Finding::lacks("logdir", &shown, &error.to_string()),
    }
}

/// Whether a file can be made there.
fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".voyandz-{}", std::process::id()));
    fs::File::create_new(&probe)?;
    fs::remove_file(probe)
}

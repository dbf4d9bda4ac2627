//! Under which addresses a stream can be had, by every protocol. Pure.

use super::{link::with_link, offers::Reach};
use crate::{
    config::{Config, Plain},
    engine::registry::StreamHandle,
    media::Container,
};
use std::net::{IpAddr, SocketAddr};

/// The ports of the protocols beside HTTP, as far as they are configured and known.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    rtsp: Option<SocketAddr>,
    rtmp: Option<SocketAddr>,
    srt: Option<SocketAddr>,
    /// Callers of SRT need a passphrase.
    has_passphrase: bool,
    /// RTSP and RTMP are to be encrypted.
    is_encrypted: bool,
}

impl Ports {
    /// The ports of a configuration. One that the system chooses is not known.
    pub fn of(config: &Config) -> Self {
        let known = |address: SocketAddr| Some(address).filter(|address| address.port() != 0);
        Self {
            rtsp: config.rtsp.as_ref().and_then(|rtsp| known(rtsp.listen)),
            rtmp: config.rtmp.as_ref().and_then(|rtmp| known(rtmp.listen)),
            srt: config.srt.as_ref().and_then(|srt| known(srt.listen)),
            has_passphrase: config.srt.as_ref().is_some_and(|srt| srt.passphrase.is_some()),
            is_encrypted: config.tls.as_ref().is_some_and(|tls| tls.plain == Plain::None),
        }
    }
}

/// One address.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// The protocol or container.
    pub label: &'static str,
    /// The address.
    pub url: String,
    /// What else is needed; empty if nothing.
    pub note: &'static str,
}

/// All addresses of a stream. `site` is the beginning of the addresses of the server as this client knows it, `link` the signed link that
/// those of HTTP are to have.
pub fn of(stream: &StreamHandle, reach: Reach, ports: &Ports, site: &str, link: Option<&str>) -> Vec<Address> {
    let path = stream.config.path.encoded();
    let mut found = Vec::new();
    let mut add = |label, url: String, note| found.push(Address { label, url, note });
    if stream.outputs.is_empty() {
        add(label_of(stream.config.container), with_link(format!("{site}{path}"), link), "");
    }
    let carried = stream.carried();
    for output in stream.outputs.iter().filter(|output| carried.contains(&output.config.container)) {
        let url = with_link(format!("{site}{}", output.config.path.encoded()), link);
        add(label_of(output.config.container), url, "");
    }
    if reach.playlist
        && let Some(playlist) = stream.playlist_path()
    {
        add("HLS", with_link(format!("{site}{playlist}"), link), "");
        if let Some(manifest) = stream.manifest_path() {
            add("DASH", with_link(format!("{site}{manifest}"), link), "");
        }
    }
    if stream.sampled().is_some() {
        if reach.webrtc {
            add("WHEP", with_link(format!("{site}{path}/whep"), link), "");
        }
        found.extend(beyond_http(&path, ports, site, link));
    }
    found
}

/// The addresses of a stream at this path by the protocols beside HTTP.
fn beyond_http(path: &str, ports: &Ports, site: &str, link: Option<&str>) -> Vec<Address> {
    let host = host_of(site);
    let at = |listener: Option<SocketAddr>| {
        let listener = listener?;
        Some(format!("{}:{}", reached(listener.ip(), host)?, listener.port()))
    };
    let secure = if ports.is_encrypted { "s" } else { "" };
    let rtsp = at(ports.rtsp).map(|host| ("RTSP", with_link(format!("rtsp{secure}://{host}{path}"), link), ""));
    let rtmp = at(ports.rtmp).map(|host| ("RTMP", format!("rtmp{secure}://{host}{path}"), ""));
    let note = if ports.has_passphrase { "with &passphrase=…" } else { "" };
    let srt =
        at(ports.srt).map(|host| ("SRT", format!("srt://{host}?streamid={}", path.trim_start_matches('/')), note));
    let found = [rtsp, rtmp, srt].into_iter().flatten();
    found.map(|(label, url, note)| Address { label, url, note }).collect()
}

/// Whether a phone could open addresses of this server: not if they lead to the machine of the reader itself.
pub fn is_elsewhere(site: &str) -> bool {
    !is_here(host_of(site))
}

/// The host of the addresses of a server, without scheme and port.
fn host_of(site: &str) -> &str {
    let host = site.split_once("://").map_or(site, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host under which a listener at this address is reached by a client that reaches HTTP at `host`; `None` if it is not.
fn reached(address: IpAddr, host: &str) -> Option<String> {
    match address {
        _ if address.is_unspecified() => Some(host.to_owned()),
        _ if address.is_loopback() => is_here(host).then(|| host.to_owned()),
        IpAddr::V4(address) => Some(address.to_string()),
        IpAddr::V6(address) => Some(format!("[{address}]")),
    }
}

/// How a container is called by those who look for it.
const fn label_of(container: Container) -> &'static str {
    match container {
        Container::Ts => "MPEG-TS",
        Container::Mp4 => "MP4",
        Container::Webm => "WebM",
        Container::Mkv => "Matroska",
        Container::Flv => "FLV",
        Container::Ogg => "Ogg",
        Container::Mp3 => "MP3",
        Container::Aac => "AAC",
        Container::Flac => "FLAC",
        Container::Wav => "WAV",
        Container::Mjpeg => "Motion JPEG",
        Container::Avi | Container::WebRtc | Container::Rtp | Container::Raw => "HTTP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_of_the_client() {
        for (site, host, elsewhere) in [
            ("http://tv.example:8090", "tv.example", true),
            ("https://tv.example", "tv.example", true),
            ("http://[::1]:80", "[::1]", false),
            ("http://127.0.0.1:8090", "127.0.0.1", false),
            ("http://localhost", "localhost", false),
            ("http://[2001:db8::1]", "[2001:db8::1]", true),
        ] {
            assert_eq!((host_of(site), is_elsewhere(site)), (host, elsewhere), "{site}");
        }
    }

    #[test]
    fn each_protocol_has_its_form() {
        let at = |text: &str| Some(text.parse().unwrap());
        let mut ports = Ports {
            rtsp: at("0.0.0.0:8554"),
            rtmp: at("192.0.2.9:1935"),
            srt: at("127.0.0.1:8890"),
            ..Ports::default()
        };
        let urls = |ports: &Ports, site: &str| {
            let found = beyond_http("/a%20b.ts", ports, site, Some("v=x"));
            found
                .into_iter()
                .map(|address| format!("{} {} {}", address.label, address.url, address.note))
                .collect::<Vec<_>>()
        };
        let [rtsp, rtmp] = ["RTSP rtsp://tv:8554/a%20b.ts?v=x ", "RTMP rtmp://192.0.2.9:1935/a%20b.ts "];
        assert_eq!(urls(&ports, "http://tv:80"), [rtsp, rtmp]);
        ports.has_passphrase = true;
        let srt = "SRT srt://localhost:8890?streamid=a%20b.ts with &passphrase=…";
        assert_eq!(urls(&ports, "http://localhost:80"), [&rtsp.replace("tv", "localhost"), rtmp, srt]);
        ports.is_encrypted = true;
        assert_eq!(urls(&ports, "https://tv")[0], rtsp.replace("rtsp:", "rtsps:"));
    }

    #[test]
    fn listeners_are_named_where_they_are_reached() {
        let check = |address: &str, host: &str, expected: Option<&str>| {
            assert_eq!(reached(address.parse().unwrap(), host).as_deref(), expected, "{address} for {host}");
        };
        check("0.0.0.0", "tv.example", Some("tv.example"));
        check("::", "192.0.2.1", Some("192.0.2.1"));
        check("127.0.0.1", "localhost", Some("localhost"));
        check("127.0.0.1", "tv.example", None);
        check("192.0.2.9", "tv.example", Some("192.0.2.9"));
        check("2001:db8::9", "tv.example", Some("[2001:db8::9]"));
    }
}

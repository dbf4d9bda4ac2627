//! Files that describe a session (SDP, RFC 8866) and not media: the media comes as RTP to the addresses that they name. Pure.

use std::path::Path;

/// How long packets are held to sort those that overtook each other, in milliseconds.
const LATENCY: u32 = 100;
/// How long the network may be silent, in microseconds.
const SILENCE: u32 = 10_000_000;

/// Whether a feed's file is one.
pub fn is_session(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sdp"))
}

/// The pipeline that receives the session of a file.
pub fn session_pipeline(path: &Path) -> String {
    let location = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    // A description may name an RTSP server, which is asked in its place; a file says where media comes from by itself.
    format!("filesrc location=\"{location}\" ! sdpdemux redirect=false latency={LATENCY} timeout={SILENCE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_sessions_have_a_pipeline() {
        assert!(is_session(Path::new("/a/b.sdp")) && is_session(Path::new("B.SDP")) && !is_session(Path::new("sdp")));
        let text = session_pipeline(Path::new("/a b/\"c\\d.sdp"));
        assert_eq!(
            text,
            r#"filesrc location="/a b/\"c\\d.sdp" ! sdpdemux redirect=false latency=100 timeout=10000000"#
        );
    }
}

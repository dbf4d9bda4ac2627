//! Programs that commands are often made of, and the packages that have them. Pure.

/// Programs with the packages of Debian and of Nix that have them.
const PACKAGES: [(&str, &str, &str); 18] = [
    ("arecord", "alsa-utils", "alsa-utils"),
    ("curl", "curl", "curl"),
    ("cvlc", "vlc-bin", "vlc"),
    ("dvbv5-zap", "dvb-tools", "v4l-utils"),
    ("ffmpeg", "ffmpeg", "ffmpeg"),
    ("ffprobe", "ffmpeg", "ffmpeg"),
    ("gphoto2", "gphoto2", "gphoto2"),
    ("gst-launch-1.0", "gstreamer1.0-tools", "gst_all_1.gstreamer"),
    ("libcamera-vid", "rpicam-apps", "rpicam-apps"),
    ("mplayer", "mplayer", "mplayer"),
    ("nc", "netcat-openbsd", "netcat-openbsd"),
    ("python3", "python3", "python3"),
    ("rpicam-vid", "rpicam-apps", "rpicam-apps"),
    ("socat", "socat", "socat"),
    ("sox", "sox", "sox"),
    ("streamlink", "streamlink", "streamlink"),
    ("v4l2-ctl", "v4l-utils", "v4l-utils"),
    ("yt-dlp", "yt-dlp", "yt-dlp"),
];

/// How to get a program, as for elements of GStreamer: `(Debian: apt-get install ffmpeg; Nix: ffmpeg)` without the parentheses.
/// `None` for a program that is not of the table.
pub fn remedy(program: &str) -> Option<String> {
    let (_, debian, nix) = PACKAGES.iter().find(|(name, ..)| *name == program)?;
    Some(format!("Debian: apt-get install {debian}; Nix: {nix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_program_has_its_packages() {
        assert_eq!(remedy("v4l2-ctl").as_deref(), Some("Debian: apt-get install v4l-utils; Nix: v4l-utils"));
        assert_eq!(remedy("/usr/bin/ffmpeg"), None);
        assert_eq!(remedy(""), None);
    }

    #[test]
    fn the_table_is_in_order_and_has_each_program_once() {
        assert!(PACKAGES.is_sorted_by(|one, next| one.0 < next.0));
    }
}

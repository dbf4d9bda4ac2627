//! The description of what a publisher sends (RFC 8866), as far as it matters. Pure.

use crate::media::rtp::{Description, Encoding, Unsupported};

/// Most tracks of a publisher.
const MAX_TRACKS: usize = 8;
/// Timestamps of video tick so often a second, if nothing else is said.
const VIDEO_CLOCK: u32 = 90_000;

/// A track of a publisher.
#[derive(Debug, Clone)]
pub struct Announced {
    /// What its address ends with, or its whole address, as the publisher has it; empty when it is the only one.
    pub control: String,
    /// How its packets are read; `None` for what is neither video nor audio, and is ignored.
    pub description: Option<Description>,
}

/// Why a description is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// It has no tracks, or cannot be read.
    #[error("the description has no track of video or audio")]
    NoTracks,
    /// It has more than there may be.
    #[error("the description has more than {MAX_TRACKS} tracks")]
    TooMany,
    /// The packets are encrypted, or no RTP.
    #[error("tracks are sent as RTP/AVP, not as {0}")]
    Protocol(String),
    /// A codec, or a form of it.
    #[error("cannot {0}")]
    Unsupported(#[from] Unsupported),
}

/// Reads a description.
///
/// # Errors
/// When it is none, or when a track of it cannot be read.
pub fn announced(text: &str) -> Result<Vec<Announced>, AnnounceError> {
    let mut tracks = Vec::new();
    let mut media: Option<Media<'_>> = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(value) = line.strip_prefix("m=") {
            tracks.extend(media.take());
            if tracks.len() == MAX_TRACKS {
                return Err(AnnounceError::TooMany);
            }
            media = Some(Media::new(value));
        } else if let (Some(attribute), Some(media)) = (line.strip_prefix("a="), &mut media) {
            media.attribute(attribute);
        }
    }
    tracks.extend(media);
    let tracks: Vec<Announced> = tracks.iter().map(Media::track).collect::<Result<_, _>>()?;
    match tracks.iter().any(|track| track.description.is_some()) {
        true => Ok(tracks),
        false => Err(AnnounceError::NoTracks),
    }
}

/// The track that an address of a `SETUP` means: the one whose control it is or ends with.
pub fn track_of(tracks: &[Announced], target: &str) -> Option<usize> {
    let target = target.trim_end_matches('/');
    let is_of = |track: &Announced| {
        let control = track.control.trim_end_matches('/');
        !control.is_empty()
            && target.strip_suffix(control).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    // The longest, as one may end with another.
    let found = tracks.iter().enumerate().filter(|(_, track)| is_of(track));
    found.max_by_key(|(_, track)| track.control.len()).map(|(number, _)| number)
}

/// A media section.
#[derive(Debug)]
struct Media<'a> {
    kind: &'a str,
    protocol: &'a str,
    /// The first payload type.
    payload_type: Option<u8>,
    map: Option<&'a str>,
    parameters: &'a str,
    control: &'a str,
}

impl<'a> Media<'a> {
    fn new(line: &'a str) -> Self {
        let mut words = line.split_ascii_whitespace();
        let (kind, _port, protocol) = (words.next(), words.next(), words.next());
        Self {
            kind: kind.unwrap_or_default(),
            protocol: protocol.unwrap_or_default(),
            payload_type: words.next().and_then(|word| word.parse().ok()).filter(|kind| *kind < 128),
            map: None,
            parameters: "",
            control: "",
        }
    }

    fn attribute(&mut self, attribute: &'a str) {
        let Some((name, value)) = attribute.split_once(':') else { return };
        let of_type = || {
            let (kind, rest) = value.trim_start().split_once(' ')?;
            (kind.parse().ok() == self.payload_type).then_some(rest.trim())
        };
        match name {
            "rtpmap" => self.map = self.map.or(of_type()),
            "fmtp" => self.parameters = of_type().unwrap_or(self.parameters),
            "control" => self.control = value.trim(),
            _ => {}
        }
    }

    fn track(&self) -> Result<Announced, AnnounceError> {
        let control = self.control.to_owned();
        let is_media = matches!(self.kind, "video" | "audio");
        let Some(payload_type) = self.payload_type.filter(|_| is_media) else {
            return Ok(Announced { control, description: None });
        };
        if !matches!(self.protocol.to_ascii_uppercase().as_str(), "RTP/AVP" | "RTP/AVPF" | "RTP/AVP/TCP") {
            return Err(AnnounceError::Protocol(self.protocol.chars().take(32).collect()));
        }
        let (encoding, clock_rate) = match self.map {
            Some(map) => {
                let mut parts = map.split('/').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let rate = parts.next().and_then(|rate| rate.parse().ok()).filter(|rate| *rate > 0);
                let channels = parts.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
                let rate = rate.unwrap_or(VIDEO_CLOCK);
                (Encoding::parse(name, rate, channels, self.parameters)?, rate)
            }
            None => Encoding::of_static(payload_type)
                .ok_or_else(|| Unsupported::Name(format!("payload type {payload_type}")))?,
        };
        Ok(Announced { control, description: Some(Description { encoding, clock_rate, payload_type }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What ffmpeg 5.1 and rtspclientsink of GStreamer 1.22 announce.
    const FFMPEG: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:libavformat 59.27.100\r\n\
        m=video 0 RTP/AVP 96\r\nb=AS:200\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aMuMsg==; profile-level-id=42C01E\r\na=control:streamid=0\r\n\
        m=audio 0 RTP/AVP 97\r\nb=AS:128\r\na=rtpmap:97 MPEG4-GENERIC/48000/2\r\na=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=1190\r\na=control:streamid=1\r\n";
    const GSTREAMER: &str = "v=0\no=- 1188340656180883 1 IN IP4 127.0.0.1\ns=Session streamed with GStreamer\nt=0 0\na=tool:GStreamer\na=type:broadcast\n\
        m=audio 0 RTP/AVP 96\nc=IN IP4 127.0.0.1\na=rtpmap:96 MP4A-LATM/48000/2\na=fmtp:96 cpresent=0;config=40002320\na=control:stream=1\n\
        m=video 0 RTP/AVP 97\nc=IN IP4 127.0.0.1\na=rtpmap:97 H264/90000\na=framerate:25\na=fmtp:97 packetization-mode=1;profile-level-id=42c01e\na=control:stream=0\n";

    #[test]
    fn descriptions_of_encoders_are_read() {
        let tracks = announced(FFMPEG).unwrap();
        assert_eq!(tracks.iter().map(|track| track.control.as_str()).collect::<Vec<_>>(), ["streamid=0", "streamid=1"]);
        let descriptions: Vec<_> = tracks.iter().map(|track| track.description.clone().unwrap()).collect();
        assert!(
            matches!(&descriptions[0].encoding, Encoding::H264(sets) if sets.sps.len() == 1 && sets.pps.len() == 1)
        );
        assert_eq!((descriptions[1].payload_type, descriptions[1].clock_rate), (97, 48_000));
        let tracks = announced(GSTREAMER).unwrap();
        assert!(matches!(tracks[0].description.as_ref().unwrap().encoding, Encoding::Latm(Some(_))));
    }

    #[test]
    fn tracks_are_found_by_their_control_and_not_by_a_number_in_it() {
        let tracks = announced(GSTREAMER).unwrap();
        let of = |target| track_of(&tracks, target);
        assert_eq!(of("rtsp://host:8554/studio/stream=1"), Some(0));
        assert_eq!(of("rtsp://host:8554/studio/stream=0/"), Some(1));
        assert_eq!((of("rtsp://host:8554/studio"), of("rtsp://host/studio/upstream=1")), (None, None));
        let absolute = announced("m=audio 0 RTP/AVP 0\na=control:rtsp://host/studio/a\n").unwrap();
        assert_eq!(track_of(&absolute, "rtsp://host/studio/a"), Some(0));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |text: &str| announced(text).unwrap_err().to_string();
        assert_eq!(error("v=0\n"), "the description has no track of video or audio");
        assert_eq!(error("m=application 0 RTP/AVP 98\n"), "the description has no track of video or audio");
        assert!(error("m=video 0 RTP/AVP 96\na=rtpmap:96 MPV/90000\n").starts_with("cannot read RTP packets of `MPV`"));
        assert!(error("m=video 0 RTP/AVP 77\n").contains("`payload type 77`"));
        assert_eq!(
            error("m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000\n"),
            "tracks are sent as RTP/AVP, not as RTP/SAVP"
        );
        assert!(error(&"m=audio 0 RTP/AVP 0\n".repeat(9)).contains("more than 8 tracks"));
        // What is neither is ignored beside what is.
        let tracks = announced("m=audio 0 RTP/AVP 8\nm=application 0 RTP/AVP 98\n").unwrap();
        assert!(tracks[0].description.is_some() && tracks[1].description.is_none());
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "(m=(video|audio) [0-9]{1,2} RTP/AVP [0-9]{1,3}\n(a=(rtpmap|fmtp|control):.{0,20}\n){0,3}){0,3}", other: String) {
            for text in [text, other] {
                let _ = announced(&text).map(|tracks| track_of(&tracks, &text));
            }
        }
    }
}

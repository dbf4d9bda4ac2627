//! What an offer says (RFC 8866, RFC 8829), as far as the choice of tracks depends on it. Pure.

/// Most lines and media descriptions of an offer that are read.
const MAX_LINES: usize = 4096;
const MAX_MEDIA: usize = 16;
/// Most layers of a medium that are read.
const MAX_LAYERS: usize = 8;

/// An offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The client does no connectivity checks.
    pub is_lite: bool,
    /// There is the fingerprint of a certificate.
    pub has_fingerprint: bool,
    /// The name and password of its ICE session.
    pub ufrag: Option<String>,
    /// See `ufrag`.
    pub password: Option<String>,
    /// The `mid` of what shares one connection.
    pub bundle: Vec<String>,
    /// In the order of the offer.
    pub media: Vec<Media>,
}

/// One media description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `application`, or what else there is.
    pub kind: String,
    /// Its name.
    pub mid: String,
    /// It is not wanted: its port is 0 (RFC 3264, section 6).
    pub is_rejected: bool,
    /// What the client does.
    pub direction: Direction,
    /// RTCP comes over the connection of RTP.
    pub has_rtcp_mux: bool,
    /// In the order of preference.
    pub formats: Vec<Format>,
    /// The header extensions of RTP: numbers and names.
    pub extensions: Vec<(u8, String)>,
    /// What the layers are called that the client sends (RFC 8853), those first that it prefers.
    pub layers: Vec<String>,
}

/// What the client does with media.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Sends and receives.
    #[default]
    SendReceive,
    /// Sends.
    Send,
    /// Receives.
    Receive,
    /// Neither.
    Inactive,
}

/// A payload type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Format {
    /// Its number.
    pub payload_type: u8,
    /// The name of the codec in lower case.
    pub codec: String,
    /// Ticks a second.
    pub clock: u32,
    /// Channels of audio.
    pub channels: Option<u8>,
    /// `a=fmtp`, without the number.
    pub parameters: String,
}

/// Why a text is no offer that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It does not begin as one.
    #[error("the body is no session description: it must begin with v=0")]
    NotSdp,
    /// It has too much.
    #[error("the session description has too many lines or media")]
    TooLong,
    /// It offers nothing.
    #[error("there are no media: expected m=video or m=audio")]
    NoMedia,
    /// It cannot be connected to.
    #[error("there is no a=ice-ufrag and a=ice-pwd")]
    NoIce,
    /// It cannot be encrypted.
    #[error("there is no a=fingerprint")]
    NoFingerprint,
    /// Neither side would begin.
    #[error("the offer is of a client that does no checks of ICE (a=ice-lite), as this server does none")]
    BothLite,
}

impl Format {
    /// The value of a parameter.
    pub fn parameter(&self, wanted: &str) -> Option<&str> {
        self.parameters.split(';').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }
}

impl Media {
    /// The payload type that repairs another one (RFC 4588).
    pub fn retransmission_of(&self, payload_type: u8) -> Option<u8> {
        let is_of = |format: &&Format| {
            format.codec == "rtx" && format.parameter("apt").and_then(|apt| apt.parse().ok()) == Some(payload_type)
        };
        self.formats.iter().find(is_of).map(|format| format.payload_type)
    }

    /// The number of a header extension.
    pub fn extension(&self, name: &str) -> Option<u8> {
        self.extensions.iter().find(|(_, known)| known == name).map(|(number, _)| *number)
    }
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// When it lacks what no answer can do without.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        let offer = Self::parse_answer(text)?;
        if offer.is_lite { Err(SdpError::BothLite) } else { Ok(offer) }
    }

    /// Reads an answer to an offer of ours, which is made of the same. Its sender need not check the way.
    ///
    /// # Errors
    /// When it lacks what no session can do without.
    pub fn parse_answer(text: &str) -> Result<Self, SdpError> {
        if !text.trim_start().starts_with("v=0") {
            return Err(SdpError::NotSdp);
        }
        let mut offer = Self::default();
        for (number, line) in text.lines().enumerate() {
            if number >= MAX_LINES || offer.media.len() > MAX_MEDIA {
                return Err(SdpError::TooLong);
            }
            let Some((kind, value)) = line.trim_end().split_once('=') else { continue };
            match kind {
                "m" => offer.media.push(media(value)),
                "a" => offer.attribute(value),
                _ => {}
            }
        }
        match () {
            () if offer.media.is_empty() => Err(SdpError::NoMedia),
            () if offer.ufrag.is_none() || offer.password.is_none() => Err(SdpError::NoIce),
            () if !offer.has_fingerprint => Err(SdpError::NoFingerprint),
            () => Ok(offer),
        }
    }

    fn attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-lite" => self.is_lite = true,
            "fingerprint" => self.has_fingerprint = true,
            // That of the first medium counts for all that share its connection.
            "ice-ufrag" => _ = self.ufrag.get_or_insert_with(|| value.to_owned()),
            "ice-pwd" => _ = self.password.get_or_insert_with(|| value.to_owned()),
            "group" => {
                if let Some(names) = value.strip_prefix("BUNDLE") {
                    self.bundle = names.split_whitespace().map(str::to_owned).collect();
                }
            }
            _ => {
                if let Some(media) = self.media.last_mut() {
                    media.attribute(name, value);
                }
            }
        }
    }
}

impl Media {
    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "mid" => self.mid = value.to_owned(),
            "sendrecv" => self.direction = Direction::SendReceive,
            "sendonly" => self.direction = Direction::Send,
            "recvonly" => self.direction = Direction::Receive,
            "inactive" => self.direction = Direction::Inactive,
            "simulcast" => self.layers = sent_layers(value),
            "rtcp-mux" => self.has_rtcp_mux = true,
            "extmap" => {
                if let Some((number, name)) = value.split_once(' ')
                    && let Some(Ok(number)) = number.split('/').next().map(str::parse)
                {
                    self.extensions.push((number, name.split(' ').next().unwrap_or_default().to_owned()));
                }
            }
            "rtpmap" | "fmtp" => {
                let Some((number, rest)) = value.split_once(' ') else { return };
                let Ok(number) = number.parse::<u8>() else { return };
                let Some(format) = self.formats.iter_mut().find(|format| format.payload_type == number) else { return };
                if name == "fmtp" {
                    format.parameters = rest.trim().to_owned();
                    return;
                }
                let mut parts = rest.trim().split('/');
                format.codec = parts.next().unwrap_or_default().to_ascii_lowercase();
                format.clock = parts.next().and_then(|clock| clock.parse().ok()).unwrap_or(0);
                format.channels = parts.next().and_then(|channels| channels.parse().ok());
            }
            _ => {}
        }
    }
}

/// The layers of `send` in `a=simulcast` (RFC 8853, section 5.1). Of alternatives the first one counts; `~` is for those that are paused
/// at first.
fn sent_layers(value: &str) -> Vec<String> {
    let mut words = value.split_whitespace().skip_while(|word| *word != "send").skip(1);
    let name = |layer: &str| {
        let name = layer.split(',').next().unwrap_or_default().trim_start_matches('~').to_owned();
        (!name.is_empty()).then_some(name)
    };
    words.next().map(|list| list.split(';').filter_map(name).take(MAX_LAYERS).collect()).unwrap_or_default()
}

fn media(line: &str) -> Media {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or_default().to_owned();
    let mut formats: Vec<Format> = Vec::new();
    for number in words.skip(2).filter_map(|word| word.parse::<u8>().ok()).filter(|number| *number < 128) {
        if formats.iter().all(|known| known.payload_type != number) {
            formats.push(Format { payload_type: number, ..Format::default() });
        }
    }
    // With a number of ports behind a slash it may be several.
    let is_rejected = line.split_whitespace().nth(1) == Some("0");
    Media { kind, formats, is_rejected, ..Media::default() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Chromium makes it, shortened.
    pub(in crate::output::webrtc) const CHROMIUM: &str = "v=0\r
o=- 4611731400430051336 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0 1\r
a=extmap-allow-mixed\r
a=msid-semantic: WMS\r
m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 109 114 39 40\r
c=IN IP4 0.0.0.0\r
a=rtcp:9 IN IP4 0.0.0.0\r
a=ice-ufrag:EsAw\r
a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r
a=ice-options:trickle\r
a=fingerprint:sha-256 DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09:DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF\r
a=setup:actpass\r
a=mid:0\r
a=extmap:1 urn:ietf:params:rtp-hdrext:toffset\r
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r
a=recvonly\r
a=rtcp-mux\r
a=rtcp-rsize\r
a=rtpmap:96 VP8/90000\r
a=rtcp-fb:96 nack\r
a=rtpmap:97 rtx/90000\r
a=fmtp:97 apt=96\r
a=rtpmap:103 H264/90000\r
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r
a=rtpmap:104 rtx/90000\r
a=fmtp:104 apt=103\r
a=rtpmap:109 H264/90000\r
a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r
a=rtpmap:114 H264/90000\r
a=fmtp:114 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f\r
a=rtpmap:39 AV1/90000\r
a=fmtp:39 level-idx=5;profile=0;tier=0\r
a=rtpmap:40 VP9/90000\r
a=fmtp:40 profile-id=0\r
m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r
c=IN IP4 0.0.0.0\r
a=mid:1\r
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r
a=recvonly\r
a=rtcp-mux\r
a=rtpmap:111 opus/48000/2\r
a=fmtp:111 minptime=10;useinbandfec=1\r
a=rtpmap:0 PCMU/8000\r
";

    #[test]
    fn an_offer_of_a_browser_is_read() {
        let offer = Offer::parse(CHROMIUM).unwrap();
        assert_eq!((offer.ufrag.as_deref(), offer.bundle.len(), offer.media.len()), (Some("EsAw"), 2, 2));
        let [video, audio] = offer.media.as_slice() else { panic!() };
        assert_eq!((video.kind.as_str(), video.mid.as_str(), video.direction), ("video", "0", Direction::Receive));
        assert_eq!((video.retransmission_of(103), video.retransmission_of(109)), (Some(104), None));
        assert_eq!(video.extension("urn:ietf:params:rtp-hdrext:sdes:mid"), Some(9));
        assert_eq!(video.formats[2].parameter("Profile-Level-ID"), Some("42001f"));
        let opus = &audio.formats[0];
        assert_eq!((opus.codec.as_str(), opus.clock, opus.channels), ("opus", 48_000, Some(2)));
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        let without = |line: &str| CHROMIUM.lines().filter(|one| !one.starts_with(line)).collect::<Vec<_>>().join("\n");
        let check = |text: &str, expect| assert_eq!(Offer::parse(text), Err(expect), "{text}");
        check("", SdpError::NotSdp);
        check("{\"sdp\": 1}", SdpError::NotSdp);
        check("v=0\r\n", SdpError::NoMedia);
        check(&without("a=ice-pwd"), SdpError::NoIce);
        check(&without("a=fingerprint"), SdpError::NoFingerprint);
        check(&format!("{CHROMIUM}a=ice-lite\r\n"), SdpError::BothLite);
        check(&format!("{CHROMIUM}{}", "m=video 9 x 1\r\n".repeat(20)), SdpError::TooLong);
        check(&format!("{CHROMIUM}{}", "a=x\r\n".repeat(5000)), SdpError::TooLong);
    }

    proptest! {
        #[test]
        fn foreign_texts_never_panic(text in "v=0(\n[am]=[a-z0-9:/ =;.-]{0,40}){0,30}|.*") {
            let _ = Offer::parse(&text);
        }
    }
}

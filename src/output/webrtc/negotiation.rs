//! Which tracks of a stream answer an offer, and how. Pure.

use super::sdp::{Direction, Format, Media, Offer};
use crate::media::{
    MediaKind, TrackInfo, TrackSet,
    codec::{CodecParameters, vp9},
};

/// The header extension with which packets name their medium.
pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// How an offer of a viewer is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayPlan {
    /// The tracks that are sent, at most one of each kind.
    pub tracks: Vec<PlannedTrack>,
    /// The number of the header extension that names the medium of a packet.
    pub mid_extension: Option<u8>,
}

/// A track that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTrack {
    /// Whether it is seen or heard.
    pub kind: MediaKind,
    /// The name of the codec as the stream has it.
    pub codec: &'static str,
    /// The medium of the offer that it goes to.
    pub mid: String,
    /// In which form.
    pub format: Format,
    /// The payload type of packets that are sent again.
    pub retransmission: Option<u8>,
}

/// Why an offer is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client wants to send.
    #[error("the offer sends media: a viewer offers a=recvonly")]
    Sends,
    /// There are more media than a stream has tracks.
    #[error("the offer has several {0} media: a stream has one track of each kind")]
    Several(&'static str),
    /// Media have connections of their own.
    #[error("the media of the offer must share one connection: a=group:BUNDLE and a=rtcp-mux")]
    NotBundled,
    /// Nothing that is offered fits.
    #[error("no codec in common: the stream has {stream}, the offer takes {offer}")]
    NoCodec {
        /// The codecs of the stream.
        stream: String,
        /// Those of the offer.
        offer: String,
    },
    /// There is no place for anything that the stream has.
    #[error("the offer takes no {0}, and the stream has nothing else")]
    NoMedium(&'static str),
}

/// Chooses tracks and payload types.
///
/// # Errors
/// When nothing of the stream, or not its video, fits the offer.
pub fn plan(offer: &Offer, tracks: &TrackSet) -> Result<PlayPlan, Refusal> {
    for kind in ["video", "audio"] {
        let of_kind = || offer.media.iter().filter(|media| media.kind == kind);
        if of_kind().count() > 1 {
            return Err(Refusal::Several(kind));
        }
        if of_kind().any(|media| matches!(media.direction, Direction::Send | Direction::Inactive)) {
            return Err(Refusal::Sends);
        }
        let is_bundled = |media: &Media| media.has_rtcp_mux && offer.bundle.contains(&media.mid);
        if !of_kind().all(is_bundled) {
            return Err(Refusal::NotBundled);
        }
    }
    let planned = tracks.tracks().iter().map(|track| (track, planned(offer, track))).collect::<Vec<_>>();
    let lacks_codec = |(track, planned): &&(&TrackInfo, Option<PlannedTrack>)| {
        planned.is_none() && medium(offer, track.kind()).is_some()
    };
    // Who can have the video has it: audio alone would be a surprise. Audio that does not fit is dropped.
    let refused = planned.iter().filter(|(track, _)| track.kind() == MediaKind::Video).find(lacks_codec);
    let chosen: Vec<_> = planned.iter().filter_map(|(_, planned)| planned.clone()).collect();
    let refused = refused.or_else(|| planned.iter().filter(|_| chosen.is_empty()).find(lacks_codec));
    if let Some((track, _)) = refused {
        let offered = medium(offer, track.kind()).map(names).unwrap_or_default();
        return Err(Refusal::NoCodec { stream: name_of(&track.codec), offer: offered });
    }
    if chosen.is_empty() {
        let has_video = tracks.tracks().iter().any(|track| track.kind() == MediaKind::Video);
        return Err(Refusal::NoMedium(if has_video { "video" } else { "audio" }));
    }
    let mid_extension = offer.media.iter().find_map(|media| media.extension(MID));
    Ok(PlayPlan { tracks: chosen, mid_extension })
}

/// Whether the plan still holds for other tracks: with the same codecs, in profiles that decoders of the first take.
pub fn still_fits(plan: &PlayPlan, tracks: &TrackSet) -> bool {
    plan.tracks.iter().all(|planned| {
        let mut same = tracks.tracks().iter().filter(|track| track.kind() == planned.kind);
        same.any(|track| track.codec.name() == planned.codec)
    })
}

/// The answer as the documents demand it: RTCP never comes on a port of its own (RFC 9725, section 4.4.1), and a medium that is not
/// sent lists a format all the same (RFC 8829, section 5.3.1). A medium that is offered in both directions has this one.
pub fn finished_answer(answer: &str, offer: &Offer, direction: &str) -> String {
    let mut media = offer.media.iter();
    let mut out = String::with_capacity(answer.len() + 64);
    for line in answer.lines().map(str::trim_end) {
        // Who offers both directions gets one: what it would send, or be sent, is not there.
        out += if line == "a=sendrecv" { direction } else { line };
        if line.starts_with("m=") {
            let first = media.next().and_then(|media| media.formats.first()).map_or(0, |format| format.payload_type);
            if line.split_whitespace().count() == 3 {
                out += &format!(" {first}");
            }
        }
        out += "\r\n";
        if line == "a=rtcp-mux" {
            out += "a=rtcp-mux-only\r\n";
        }
    }
    out
}

/// Our own offer as RFC 9725, section 4.4.1, demands it.
pub fn finished_offer(offer: &str) -> String {
    finished_answer(offer, &Offer::default(), "a=sendonly")
}

fn medium(offer: &Offer, kind: MediaKind) -> Option<&Media> {
    let wanted = match kind {
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
    };
    offer.media.iter().find(|media| media.kind == wanted)
}

fn planned(offer: &Offer, track: &TrackInfo) -> Option<PlannedTrack> {
    let medium = medium(offer, track.kind())?;
    let format = match &track.codec {
        CodecParameters::H264(parameters) => h264(medium, parameters.profile_level()?)?,
        CodecParameters::Vp8 => first(medium, "vp8", |_| true)?,
        CodecParameters::Vp9(parameters) => first(medium, "vp9", |format| is_profile(format, parameters))?,
        CodecParameters::Av1(_) => first(medium, "av1", |_| true)?,
        CodecParameters::Opus(_) => first(medium, "opus", |format| format.channels == Some(2))?,
        _ => return None,
    };
    Some(PlannedTrack {
        kind: track.kind(),
        codec: track.codec.name(),
        mid: medium.mid.clone(),
        retransmission: medium.retransmission_of(format.payload_type),
        format: format.clone(),
    })
}

fn first<'a>(media: &'a Media, codec: &str, fits: impl Fn(&Format) -> bool) -> Option<&'a Format> {
    media.formats.iter().find(|format| format.codec == codec && fits(format))
}

/// The payload type of the profile of the stream; else the most compatible one: Chromium decodes High under any.
fn h264(media: &Media, [profile, constraints, _]: [u8; 3]) -> Option<&Format> {
    let offered = |format: &Format| {
        let value = format.parameter("profile-level-id").unwrap_or("42000a");
        u32::from_str_radix(value, 16).ok().map(|value| ((value >> 16) as u8, (value >> 8) as u8))
    };
    // RFC 6184, section 6.2: one NAL unit a packet is no way to send what an encoder makes.
    let is_cut = |format: &Format| format.parameter("packetization-mode") == Some("1");
    // `constraint_set1_flag`: what is baseline and main at a time.
    let is_constrained = |constraints: u8| constraints & 0x40 != 0;
    let same = |format: &Format| {
        offered(format).is_some_and(|(other, flags)| {
            other == profile && (profile != 66 || is_constrained(flags) == is_constrained(constraints))
        })
    };
    let baseline = |format: &Format| offered(format).is_some_and(|(other, _)| other == 66);
    let constrained =
        |format: &Format| offered(format).is_some_and(|(other, flags)| other == 66 && is_constrained(flags));
    let of = |fits: &dyn Fn(&Format) -> bool| first(media, "h264", |format| is_cut(format) && fits(format));
    of(&same).or_else(|| of(&constrained)).or_else(|| of(&baseline)).or_else(|| of(&|_| true))
}

fn is_profile(format: &Format, parameters: &vp9::Parameters) -> bool {
    format.parameter("profile-id").unwrap_or("0").parse() == Ok(parameters.profile)
}

fn names(media: &Media) -> String {
    let mut names: Vec<String> = Vec::new();
    for format in &media.formats {
        let repairs = ["rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event", ""];
        let name = match (format.codec.as_str(), format.parameter("profile-level-id")) {
            ("h264", Some(profile)) => format!("H264 {profile}"),
            (codec, _) => codec.to_ascii_uppercase(),
        };
        if !repairs.contains(&format.codec.as_str()) && !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn name_of(codec: &CodecParameters) -> String {
    match codec.codec_string() {
        Some(text) if codec.is_video() => format!("{} ({text})", codec.name()),
        _ => codec.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sdp::tests::CHROMIUM;
    use super::*;
    use crate::media::{
        codec::{h264, opus},
        testing::tracks,
    };
    use bytes::Bytes;

    fn h264(profile: [u8; 3]) -> CodecParameters {
        let sps = Bytes::from([&[0x67][..], &profile].concat());
        CodecParameters::H264(h264::Parameters { sps: vec![sps], pps: vec![] })
    }

    fn opus() -> CodecParameters {
        CodecParameters::Opus(opus::Parameters::simple(2))
    }

    #[track_caller]
    fn check(offer: &str, codecs: &[CodecParameters], expect: Result<&[(u8, Option<u8>)], &str>) {
        let found = plan(&Offer::parse(offer).unwrap(), &tracks(codecs));
        let found = found.map(|plan| {
            plan.tracks.iter().map(|track| (track.format.payload_type, track.retransmission)).collect::<Vec<_>>()
        });
        assert_eq!(found.map_err(|refusal| refusal.to_string()), expect.map(<[_]>::to_vec).map_err(str::to_owned));
    }

    #[test]
    fn the_profile_of_the_stream_is_looked_for() {
        check(CHROMIUM, &[h264([0x42, 0, 0x1e]), opus()], Ok(&[(103, Some(104)), (111, None)]));
        check(CHROMIUM, &[h264([0x42, 0xc0, 0x1e])], Ok(&[(109, None)]));
        check(CHROMIUM, &[h264([0x64, 0, 0x28])], Ok(&[(114, None)]));
        check(CHROMIUM, &[h264([0x4d, 0x40, 0x28])], Ok(&[(109, None)]));
        check(CHROMIUM, &[CodecParameters::Vp8], Ok(&[(96, Some(97))]));
        let one_unit = CHROMIUM.replace("packetization-mode=1", "packetization-mode=0");
        check(
            &one_unit,
            &[h264([0x42, 0, 0x1e])],
            Err(
                "no codec in common: the stream has H.264 (avc1.42001e), the offer takes VP8, H264 42001f, H264 42e01f, H264 64001f, AV1, VP9",
            ),
        );
    }

    #[test]
    fn who_can_have_the_video_never_gets_audio_alone() {
        let jpeg = CodecParameters::Jpeg;
        check(
            CHROMIUM,
            &[jpeg, opus()],
            Err(
                "no codec in common: the stream has JPEG, the offer takes VP8, H264 42001f, H264 42e01f, H264 64001f, AV1, VP9",
            ),
        );
        check(CHROMIUM, &[opus()], Ok(&[(111, None)]));
        let audio_alone = CHROMIUM.replace("m=video 9 UDP/TLS/RTP/SAVPF", "m=application 9 x");
        check(&audio_alone, &[CodecParameters::Vp8, opus()], Ok(&[(111, None)]));
        check(&audio_alone, &[CodecParameters::Vp8], Err("the offer takes no video, and the stream has nothing else"));
    }

    #[test]
    fn offers_that_are_none_of_a_viewer_are_refused() {
        let vp8 = [CodecParameters::Vp8];
        let send = "the offer sends media: a viewer offers a=recvonly";
        check(&CHROMIUM.replace("recvonly", "sendonly"), &vp8, Err(send));
        check(&CHROMIUM.replace("recvonly", "inactive"), &vp8, Err(send));
        check(&CHROMIUM.replace("recvonly", "sendrecv"), &vp8, Ok(&[(96, Some(97))]));
        let bundle = "the media of the offer must share one connection: a=group:BUNDLE and a=rtcp-mux";
        check(&CHROMIUM.replace("BUNDLE 0 1", "BUNDLE 0"), &vp8, Err(bundle));
        check(&CHROMIUM.replace("a=rtcp-mux\r\n", ""), &vp8, Err(bundle));
        let several = "the offer has several video media: a stream has one track of each kind";
        check(&CHROMIUM.replace("m=audio", "m=video"), &vp8, Err(several));
    }

    #[test]
    fn other_tracks_of_the_same_codecs_need_no_other_answer() {
        let plan = plan(&Offer::parse(CHROMIUM).unwrap(), &tracks(&[h264([0x42, 0, 0x1e]), opus()])).unwrap();
        assert!(still_fits(&plan, &tracks(&[h264([0x42, 0, 0x28]), opus()])));
        assert!(!still_fits(&plan, &tracks(&[CodecParameters::Vp8, opus()])));
        assert!(!still_fits(&plan, &tracks(&[h264([0x42, 0, 0x28])])));
    }

    #[test]
    fn an_answer_is_finished() {
        let answer = "m=video 9 x 96\r\na=sendrecv\r\na=rtcp-mux\r\na=y\r\nm=audio 0 x \r\n";
        let expect = "m=video 9 x 96\r\na=sendonly\r\na=rtcp-mux\r\na=rtcp-mux-only\r\na=y\r\nm=audio 0 x 111\r\n";
        assert_eq!(finished_answer(answer, &Offer::parse(CHROMIUM).unwrap(), "a=sendonly"), expect);
    }
}

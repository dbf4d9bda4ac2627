//! A session that we begin, as a publisher at the endpoint of another server does: our offer, and the session that the answer makes of it.

use super::{
    Identity, Playing, Role, Session, add_codec,
    path::{Choice, Ways},
};
use crate::{
    media::{MediaKind, TrackInfo, TrackSet, codec::CodecParameters, rtp::Format as RtpFormat},
    output::webrtc::{
        channels::Channels,
        hooked::Hooked,
        keys::{self, KeySlot},
        negotiation::{MID, finished_offer},
        sdp::{Direction, Format, Media, Offer},
        sender::TrackSetup,
    },
};
use std::time::{Instant, SystemTime};
use str0m::{
    Candidate, Rtc, RtcConfig,
    change::{SdpAnswer, SdpPendingOffer},
    media::{Direction as RtcDirection, MediaKind as RtcKind, Mid},
    rtp::{Extension, ExtensionMap},
};

/// The payload types of our offers. Packets of video that are sent again have the next one.
const VIDEO: u8 = 96;
const FALLBACK: u8 = 98;
const AUDIO: u8 = 111;
/// The number of the header extension that names the medium.
const MID_NUMBER: u8 = 4;
/// `constraint_set0_flag` to `constraint_set5_flag` of H.264, behind the profile.
const SET1: u8 = 0x40;
const BASELINE: u8 = 66;

/// An offer that is to be answered.
#[derive(Debug)]
pub struct Calling {
    rtc: Rtc,
    keys: KeySlot,
    pending: SdpPendingOffer,
    tracks: Vec<Offered>,
}

/// A track of the offer.
#[derive(Debug)]
struct Offered {
    kind: MediaKind,
    mid: Mid,
    /// In the order of preference.
    formats: Vec<Format>,
}

/// Why a call cannot be made, or its answer not be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// WebRTC does not carry the tracks.
    #[error("there is no track that WebRTC carries")]
    NoTracks,
    /// The answer cannot be read, or does not fit the offer.
    #[error("the answer cannot be used: {0}")]
    Unusable(String),
    /// A track is refused, which no endpoint of WHIP should do (RFC 9725, section 4.2).
    #[error("the target does not take the {0} of the stream ({1})")]
    Track(&'static str, String),
}

impl Calling {
    /// Offers the tracks of a stream, at most one of each kind. Takes about 2 ms.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(
        tracks: &TrackSet,
        identity: &Identity,
        candidates: &[Candidate],
        now: Instant,
    ) -> Result<(Self, String), CallError> {
        let tracks: Vec<_> = tracks.tracks().iter().map(|track| (track.kind(), formats(track))).collect();
        let tracks: Vec<_> = tracks.into_iter().filter(|(_, formats)| !formats.is_empty()).collect();
        let mut extensions = ExtensionMap::empty();
        extensions.set(MID_NUMBER, Extension::RtpMid);
        let mut config = RtcConfig::new()
            .set_crypto_provider(identity.copying.clone())
            .set_dtls_cert(identity.certificate.clone())
            .set_rtp_mode(true)
            .clear_codecs()
            .set_extension_map(extensions)
            .set_rtcp_report_interval_audio(super::NEVER)
            .set_rtcp_report_interval_video(super::NEVER);
        for (kind, format) in tracks.iter().flat_map(|(kind, formats)| formats.iter().map(move |one| (kind, one))) {
            add_codec(&mut config, format, (*kind == MediaKind::Video).then_some(format.payload_type + 1));
        }
        let (mut rtc, keys) = keys::build(config, now);
        for candidate in candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let mut api = rtc.sdp_api();
        let mut offered = Vec::with_capacity(tracks.len());
        for (kind, formats) in tracks {
            let rtc_kind = if kind == MediaKind::Video { RtcKind::Video } else { RtcKind::Audio };
            let mid = api.add_media(rtc_kind, RtcDirection::SendOnly, Some("voyandz".to_owned()), None, None);
            offered.push(Offered { kind, mid, formats });
        }
        let (offer, pending) = api.apply().ok_or(CallError::NoTracks)?;
        let offer = finished_offer(&offer.to_sdp_string());
        Ok((Self { rtc, keys, pending, tracks: offered }, offer))
    }

    /// The session that an answer makes of it. May panic on an answer that is made up to do that: to be called where a panic costs
    /// this session alone.
    ///
    /// # Errors
    /// When the answer cannot be used.
    pub fn answered(self, answer: &str, (now, wall): (Instant, SystemTime)) -> Result<Session, CallError> {
        let Self { mut rtc, keys, pending, tracks } = self;
        let unusable = |error: &dyn ToString| CallError::Unusable(error.to_string());
        let read = Offer::parse_answer(answer).map_err(|error| unusable(&error))?;
        let parsed = SdpAnswer::from_sdp_string(answer).map_err(|error| unusable(&error))?;
        rtc.sdp_api().accept_answer(pending, parsed).map_err(|error| unusable(&error))?;
        let mut setups = Vec::with_capacity(tracks.len());
        for track in &tracks {
            setups.push(setup(&mut rtc, track, &read)?);
        }
        let playing = Playing {
            keys,
            tracks: setups,
            clock: super::clock(now, wall),
            sender: None,
            ways: Ways::new(Choice::Ours),
        };
        Ok(Session {
            rtc,
            role: Role::Viewer(Box::new(playing)),
            channels: Channels::default(),
            hooked: Hooked::default(),
            due: now,
        })
    }
}

/// How a track is sent that the answer takes.
fn setup(rtc: &mut Rtc, track: &Offered, answer: &Offer) -> Result<TrackSetup, CallError> {
    let Offered { kind, mid, formats } = track;
    let name = if *kind == MediaKind::Video { "video" } else { "audio" };
    let codec = || formats.first().map(|format| format.codec.to_ascii_uppercase()).unwrap_or_default();
    let refused = || CallError::Track(name, codec());
    let is_open = |media: &&Media| {
        let is_wanted = !media.is_rejected && matches!(media.direction, Direction::Receive | Direction::SendReceive);
        media.mid == **mid && is_wanted
    };
    let media = answer.media.iter().find(is_open).ok_or_else(refused)?;
    let offered = |format: &Format| formats.iter().find(|offered| offered.payload_type == format.payload_type);
    let format = media.formats.iter().find_map(offered).ok_or_else(refused)?;
    let source = rtc.media(*mid).ok_or_else(refused)?.cname().to_owned();
    let mut api = rtc.direct_api();
    let stream = api.stream_tx_by_mid(*mid, None).ok_or_else(refused)?;
    Ok(TrackSetup {
        kind: *kind,
        ssrc: *stream.ssrc(),
        clock: format.clock,
        payload_type: format.payload_type,
        again: stream.rtx().map(|ssrc| *ssrc).zip(media.retransmission_of(format.payload_type)),
        mid: media.extension(MID).map(|number| (number, mid.to_string())),
        name: source,
    })
}

/// The forms in which a track is offered; none where WebRTC does not carry it. H.264 is offered as the constrained baseline profile as
/// well: some know the name of no other, and decode what comes.
fn formats(track: &TrackInfo) -> Vec<Format> {
    let own = format(track);
    let fallback = match (&track.codec, &own) {
        (CodecParameters::H264(parameters), Some(own)) => {
            let level = parameters.profile_level().map_or(0x1f, |[_, _, level]| level);
            let parameters = h264([BASELINE, SET1, level]);
            let is_other = parameters != own.parameters;
            is_other.then(|| Format { payload_type: FALLBACK, parameters, ..own.clone() })
        }
        _ => None,
    };
    own.into_iter().chain(fallback).collect()
}

fn format(track: &TrackInfo) -> Option<Format> {
    let known = RtpFormat::of(track)?;
    let (payload_type, parameters) = match &track.codec {
        CodecParameters::H264(parameters) => (VIDEO, h264(parameters.profile_level()?)),
        CodecParameters::Vp8 | CodecParameters::Vp9(_) | CodecParameters::Av1(_) => (VIDEO, known.parameters),
        CodecParameters::Opus(parameters) => {
            let stereo = if parameters.channels() == 2 { ";stereo=1;sprop-stereo=1" } else { "" };
            (AUDIO, format!("minptime=10;useinbandfec=1{stereo}"))
        }
        _ => return None,
    };
    Some(Format {
        payload_type,
        codec: known.name.to_ascii_lowercase(),
        clock: known.clock_rate,
        channels: known.channels.and_then(|channels| u8::try_from(channels).ok()),
        parameters,
    })
}

fn h264(profile_level: [u8; 3]) -> String {
    format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={}", profile(profile_level))
}

/// The profile in the form that all write it in: some compare texts. Constraints that an encoder sets beside those of the profile, like
/// `constraint_set0_flag` of 42c01f, change nothing for a decoder (RFC 6184, section 8.1, table 5).
fn profile([profile, constraints, level]: [u8; 3]) -> String {
    let constraints = match profile {
        BASELINE if constraints & SET1 != 0 => 0xe0,
        BASELINE => 0,
        _ => constraints & 0x0c,
    };
    format!("{profile:02x}{constraints:02x}{level:02x}")
}

#[cfg(test)]
mod tests;

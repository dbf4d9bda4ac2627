//! Which media of an offer a publisher may send. Pure.

use super::sdp::{Direction, Format, Media, Offer};
use crate::media::MediaKind;

/// A medium that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Whether it is seen or heard.
    pub kind: MediaKind,
    /// Its name in the offer.
    pub mid: String,
    /// Its payload types, each with that of packets that are sent again, in the order of the offer.
    pub formats: Vec<(Format, Option<u8>)>,
    /// What its layers are called, if it has several.
    pub layers: Vec<String>,
}

/// Why an offer is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client wants to receive.
    #[error("the offer does not send: a publisher offers a=sendonly")]
    Receives,
    /// There are more media than a feed has tracks.
    #[error("the offer has several {0} media: a feed takes one track of each kind")]
    Several(&'static str),
    /// Media have connections of their own.
    #[error("the media of the offer must share one connection: a=group:BUNDLE and a=rtcp-mux")]
    NotBundled,
    /// Nothing of a medium is known. Then the whole offer is refused (RFC 9725, section 4.2).
    #[error("no codec in common for {0}: expected H.264, VP8, VP9 or AV1 for video, Opus for audio")]
    NoCodec(&'static str),
    /// There is no video and no audio.
    #[error("the offer has neither video nor audio")]
    Nothing,
}

/// Chooses media and payload types.
///
/// # Errors
/// When a part of the offer cannot be taken.
pub fn announced(offer: &Offer) -> Result<Vec<Announced>, Refusal> {
    let mut found = Vec::new();
    for (name, kind) in [("video", MediaKind::Video), ("audio", MediaKind::Audio)] {
        let mut of_kind = offer.media.iter().filter(|media| media.kind == name);
        let Some(media) = of_kind.next() else { continue };
        if of_kind.next().is_some() {
            return Err(Refusal::Several(name));
        }
        if matches!(media.direction, Direction::Receive | Direction::Inactive) {
            return Err(Refusal::Receives);
        }
        // A publisher of one medium needs no group.
        let is_alone = offer.media.len() == 1;
        if !media.has_rtcp_mux || !(is_alone || offer.bundle.contains(&media.mid)) {
            return Err(Refusal::NotBundled);
        }
        let formats: Vec<_> = media.formats.iter().filter(|format| is_known(format)).cloned().collect();
        if formats.is_empty() {
            return Err(Refusal::NoCodec(name));
        }
        let formats = formats.into_iter().map(|format| with_retransmission(media, format)).collect();
        found.push(Announced { kind, mid: media.mid.clone(), formats, layers: media.layers.clone() });
    }
    if found.is_empty() { Err(Refusal::Nothing) } else { Ok(found) }
}

/// Which of the feed's layers each offered one is: 0 is the feed itself, the others are `known` by their names, from 1 on. What has no
/// name that is known is the feed itself, at first in the order of the offer; others are not taken.
pub fn assigned(offered: &[String], known: &[String]) -> Vec<(String, usize)> {
    let main = offered.iter().find(|name| !known.contains(name)).or(offered.first());
    let place = |name: &String| match main {
        Some(main) if main == name => Some(0),
        _ => known.iter().position(|known| known == name).map(|place| place + 1),
    };
    offered.iter().filter_map(|name| Some((name.clone(), place(name)?))).collect()
}

fn with_retransmission(media: &Media, format: Format) -> (Format, Option<u8>) {
    let retransmission = media.retransmission_of(format.payload_type);
    (format, retransmission)
}

fn is_known(format: &Format) -> bool {
    match format.codec.as_str() {
        "h264" => format.parameter("packetization-mode") == Some("1"),
        // More bits, or other chroma, are for other profiles.
        "vp9" => format.parameter("profile-id").is_none_or(|profile| profile == "0"),
        "av1" => format.parameter("profile").is_none_or(|profile| profile == "0"),
        "vp8" => true,
        "opus" => format.channels == Some(2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sdp::tests::CHROMIUM;
    use super::*;

    fn check(offer: &str, expect: Result<&[&[u8]], &str>) {
        let found = announced(&Offer::parse(offer).unwrap());
        let found = found.map(|media| {
            let types = |one: &Announced| one.formats.iter().map(|(format, _)| format.payload_type).collect::<Vec<_>>();
            media.iter().map(types).collect::<Vec<_>>()
        });
        let expect = expect.map(|media| media.iter().map(|types| types.to_vec()).collect::<Vec<_>>());
        assert_eq!(found.map_err(|refusal| refusal.to_string()), expect.map_err(str::to_owned));
    }

    #[test]
    fn each_layer_has_a_place() {
        let check = |offered: &str, known: &str, expect: &[(&str, usize)]| {
            let line = format!("{}a=simulcast:send {offered}\r\n", CHROMIUM.replace("recvonly", "sendonly"));
            let media = announced(&Offer::parse(&line).unwrap()).unwrap();
            let layers = &media.iter().find(|one| !one.layers.is_empty()).unwrap().layers;
            let known: Vec<_> = known.split_whitespace().map(str::to_owned).collect();
            let expect: Vec<_> = expect.iter().map(|(name, place)| ((*name).to_owned(), *place)).collect();
            assert_eq!(assigned(layers, &known), expect, "{offered} {known:?}");
        };
        check("h;m;l", "m l", &[("h", 0), ("m", 1), ("l", 2)]);
        check("l;m;h", "m l", &[("l", 2), ("m", 1), ("h", 0)]);
        check("~0,9;1;2 recv a", "1", &[("0", 0), ("1", 1)]);
        check("m;l", "m l", &[("m", 0), ("l", 2)]);
        check("a;b;c", "x", &[("a", 0)]);
        assert_eq!(assigned(&[], &["m".to_owned()]), []);
    }

    #[test]
    fn what_is_known_of_an_offer_is_taken() {
        let publisher = CHROMIUM.replace("recvonly", "sendonly");
        check(&publisher, Ok(&[&[96, 103, 109, 114, 39, 40], &[111]]));
        check(&publisher.replace("sendonly", "sendrecv"), Ok(&[&[96, 103, 109, 114, 39, 40], &[111]]));
        check(CHROMIUM, Err("the offer does not send: a publisher offers a=sendonly"));
        check(
            &publisher.replace("opus/48000/2", "opus/48000"),
            Err("no codec in common for audio: expected H.264, VP8, VP9 or AV1 for video, Opus for audio"),
        );
        check(
            &publisher.replace("m=audio", "m=video"),
            Err("the offer has several video media: a feed takes one track of each kind"),
        );
        check(
            &publisher.replace("a=rtcp-mux\r\n", ""),
            Err("the media of the offer must share one connection: a=group:BUNDLE and a=rtcp-mux"),
        );
        let neither = publisher.replace("m=audio", "m=text").replace("m=video", "m=text");
        check(&neither, Err("the offer has neither video nor audio"));
    }
}

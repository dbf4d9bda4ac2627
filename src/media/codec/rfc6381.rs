//! What a container's header says of its codecs, as players ask for it: the `codecs` parameter of media types
//! (RFC 6381; for MP4 also the registry of the MP4 Registration Authority and the specifications of the codecs).

use crate::media::{Container, flv, matroska, mp4, ogg};

/// One track: how its codec is named, with what follows from its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::media) enum Setup<'a> {
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, section 5.3.3.1), and the name of the sample entry.
    Avc(&'static str, &'a [u8]),
    /// `HEVCDecoderConfigurationRecord` (section 8.3.3.1), and the name of the sample entry.
    Hevc(&'static str, &'a [u8]),
    /// `VPCodecConfigurationRecord`, or what stands for it in Matroska.
    Vp9(&'a [u8]),
    /// `AV1CodecConfigurationRecord`.
    Av1(&'a [u8]),
    /// `AudioSpecificConfig` (ISO/IEC 14496-3, section 1.6.2.1).
    Aac(&'a [u8]),
    /// A name that says it all.
    Named(&'static str),
    /// There is a track, and it has no name in the language of browsers.
    Unknown,
}

/// The codecs of a stream with this header, as the `codecs` parameter lists them: `avc1.42c01e, mp4a.40.2`. `None` for
/// containers without such a parameter, and when a track has no name that players know: half a list is worse than none.
pub fn codecs(container: Container, header: &[u8]) -> Option<String> {
    let tracks = match container {
        Container::Mp4 => mp4::setups(header),
        Container::Webm | Container::Mkv => matroska::setups(header),
        Container::Ogg => ogg::setups(header),
        Container::Flv => flv::setups(header),
        Container::Ts
        | Container::Mp3
        | Container::Aac
        | Container::Flac
        | Container::Wav
        | Container::Mjpeg
        | Container::WebRtc
        | Container::Avi
        | Container::Rtp
        | Container::Raw => return None,
    };
    let names: Option<Vec<String>> = tracks.into_iter().map(name).collect();
    names.filter(|names| !names.is_empty()).map(|names| names.join(", "))
}

fn name(setup: Setup<'_>) -> Option<String> {
    match setup {
        Setup::Avc(entry, record) => avc(entry, record),
        Setup::Hevc(entry, record) => hevc(entry, record),
        Setup::Vp9(record) => Some(vp9(record).unwrap_or_else(|| "vp9".to_owned())),
        Setup::Av1(record) => av1(record),
        Setup::Aac(config) => aac(config),
        Setup::Named(name) => Some(name.to_owned()),
        Setup::Unknown => None,
    }
}

/// Profile, constraints and level, two hexadecimal digits each (RFC 6381, section 3.3).
fn avc(entry: &str, record: &[u8]) -> Option<String> {
    let [1, profile, constraints, level, ..] = *record else { return None };
    Some(format!("{entry}.{profile:02x}{constraints:02x}{level:02x}"))
}

/// ISO/IEC 14496-15, annex E.3: profile space and profile, compatibility flags in reverse order, tier and level,
/// constraints without the zeros at their end.
fn hevc(entry: &str, record: &[u8]) -> Option<String> {
    let [1, profile, a, b, c, d, constraints @ ..] = record else { return None };
    let (constraints, level) = (constraints.get(..6)?, constraints.get(6)?);
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6))?;
    let compatibility = u32::from_be_bytes([*a, *b, *c, *d]).reverse_bits();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let constraints: String = constraints.iter().take(used).map(|byte| format!(".{byte:X}")).collect();
    Some(format!("{entry}.{space}{}.{compatibility:X}.{tier}{level}{constraints}", profile & 0x1f))
}

/// Profile, level and depth (VP Codec ISO Media File Format Binding, sections "Codecs Parameter String" and, for the record,
/// "Syntax"). Matroska has a list of single features in place of the record (WebM Container Guidelines, "VP9 Codec Feature
/// Metadata").
fn vp9(record: &[u8]) -> Option<String> {
    let (profile, level, depth) = match *record {
        // Version 1 and flags, then profile, level, depth and more in four bits.
        [1, 0, 0, 0, profile, level, depth, ..] => (profile, level, depth >> 4),
        _ => {
            let feature = |wanted| {
                record.chunks_exact(3).find_map(|feature| match *feature {
                    [id, 1, value] if id == wanted => Some(value),
                    _ => None,
                })
            };
            (feature(1)?, feature(2)?, feature(3)?)
        }
    };
    Some(format!("vp09.{profile:02}.{level:02}.{depth:02}"))
}

/// Profile, level, tier and depth (AV1 Codec ISO Media File Format Binding, section 5).
fn av1(record: &[u8]) -> Option<String> {
    let [0x81, profile, flags, ..] = *record else { return None };
    let (profile, level) = (profile >> 5, profile & 0x1f);
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, twelve) => 10 + 2 * u8::from(profile == 2 && twelve),
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"))
}

/// The kind of object: five bits, or six more after 31.
fn aac(config: &[u8]) -> Option<String> {
    let kind = match (*config.first()? >> 3, config.get(1)) {
        (31, Some(second)) => 32 + ((config.first()? & 7) << 3 | second >> 5),
        (31, None) => return None,
        (kind, _) => kind,
    };
    Some(format!("mp4a.40.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Scanned, Scanner};
    use proptest::prelude::*;

    #[test]
    fn set_ups_are_named() {
        #[track_caller]
        fn check(setup: Setup<'_>, expect: Option<&str>) {
            assert_eq!(name(setup).as_deref(), expect);
        }
        check(Setup::Avc("avc1", &[1, 0x42, 0xc0, 0x1e, 0xff]), Some("avc1.42c01e"));
        check(Setup::Avc("avc3", &[1, 0x64, 0, 0x28]), Some("avc3.640028"));
        check(Setup::Avc("avc1", &[0, 0, 0, 1]), None);
        // Main and Main 10 of common encoders.
        check(Setup::Hevc("hvc1", &[1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93]), Some("hvc1.1.6.L93.90"));
        check(Setup::Hevc("hev1", &[1, 2, 0x20, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 120]), Some("hev1.2.4.L120.B0"));
        check(Setup::Hevc("hvc1", &[1, 0x61, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 150]), Some("hvc1.A1.6.H150"));
        check(Setup::Hevc("hvc1", &[1, 1, 0x60]), None);
        check(Setup::Vp9(&[1, 0, 0, 0, 0, 31, 0x82, 2, 2, 2, 0, 0]), Some("vp09.00.31.08"));
        check(Setup::Vp9(&[1, 1, 0, 2, 1, 20, 3, 1, 8]), Some("vp09.00.20.08"));
        check(Setup::Vp9(&[]), Some("vp9"));
        check(Setup::Av1(&[0x81, 0x04, 0x0c, 0]), Some("av01.0.04M.08"));
        check(Setup::Av1(&[0x81, 0x4d, 0xe0, 0]), Some("av01.2.13H.12"));
        check(Setup::Av1(&[1, 2, 3]), None);
        check(Setup::Aac(&[0x11, 0x90]), Some("mp4a.40.2"));
        check(Setup::Aac(&[0x2b, 0x11]), Some("mp4a.40.5"));
        check(Setup::Aac(&[0xf9, 0x40]), Some("mp4a.40.42"));
        check(Setup::Aac(&[]), None);
        check(Setup::Named("opus"), Some("opus"));
        check(Setup::Unknown, None);
    }

    fn header(capture: &[u8]) -> (Container, Vec<u8>) {
        let (mut scanner, mut found) = (Scanner::new(None), Vec::new());
        scanner.push(capture, &mut found);
        let header = found.into_iter().find_map(|found| match found {
            Scanned::Header(header) => Some(header.to_vec()),
            _ => None,
        });
        (scanner.container().unwrap(), header.unwrap())
    }

    #[test]
    fn captures_name_their_codecs() {
        #[track_caller]
        fn check(capture: &[u8], expect: Option<&str>) {
            let (container, header) = header(capture);
            assert_eq!(codecs(container, &header).as_deref(), expect);
        }
        check(include_bytes!("../../../tests/data/h264-aac.mp4"), Some("avc1.42c00b, mp4a.40.2"));
        check(include_bytes!("../../../tests/data/h264-gst.mp4"), Some("avc1.f4000b"));
        check(include_bytes!("../../../tests/data/aac-dash.mp4"), Some("mp4a.40.2"));
        check(include_bytes!("../../../tests/data/h264-aac.mkv"), Some("avc1.42c00b, mp4a.40.2"));
        check(include_bytes!("../../../tests/data/vp8-opus-gst.webm"), Some("vp8, opus"));
        check(include_bytes!("../../../tests/data/opus-live.webm"), Some("opus"));
        check(include_bytes!("../../../tests/data/vp9-opus.webm"), Some("vp9, opus"));
        check(include_bytes!("../../../tests/data/vp9.mp4"), Some("vp09.00.10.08"));
        check(include_bytes!("../../../tests/data/av1-opus.mkv"), Some("av01.0.00M.08, opus"));
        check(include_bytes!("../../../tests/data/av1.mp4"), Some("av01.0.00M.08"));
        check(include_bytes!("../../../tests/data/h264-aac.flv"), Some("avc1.42c00b, mp4a.40.2"));
        check(include_bytes!("../../../tests/data/h264-gst.flv"), Some("avc1.f4000b"));
        check(include_bytes!("../../../tests/data/opus.ogg"), Some("opus"));
        check(include_bytes!("../../../tests/data/theora-vorbis-gst.ogg"), Some("theora, vorbis"));
        check(include_bytes!("../../../tests/data/flac-gst.ogg"), Some("flac"));
        check(include_bytes!("../../../tests/data/h264-aac.ts"), None);
    }

    proptest! {
        #[test]
        fn damaged_headers_name_something_or_nothing(
            capture in prop::sample::select(vec![
                &include_bytes!("../../../tests/data/h264-aac.mp4")[..],
                include_bytes!("../../../tests/data/h264-aac.mkv"),
                include_bytes!("../../../tests/data/h264-aac.flv"),
                include_bytes!("../../../tests/data/theora-vorbis-gst.ogg"),
                include_bytes!("../../../tests/data/av1.mp4"),
                include_bytes!("../../../tests/data/vp9-opus.webm"),
            ]),
            at in 0usize..2000,
            byte: u8,
            cut in 0usize..2000,
        ) {
            let (container, mut header) = header(capture);
            let at = at % header.len();
            header[at] = byte;
            header.truncate(header.len().saturating_sub(cut));
            for container in [container, Container::Mp4, Container::Webm, Container::Ogg, Container::Flv] {
                prop_assert!(codecs(container, &header).is_none_or(|names| !names.is_empty()));
            }
        }
    }
}

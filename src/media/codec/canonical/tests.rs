//! Streams of real encoders go in, and come out with the same frames; what is special is written by hand.

use super::*;
use crate::media::codec::testing::{convert, decoded, encode, hex, units};
use crate::media::codec::{aac, adts, flac, h264, h265, mpeg4_visual, nal, obu, opus, pcm, xiph};
use crate::media::track::{AudioShape, VideoShape};
use proptest::prelude::*;

const H264_TS: &[u8] = include_bytes!("../../../../tests/data/h264-aac.ts");
const H264_GST_TS: &[u8] = include_bytes!("../../../../tests/data/h264-aac-gst.ts");
const H265_TS: &[u8] = include_bytes!("../../../../tests/data/h265.ts");

const AV1_MP4: &[u8] = include_bytes!("../../../../tests/data/av1.mp4");
const AV1_MKV: &[u8] = include_bytes!("../../../../tests/data/av1-opus.mkv");
const VP8: &[u8] = include_bytes!("../../../../tests/data/vp8-opus-live.webm");
const VP9: &[u8] = include_bytes!("../../../../tests/data/vp9-opus.webm");
const MJPEG: &[u8] = include_bytes!("../../../../tests/data/pictures.mjpeg");
const ADTS: &[u8] = include_bytes!("../../../../tests/data/sound.aac");
const MP3: &[u8] = include_bytes!("../../../../tests/data/sound.mp3");
const FLAC: &[u8] = include_bytes!("../../../../tests/data/sound.flac");

/// What a track with this form makes of units: what leaves, with the parameters that apply to it.
fn canonical(form: SourceForm, units: &[Bytes]) -> Vec<(Canonical, CodecParameters, Shape)> {
    let mut canonicalizer = Canonicalizer::new(form);
    let unit = |unit: &Bytes| {
        let unit = canonicalizer.push(unit.clone())?;
        let (codec, shape) = canonicalizer.parameters().unwrap();
        Some((unit, codec.clone(), shape))
    };
    units.iter().filter_map(unit).collect()
}

/// Parameter sets before each unit with which a decoder may begin, then the units, with start codes.
fn annex_b(units: &[(Canonical, CodecParameters, Shape)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (unit, codec, _) in units {
        let sets = match codec {
            CodecParameters::H264(sets) => [&sets.sps[..], &sets.pps].concat(),
            CodecParameters::H265(sets) => [&sets.vps[..], &sets.sps, &sets.pps].concat(),
            other => panic!("{other:?}"),
        };
        let sets = sets.iter().map(|set| &set[..]).filter(|_| unit.is_sync);
        for nal in sets.chain(nal::length_prefixed(&unit.data, 4)) {
            out.extend_from_slice(&[0, 0, 0, 1]);
            out.extend_from_slice(nal);
        }
    }
    out
}

/// A stream with start codes decodes to the same frames when it went through the canonical form; returns what that is.
#[track_caller]
fn check_annex_b(format: &str, form: SourceForm, stream: &[u8]) -> Option<Vec<(Canonical, CodecParameters, Shape)>> {
    let (units, keys): (Vec<_>, Vec<_>) = units(format, stream)?.into_iter().unzip();
    let found = canonical(form, &units);
    assert_eq!(found.len(), units.len());
    assert_eq!(found.iter().map(|(unit, ..)| unit.is_sync).collect::<Vec<_>>(), keys);
    let frames = decoded(format, stream)?;
    assert!(frames.len() >= units.len() && decoded(format, &annex_b(&found))? == frames);
    for (unit, ..) in &found {
        let lengths: usize = nal::length_prefixed(&unit.data, 4).map(|nal| 4 + nal.len()).sum();
        assert!(lengths == unit.data.len() && lengths > 4);
    }
    Some(found)
}

#[test]
fn h264_of_real_encoders_decodes_the_same() {
    for capture in [H264_TS, H264_GST_TS] {
        let Some(stream) = convert(capture, "-c copy -map 0:v -f h264") else { return };
        let Some(found) = check_annex_b("h264", SourceForm::H264AnnexB, &stream) else { return };
        assert_eq!(found.iter().filter(|(unit, ..)| unit.parameters_changed).count(), 1);
    }
    // Slices, B-frames and open GOPs; fields; no keyframes but the first.
    for options in [
        "-preset veryfast -g 6 -x264-params slices=4:open-gop=1:bframes=2:log-level=none -bsf:v h264_metadata=aud=insert",
        "-preset ultrafast -g 6 -flags +ildct+ilme -x264-params log-level=none",
        "-preset ultrafast -pix_fmt yuv422p10le -x264-params intra-refresh=1:keyint=6:log-level=none",
    ] {
        let Some(stream) = encode("0.7", &format!("-map 0:v -c:v libx264 {options} -f h264")) else { return };
        let Some(found) = check_annex_b("h264", SourceForm::H264AnnexB, &stream) else { return };
        assert!(found.iter().filter(|(unit, ..)| unit.is_sync).count() >= 3, "{options}");
        let Shape::Video(shape) = found[0].2 else { panic!() };
        let expect = VideoShape { width: 160, height: 120, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) };
        assert_eq!(shape, expect, "{options}");
    }
}

#[test]
fn h265_of_real_encoders_decodes_the_same() {
    let Some(stream) = convert(H265_TS, "-c copy -map 0:v -f hevc") else { return };
    let _ = check_annex_b("hevc", SourceForm::H265AnnexB, &stream);
    let options = "-preset ultrafast -pix_fmt yuv420p10le -x265-params keyint=8:open-gop=1:bframes=2:aud=1:repeat-headers=1:slices=2:log-level=none";
    let Some(stream) = encode("0.7", &format!("-map 0:v -c:v libx265 {options} -f hevc")) else { return };
    let Some(found) = check_annex_b("hevc", SourceForm::H265AnnexB, &stream) else { return };
    let expect = VideoShape { width: 160, height: 120, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) };
    assert_eq!(found[0].2, Shape::Video(expect));
}

/// Frames of IVF, a header of 12 bytes before each.
fn ivf(file: &[u8]) -> Vec<Bytes> {
    let mut rest = &file[32..];
    let mut frames = Vec::new();
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let end = 12 + u32::from_le_bytes(*length) as usize;
        frames.push(Bytes::copy_from_slice(&rest[12..end]));
        rest = &rest[end..];
    }
    frames
}

fn frames(units: &[(Canonical, CodecParameters, Shape)]) -> Vec<Bytes> {
    units.iter().map(|(unit, ..)| unit.data.clone()).collect()
}

fn syncs(units: &[(Canonical, CodecParameters, Shape)]) -> Vec<bool> {
    units.iter().map(|(unit, ..)| unit.is_sync).collect()
}

#[test]
fn av1_of_real_encoders_decodes_the_same() {
    for capture in [AV1_MP4, AV1_MKV] {
        let Some(file) = convert(capture, "-c copy -map 0:v -f ivf") else { return };
        let Some(keys) = units("ivf", &file) else { return };
        let temporal_units = ivf(&file);
        let found = canonical(SourceForm::Av1ObuStream(None), &temporal_units);
        assert_eq!(syncs(&found), keys.iter().map(|(_, is_key)| *is_key).collect::<Vec<_>>());
        assert_eq!(found.iter().filter(|(unit, ..)| unit.parameters_changed).count(), 1);
        let mut rewritten = file[..32].to_vec();
        for (at, (unit, codec, _)) in found.iter().enumerate() {
            let kinds: Vec<_> = obu::Obus::new(&unit.data).map(|unit| unit.kind).collect();
            assert!(!kinds.contains(&obu::SEQUENCE_HEADER) && !kinds.contains(&obu::TEMPORAL_DELIMITER), "{kinds:?}");
            let CodecParameters::Av1(parameters) = codec else { panic!("{codec:?}") };
            let header = if unit.is_sync { &parameters.sequence_header[..] } else { b"" };
            let whole = [&[0x12, 0][..], header, &unit.data].concat();
            rewritten.extend((whole.len() as u32).to_le_bytes());
            rewritten.extend((at as u64).to_le_bytes());
            rewritten.extend(whole);
        }
        let Some(expect) = decoded("ivf", &file) else { return };
        assert!(expect.len() >= 60 && decoded("ivf", &rewritten).unwrap() == expect);
        // After start codes, with what looks like one inside escaped.
        let escaped: Vec<_> = temporal_units.iter().map(|unit| with_start_codes(unit)).collect();
        assert!(frames(&canonical(SourceForm::Av1StartCodes, &escaped)) == frames(&found));
        // What is canonical is forwarded unchanged.
        let CodecParameters::Av1(parameters) = found[0].1.clone() else { panic!() };
        let again = canonical(SourceForm::Av1ObuStream(Some(parameters)), &frames(&found));
        assert!(frames(&again).iter().zip(frames(&found)).all(|(one, other)| one.as_ptr() == other.as_ptr()));
        assert!(syncs(&again) == syncs(&found) && again.iter().all(|(unit, ..)| !unit.parameters_changed));
    }
}

fn with_start_codes(unit: &[u8]) -> Bytes {
    let mut out = Vec::new();
    for unit in obu::Obus::new(unit) {
        out.extend([0, 0, 1]);
        let mut zeros = 0;
        for byte in unit.whole {
            if zeros == 2 && *byte <= 3 {
                out.push(3);
                zeros = 0;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            out.push(*byte);
        }
    }
    out.into()
}

#[test]
fn frames_of_other_video_codecs_stay_as_they_are() {
    #[track_caller]
    fn check(form: SourceForm, units: Vec<(Bytes, bool)>, codec: &CodecParameters, expect: (u32, u32)) {
        let (units, keys): (Vec<_>, Vec<_>) = units.into_iter().unzip();
        let found = canonical(form, &units);
        assert!(frames(&found) == units && syncs(&found) == keys && keys.contains(&true), "{keys:?}");
        let changes = found.iter().filter(|(unit, ..)| unit.parameters_changed).count();
        assert_eq!((changes, &found[0].1), (1, codec));
        let Shape::Video(shape) = found[0].2 else { panic!() };
        assert_eq!((shape.width, shape.height), expect);
    }
    for (capture, form) in [(VP8, SourceForm::Vp8), (VP9, SourceForm::Vp9)] {
        let Some(file) = convert(capture, "-c copy -map 0:v -f ivf") else { return };
        let Some(keys) = units("ivf", &file) else { return };
        let codec = match form {
            SourceForm::Vp8 => CodecParameters::Vp8,
            _ => CodecParameters::Vp9(crate::media::codec::vp9::Parameters {
                profile: 0,
                level: 10,
                bit_depth: 8,
                chroma_subsampling: 1,
            }),
        };
        let both = ivf(&file).into_iter().zip(keys).map(|(unit, (_, is_key))| (unit, is_key)).collect();
        check(form, both, &codec, (160, 120));
    }
    for (format, codec) in [("mpeg2video", CodecParameters::Mpeg2Video), ("mpeg1video", CodecParameters::Mpeg1Video)] {
        let Some(stream) = encode("1", &format!("-map 0:v -c:v {format} -bf 2 -g 6 -f {format}")) else { return };
        let Some(units) = units("mpegvideo", &stream) else { return };
        check(SourceForm::MpegVideo, units, &codec, (160, 120));
    }
    let Some(stream) = encode("1", "-map 0:v -c:v mpeg4 -g 6 -f m4v") else { return };
    let Some(found) = units("m4v", &stream) else { return };
    let parameters = mpeg4_visual::Parameters::of_unit(&stream).unwrap();
    let form = SourceForm::Mpeg4Visual(mpeg4_visual::Parameters { config: Bytes::new() });
    check(form, found, &CodecParameters::Mpeg4Visual(parameters), (160, 120));
    let Some(found) = units("mjpeg", MJPEG) else { return };
    check(SourceForm::Jpeg, found, &CodecParameters::Jpeg, (160, 120));
}

#[test]
fn frames_of_audio_lose_their_headers_where_those_are_known() {
    let Some(aac) = units("aac", ADTS) else { return };
    let (aac, _): (Vec<_>, Vec<_>) = aac.into_iter().unzip();
    let found = canonical(SourceForm::Adts, &aac);
    let CodecParameters::Aac(parameters) = found[0].1.clone() else { panic!() };
    let framer = adts::Framer::new(&parameters).unwrap();
    let with_header =
        |(unit, ..): &(Canonical, _, _)| [&framer.header(unit.data.len()).unwrap()[..], &unit.data].concat();
    let again: Vec<u8> = found.iter().flat_map(with_header).collect();
    let Some(expect) = decoded("aac", ADTS) else { return };
    assert!(decoded("aac", &again).unwrap() == expect);
    // The same in LOAS.
    let Some(loas) = convert(ADTS, "-c copy -f latm").and_then(|stream| units("loas", &stream)) else { return };
    let (loas, _): (Vec<_>, Vec<_>) = loas.into_iter().unzip();
    let of_loas = canonical(SourceForm::Loas, &loas);
    assert!(frames(&of_loas) == frames(&found) && of_loas[0].1 == found[0].1);
    assert_eq!(of_loas.iter().filter(|(unit, ..)| unit.parameters_changed).count(), 1);
    assert_eq!(found[0].2, Shape::Audio(AudioShape { rate: 44_100, channels: 1 }));
}

#[test]
fn frames_of_audio_stay_as_they_are() {
    #[track_caller]
    fn check(form: SourceForm, format: &str, stream: &[u8], name: &str, rate: u32, channels: u16) {
        let Some(units) = units(format, stream) else { return };
        let (units, _): (Vec<_>, Vec<_>) = units.into_iter().unzip();
        let found = canonical(form, &units);
        assert!(frames(&found) == units && !syncs(&found).contains(&false), "{name}");
        assert_eq!(found.iter().skip(1).filter(|(unit, ..)| unit.parameters_changed).count(), 0, "{name}");
        assert_eq!((found[0].1.name(), found[0].2), (name, Shape::Audio(AudioShape { rate, channels })));
    }
    check(SourceForm::MpegAudio, "mp3", MP3, "MP3", 44_100, 1);
    for (encoder, form, name) in [
        ("mp2 -ac 2", SourceForm::MpegAudio, "MP2"),
        ("ac3 -ac 2", SourceForm::Ac3, "AC-3"),
        ("eac3 -ac 2", SourceForm::Ac3, "E-AC-3"),
    ] {
        let format = encoder.split(' ').next().unwrap();
        let Some(stream) = encode("0.5", &format!("-map 1 -c:a {encoder} -f {format}")) else { return };
        let demuxer = if format == "mp2" { "mp3" } else { format };
        check(form, demuxer, &stream, name, 48_000, 2);
    }
    let flac = flac::Parameters::from_header(FLAC).unwrap();
    check(SourceForm::Flac(flac), "flac", FLAC, "FLAC", 16_000, 1);
}

/// Of x264, 160x120: parameter sets with the number 0.
const SPS: &str = "6742c00bda0a11f97011000003000100000300328f142a";
const PPS: &str = "68ce3c80";
/// Of x264, 322x182, with the number 0, too.
const OTHER_SPS: &str = "677a000db6cb40a8cf1117870800001f480007530078a155";

/// NAL units of these hexadecimal digits, with start codes of both lengths in turn.
fn with_codes(nals: &[&str]) -> Bytes {
    let codes = [&[0, 0, 0, 1][..], &[0, 0, 1]].into_iter().cycle();
    nals.iter().zip(codes).flat_map(|(nal, code)| [code, &hex(nal)].concat()).collect()
}

/// NAL units of these hexadecimal digits, with lengths of so many bytes.
fn with_lengths(nals: &[&str], size: usize) -> Bytes {
    let nal = |nal: &&str| [&(hex(nal).len() as u32).to_be_bytes()[4 - size..], &hex(nal)].concat();
    nals.iter().flat_map(nal).collect()
}

/// What leaves of a unit: NAL units, whether a decoder may begin with it, whether parameters are new.
type Left<'a> = Option<(&'a [&'a str], bool, bool)>;

/// Units of H.264 with start codes, and what leaves of each.
#[track_caller]
fn check_h264(units: &[(&[&str], Left<'_>)]) -> Canonicalizer {
    let mut canonicalizer = Canonicalizer::new(SourceForm::H264AnnexB);
    for (unit, expect) in units {
        let found = canonicalizer.push(with_codes(unit));
        let expect = expect.map(|(nals, is_sync, parameters_changed)| Canonical {
            data: with_lengths(nals, 4),
            is_sync,
            parameters_changed,
        });
        assert_eq!(found, expect, "{unit:?}");
    }
    canonicalizer
}

/// A slice of a keyframe; of another, of kind P; of an I frame.
const IDR: &str = "6588843f";
const P: &str = "419a24";
const I: &str = "41888443";
const AUD: &str = "09f0";
const SEI: &str = "060501aa80";
const RECOVERY: &str = "06060180 80";

#[test]
fn parameters_change_with_the_next_keyframe() {
    let canonicalizer = check_h264(&[
        (&[P], None),
        (&[IDR], None),
        (&[AUD, SEI, SPS, PPS], None),
        (&[P], None),
        (&[AUD, SPS, PPS, SEI, IDR], Some((&[SEI, IDR], true, true))),
        (&[AUD, SPS, PPS, IDR], Some((&[IDR], true, false))),
        (&[OTHER_SPS, PPS, P], Some((&[P], false, false))),
        (&[P], Some((&[P], false, false))),
        (&[IDR], Some((&[IDR], true, true))),
        (&[AUD, SEI], None),
        (&["0cffff80"], None),
        (&[IDR, "0cffff80", "0a", "0b"], Some((&[IDR], true, false))),
    ]);
    let (codec, Shape::Video(shape)) = canonicalizer.parameters().unwrap() else { panic!() };
    assert_eq!((codec.codec_string().as_deref(), shape.width), (Some("avc1.7a000d"), 322));
    assert_eq!(shape.pixel_aspect, (4, 3));
}

#[test]
fn sets_with_several_numbers_are_in_their_order() {
    // The same parameter sets with the numbers 0 and 1; the slice uses the second: `pic_parameter_set_id` 1.
    const SPS_1: &str = "677a000d4db2d02a33c445e1c2000007d20001d4c01e28554040";
    const PPS_1: &str = "6848e3c8";
    const IDR_1: &str = "65884a80";
    let canonicalizer = check_h264(&[(&[SPS_1, PPS_1, SPS, PPS, IDR_1], Some((&[IDR_1], true, true)))]);
    let (CodecParameters::H264(sets), Shape::Video(shape)) = canonicalizer.parameters().unwrap() else { panic!() };
    assert_eq!(sets.sps, [hex(SPS), hex(SPS_1)]);
    assert_eq!(sets.pps, [hex(PPS), hex(PPS_1)]);
    assert_eq!(shape.width, 322);
}

#[test]
fn open_gops_begin_with_frames_that_need_no_other() {
    check_h264(&[
        (&[SPS, PPS, I], Some((&[I], true, true))),
        (&[I], Some((&[I], false, false))),
        (&[SPS, PPS, I, P], Some((&[I, P], false, false))),
        (&[SPS, PPS, I, I], Some((&[I, I], true, false))),
        (&[RECOVERY, P], Some((&[RECOVERY, P], true, false))),
        (&[SEI, I], Some((&[SEI, I], false, false))),
    ]);
}

#[test]
fn units_with_lengths_are_not_copied() {
    let sets = h264::Parameters { sps: vec![hex(SPS).into()], pps: vec![hex(PPS).into()] };
    for size in 1..=4 {
        let mut canonicalizer = Canonicalizer::new(SourceForm::H264Lengths(sets.clone(), size));
        let (codec, Shape::Video(shape)) = canonicalizer.parameters().unwrap() else { panic!() };
        assert_eq!((codec, shape.width), (&CodecParameters::H264(sets.clone()), 160));
        for (nals, expect, at) in [
            (&[P, SEI][..], &[P, SEI][..], Some(0)),
            (&[AUD, SPS, PPS, SEI, IDR], &[SEI, IDR], Some(with_lengths(&[AUD, SPS, PPS], 4).len())),
            (&[IDR, "0c80"], &[IDR], Some(0)),
            (&[SEI, PPS, IDR], &[SEI, IDR], None),
        ] {
            let unit = with_lengths(nals, size);
            let found = canonicalizer.push(unit.clone()).unwrap();
            assert_eq!(found.data, with_lengths(expect, 4));
            assert_eq!((found.is_sync, found.parameters_changed), (nals.contains(&IDR), false));
            if let Some(at) = at.filter(|_| size == 4) {
                assert_eq!(found.data.as_ptr(), unit[at..].as_ptr());
            }
        }
        // What is cut off is lost, and no more.
        let cut = with_lengths(&[IDR, P], size);
        assert_eq!(canonicalizer.push(cut.slice(..cut.len() - 1)).unwrap().data, with_lengths(&[IDR], 4));
        // The header is repeated, the same and another.
        canonicalizer.restart(SourceForm::H264Lengths(sets.clone(), size));
        assert!(!canonicalizer.push(with_lengths(&[IDR], size)).unwrap().parameters_changed);
        canonicalizer.restart(SourceForm::H264AnnexB);
        assert!(canonicalizer.push(with_codes(&[OTHER_SPS, PPS, IDR])).unwrap().parameters_changed);
    }
}

#[test]
fn other_layers_of_h265_are_dropped() {
    const VPS: &str = "40010c01ffff01600000030090000003000003003c959809";
    const SPS: &str = "42010101600000030090000003000003003ca00a480b9c9596566924caf01680800001f480003a98040";
    const PPS: &str = "4401c172b46240";
    const IDR: &str = "2601af";
    let sps = format!("{SPS}0");
    let mut canonicalizer = Canonicalizer::new(SourceForm::H265AnnexB);
    // A picture parameter set and a slice of the second layer, a delimiter, marks of the end, filler.
    let unit = with_codes(&["460150", VPS, &sps, PPS, "4409c1aaaa", IDR, "2609af", "4a01", "4801", "4c01ff80"]);
    let found = canonicalizer.push(unit).unwrap();
    assert_eq!((found.data, found.is_sync, found.parameters_changed), (with_lengths(&[IDR], 4), true, true));
    let (CodecParameters::H265(sets), _) = canonicalizer.parameters().unwrap() else { panic!() };
    assert_eq!((sets.vps.len(), sets.sps.len(), &sets.pps), (1, 1, &vec![Bytes::from(hex(PPS))]));
    // CRA is where an open GOP begins; RASL and others need what is before them.
    for (nal, is_sync) in [("2a01af", true), ("1001af", false), ("1201af", false), ("0201d0", false)] {
        assert_eq!(canonicalizer.push(with_codes(&[nal])).unwrap().is_sync, is_sync, "{nal}");
    }
}

#[test]
fn the_rate_of_a_container_counts_where_the_codec_has_none() {
    let rate = |canonicalizer: &Canonicalizer| match canonicalizer.parameters().unwrap().1 {
        Shape::Video(shape) => shape.frame_rate,
        Shape::Audio(_) => None,
    };
    let key = Bytes::from_static(&[0x50, 0x18, 0, 0x9d, 1, 0x2a, 0xa0, 0, 0x78, 0, 0]);
    let mut canonicalizer = Canonicalizer::new(SourceForm::Vp8);
    canonicalizer.set_frame_rate(Some((50, 1)));
    assert!(canonicalizer.push(key.clone()).unwrap().parameters_changed);
    assert_eq!(rate(&canonicalizer), Some((50, 1)));
    canonicalizer.set_frame_rate(Some((25, 1)));
    assert!(!canonicalizer.push(key).unwrap().parameters_changed);
    let mut canonicalizer = Canonicalizer::new(SourceForm::H264AnnexB);
    canonicalizer.set_frame_rate(Some((50, 1)));
    canonicalizer.push(with_codes(&[SPS, PPS, IDR])).unwrap();
    assert_eq!(rate(&canonicalizer), Some((25, 1)));
}

#[test]
fn samples_of_pcm_are_whole() {
    let mut canonicalizer = Canonicalizer::new(SourceForm::Pcm(pcm::Format::S16Le, 48_000, 2));
    assert_eq!(canonicalizer.push(Bytes::from_static(&[1; 11])).unwrap().data.len(), 8);
    assert_eq!(canonicalizer.push(Bytes::from_static(&[1; 3])), None);
}

/// All forms, where parameters of some stream are known.
fn forms() -> Vec<SourceForm> {
    let h264 = h264::Parameters { sps: vec![hex(SPS).into()], pps: vec![hex(PPS).into()] };
    let h265 = h265::Parameters { vps: vec![], sps: vec![], pps: vec![] };
    let aac = aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) };
    let empty = xiph::Headers { identification: Bytes::new(), comment: Bytes::new(), setup: Bytes::new() };
    vec![
        SourceForm::H264AnnexB,
        SourceForm::H264Lengths(h264.clone(), 4),
        SourceForm::H264Lengths(h264, 2),
        SourceForm::H265AnnexB,
        SourceForm::H265Lengths(h265, 4),
        SourceForm::Av1ObuStream(None),
        SourceForm::Av1StartCodes,
        SourceForm::Vp8,
        SourceForm::Vp9,
        SourceForm::MpegVideo,
        SourceForm::Mpeg4Visual(mpeg4_visual::Parameters { config: Bytes::new() }),
        SourceForm::Jpeg,
        SourceForm::Theora(empty.clone()),
        SourceForm::AacRaw(aac),
        SourceForm::Adts,
        SourceForm::Loas,
        SourceForm::Opus(opus::Parameters::simple(2)),
        SourceForm::Vorbis(empty),
        SourceForm::MpegAudio,
        SourceForm::Ac3,
        SourceForm::Pcm(pcm::Format::S24Le, 48_000, 2),
    ]
}

/// Beginnings of units of all kinds.
const BEGINNINGS: &[&str] = &[
    "",
    "000001",
    "00000004",
    "000001670000",
    "00000161",
    "0000014201",
    "00000126",
    "1200",
    "0a0b",
    "3210",
    "500018009d012a",
    "82498342",
    "000001b3",
    "000001b6",
    "00000120",
    "ffd8ffc0",
    "fff14c80",
    "56e0",
    "fffb90",
    "0b77000014",
    "0b770000ff",
];

proptest! {
    #[test]
    fn foreign_bytes_never_panic_and_stay_bounded(
        form in 0usize..21,
        units in prop::collection::vec((prop::sample::select(BEGINNINGS), prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4], 0..80)), 1..8),
    ) {
        let mut canonicalizer = Canonicalizer::new(forms().swap_remove(form));
        for (beginning, rest) in units {
            let unit = Bytes::from([hex(beginning), rest].concat());
            if let Some(found) = canonicalizer.push(unit.clone()) {
                prop_assert!(canonicalizer.parameters().is_some());
                // Start codes may be shorter than lengths; an image may get its tables.
                prop_assert!(!found.data.is_empty() && found.data.len() <= 2 * unit.len() + 8 + 420);
            }
        }
    }

    #[test]
    fn what_is_canonical_stays_as_it_is(
        nals in prop::collection::vec(prop::sample::select(&[SPS, PPS, SEI, AUD, RECOVERY, P, I, IDR, OTHER_SPS, "0c80"][..]), 0..9),
    ) {
        let first = with_codes(&[SPS, PPS, IDR]);
        let mut canonicalizer = Canonicalizer::new(SourceForm::H264AnnexB);
        canonicalizer.push(first).unwrap();
        let found = canonicalizer.push(with_codes(&nals));
        prop_assert_eq!(found.is_some(), nals.iter().any(|nal| [P, I, IDR].contains(nal)));
        let with_lengths = with_lengths(&nals, 4);
        if let (Some(found), (CodecParameters::H264(sets), _)) = (found, canonicalizer.parameters().unwrap()) {
            let mut canonicalizer = Canonicalizer::new(SourceForm::H264Lengths(sets.clone(), 4));
            let again = canonicalizer.push(found.data.clone()).unwrap();
            prop_assert_eq!((&again.data, again.data.as_ptr()), (&found.data, found.data.as_ptr()));
            prop_assert_eq!(canonicalizer.push(with_lengths).unwrap().data, found.data);
        }
    }
}

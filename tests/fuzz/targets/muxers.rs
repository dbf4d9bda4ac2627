#![no_main]

//! Any samples of any codec into the muxers of all containers: none panics, and none makes more of a sample than its size warrants.

use bytes::Bytes;
use std::time::{Duration, Instant};
use voyandz::media::{
    Container, FieldPairs, Muxed, Muxer, Sample, Time, TrackId, TrackInfo, TrackSet,
    codec::{
        CodecParameters, aac, ac3, av1, display_order::DisplayOrder, flac, h264, h265, mpeg_audio, mpeg_video, opus,
        pcm, vp9, xiph,
    },
    track::{AudioShape, Shape, VideoShape},
};

/// A step: what it is, two times in milliseconds, and the bytes of a sample or of a configuration.
type Step<'a> = (u8, i32, i16, &'a [u8]);

/// Room for heads of all containers, the parameter sets before a keyframe, and tables.
const HEADS: usize = 16 << 10;

fn shape(track: u8, kind: u8, size: i32) -> Shape {
    match track {
        0 => Shape::Video(VideoShape {
            width: size as u32 & 0x1fff,
            height: size as u32 >> 16 & 0x1fff,
            pixel_aspect: (1, 1),
            frame_rate: Some((u32::from(kind), 1)).filter(|(frames, _)| *frames > 0),
        }),
        _ => Shape::Audio(AudioShape { rate: size as u32 & 0x3_ffff, channels: kind as u16 & 15 }),
    }
}

fn codec(track: u8, kind: u8, bytes: &[u8]) -> CodecParameters {
    let whole = || Bytes::copy_from_slice(bytes);
    let halves = || {
        let (one, other) = bytes.split_at(bytes.len() / 2);
        [one, other].map(|half| vec![Bytes::copy_from_slice(half)])
    };
    let [one, other] = halves();
    match (track, kind % 10) {
        (0, 0) => CodecParameters::H264(h264::Parameters { sps: one, pps: other }),
        (0, 1) => CodecParameters::H265(h265::Parameters { vps: vec![whole()], sps: one, pps: other }),
        (0, 2) => CodecParameters::Av1(av1::Parameters { sequence_header: whole() }),
        (0, 3) => CodecParameters::Vp8,
        (0, 4) => {
            CodecParameters::Vp9(vp9::Parameters { profile: kind, level: kind, bit_depth: 8, chroma_subsampling: 1 })
        }
        (0, 5) => CodecParameters::Mpeg1Video,
        (0, 6) => CodecParameters::Mpeg2Video,
        (0, 7) => CodecParameters::Mpeg4Visual(mpeg_video::Mpeg4Parameters { config: whole() }),
        (0, 8) => CodecParameters::Jpeg,
        (0, _) => xiph::Headers::from_laced(bytes).map_or(CodecParameters::Vp8, CodecParameters::Theora),
        (_, 0) => CodecParameters::Aac(aac::Parameters { config: whole() }),
        (_, 1) => CodecParameters::Opus(opus::Parameters { head: whole() }),
        (_, 2) => CodecParameters::Flac(flac::Parameters { stream_info: whole() }),
        (_, 3) => CodecParameters::MpegAudio(mpeg_audio::Parameters { layer: kind & 3, is_low_rate: kind & 4 != 0 }),
        (_, 4) => CodecParameters::Ac3(ac3::Parameters { specific: whole() }),
        (_, 5) => CodecParameters::Eac3(ac3::Parameters { specific: whole() }),
        (_, 6) => CodecParameters::Pcm(pcm::Format::S16Be),
        (_, 7) => CodecParameters::Pcm(pcm::Format::ALaw),
        (_, 8) => CodecParameters::Pcm(pcm::Format::F32Le),
        _ => xiph::Headers::from_laced(bytes).map_or(CodecParameters::Pcm(pcm::Format::U8), CodecParameters::Vorbis),
    }
}

libfuzzer_sys::fuzz_target!(|steps: Vec<Step<'_>>| {
    let containers = Container::ALL.into_iter().chain([Container::Rtp, Container::WebRtc]);
    let mut muxers: Vec<_> = containers.filter_map(|container| Some((container, Muxer::new(container)?))).collect();
    let (mut tracks, mut fields, mut order) = (Vec::<TrackInfo>::new(), None, None);
    let (began, mut out) = (Instant::now(), Vec::new());
    for (number, (kind, dts, offset, bytes)) in steps.into_iter().enumerate() {
        let now = began + Duration::from_millis(number as u64 * 40);
        let track = kind & 1;
        if kind & 2 != 0 && kind & 4 != 0 {
            tracks.retain(|known| known.id != TrackId(track));
            if kind & 8 == 0 {
                let codec = codec(track, kind >> 4, bytes);
                if track == 0 {
                    (fields, order) = (FieldPairs::of(&codec), DisplayOrder::new(&codec));
                }
                tracks.push(TrackInfo { id: TrackId(track), codec, shape: shape(track, kind >> 4, dts) });
                tracks.sort_by_key(|track| track.id);
            }
            let set = TrackSet::new(tracks.clone());
            for (container, muxer) in &mut muxers {
                let chosen = Muxer::select(*container, &set).unwrap_or_default();
                let chosen: Vec<_> = chosen.iter().filter_map(|id| set.get(*id).cloned()).collect();
                muxer.set_tracks(&chosen, &mut out);
            }
            out.clear();
            continue;
        }
        let dts = Time::from_millis(dts.into());
        let sample = Sample {
            track: TrackId(track),
            dts,
            pts: Time::from_nanos(dts.nanos() + i64::from(offset.max(0)) * 1_000_000),
            duration: (kind & 16 != 0).then_some(Duration::from_millis(u64::from(kind))),
            is_sync: kind & 32 != 0,
            discontinuity: kind & 64 != 0,
            captured: (kind & 128 != 0).then_some(Duration::from_millis(number as u64)),
            entered: None,
            data: Bytes::copy_from_slice(bytes),
        };
        let _ = order.as_mut().map(|order: &mut DisplayOrder| order.next(bytes));
        let mut samples = Vec::new();
        match fields.as_mut().filter(|_| track == 0) {
            Some(fields) => FieldPairs::push(fields, sample, |sample| samples.push(sample)),
            None => samples.push(sample),
        }
        for sample in samples {
            for (container, muxer) in &mut muxers {
                muxer.push(&sample, now, &mut out);
                let made: usize =
                    out.drain(..).map(|muxed| if let Muxed::Packet(packet) = muxed { packet.len() } else { 0 }).sum();
                assert!(made <= 4 * sample.data.len() + HEADS, "{container}: {made} bytes of {}", sample.data.len());
            }
        }
    }
});

//! The last frame of muxed bytes, for a still of what was muxed before the worker saw it.

use super::decode;
use crate::{
    ipc::PictureFault,
    media::{MediaKind, demux::Demuxed, unpack::Unpacker},
    worker::{
        event::describe,
        gst_util::{STILL_DEADLINE, in_order},
        threads::{dispose, lock},
        track_caps,
    },
};
use bytes::Bytes;
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::sync::{Arc, Mutex};

/// What the threads of the pipeline find.
#[derive(Default)]
struct Found {
    /// A video track.
    video: bool,
    /// Another track.
    other: bool,
    /// The newest frame. A damaged one only when there is no whole one.
    picture: Option<gst::Sample>,
}

/// Decodes the last frame of a container's header and what follows it.
///
/// # Errors
/// Why there is none: [`PictureFault::NotYet`] when the bytes hold a video track, but no whole frame.
pub(super) fn last_frame(bytes: Bytes) -> Result<(gst::Caps, gst::Buffer), PictureFault> {
    let (demuxer, caps) = match bytes.as_ref() {
        [0xff, 0xd8, ..] => {
            let caps = gst::Caps::new_empty_simple("image/jpeg");
            return decode(&caps, &[gst::Buffer::from_slice(bytes)]);
        }
        [0x47, ..] if let Some((caps, buffers)) = frames(&bytes)? => return decode(&caps, &buffers),
        [0x47, ..] => {
            let caps = gst::Caps::builder("video/mpegts").field("systemstream", true).field("packetsize", 188);
            ("tsdemux", caps.build())
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => ("matroskademux", gst::Caps::new_empty_simple("video/x-matroska")),
        [b'F', b'L', b'V', ..] => ("flvdemux", gst::Caps::new_empty_simple("video/x-flv")),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => ("qtdemux", gst::Caps::new_empty_simple("video/quicktime")),
        [b'O', b'g', b'g', b'S', ..] => ("oggdemux", gst::Caps::new_empty_simple("application/ogg")),
        [] => return Err(PictureFault::NotYet),
        _ => return Err(PictureFault::Failed("the bytes are in no known container".into())),
    };
    let pipeline = gst::Pipeline::new();
    let found = Arc::<Mutex<Found>>::default();
    let has_pictures = demuxer == "tsdemux" && has_pictures(&bytes);
    let end = build(&pipeline, demuxer, caps, &found)
        .map_err(|error| PictureFault::Failed(error.to_string()))
        .and_then(|source| play(&pipeline, &source, bytes));
    dispose(pipeline, || {});
    let found = std::mem::take(&mut *lock(&found));
    if let Some(picture) = found.picture.and_then(|sample| Some((sample.caps_owned()?, sample.buffer_owned()?))) {
        // The end of the bytes may be cut; a frame before that is good.
        return Ok(picture);
    }
    end?;
    Err(if found.other && !found.video && !has_pictures { PictureFault::NoVideo } else { PictureFault::NotYet })
}

/// The whole frames of a transport stream, as a decoder takes them: a network cuts the last one anywhere. `None` when our demuxer does
/// not know its codec.
fn frames(bytes: &[u8]) -> Result<Option<(gst::Caps, Vec<gst::Buffer>)>, PictureFault> {
    let (mut unpacker, mut found) = (Unpacker::new(), Vec::new());
    unpacker.push(bytes, &mut found);
    unpacker.settle(&mut found);
    let (mut video, mut buffers) = (None, Vec::new());
    for found in found {
        match found {
            Demuxed::Tracks(tracks) => {
                let lead = tracks.lead().filter(|track| track.kind() == MediaKind::Video).cloned();
                if lead != video {
                    // What is shown now is of the newest.
                    (video, buffers) = (lead, Vec::new());
                }
            }
            Demuxed::Sample(sample) => {
                let Some(video) = video.as_ref().filter(|video| video.id == sample.track) else { continue };
                let mut buffer = gst::Buffer::from_slice(track_caps::bytes_of(video, &sample));
                if let Some(buffer) = buffer.get_mut() {
                    let pts = u64::try_from(sample.pts.nanos()).ok();
                    buffer.set_pts(pts.map(gst::ClockTime::from_nseconds));
                }
                buffers.push(buffer);
            }
        }
    }
    match video.as_ref().map(track_caps::of) {
        Some(Some(caps)) if !buffers.is_empty() => Ok(Some((caps, buffers))),
        Some(Some(_)) => Err(PictureFault::NotYet),
        // Others may know its codec, or that there is none.
        None if unpacker.unsupported().is_empty() && has_pictures(bytes) => Err(PictureFault::NotYet),
        Some(None) | None => Ok(None),
    }
}

/// One branch takes the bytes apart; the other one only lets the pipeline have an end when there is no track.
fn build(
    pipeline: &gst::Pipeline,
    demuxer: &str,
    caps: gst::Caps,
    found: &Arc<Mutex<Found>>,
) -> Result<gst_app::AppSrc, glib::BoolError> {
    let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Bytes).max_bytes(0).build();
    let tee = gst::ElementFactory::make("tee").build()?;
    let demuxer = gst::ElementFactory::make(demuxer).build()?;
    if demuxer.find_property("ignore-pcr").is_some() {
        // A clock reference may be missing when there is one frame, which would then never come out.
        demuxer.set_property("ignore-pcr", true);
    }
    let end = gst::ElementFactory::make("fakesink").property("sync", false).property("async", false).build()?;
    pipeline.add_many([source.upcast_ref(), &tee, &demuxer, &end])?;
    gst::Element::link_many([source.upcast_ref(), &tee, &demuxer])?;
    tee.link(&end)?;
    in_order(pipeline);
    let (weak, found) = (pipeline.downgrade(), found.clone());
    demuxer.connect_pad_added(move |_, pad| {
        if let Some(pipeline) = weak.upgrade() {
            // What is not read from stops its demuxer, which is an error on the bus.
            let _ = read(&pipeline, pad, &found);
        }
    });
    Ok(source)
}

/// Decodes the first video track; what the others deliver is dropped.
fn read(pipeline: &gst::Pipeline, pad: &gst::Pad, found: &Arc<Mutex<Found>>) -> Result<(), glib::BoolError> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let video =
        caps.structure(0).is_some_and(|media| matches!(media.name().split_once('/'), Some(("video" | "image", _))));
    let mut known = lock(found);
    let wanted = video && !known.video;
    known.video |= video;
    known.other |= !video;
    drop(known);
    if !wanted {
        pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, |_, _| gst::PadProbeReturn::Drop);
        return Ok(());
    }
    let elements = decoder(found)?;
    pipeline.add_many(&elements)?;
    for element in elements.iter().rev() {
        element.sync_state_with_parent()?;
    }
    let entrance = elements.first().and_then(|element| element.static_pad("sink"));
    let entrance = entrance.ok_or_else(|| glib::bool_error!("no sink pad"))?;
    pad.link(&entrance).map(|_| ()).map_err(|error| glib::bool_error!("{error}"))
}

/// A decoder, and where its frames go.
fn decoder(found: &Arc<Mutex<Found>>) -> Result<Vec<gst::Element>, glib::BoolError> {
    let decoder = gst::ElementFactory::make("decodebin").build()?;
    let found = found.clone();
    let damaged = |sample: &gst::Sample| {
        sample.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::CORRUPTED))
    };
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let mut found = lock(&found);
        if !damaged(&sample) || found.picture.as_ref().is_none_or(damaged) {
            found.picture = Some(sample);
        }
        Ok(gst::FlowSuccess::Ok)
    });
    let raw = gst::Caps::new_empty_simple("video/x-raw");
    let sink = gst_app::AppSink::builder().caps(&raw).sync(false).async_(false).callbacks(callbacks.build()).build();
    let weak = sink.downgrade();
    decoder.connect_pad_added(move |_, pad| {
        if let Some(entrance) = weak.upgrade().and_then(|sink| sink.static_pad("sink")) {
            // An unlinked decoder stops, which is an error on the bus.
            let _ = pad.link(&entrance);
        }
    });
    Ok(vec![decoder, sink.upcast()])
}

/// Sends the bytes through and waits for their end.
fn play(pipeline: &gst::Pipeline, source: &gst_app::AppSrc, bytes: Bytes) -> Result<(), PictureFault> {
    let failed = |text: &str| PictureFault::Failed(text.to_owned());
    let bus = pipeline.bus().ok_or_else(|| failed("no pipeline"))?;
    let _ = pipeline.set_state(gst::State::Playing);
    // The bus reports failures.
    let _ = source.push_buffer(gst::Buffer::from_slice(bytes));
    let _ = source.end_of_stream();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(STILL_DEADLINE, &ends).ok_or_else(|| failed("it takes too long"))?;
    let gst::MessageView::Error(error) = message.view() else { return Ok(()) };
    // Parsers and decoders so complain of bytes that end before the first frame does.
    let too_short = [gst::StreamError::Failed, gst::StreamError::WrongType, gst::StreamError::Demux];
    let fault = error.error();
    if fault.kind::<gst::StreamError>().is_some_and(|kind| too_short.contains(&kind)) {
        return Ok(());
    }
    Err(failed(&describe(message.src(), &fault, error.debug())))
}

/// Whether the program map table among these transport packets lists a video stream (ISO/IEC 13818-1, 2.4.4.9).
fn has_pictures(packets: &[u8]) -> bool {
    packets.chunks_exact(188).filter_map(map_section).any(|section| {
        let streams = section.get(12..).zip(section.get(10..12).and_then(|pair| pair.first_chunk::<2>()));
        let Some((streams, length)) = streams else { return false };
        let mut rest = streams.get(usize::from(u16::from_be_bytes(*length) & 0xfff)..).unwrap_or_default();
        // The last four bytes of a section are its checksum.
        while let (Some([kind, _, _, high, low]), true) = (rest.first_chunk::<5>(), rest.len() > 4 + 4) {
            let length = usize::from(u16::from_be_bytes([*high, *low]) & 0xfff);
            let described = rest.get(5..5 + length).unwrap_or_default();
            let private = described.windows(4).any(|word| matches!(word, b"AV01" | b"VP09" | b"drac"));
            if matches!(kind, 0x01 | 0x02 | 0x10 | 0x1b | 0x20 | 0x21 | 0x24 | 0x33 | 0x42 | 0xd1 | 0xea) || private {
                return true;
            }
            rest = rest.get(5 + length..).unwrap_or_default();
        }
        false
    })
}

/// The program map section that begins in a transport packet.
fn map_section(packet: &[u8]) -> Option<&[u8]> {
    let [sync, high, low, control] = *packet.first_chunk::<4>()?;
    let pid = u16::from_be_bytes([high & 0x1f, low]);
    if sync != 0x47 || pid == 0 || high & 0x40 == 0 {
        return None;
    }
    let adaptation = if control & 0x20 != 0 { 1 + usize::from(*packet.get(4)?) } else { 0 };
    let payload = packet.get(4 + adaptation..)?;
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let length = usize::from(u16::from_be_bytes([*section.get(1)?, *section.get(2)?]) & 0xfff);
    (*section.first()? == 2).then_some(section.get(..3 + length)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Kind, Scanned, Scanner};

    /// A transport stream of this encoder: white frames with a ball, none of which is grey anywhere.
    fn stream(encoder: &str) -> Vec<u8> {
        gst::init().unwrap();
        let text = format!(
            "videotestsrc num-buffers=75 pattern=ball foreground-color=0xffff0000 background-color=0xffffffff ! \
             video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! {encoder} ! mux. audiotestsrc num-buffers=140 ! \
             avenc_aac ! mux. mpegtsmux name=mux ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut bytes = Vec::new();
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(30)) {
            let list = sample.buffer_list_owned();
            let buffers = sample.buffer_owned().into_iter().chain(list.iter().flat_map(|list| list.iter_owned()));
            buffers.for_each(|buffer| bytes.extend_from_slice(&buffer.map_readable().unwrap()));
        }
        assert!(sink.is_eos(), "{encoder} does not come to its end");
        pipeline.set_state(gst::State::Null).unwrap();
        bytes
    }

    /// The header of a stream, and the packets of each group, as the ring of a fan-out has them.
    fn groups(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut scanner, mut found) = (Scanner::new(None), Vec::new());
        bytes.chunks(1316).for_each(|piece| scanner.push(piece, &mut found));
        let (mut header, mut groups) = (Vec::new(), Vec::new());
        for found in found {
            match found {
                Scanned::Header(bytes) => header = bytes.to_vec(),
                Scanned::Packet { kind, payload } => {
                    if kind == Kind::Keyframe {
                        groups.push(header.clone());
                    }
                    if let Some(group) = groups.last_mut() {
                        group.extend_from_slice(payload.payload());
                    }
                }
                Scanned::Container(_) | Scanned::Lead(_) => {}
            }
        }
        groups
    }

    /// The share of pixels whose luma and chroma are those of a frame that a decoder has nothing for.
    fn grey(caps: &gst::Caps, buffer: &gst::Buffer) -> f64 {
        let format = caps.structure(0).unwrap();
        let (width, height) =
            (format.get::<i32>("width").unwrap() as usize, format.get::<i32>("height").unwrap() as usize);
        let map = buffer.map_readable().unwrap();
        let luma = &map[..width * height];
        luma.iter().filter(|luma| (120..136).contains(*luma)).count() as f64 / luma.len() as f64
    }

    #[test]
    fn a_still_is_a_whole_frame_wherever_the_network_cuts() {
        gst::init().unwrap();
        let encoders = [
            "x264enc key-int-max=25 bframes=3 b-adapt=false option-string=open-gop=1:b-pyramid=normal:scenecut=0 ! h264parse config-interval=-1",
            "x264enc key-int-max=25 bframes=0 tune=zerolatency speed-preset=ultrafast ! h264parse config-interval=-1",
            "x264enc key-int-max=25 intra-refresh=true tune=zerolatency ! h264parse config-interval=-1",
            "x265enc key-int-max=25 speed-preset=ultrafast ! h265parse config-interval=-1",
        ];
        for encoder in encoders {
            if gst::ElementFactory::find(encoder.split(' ').next().unwrap()).is_none() {
                eprintln!("SKIPPED: there is no {encoder}");
                continue;
            }
            let groups = groups(&stream(encoder));
            assert!(groups.len() > 1, "{encoder}");
            let (mut taken, mut tried) = (0, 0);
            for group in groups.iter().skip(1) {
                for part in 1..=12 {
                    let cut = &group[..group.len() * part / 12];
                    tried += 1;
                    match last_frame(Bytes::copy_from_slice(cut)) {
                        Ok((caps, buffer)) => {
                            taken += 1;
                            let grey = grey(&caps, &buffer);
                            assert!(grey < 0.03, "{encoder}: {:.0} % grey of part {part} of 12", grey * 100.0);
                        }
                        Err(PictureFault::NotYet) => {}
                        Err(other) => panic!("{encoder}: {other:?}"),
                    }
                }
            }
            let least = if encoder.contains("intra-refresh") { 1 } else { tried / 2 };
            assert!(taken >= least, "{encoder}: {taken} of {tried}");
        }
    }
}

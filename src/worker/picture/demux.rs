//! The newest GOP of muxed bytes, for a still of what was muxed before the worker saw it.

use crate::{
    ipc::PictureFault,
    media::{
        Container, MediaKind,
        demux::Demuxed,
        unpack::{AnyDemuxer, UnknownBytes},
    },
    worker::{track::Still, track_caps},
};
use bytes::Bytes;
use gstreamer as gst;

/// The frames of a container's header and of what follows it, as a decoder takes them. A network cuts the last one anywhere: only
/// whole ones are in it.
///
/// # Errors
/// Why there are none: [`PictureFault::NotYet`] when the bytes hold a video track, but no whole frame.
pub(super) fn newest_group(bytes: Bytes) -> Result<Still, PictureFault> {
    if bytes.is_empty() {
        return Err(PictureFault::NotYet);
    }
    if bytes.starts_with(&[0xff, 0xd8]) {
        let caps = gst::Caps::new_empty_simple("image/jpeg");
        return Ok(Still::Encoded(caps, vec![gst::Buffer::from_slice(bytes)]));
    }
    let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
    demuxer.push(&bytes, &mut found).map_err(|fault| match fault {
        UnknownBytes::Container(Container::Flac | Container::Wav) => PictureFault::NoVideo,
        UnknownBytes::Container(_) | UnknownBytes::Frame(_) | UnknownBytes::Unknown => {
            PictureFault::Failed("the bytes are in no known container".into())
        }
    })?;
    demuxer.settle(&mut found);
    let (mut video, mut buffers, mut has_tracks) = (None, Vec::new(), false);
    for found in found {
        match found {
            Demuxed::Tracks(tracks) => {
                has_tracks = true;
                let lead = tracks.lead().filter(|track| track.kind() == MediaKind::Video).cloned();
                if lead != video {
                    // What is shown now is of the newest.
                    (video, buffers) = (lead, Vec::new());
                }
            }
            Demuxed::Sample(sample) => {
                let Some(video) = video.as_ref().filter(|video| video.id == sample.track) else { continue };
                buffers.push(track_caps::shown_buffer(video, &sample));
            }
        }
    }
    let Some(video) = video else {
        let unsupported = demuxer.unsupported();
        return Err(match has_tracks && !demuxer.has_video() {
            true if unsupported.is_empty() => PictureFault::NoVideo,
            true => PictureFault::Failed(format!("{} cannot be decoded", unsupported.join(", "))),
            false => PictureFault::NotYet,
        });
    };
    match track_caps::of(&video) {
        None => Err(PictureFault::Failed(format!("{} cannot be decoded", video.codec.name()))),
        Some(_) if buffers.is_empty() => Err(PictureFault::NotYet),
        Some(caps) => Ok(Still::Encoded(caps, buffers)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        media::{Kind, Scanned, Scanner},
        worker::picture::decode,
    };
    use gst::prelude::*;
    use gstreamer_app as gst_app;

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

    fn last_frame(bytes: &[u8]) -> Result<(gst::Caps, gst::Buffer), PictureFault> {
        match newest_group(Bytes::copy_from_slice(bytes))? {
            Still::Encoded(caps, buffers) => decode(&caps, &buffers),
            Still::Raw(..) => panic!("nothing is decoded yet"),
        }
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
                    match last_frame(cut) {
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

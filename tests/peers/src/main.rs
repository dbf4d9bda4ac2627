//! Plays an address with retina, and prints a line of each track: `voyandz-peers URL tcp|udp SECONDS`.
//!
//! Of video it looks at each frame: whether its units are whole, and whether the first one is a keyframe.

#![forbid(unsafe_code)]

use anyhow::{Context, bail, ensure};
use futures_util::StreamExt;
use retina::{
    client::{PlayOptions, Session, SessionOptions, SetupOptions, TcpTransportOptions, Transport, UdpTransportOptions},
    codec::{CodecItem, ParametersRef},
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What came of a track.
#[derive(Debug, Default)]
struct Track {
    codec: String,
    frames: usize,
    keyframes: usize,
    begins_with_keyframe: bool,
    lost: usize,
    /// Of timestamps, in seconds.
    first: f64,
    last: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, transport, seconds] = arguments.as_slice() else { bail!("expected URL tcp|udp SECONDS") };
    let transport = match transport.as_str() {
        "tcp" => Transport::Tcp(TcpTransportOptions::default()),
        "udp" => Transport::Udp(UdpTransportOptions::default()),
        other => bail!("there is no transport {other}"),
    };
    let mut session = Session::describe(url.parse()?, SessionOptions::default()).await?;
    let count = session.streams().len();
    let mut tracks: Vec<Track> = (0..count).map(|_| Track::default()).collect();
    for number in 0..count {
        session.setup(number, SetupOptions::default().transport(transport.clone())).await?;
    }
    let mut session = session.play(PlayOptions::default()).await?.demuxed()?;
    let until = Instant::now() + Duration::from_secs(seconds.parse()?);
    while let Ok(item) = timeout_at(until, session.next()).await {
        match item.context("the end of the stream")?? {
            CodecItem::VideoFrame(frame) => {
                let track = tracks.get_mut(frame.stream_id()).context("a track that there is not")?;
                units(frame.data())?;
                let is_keyframe = frame.is_random_access_point();
                track.begins_with_keyframe |= track.frames == 0 && is_keyframe;
                track.keyframes += usize::from(is_keyframe);
                track.add(frame.loss(), frame.timestamp());
            }
            CodecItem::AudioFrame(frame) => {
                let track = tracks.get_mut(frame.stream_id()).context("a track that there is not")?;
                ensure!(!frame.data().is_empty(), "an empty frame");
                track.add(frame.loss(), frame.timestamp());
            }
            _ => {}
        }
    }
    for (track, stream) in tracks.iter_mut().zip(session.streams()) {
        track.codec = match stream.parameters() {
            Some(ParametersRef::Video(parameters)) => parameters.rfc6381_codec().to_owned(),
            Some(ParametersRef::Audio(parameters)) => parameters.rfc6381_codec().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let Track { codec, frames, keyframes, begins_with_keyframe, lost, first, last } = track;
        println!(
            "{} codec={codec} frames={frames} keyframes={keyframes} begins_with_keyframe={begins_with_keyframe} lost={lost} \
             seconds={:.2}",
            stream.media(),
            *last - *first
        );
    }
    Ok(())
}

impl Track {
    fn add(&mut self, loss: u16, timestamp: retina::Timestamp) {
        let seconds = timestamp.elapsed_secs();
        if self.frames == 0 {
            self.first = seconds;
        }
        // B-frames go back.
        self.last = self.last.max(seconds);
        self.frames += 1;
        self.lost += usize::from(loss);
    }
}

/// A frame of H.264 or H.265 is units, each behind its length.
fn units(mut frame: &[u8]) -> anyhow::Result<()> {
    ensure!(!frame.is_empty(), "an empty frame");
    while let Some((length, rest)) = frame.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        ensure!(length > 0, "an empty unit");
        frame = rest.get(length..).context("a unit that is cut off")?;
    }
    ensure!(frame.is_empty(), "{} bytes behind the last unit", frame.len());
    Ok(())
}

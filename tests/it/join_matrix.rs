//! Every container, whoever made it, joined at random moments with every wish: decoders have nothing to complain of.

use crate::rig::{
    Dice, SOON, Server, have, media, millis, mkv, multipart,
    script::{PICTURE, TONE},
    secs, ts,
};
use std::{io::Write, time::Duration};
use voyandz::media::{Scanned, Scanner};

/// Joins of one stream with one wish; `ci/joins` asks for more.
const JOINS: usize = 3;
/// The moments of all joins lie within this time.
const SPAN: Duration = secs(4);

/// A container and how it comes to be.
struct Row {
    container: &'static str,
    /// Its media type, as far as it is the same for all three.
    mimetype: &'static str,
    /// Keys of a stream that voyandz encodes.
    own: &'static str,
    /// The text of a feed that muxes; words in capitals stand for texts.
    muxed: &'static str,
    /// What ffmpeg writes; words in capitals stand for options.
    command: &'static str,
    /// The tracks of each of the three, as ffprobe names them.
    codecs: [&'static [&'static str]; 3],
}

const ENCODED: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=400";
const LIBX264: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -g 25 -pix_fmt yuv420p -c:a aac";
const LIBVPX: &str = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 400k -g 25 -c:a libopus";
const H264_AAC: &[&str] = &["aac", "h264"];

/// What asks for a join, and whether the answer is complete by itself and begins with an intra-frame.
const WISHES: [(&str, bool, bool); 4] = [
    ("?header=1", true, false),
    ("?keyframe=1", false, true),
    ("?header=1&keyframe=1", true, true),
    ("?header=1&keyframe=next", true, true),
];
const MAKERS: [&str; 3] = ["own", "muxed", "command"];

impl Row {
    fn has_pictures(&self, maker: usize) -> bool {
        self.codecs[maker]
            .iter()
            .any(|codec| !matches!(*codec, "opus" | "vorbis" | "aac" | "mp3" | "flac" | "pcm_s16le"))
    }

    fn server(&self) -> Server {
        let Self { container, own, muxed, command, .. } = self;
        let muxed = muxed.replace("PICTURE", PICTURE).replace("TONE", TONE).replace("H264", ENCODED);
        let command = command.replace("LIBX264", LIBX264).replace("LIBVPX", LIBVPX);
        Server::start(&format!(
            "
            feeds:
              cam: {{pipeline: '{PICTURE}'}}
              mic: {{pipeline: '{TONE}'}}
              muxer: {{pipeline: '{muxed}'}}
              ffmpeg:
                command: >-
                  ffmpeg -v error -re -f lavfi -i testsrc=s=320x240:r=25 -re -f lavfi -i sine=r=48000
                  {command} -flush_packets 1 -
            streams:
              own.{container}: {{feeds: [cam, mic], {own}}}
              muxed.{container}: {{feed: muxer}}
              command.{container}: {{feed: ffmpeg}}
            "
        ))
    }

    /// Joins all three streams with every wish at random moments, then judges what came.
    fn check(&self) {
        if !have("ffprobe") {
            return;
        }
        let joins = std::env::var("VOYANDZ_JOINS").map_or(JOINS, |joins| joins.parse().unwrap());
        let server = self.server();
        let mut dice = Dice::new(self.container.bytes().map(u64::from).sum());
        let targets = MAKERS.map(|maker| format!("/{maker}.{}", self.container));
        // They keep the streams running, so that the headers are those of all joins.
        let _viewers = targets.each_ref().map(|target| server.get(target).kept());
        let headers = targets.each_ref().map(|target| self.header(&server, target));
        let plan: Vec<_> = (0..MAKERS.len())
            .flat_map(|maker| WISHES.iter().flat_map(move |wish| (0..joins).map(move |_| (maker, wish))))
            .map(|(maker, wish)| (maker, wish, dice.below(SPAN)))
            .collect();
        let received: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let join = |(maker, (query, _, _), pause): &(usize, &(&str, bool, bool), Duration)| {
                std::thread::sleep(*pause);
                let mut answer = server.get(&format!("{}{query}", targets[*maker]));
                let mimetype = answer.header("content-type").unwrap();
                assert!(answer.status == 200 && mimetype.starts_with(self.mimetype), "{mimetype}");
                answer.collect(if query.ends_with("=1&keyframe=1") { millis(1600) } else { millis(2600) })
            };
            let clients: Vec<_> = plan.iter().map(|join_| scope.spawn(move || join(join_))).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        drop(server);
        let faults: Vec<String> = plan
            .iter()
            .zip(&received)
            .filter_map(|((maker, wish, pause), bytes)| {
                let (query, is_complete, _) = wish;
                let whole = if *is_complete { bytes.clone() } else { [&headers[*maker][..], bytes].concat() };
                let fault = self.fault(*maker, wish.2, &whole)?;
                let mut kept = tempfile::Builder::new().prefix("voyandz-join-").tempfile().unwrap();
                kept.write_all(&whole).unwrap();
                let (_, kept) = kept.keep().unwrap();
                Some(format!("{}{query} after {pause:?}, kept in {}: {fault}", targets[*maker], kept.display()))
            })
            .collect();
        assert!(faults.is_empty(), "{} of {} joins:\n{}", faults.len(), plan.len(), faults.join("\n"));
    }

    /// What a client is given in front of the media that asks for it.
    fn header(&self, server: &Server, target: &str) -> Vec<u8> {
        let bytes = server.get(&format!("{target}?header=1&keyframe=1")).take(20_000, SOON);
        let (mut scanner, mut found) = (Scanner::new(None), Vec::new());
        scanner.push(&bytes, &mut found);
        let mut headers = found.into_iter().filter_map(|found| match found {
            Scanned::Header(header) => Some(header.to_vec()),
            _ => None,
        });
        // The tables of a transport stream are part of the media.
        headers.next().filter(|_| self.container != "ts").unwrap_or_default()
    }

    /// What is wrong with these bytes.
    fn fault(&self, maker: usize, begins_intra: bool, bytes: &[u8]) -> Option<String> {
        let bytes = match self.container {
            "ts" => ts::trim(bytes),
            "webm" | "mkv" => mkv::trim(bytes).to_vec(),
            "mjpeg" => multipart::parts(self.mimetype, bytes).concat(),
            _ => media::whole(bytes).to_vec(),
        };
        let found = media::Frames::of(&bytes, !begins_intra && self.has_pictures(maker));
        let found_codecs: Vec<_> = found.codecs.iter().map(String::as_str).collect();
        if !found_codecs.starts_with(self.codecs[maker]) {
            return Some(format!("{found_codecs:?}, not {:?}; {}", self.codecs[maker], found.complaints));
        }
        let is_good = if !self.has_pictures(maker) {
            found.sounds >= 5
        } else if begins_intra {
            found.pictures.starts_with('I') && found.pictures.len() >= 5
        } else {
            found.pictures.starts_with('I')
        };
        // A picture without those before it is what `header=1` alone asks for, and decoders complain of it. Clusters are whole.
        let may_complain = !begins_intra && !matches!(self.container, "webm" | "mkv");
        let is_clean = may_complain || found.complaints.is_empty();
        (!is_good || !is_clean)
            .then(|| format!("{}, {} frames of sound, {}", found.pictures, found.sounds, found.complaints))
    }
}

#[test]
fn d8_ts_is_joined_at_any_moment() {
    Row {
        container: "ts",
        mimetype: "video/mp2t",
        own: "video: {codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}, audio: {codec: aac}",
        muxed: "mpegtsmux name=m PICTURE ! H264 ! m. TONE ! avenc_aac ! m.",
        command: "LIBX264 -f mpegts",
        codecs: [H264_AAC; 3],
    }
    .check();
}

#[test]
fn d8_webm_is_joined_at_any_moment() {
    Row {
        container: "webm",
        mimetype: "video/webm; codecs=\"vp8, opus\"",
        own: "video: {codec: vp8, bitrate: 400k, gop: 25}, audio: {codec: opus}",
        muxed: "webmmux name=m streamable=true \
                PICTURE ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=25 ! m. TONE ! opusenc ! m.",
        // Otherwise ffmpeg keeps clusters back until they are full.
        command: "LIBVPX -f webm -live 1 -cluster_size_limit 1",
        codecs: [&["opus", "vp8"]; 3],
    }
    .check();
}

#[test]
fn d8_mkv_is_joined_at_any_moment() {
    Row {
        container: "mkv",
        mimetype: "video/x-matroska",
        own: "video: {codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}, audio: {codec: flac}",
        muxed: "matroskamux name=m streamable=true PICTURE ! H264 ! m. TONE ! avenc_aac ! m.",
        command: "LIBX264 -f matroska -live 1 -cluster_size_limit 1",
        codecs: [&["flac", "h264"], H264_AAC, H264_AAC],
    }
    .check();
}

#[test]
fn d8_flv_is_joined_at_any_moment() {
    Row {
        container: "flv",
        mimetype: "video/x-flv",
        own: "video: {codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}, audio: {codec: aac}",
        muxed: "flvmux name=m streamable=true PICTURE ! H264 ! m. TONE ! avenc_aac ! m.",
        command: "LIBX264 -f flv",
        codecs: [H264_AAC; 3],
    }
    .check();
}

#[test]
fn d8_mp4_is_joined_at_any_moment() {
    Row {
        container: "mp4",
        mimetype: "video/mp4; codecs=\"avc1.",
        own: "video: {codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}, audio: {codec: aac}",
        muxed: "mp4mux name=m PICTURE ! H264 ! m. TONE ! avenc_aac ! m.",
        command: "LIBX264 -f mp4 -movflags empty_moov+default_base_moof -frag_duration 40000",
        codecs: [H264_AAC; 3],
    }
    .check();
}

#[test]
fn d8_ogg_is_joined_at_any_moment() {
    Row {
        container: "ogg",
        mimetype: "application/ogg",
        own: "audio: {codec: opus}",
        muxed: "oggmux name=m max-page-delay=100000000 \
                PICTURE ! theoraenc keyframe-auto=false keyframe-freq=25 keyframe-force=25 ! m. \
                TONE ! audioconvert ! vorbisenc ! m.",
        command: "-c:v libtheora -g 25 -c:a libvorbis -page_duration 100000 -f ogg",
        codecs: [&["opus"], &["theora", "vorbis"], &["theora", "vorbis"]],
    }
    .check();
}

/// A container for sound that one track fills.
fn sound(
    container: &'static str,
    mimetype: &'static str,
    own: &'static str,
    muxed: &'static str,
    command: &'static str,
    codec: &'static [&'static str],
) {
    Row { container, mimetype, own, muxed, command, codecs: [codec; 3] }.check();
}

#[test]
fn d8_mp3_is_joined_at_any_moment() {
    let command = "-map 1 -c:a libmp3lame -f mp3";
    sound("mp3", "audio/mpeg", "audio: {codec: mp3}", "TONE ! lamemp3enc", command, &["mp3"]);
}

#[test]
fn d8_aac_is_joined_at_any_moment() {
    let muxed = "TONE ! avenc_aac ! aacparse ! audio/mpeg,stream-format=adts";
    sound("aac", "audio/aac", "audio: {codec: aac}", muxed, "-map 1 -c:a aac -f adts", &["aac"]);
}

#[test]
fn d8_flac_is_joined_at_any_moment() {
    let (muxed, command) = ("TONE ! flacenc blocksize=1024", "-map 1 -c:a flac -frame_size 1024 -f flac");
    sound("flac", "audio/flac", "audio: {codec: flac}", muxed, command, &["flac"]);
}

#[test]
fn d8_wav_is_joined_at_any_moment() {
    let (muxed, command) = ("TONE ! wavenc", "-map 1 -c:a pcm_s16le -f wav");
    sound("wav", "audio/wav", "audio: {codec: pcm}", muxed, command, &["pcm_s16le"]);
}

#[test]
fn d8_mjpeg_is_joined_at_any_moment() {
    Row {
        container: "mjpeg",
        mimetype: "multipart/x-mixed-replace; boundary=voyandz",
        own: "video: {codec: mjpeg}",
        muxed: "PICTURE ! jpegenc ! multipartmux",
        command: "-map 0 -c:v mjpeg -q:v 5 -f mpjpeg",
        codecs: [&["mjpeg"]; 3],
    }
    .check();
}

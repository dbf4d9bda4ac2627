//! Playlists of HLS (RFC 8216 and draft-pantos-hls-rfc8216bis).

use super::{
    cut::Segmenter,
    key::Keys,
    rendition::{Part, Rendition, Segment},
    settings::low_latency_delay,
    text::{Date, Micros, Millis, Seconds},
};
use crate::media::MediaKind;
use std::{
    fmt::{self, Write},
    time::Duration,
};

/// The group of the audio renditions.
const AUDIO: &str = "audio";
/// A client may leave out what is older than so many target durations (section 4.4.3.8 of the draft: at least six).
const SKIP_TARGETS: u64 = 6;
/// Parts are listed for so many target durations (section 4.4.4.9).
const PART_TARGETS: u64 = 3;
/// And for no more complete segments than these, as validators expect.
const PART_SEGMENTS: usize = 2;
/// How far from the end players of complete segments begin, in segments (section 4.4.3.8).
const HOLD_BACK: u64 = 3;
/// The lowest version that knows `EXT-X-SKIP`, and the one that knows `EXT-X-MAP` for all media.
const VERSION_OF_PARTS: u8 = 9;
const VERSION_OF_MAP: u8 = 6;
const VERSION: u8 = 3;

/// The multivariant playlist: which renditions there are. `folder` is where they are, relative to it; `query` is appended to
/// their addresses, and begins with `?` unless it is empty.
pub fn multivariant(stream: &Segmenter, folder: &str, query: &str) -> String {
    let is_listed = |rendition: &&Rendition| stream.is_live(rendition) && rendition.listed().next().is_some();
    let live = || stream.renditions().iter().filter(is_listed);
    let video = || live().filter(|rendition| rendition.track.kind == MediaKind::Video);
    let audio = || live().filter(|rendition| rendition.track.kind == MediaKind::Audio);
    let has_group = video().next().is_some() && audio().next().is_some();
    let mut out = String::from("#EXTM3U\n");
    let _ = writeln!(out, "#EXT-X-VERSION:{VERSION_OF_MAP}");
    let (mut bandwidth, mut average) = (0, 0);
    if has_group {
        for rendition in audio() {
            let channels = rendition.track.channels.map(|count| format!(",CHANNELS=\"{count}\"")).unwrap_or_default();
            let uri = format_args!("{folder}{}.m3u8{query}", rendition.track.name);
            let _ = writeln!(
                out,
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO}\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES{channels},URI=\"{uri}\""
            );
            (bandwidth, average) = rendition.bandwidth();
        }
    }
    for rendition in live().filter(|rendition| !has_group || rendition.track.kind == MediaKind::Video) {
        let (peak, mean) = rendition.bandwidth();
        let _ = write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={}", peak + bandwidth, mean + average);
        let audio_codecs = audio().filter(|_| has_group).map(|rendition| &rendition.track.codecs);
        let codecs: Option<Vec<&str>> =
            [&rendition.track.codecs].into_iter().chain(audio_codecs).map(Option::as_deref).collect();
        if let Some(codecs) = codecs {
            let _ = write!(out, ",CODECS=\"{}\"", codecs.join(","));
        }
        if let Some((width, height)) = rendition.track.size.filter(|(width, height)| *width > 0 && *height > 0) {
            let _ = write!(out, ",RESOLUTION={width}x{height}");
        }
        if let Some(rate) = rendition.frame_rate() {
            let _ = write!(out, ",FRAME-RATE={}", Millis(rate));
        }
        if has_group {
            let _ = write!(out, ",AUDIO=\"{AUDIO}\"");
        }
        let _ = write!(out, "\n{folder}{}.m3u8{query}\n", rendition.track.name);
    }
    out
}

/// How the files of a rendition are named, relative to its playlist.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Name of the rendition.
    pub rendition: &'a str,
    /// Extension of segments, with its dot.
    pub extension: &'a str,
    /// What is appended to the addresses of files; begins with `?` unless it is empty.
    pub query: &'a str,
    /// What segments are encrypted with.
    pub keys: Option<&'a Keys>,
}

/// The media playlist of a rendition; `None` before there is one. `skips`: the client has the older segments.
pub fn media(stream: &Segmenter, rendition: &Rendition, names: Names<'_>, skips: bool) -> Option<String> {
    let target = stream.target()?;
    let target_time = Duration::from_secs(target);
    let part_target = rendition.part_target().filter(|_| stream.settings().has_parts);
    let listed: Vec<&Segment> = rendition.listed().collect();
    let first = listed.first()?;
    let has_map =
        listed.iter().any(|segment| rendition.header(segment.header).is_some_and(|header| !header.is_empty()));
    let after = |index: usize| -> Duration {
        let open = rendition.open().map(Segment::length).unwrap_or_default();
        listed.iter().skip(index + 1).map(|segment| segment.length()).sum::<Duration>() + open
    };
    let skip_until = target_time * u32::try_from(SKIP_TARGETS).unwrap_or(u32::MAX);
    let skipped = match skips && part_target.is_some() {
        // A segment that ends further from the end than that.
        true => (0..listed.len()).take_while(|index| after(*index) > skip_until).count(),
        false => 0,
    };

    let parts_until = target_time * u32::try_from(PART_TARGETS).unwrap_or(u32::MAX);
    let mut out = String::with_capacity(256 * (listed.len() + 1));
    let version = match (part_target.is_some(), has_map) {
        (true, _) => VERSION_OF_PARTS,
        (false, true) => VERSION_OF_MAP,
        (false, false) => VERSION,
    };
    let _ = write!(out, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n");
    let _ = write!(out, "#EXT-X-SERVER-CONTROL:HOLD-BACK={}.0", HOLD_BACK * target);
    if let Some(part) = part_target {
        let _ = write!(
            out,
            ",CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={}.0,PART-HOLD-BACK={}",
            SKIP_TARGETS * target,
            Millis(low_latency_delay(part))
        );
        let _ = write!(out, "\n#EXT-X-PART-INF:PART-TARGET={}", Micros::above(part, 1000));
    }
    let _ = writeln!(out, "\n#EXT-X-MEDIA-SEQUENCE:{}", first.number);
    if rendition.unlisted_discontinuities() > 0 || listed.iter().any(|segment| segment.is_discontinuity) {
        let _ = writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", rendition.unlisted_discontinuities());
    }
    let open = rendition.open().filter(|_| part_target.is_some());
    if listed.iter().copied().chain(open).all(|segment| segment.is_independent) {
        out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    if skipped > 0 {
        let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    // A delta names the header once more: shaka 5 does not carry it over from the skipped segments.
    let mut header = None;
    for (index, segment) in listed.iter().enumerate().skip(skipped) {
        begin_segment(&mut out, rendition, segment, names, &mut header);
        let is_recent = index + PART_SEGMENTS >= listed.len() && after(index) + segment.length() <= parts_until;
        if part_target.is_some() && is_recent {
            segment.parts.iter().for_each(|part| part_line(&mut out, part, segment, names));
        }
        if segment.is_gap {
            out.push_str("#EXT-X-GAP\n");
        }
        let lasts = Seconds { ticks: segment.duration, rate: segment.timescale };
        let _ = writeln!(out, "#EXTINF:{lasts},\n{}", SegmentName { names, number: segment.number });
    }
    if part_target.is_some() {
        if let Some(open) = open.filter(|open| !open.parts.is_empty()) {
            begin_segment(&mut out, rendition, open, names, &mut header);
            open.parts.iter().for_each(|part| part_line(&mut out, part, open, names));
        }
        if stream.is_live(rendition) {
            let hint = PartName { names, number: rendition.next_part() };
            let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"");
        }
        reports(&mut out, stream, rendition, names.query);
    }
    Some(out)
}

/// The tags before a segment, in the order that players expect.
fn begin_segment(
    out: &mut String,
    rendition: &Rendition,
    segment: &Segment,
    names: Names<'_>,
    header: &mut Option<u64>,
) {
    if segment.is_discontinuity {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let before = header.replace(segment.header);
    let is_other = before != Some(segment.header);
    let Names { rendition: name, query, keys, .. } = names;
    if is_other && rendition.header(segment.header).is_some_and(|header| !header.is_empty()) {
        // A key is for the headers after it, too (RFC 8216, section 4.3.2.5), and they are not encrypted.
        if keys.is_some() && before.is_some() {
            out.push_str("#EXT-X-KEY:METHOD=NONE\n");
        }
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{name}-i{}.mp4{query}\"", segment.header);
    }
    if let Some(keys) = keys {
        let (id, vector) = (keys.of_segment(segment.number), u128::from_be_bytes(keys.vector(name, segment.number)));
        let _ = writeln!(out, "#EXT-X-KEY:METHOD=AES-128,URI=\"k-{id}.key{query}\",IV=0x{vector:032x}");
    }
    if let Some(date) = segment.date {
        let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", Date(date));
    }
}

fn part_line(out: &mut String, part: &Part, segment: &Segment, names: Names<'_>) {
    // shaka 5 drops the rest of a group of pictures where a part is not later than by the sum of those before it: see ADR 67.
    let lasts = Micros::above(part.duration, segment.timescale);
    let name = PartName { names, number: part.number };
    let independent = if part.is_independent { ",INDEPENDENT=YES" } else { "" };
    let _ = writeln!(out, "#EXT-X-PART:DURATION={lasts},URI=\"{name}\"{independent}");
}

/// How far the other renditions are.
fn reports(out: &mut String, stream: &Segmenter, rendition: &Rendition, query: &str) {
    let others = stream.renditions().iter().filter(|other| stream.is_live(other));
    for other in others.filter(|other| other.track.name != rendition.track.name) {
        let newest = other.newest().and_then(|newest| other.segment(newest));
        let Some(last) = other.open().filter(|open| !open.parts.is_empty()).or(newest) else { continue };
        let name = other.track.name;
        let _ = write!(out, "#EXT-X-RENDITION-REPORT:URI=\"{name}.m3u8{query}\",LAST-MSN={}", last.number);
        match last.parts.len().checked_sub(1) {
            Some(part) => {
                let _ = writeln!(out, ",LAST-PART={part}");
            }
            None => out.push('\n'),
        }
    }
}

struct SegmentName<'a> {
    names: Names<'a>,
    number: u64,
}

impl fmt::Display for SegmentName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { rendition, extension, query, .. } = self.names;
        write!(f, "{rendition}-{}{extension}{query}", self.number)
    }
}

struct PartName<'a> {
    names: Names<'a>,
    number: u64,
}

impl fmt::Display for PartName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Names { rendition, extension, query, .. } = self.names;
        write!(f, "{rendition}-p{}{extension}{query}", self.number)
    }
}

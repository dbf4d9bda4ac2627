//! The manifest of DASH (ISO/IEC 23009-1) over the same segments.
//!
//! Time 0 of the presentation is that of the media, at a date that stays ([`Segmenter::began`]). A period has one header for
//! each rendition; another header begins another period. Segments are listed one by one (`SegmentTimeline`), as keyframes that
//! are asked for do not come at equal distances.

use super::{
    cut::Segmenter,
    rendition::{Header, Rendition, Segment},
    text::{Date, Millis, Seconds},
};
use crate::media::{MediaKind, Time};
use std::fmt::Write;

const SECOND: u32 = 1_000_000_000;
/// How far from the end players begin, in target durations.
const DELAY: u64 = 2;

/// The manifest; `None` before there are segments and their dates. `folder` is where the segments are, relative to it, and
/// `query` is appended to their addresses; `now` is the time since 1970 in nanoseconds.
pub fn manifest(stream: &Segmenter, folder: &str, query: &str, now: i64) -> Option<String> {
    let (target, began) = (stream.target()?, stream.began()?);
    let lead = stream.renditions().iter().find(|rendition| stream.is_live(rendition))?;
    let shift = lead.listed().map(Segment::length).sum::<std::time::Duration>();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"dynamic\" \
         availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"PT{}S\" timeShiftBufferDepth=\"PT{}S\" \
         suggestedPresentationDelay=\"PT{}S\" maxSegmentDuration=\"PT{target}.5S\" minBufferTime=\"PT{}S\">",
        Date(began),
        Date(now),
        target.div_ceil(2),
        Millis(u64::try_from(shift.as_millis()).unwrap_or(0)),
        DELAY * target,
        target.min(2),
    );
    let _ = writeln!(out, "  <BaseURL>{}</BaseURL>", escaped(folder));
    let periods: Vec<&Header> = lead.headers().filter(|header| listed(lead, header).next().is_some()).collect();
    for period in &periods {
        let _ = writeln!(out, "  <Period id=\"{}\" start=\"PT{}S\">", period.number, seconds(period.time));
        for kind in [MediaKind::Video, MediaKind::Audio] {
            adaptation_set(&mut out, stream, period, kind, query);
        }
        out.push_str("  </Period>\n");
    }
    // The time itself, as players resolve the address of a clock in different ways.
    let _ =
        writeln!(out, "  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>\n</MPD>", Date(now));
    (!periods.is_empty()).then_some(out)
}

fn listed<'a>(rendition: &'a Rendition, header: &Header) -> impl Iterator<Item = &'a Segment> + use<'a> {
    let number = header.number;
    rendition.listed().filter(move |segment| segment.header == number)
}

/// All renditions of one kind, between which players may switch.
fn adaptation_set(out: &mut String, stream: &Segmenter, period: &Header, kind: MediaKind, query: &str) {
    let of_kind = stream.renditions().iter().filter(|rendition| rendition.track.kind == kind);
    let with_header = of_kind.filter_map(|rendition| {
        let header = rendition.headers().find(|header| header.number == period.number)?;
        Some((rendition, header, listed(rendition, header).next()?))
    });
    let found: Vec<_> = with_header.collect();
    if found.is_empty() {
        return;
    }
    let word = if kind == MediaKind::Video { "video" } else { "audio" };
    let _ = writeln!(
        out,
        "    <AdaptationSet contentType=\"{word}\" mimeType=\"{word}/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">"
    );
    for (rendition, header, first) in found {
        representation(out, rendition, header, first, query);
    }
    out.push_str("    </AdaptationSet>\n");
}

fn representation(out: &mut String, rendition: &Rendition, header: &Header, first: &Segment, query: &str) {
    let track = &rendition.track;
    let is_video = track.kind == MediaKind::Video;
    let (name, query) = (track.name, escaped(&query.replace('$', "$$")));
    let _ = write!(out, "      <Representation id=\"{name}\" bandwidth=\"{}\"", rendition.bandwidth().0);
    if let Some(codecs) = &track.codecs {
        let _ = write!(out, " codecs=\"{}\"", escaped(codecs));
    }
    if let Some((width, height)) = track.size.filter(|_| is_video) {
        let _ = write!(out, " width=\"{width}\" height=\"{height}\"");
    }
    if let Some(channels) = track.channels.filter(|_| !is_video) {
        let _ = write!(
            out,
            " audioSamplingRate=\"{}\">\n        <AudioChannelConfiguration \
             schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"{channels}\"/>\n",
            track.timescale
        );
    } else {
        out.push_str(">\n");
    }
    let offset = Time::from_nanos(header.time).ticks(first.timescale);
    let _ = writeln!(
        out,
        "        <SegmentTemplate timescale=\"{}\" presentationTimeOffset=\"{offset}\" startNumber=\"{}\" \
         initialization=\"{name}-i{}.mp4{query}\" media=\"{name}-$Number$.m4s{query}\">\n          <SegmentTimeline>",
        first.timescale, first.number, header.number,
    );
    let mut segments = listed(rendition, header).peekable();
    while let Some(segment) = segments.next() {
        let (mut end, mut repeats) = (segment.shown + segment.duration, 0);
        while let Some(next) = segments.next_if(|next| next.shown == end && next.duration == segment.duration) {
            end += next.duration;
            repeats += 1;
        }
        let _ = write!(out, "            <S t=\"{}\" d=\"{}\"", segment.shown, segment.duration);
        if repeats > 0 {
            let _ = write!(out, " r=\"{repeats}\"");
        }
        out.push_str("/>\n");
    }
    out.push_str("          </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n");
}

/// Seconds of nanoseconds; the timeline of media does not begin before 0.
fn seconds(nanos: i64) -> Seconds {
    Seconds { ticks: u64::try_from(nanos).unwrap_or(0), rate: SECOND }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, testing::Feed};
    use super::*;
    use regex::Regex;

    fn all(text: &str, pattern: &str) -> Vec<u64> {
        let found = Regex::new(pattern).unwrap();
        found.captures_iter(text).map(|found| found[1].parse().unwrap()).collect()
    }

    fn attribute(text: &str, name: &str) -> String {
        Regex::new(&format!(" {name}=\"([^\"]*)\"")).unwrap().captures(text).unwrap()[1].to_owned()
    }

    #[test]
    fn numbers_and_times_are_those_of_the_segments() {
        let mut feed = Feed::new(Settings::DEFAULT);
        feed.run(20, |_| {});
        let text = manifest(&feed.stream, "cam/dash/", "", 0).unwrap();
        for (set, name) in text.split("<AdaptationSet").skip(1).zip(["v0", "a0"]) {
            let rendition = feed.stream.rendition(name).unwrap();
            let segments: Vec<_> = rendition.listed().collect();
            assert_eq!(attribute(set, "startNumber"), segments[0].number.to_string());
            let mut found = Vec::new();
            for line in set.lines().filter(|line| line.contains("<S ")) {
                let (mut time, lasts) = (all(line, "t=\"(\\d+)")[0], all(line, "d=\"(\\d+)")[0]);
                for _ in 0..=all(line, "r=\"(\\d+)").first().copied().unwrap_or(0) {
                    found.push((time, lasts));
                    time += lasts;
                }
            }
            assert_eq!(found, segments.iter().map(|one| (one.shown, one.duration)).collect::<Vec<_>>());
        }
        assert!(text.contains("codecs=\"avc1.42c01e\" width=\"640\" height=\"360\""), "{text}");
    }

    #[test]
    fn another_header_is_another_period_and_time_goes_on() {
        let mut feed = Feed::new(Settings::DEFAULT);
        feed.run(5, |_| {});
        let begin = |feed: &Feed| attribute(&manifest(&feed.stream, "", "", 0).unwrap(), "availabilityStartTime");
        let before = begin(&feed);
        feed.change();
        feed.run(5, |_| {});
        let text = manifest(&feed.stream, "", "?a=1&b=$", 0).unwrap();
        assert_eq!((begin(&feed), text.matches("<Period").count()), (before, 2));
        assert!(text.contains("media=\"v0-$Number$.m4s?a=1&amp;b=$$\""), "{text}");
        // The first sample of each period is at its begin, on the timeline of the presentation.
        for period in text.split("<Period").skip(1) {
            let set = period.split("<AdaptationSet").nth(1).unwrap();
            assert_eq!(attribute(set, "presentationTimeOffset").parse::<u64>().unwrap(), all(set, " t=\"(\\d+)")[0]);
            let start: f64 = attribute(period, "start").trim_matches(['P', 'T', 'S']).parse().unwrap();
            let offset: f64 = attribute(set, "presentationTimeOffset").parse().unwrap();
            assert!((start - offset / 90_000.0).abs() < 0.001);
        }
        feed.run(60, |_| {});
        assert_eq!(manifest(&feed.stream, "", "", 0).unwrap().matches("<Period").count(), 1);
    }
}

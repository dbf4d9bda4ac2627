//! The manifest of DASH (ISO/IEC 23009-1) over the same segments.
//!
//! Time 0 of the presentation is that of the media, at a date that stays ([`Segmenter::began`]). A period has one header for
//! each rendition; another header begins another period. Where keyframes come at a constant distance, segments have numbers by
//! the clock (`SegmentTemplate@duration`), and players may request one while it is being made; elsewhere they are listed one by one
//! (`SegmentTimeline`), in a period of their own. The short segments at the begin of a stream are one segment here.

use super::{
    cut::Segmenter,
    rendition::{Header, Rendition, Segment},
    section::Section,
    settings::{Settings, low_latency_delay},
    text::{Date, Millis, Seconds},
};
use crate::media::{MediaKind, Time};
use std::{fmt::Write, time::Duration};

/// What profiles of low-latency players are called (DASH-IF, Guidelines for Implementation, part 9).
const LOW_LATENCY: &str = ",http://www.dashif.org/guidelines/low-latency-live-v5";
const SECOND: u32 = 1_000_000_000;
/// How far from the end players begin, in target durations.
const DELAY: u64 = 2;

/// How much earlier than its first segment the first period begins, in nanoseconds: more than players are behind live.
const AHEAD: i64 = 10_000_000_000;
/// After so many segments at a constant distance, players have come to their period, and others are not needed.
const SETTLED: usize = 2;

/// A period, and which segments it has.
struct Period {
    /// Number of its first segment.
    first: u64,
    /// Number of the first one of the segments that it is made of.
    begins: u64,
    /// Number of the first segment after it.
    end: u64,
    /// Number of the header.
    header: u64,
    /// Begins then, in nanoseconds.
    time: i64,
    /// The distance of its segments is constant.
    steady: Option<Section>,
    /// It has been so since the first manifest.
    is_start: bool,
    /// Segments are about so long.
    length: Seconds,
    has_parts: bool,
}

/// The manifest; `None` before there are segments and their dates, and before it is known how segments are to be listed. `folder` is where the segments are, relative to it, and
/// `query` is appended to their addresses; `clock` is the whole address where [`time`] can be had, and `now` is the time since 1970 in
/// nanoseconds.
pub fn manifest(stream: &Segmenter, folder: &str, query: &str, clock: &str, now: i64) -> Option<String> {
    let (target, began) = (stream.target()?, stream.began()?);
    if !is_ready(stream) {
        return None;
    }
    let lead = stream.renditions().iter().find(|rendition| stream.is_live(rendition))?;
    let periods = periods(stream, lead);
    let begins = periods.first()?.begins;
    let listed = lead.listed().filter(|segment| segment.number >= begins).map(Segment::length).sum::<Duration>();
    // ffmpeg counts by whole seconds, and requests the newest segment again and again where the window is not longer than that.
    let shift = listed.max(Duration::from_secs(target + 2));
    // Players decide by their first manifest how close to live they play, also when segments are listed at first.
    let part = lead.part_target().filter(|_| is_low_latency(stream.settings()));
    let delay = part.map_or(DELAY * target * 1000, low_latency_delay);
    // Players estimate the newest segment by it.
    let steady = periods.last().filter(|last| last.steady.is_some()).map(|last| last.length);
    let longest = steady.unwrap_or(Seconds { ticks: target * 1000 + 500, rate: 1000 });
    let profile = if part.is_some() { LOW_LATENCY } else { "" };
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011{profile}\" type=\"dynamic\" \
         availabilityStartTime=\"{}\" publishTime=\"{}\" minimumUpdatePeriod=\"PT{}S\" timeShiftBufferDepth=\"PT{}S\" \
         suggestedPresentationDelay=\"PT{}S\" maxSegmentDuration=\"PT{longest}S\" minBufferTime=\"PT{}S\">",
        Date(began),
        Date(now),
        target.div_ceil(2),
        Millis(u64::try_from(shift.as_millis()).unwrap_or(0)),
        Millis(delay),
        Millis(part.map_or(target.min(2) * 1000, |part| 2 * part)),
    );
    let _ = writeln!(out, "  <BaseURL>{}</BaseURL>", escaped(folder));
    if part.is_some() {
        let _ = writeln!(
            out,
            "  <ServiceDescription id=\"0\">\n    <Latency target=\"{delay}\" max=\"{}\"/>\n    \
             <PlaybackRate min=\"0.96\" max=\"1.1\"/>\n  </ServiceDescription>",
            delay + 2000 * target,
        );
    }
    for period in &periods {
        let _ = writeln!(out, "  <Period id=\"{}\" start=\"PT{}S\">", period.first, seconds(period.time));
        for kind in [MediaKind::Video, MediaKind::Audio] {
            adaptation_set(&mut out, stream, period, kind, query);
        }
        out.push_str("  </Period>\n");
    }
    // Players differ in what they take an address of this kind to be relative to. The time itself is for those that use no address.
    let _ = writeln!(
        out,
        "  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"{}{}\"/>\n  \
         <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"{}\"/>\n</MPD>",
        escaped(clock),
        escaped(query),
        Date(now),
    );
    Some(out)
}

/// Whether there is enough for a first manifest. Its kind should not change: ffmpeg then finds no segment any more.
fn is_ready(stream: &Segmenter) -> bool {
    if !is_low_latency(stream.settings()) {
        return stream.is_ready();
    }
    let lead = stream.renditions().iter().find(|rendition| stream.is_live(rendition));
    let first = stream.sections().last().filter(|last| last.is_start && last.distance.is_some());
    let has_enough = first.zip(lead).is_none_or(|(first, lead)| {
        let made = lead.listed().chain(lead.open()).filter(|segment| segment.number >= first.begins);
        // Players begin so far from the end.
        let delay = lead.part_target().map_or(0, low_latency_delay);
        made.map(Segment::length).sum::<Duration>() >= Duration::from_millis(delay)
    });
    stream.is_ready() && stream.is_decided() && has_enough
}

/// Number of the first segment that is sent in response to a request for the one with this number, which is the last one.
pub fn begin_of(stream: &Segmenter, number: u64) -> u64 {
    if is_low_latency(stream.settings()) { stream.begin_of(number) } else { number }
}

/// What recordings have is listed one by one, and so is all that follows it: players that mix both find no live edge.
fn is_low_latency(settings: &Settings) -> bool {
    settings.has_parts && settings.dvr.is_none()
}

/// What the address of the clock has: the time since 1970, in nanoseconds, as a date.
pub fn time(now: i64) -> String {
    Date(now).to_string()
}

/// The periods, oldest first: one for each header, and within it one for each section. Segments that are not listed are in none.
fn periods(stream: &Segmenter, lead: &Rendition) -> Vec<Period> {
    let has_parts = is_low_latency(stream.settings()) && lead.part_target().is_some();
    let usual = Seconds { ticks: stream.target().unwrap_or(1) * 1000, rate: 1000 };
    let mut periods: Vec<Period> = Vec::new();
    let mut begin = |period: Period| {
        // Nobody knows what was before.
        if period.is_start {
            periods.clear();
        }
        if let Some(before) = periods.last_mut() {
            before.end = before.end.min(period.begins);
        }
        periods.push(period);
    };
    for header in lead.headers() {
        let (number, time) = (header.number, header.time);
        let listed = Period {
            first: number,
            begins: number,
            end: u64::MAX,
            header: number,
            time,
            steady: None,
            is_start: false,
            length: usual,
            has_parts,
        };
        begin(listed);
        let next = lead.headers().map(|header| header.number).find(|number| *number > header.number);
        let inside =
            |section: &&Section| section.first >= header.number && next.is_none_or(|next| section.first < next);
        for section in stream.sections().filter(|_| has_parts).filter(inside) {
            begin(Period::of_section(section, header.number, usual));
        }
    }
    // Players that estimate the clock from segments which are listed find an old time in those before: shaka does.
    let is_settled = |last: &Period| last.steady.is_some() && last.listed(lead).nth(SETTLED - 1).is_some();
    if let Some(last) = periods.pop_if(|last| is_settled(last)) {
        periods = vec![last];
    }
    let newest = periods.last().map(|last| last.first);
    let is_live = |period: &Period| period.steady.is_some() && newest == Some(period.first);
    periods.retain(|period| is_live(period) || period.listed(lead).next().is_some());
    // Who joins a stream that has just begun looks for what was a moment ago. GStreamer gives up where that is in no period.
    if let Some(first) = periods.first_mut().filter(|first| first.steady.is_none() && stream.is_first(first.first)) {
        first.time = first.time.saturating_sub(AHEAD).max(0);
    }
    periods
}

impl Period {
    /// The segments of a section that have this header, about so long where it does not say.
    fn of_section(section: &Section, header: u64, usual: Seconds) -> Self {
        let Section { begins, timescale, .. } = *section;
        let is_start = section.is_start && section.distance.is_some();
        let section = if is_start { section.extended_back() } else { *section };
        let steady = section.distance.map(|_| section);
        let length = section.distance.map_or(usual, |ticks| Seconds { ticks, rate: timescale });
        let time = Time::from_ticks(i64::try_from(section.shown).unwrap_or(i64::MAX), timescale).nanos();
        Self { first: section.first, begins, end: u64::MAX, header, time, steady, is_start, length, has_parts: true }
    }

    /// How much earlier than all of a segment a part of it can be had. Players look for it in the first manifest.
    fn early(&self, rendition: &Rendition) -> String {
        let Some(part) = rendition.part_target().filter(|_| self.has_parts) else { return String::new() };
        let Seconds { ticks, rate } = self.length;
        let early = Seconds { ticks: ticks.saturating_sub(part * u64::from(rate) / 1000), rate };
        format!(" availabilityTimeOffset=\"{early}\" availabilityTimeComplete=\"false\"")
    }

    fn listed<'a>(&self, rendition: &'a Rendition) -> impl Iterator<Item = &'a Segment> + use<'a> {
        let (header, numbers) = (self.header, self.begins..self.end);
        rendition.listed().filter(move |segment| segment.header == header && numbers.contains(&segment.number))
    }
}

/// All renditions of one kind, between which players may switch.
fn adaptation_set(out: &mut String, stream: &Segmenter, period: &Period, kind: MediaKind, query: &str) {
    let of_kind = stream.renditions().iter().filter(|rendition| rendition.track.kind == kind);
    let with_header = of_kind.filter_map(|rendition| {
        let header = rendition.headers().find(|header| header.number == period.header)?;
        (period.steady.is_some() || period.listed(rendition).next().is_some()).then_some((rendition, header))
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
    for (rendition, header) in found {
        representation(out, rendition, period, header, query);
    }
    out.push_str("    </AdaptationSet>\n");
}

fn representation(out: &mut String, rendition: &Rendition, period: &Period, header: &Header, query: &str) {
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
    let addresses =
        format!("initialization=\"{name}-i{}.mp4{query}\" media=\"{name}-$Number$.m4s{query}\"", header.number);
    let early = period.early(rendition);
    match period.steady {
        Some(section) => by_the_clock(out, &section, &early, &addresses),
        None => timeline(out, rendition, period, &early, &addresses),
    }
    out.push_str("      </Representation>\n");
}

/// Segments at a constant distance.
fn by_the_clock(out: &mut String, section: &Section, early: &str, addresses: &str) {
    let Section { first, shown, timescale, distance, .. } = *section;
    let distance = distance.unwrap_or(0);
    let _ = writeln!(
        out,
        "        <SegmentTemplate timescale=\"{timescale}\" duration=\"{distance}\" presentationTimeOffset=\"{shown}\" \
         startNumber=\"{first}\"{early} {addresses}/>"
    );
}

/// Each segment with its time.
fn timeline(out: &mut String, rendition: &Rendition, period: &Period, early: &str, addresses: &str) {
    let mut segments = period.listed(rendition).peekable();
    let Some(first) = segments.peek() else { return };
    let offset = Time::from_nanos(period.time).ticks(first.timescale);
    let _ = writeln!(
        out,
        "        <SegmentTemplate timescale=\"{}\" presentationTimeOffset=\"{offset}\" startNumber=\"{}\"{early} {addresses}>\n          \
         <SegmentTimeline>",
        first.timescale, first.number,
    );
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
    out.push_str("          </SegmentTimeline>\n        </SegmentTemplate>\n");
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
    use super::super::testing::Feed;
    use super::*;
    use regex::Regex;

    const WITHOUT_PARTS: Settings = Settings { has_parts: false, ..Settings::DEFAULT };

    fn all(text: &str, pattern: &str) -> Vec<u64> {
        let found = Regex::new(pattern).unwrap();
        found.captures_iter(text).map(|found| found[1].parse().unwrap()).collect()
    }

    fn attribute(text: &str, name: &str) -> String {
        Regex::new(&format!(" {name}=\"([^\"]*)\"")).unwrap().captures(text).unwrap()[1].to_owned()
    }

    #[test]
    fn the_first_period_begins_before_its_media() {
        let mut feed = Feed::new(Settings::DEFAULT);
        feed.can_force = false;
        feed.run(4, |_| {});
        let text = manifest(&feed.stream, "cam/dash/", "", "https://x/cam/dash/time", 0).unwrap();
        let begin: f64 = Regex::new("start=\"PT([0-9.]+)S").unwrap().captures(&text).unwrap()[1].parse().unwrap();
        for set in text.split("<AdaptationSet").skip(1) {
            let number = |name: &str| attribute(set, name).parse::<f64>().unwrap();
            let offset = number("presentationTimeOffset") / number("timescale");
            let media = all(set, " t=\"(\\d+)")[0] as f64 / number("timescale");
            assert!((offset - begin).abs() < 0.001 && media - begin > 9.9, "{text}");
        }
    }

    #[test]
    fn numbers_and_times_are_those_of_the_segments() {
        let mut feed = Feed::new(WITHOUT_PARTS);
        feed.run(20, |_| {});
        let text = manifest(&feed.stream, "cam/dash/", "", "https://x/cam/dash/time", 0).unwrap();
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
        assert!(text.contains("http-iso:2014\" value=\"https://x/cam/dash/time\""), "{text}");
        assert!(text.contains("codecs=\"avc1.42c01e\" width=\"640\" height=\"360\""), "{text}");
    }

    #[test]
    fn another_header_is_another_period_and_time_goes_on() {
        let mut feed = Feed::new(WITHOUT_PARTS);
        feed.run(5, |_| {});
        let begin = |feed: &Feed| attribute(&manifest(&feed.stream, "", "", "", 0).unwrap(), "availabilityStartTime");
        let before = begin(&feed);
        feed.change();
        feed.run(5, |_| {});
        let text = manifest(&feed.stream, "", "?a=1&b=$", "", 0).unwrap();
        assert_eq!((begin(&feed), text.matches("<Period").count()), (before, 2));
        assert!(text.contains("media=\"v0-$Number$.m4s?a=1&amp;b=$$\""), "{text}");
        // The first sample of each period but the first one is at its begin, on the timeline of the presentation.
        for period in text.split("<Period").skip(2) {
            let set = period.split("<AdaptationSet").nth(1).unwrap();
            assert_eq!(attribute(set, "presentationTimeOffset").parse::<u64>().unwrap(), all(set, " t=\"(\\d+)")[0]);
            let start: f64 = attribute(period, "start").trim_matches(['P', 'T', 'S']).parse().unwrap();
            let offset: f64 = attribute(set, "presentationTimeOffset").parse().unwrap();
            assert!((start - offset / 90_000.0).abs() < 0.001);
        }
        feed.run(60, |_| {});
        assert_eq!(manifest(&feed.stream, "", "", "", 0).unwrap().matches("<Period").count(), 1);
    }

    /// The last period of a manifest.
    fn last_period(feed: &Feed) -> String {
        let text = manifest(&feed.stream, "", "", "", 0).unwrap();
        text.rsplit_once("<Period").unwrap().1.to_owned()
    }

    #[test]
    fn segments_at_a_constant_distance_are_numbered_by_the_clock() {
        let mut feed = Feed::new(Settings::DEFAULT);
        let mut early = 0;
        feed.run(1, |feed| early += u32::from(manifest(&feed.stream, "", "", "", 0).is_some()));
        // There is none before players can begin as far from the end as they are to be.
        assert!((1..=18).contains(&early), "{early}");
        let first = feed.stream.rendition("v0").unwrap().listed().next().unwrap().number;
        let text = manifest(&feed.stream, "", "", "", 0).unwrap();
        assert!(text.contains("low-latency-live") && text.contains("<Latency target=\"800\""), "{text}");
        assert!(text.contains("timeShiftBufferDepth=\"PT4.000S\"") && text.matches("<Period").count() == 1, "{text}");
        let period = last_period(&feed);
        assert!(!period.contains("<SegmentTimeline>"), "{period}");
        let number = |name| attribute(&period, name).parse::<u64>().unwrap();
        let (start, shown, distance) = (number("startNumber"), number("presentationTimeOffset"), number("duration"));
        assert_eq!((distance, number("timescale")), (180_000, 90_000));
        assert_eq!(attribute(&period, "availabilityTimeOffset"), "1.80000");
        assert_eq!(period.matches("availabilityTimeComplete=\"false\"").count(), 2);
        // It counts from the begin of the timeline.
        assert!(shown < distance && period.contains(&format!("start=\"PT{}", shown / 90_000)), "{period}");
        feed.run(23, |_| {});
        // Each segment is where its number says, video to the tick and audio to a frame. Those at the begin are one together.
        let last = first + 6;
        assert_eq!((begin_of(&feed.stream, last), begin_of(&feed.stream, last + 1)), (first, last + 1));
        for name in ["v0", "a0"] {
            let rendition = feed.stream.rendition(name).unwrap();
            let rate = u64::from(rendition.track.timescale);
            let segments = rendition.listed().chain(rendition.open());
            let segments = segments.filter(|one| one.number == first || one.number > last);
            assert!(segments.clone().count() > 10);
            for segment in segments {
                let number = segment.number.max(last);
                let expect = (shown + (number - start) * distance) * rate / 90_000;
                let most = if name == "v0" { 0 } else { 1024 };
                assert!(segment.shown.abs_diff(expect) <= most, "{name} {number}: {} {expect}", segment.shown);
            }
        }
        // The manifest is the same for as long as that holds.
        feed.run(60, |_| {});
        let measured = Regex::new("bandwidth=\"\\d+\"").unwrap();
        let known = |period: &str| measured.replace_all(period, "").into_owned();
        assert_eq!(known(&last_period(&feed)), known(&period));
        assert_eq!(manifest(&feed.stream, "", "", "", 0).unwrap().matches("<Period").count(), 1);
    }

    #[test]
    fn a_source_that_stalls_is_listed_until_it_is_constant_again() {
        let mut feed = Feed::new(Settings::DEFAULT);
        feed.run(20, |_| {});
        feed.stream.set_shown();
        feed.pause(300_000);
        feed.run(3, |_| {});
        let text = manifest(&feed.stream, "", "", "", 0).unwrap();
        assert!(last_period(&feed).contains("<SegmentTimeline>"), "{text}");
        let begins = all(&text, "<Period id=\"(\\d+)");
        assert!(begins.is_sorted() && begins.len() >= 2, "{text}");
        feed.run(10, |_| {});
        assert!(!last_period(&feed).contains("<SegmentTimeline>"));
    }

    #[test]
    fn there_is_no_manifest_before_it_is_known_how_segments_come() {
        let mut feed = Feed::new(Settings::DEFAULT);
        // What was encoded before has no keyframes that were asked for.
        feed.can_force = false;
        feed.gop = 31;
        feed.run(1, |_| {});
        feed.can_force = true;
        let mut kinds = Vec::new();
        feed.run(8, |feed| {
            let text = manifest(&feed.stream, "", "", "", 0);
            kinds.push(text.map(|text| (text.matches("<Period").count(), text.contains("<SegmentTimeline>"))));
        });
        kinds.dedup();
        assert_eq!(kinds, [None, Some((1, false))]);
        // None come.
        let mut feed = Feed::new(Settings::DEFAULT);
        feed.can_force = false;
        let mut first = None;
        feed.run(4, |feed| {
            if manifest(&feed.stream, "", "", "", 0).is_some() {
                first.get_or_insert(feed.frames);
            }
        });
        assert!(
            first.is_some_and(|first| (60..70).contains(&first)) && last_period(&feed).contains("<SegmentTimeline>"),
            "{first:?}"
        );
    }

    #[test]
    fn what_was_before_the_first_manifest_is_in_none() {
        let stalled = || {
            let mut feed = Feed::new(Settings::DEFAULT);
            feed.run(20, |_| {});
            feed.pause(300_000);
            feed.run(9, |_| {});
            feed
        };
        let mut feed = stalled();
        let text = manifest(&feed.stream, "", "", "", 0).unwrap();
        let period = last_period(&feed);
        assert!(text.matches("<Period").count() == 1 && !period.contains("<SegmentTimeline>"), "{text}");
        assert!(attribute(&period, "presentationTimeOffset").parse::<u64>().unwrap() < 180_000, "{text}");
        // What players know does not change.
        feed.stream.set_shown();
        feed.pause(300_000);
        feed.run(9, |_| {});
        let period = last_period(&feed);
        assert!(!period.contains("<SegmentTimeline>"), "{period}");
        assert!(attribute(&period, "presentationTimeOffset").parse::<u64>().unwrap() > 180_000, "{period}");
    }

    #[test]
    fn keyframes_at_other_distances_are_listed() {
        for (gop, is_steady) in [(100, true), (77, true), (240, true)] {
            let mut feed = Feed::new(Settings::DEFAULT);
            (feed.can_force, feed.gop) = (false, gop);
            feed.run(60, |_| {});
            assert_eq!(!last_period(&feed).contains("<SegmentTimeline>"), is_steady, "{gop}");
        }
    }
}

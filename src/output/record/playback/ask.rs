//! Paths and parameters of requests for recordings. Pure.

use crate::{
    ipc::StillSpec,
    media::Container,
    output::http::query::{QueryError, StillFormat, still},
};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use std::fmt;

/// Where everything of recordings is.
pub const ROOT: &str = "/rec/";
/// Longest span that is answered, in microseconds: 31 days.
const LONGEST: i64 = 31 * 86_400_000_000;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The stream, by its name.
    pub stream: String,
    /// What of it.
    pub what: What,
    /// Parameters that addresses in a playlist carry on; empty, or begins with `?`.
    pub carried: String,
}

/// What of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its files in a span of time.
    List(Span),
    /// Spans without gaps, as other servers list them.
    Spans(Span),
    /// A film.
    Clip(Span, ClipForm),
    /// A time-lapse.
    Lapse(Span, Pace),
    /// A still of a moment.
    Still(StillAt),
    /// A row of thumbnails.
    Strip(Span, Strip),
    /// A playlist.
    Playlist(Span),
    /// The header of the segments of a file.
    Header(FileId),
    /// A segment of a file.
    Segment(FileId, usize),
    /// A clip that was saved, by its begin and end.
    Saved(FileId),
}

/// How a film is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipForm {
    /// It is made as it is taken, in this container: MP4 in fragments. `None`: an ordinary MP4, in which clients can seek.
    pub made: Option<Container>,
    /// What becomes of gaps.
    pub gaps: Gaps,
}

/// What becomes of the time in which nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// It is skipped.
    Skip,
    /// The last frame stays.
    Hold,
}

/// How a time-lapse runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// One frame is taken after so many microseconds.
    pub every: i64,
    /// And so many are shown in a second.
    pub rate: u32,
}

/// Which still is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StillAt {
    /// Of which moment, in microseconds since 1970.
    pub at: i64,
    /// The very frame that was seen then, not the keyframe before.
    pub is_exact: bool,
    /// Format and size.
    pub spec: StillSpec,
}

/// How a row of thumbnails looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strip {
    /// How many.
    pub places: u16,
    /// Pixels of each; a multiple of 8.
    pub width: u16,
    /// Of the JPEG, in percent.
    pub quality: u8,
}

/// A file, as addresses name it: `1795854600000000-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// When it begins, in microseconds since 1970.
    pub from: i64,
    /// Its number among those of its stream.
    pub sequence: u64,
}

impl FileId {
    /// Reads what [`fmt::Display`] writes.
    pub fn read(text: &str) -> Option<Self> {
        let (from, sequence) = text.split_once('-')?;
        Some(Self { from: i64::try_from(plain(from)?).ok()?, sequence: plain(sequence)? })
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.sequence)
    }
}

/// A span of time, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From then on.
    pub from: i64,
    /// Before then.
    pub to: i64,
    /// The end was not given: it is the present.
    pub is_open: bool,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no such path.
    #[error("not found: recordings are at /rec/STREAM/list, clip.mp4, index.m3u8, timelapse.mp4, pic and strip.jpg")]
    Path,
    /// A parameter is missing.
    #[error("{0}= is missing")]
    Missing(&'static str),
    /// A parameter is wrong.
    #[error("{name}={found} is not valid: expected {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it could be.
        expected: &'static str,
    },
    /// A parameter of a still is wrong.
    #[error(transparent)]
    Still(#[from] QueryError),
    /// The span is empty, or too long.
    #[error("the span must end after its start, and within 31 days")]
    Span,
}

const TIME: &str = "a time like 2026-11-28T14:03:07Z, or seconds since 1970";
const LENGTH: &str = "seconds, or a time like 90s, 10m or 1h";

/// Whether a path is that of recordings.
pub fn is_path(path: &str) -> bool {
    path.starts_with(ROOT)
}

/// Reads a percent-decoded path and a query; `now` is in microseconds since 1970.
///
/// # Errors
/// When it is for nothing, or a parameter is not valid.
pub fn asked(path: &str, query: &str, now: i64) -> Result<Asked, AskError> {
    let rest = path.strip_prefix(ROOT).ok_or(AskError::Path)?;
    let values = Values::read(query);
    let (stream, what) = match rest.split_once('/') {
        None => {
            let stream = values.get("path").ok_or(AskError::Missing("path"))?.to_owned();
            match rest {
                "list" => (stream, What::Spans(values.span(["start", "end", "duration"], now)?)),
                "get" => {
                    values.get("start").ok_or(AskError::Missing("start"))?;
                    values.get("duration").ok_or(AskError::Missing("duration"))?;
                    let form = values.clip("format", Container::Mp4)?;
                    (stream, What::Clip(values.span(["start", "end", "duration"], now)?, form))
                }
                _ => return Err(AskError::Path),
            }
        }
        Some((stream, file)) => {
            let span = || values.span(["from", "to", "for"], now);
            let begins = || values.get("from").ok_or(AskError::Missing("from"));
            let what = match file {
                "list" => What::List(span()?),
                "timelapse.mp4" => {
                    begins()?;
                    What::Lapse(span()?, values.pace()?)
                }
                "index.m3u8" => {
                    begins()?;
                    What::Playlist(span()?)
                }
                "strip.jpg" => {
                    begins()?;
                    What::Strip(span()?, values.strip()?)
                }
                "pic" => What::Still(values.still(query, None)?),
                "pic.jpg" | "pic.jpeg" => What::Still(values.still(query, Some(StillFormat::Jpeg))?),
                "pic.png" => What::Still(values.still(query, Some(StillFormat::Png))?),
                "pic.webp" => What::Still(values.still(query, Some(StillFormat::Webp))?),
                _ => match file.strip_prefix("clip.").map(recorded) {
                    Some(container) => {
                        let container = container.ok_or(AskError::Path)?;
                        begins()?;
                        What::Clip(span()?, values.clip("as", container)?)
                    }
                    None => piece(file).ok_or(AskError::Path)?,
                },
            };
            (stream.to_owned(), what)
        }
    };
    Ok(Asked { stream, what, carried: values.carried() })
}

/// The container that a name stands for, of those that films can be in.
fn recorded(name: &str) -> Option<Container> {
    let film = [Container::Mp4, Container::Mkv, Container::Webm, Container::Ts, Container::Flv];
    film.into_iter().find(|container| container.name() == name)
}

/// `1795854600000000-42/init.mp4` and `1795854600000000-42/7.m4s`.
fn piece(file: &str) -> Option<What> {
    let (file, name) = file.split_once('/')?;
    if file == "clips" {
        return Some(What::Saved(FileId::read(name.strip_suffix(".mp4")?)?));
    }
    let file = FileId::read(file)?;
    match name {
        "init.mp4" => Some(What::Header(file)),
        _ => Some(What::Segment(file, usize::try_from(plain(name.strip_suffix(".m4s")?)?).ok()?)),
    }
}

/// A number as it is written here: one name for one file.
fn plain(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

/// The parameters, decoded.
struct Values<'a>(Vec<(&'a str, String, &'a str)>);

impl<'a> Values<'a> {
    fn read(query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| (pair.split_once('=').unwrap_or((pair, "")), pair));
        Self(
            pairs
                .map(|((name, value), pair)| (name, percent_decode_str(value).decode_utf8_lossy().into_owned(), pair))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, ..)| *own == name).map(|(_, value, _)| value.as_str())
    }

    fn span(&self, names: [&'static str; 3], now: i64) -> Result<Span, AskError> {
        span(|name| self.get(name), names, now)
    }

    /// Which still: `at`, `exact`, and what stills of a stream take.
    fn still(&self, query: &str, format: Option<StillFormat>) -> Result<StillAt, AskError> {
        let text = self.get("at").ok_or(AskError::Missing("at"))?;
        let at = time(text).ok_or_else(|| fault("at", text, TIME))?;
        let is_exact = match self.get("exact") {
            None | Some("0") => false,
            Some("1") => true,
            Some(text) => return Err(fault("exact", text, "0 or 1")),
        };
        Ok(StillAt { at, is_exact, spec: still(query, format, "")?.spec })
    }

    /// How a row of thumbnails looks: 60 of them.
    fn strip(&self) -> Result<Strip, AskError> {
        let number = |name, usual: u16, range: std::ops::RangeInclusive<u16>, expected| match self.get(name) {
            None => Ok(usual),
            Some(text) => {
                let number = plain(text).and_then(|number| u16::try_from(number).ok());
                number.filter(|number| range.contains(number)).ok_or_else(|| fault(name, text, expected))
            }
        };
        let places = number("n", 60, 1..=100, "a number of thumbnails from 1 to 100")?;
        let width = number("w", 160, 16..=320, "pixels of a thumbnail from 16 to 320")?;
        let quality = u8::try_from(number("q", 70, 1..=100, "1 to 100")?).unwrap_or(70);
        Ok(Strip { places, width: width.next_multiple_of(8), quality })
    }

    /// How a film is wanted. The parameter `form` says whether MP4 is to be in fragments.
    fn clip(&self, form: &'static str, container: Container) -> Result<ClipForm, AskError> {
        let is_whole = match (self.get(form), container) {
            (None, container) => container == Container::Mp4,
            (Some("mp4"), Container::Mp4) => true,
            (Some("fmp4"), Container::Mp4) => false,
            (Some(text), Container::Mp4) => return Err(fault(form, text, "mp4 or fmp4")),
            (Some(text), _) => return Err(fault(form, text, "none: the name of the film says what it is")),
        };
        let gaps = match self.get("gap") {
            None | Some("skip") => Gaps::Skip,
            Some("hold") => Gaps::Hold,
            Some(text) => return Err(fault("gap", text, "skip or hold")),
        };
        Ok(ClipForm { made: (!is_whole).then_some(container), gaps })
    }

    /// How a time-lapse runs: a frame a minute, 30 of them a second.
    fn pace(&self) -> Result<Pace, AskError> {
        let every = match self.get("every") {
            None => 60_000_000,
            Some(text) => duration(text)
                .filter(|every| (100_000..=86_400_000_000).contains(every))
                .ok_or_else(|| fault("every", text, "a time from 100ms to 1d"))?,
        };
        let rate = match self.get("fps") {
            None => 30,
            Some(text) => {
                let rate = plain(text).and_then(|rate| u32::try_from(rate).ok()).filter(|rate| (1..=60).contains(rate));
                rate.ok_or_else(|| fault("fps", text, "a number from 1 to 60"))?
            }
        };
        Ok(Pace { every, rate })
    }

    /// All that are not of recordings: credentials.
    fn carried(&self) -> String {
        let own = [
            "from", "to", "for", "start", "end", "duration", "path", "format", "every", "fps", "at", "exact", "n",
            "as", "gap",
        ];
        let others = self.0.iter().filter(|(name, ..)| !own.contains(name)).map(|(.., pair)| *pair);
        let text = others.collect::<Vec<_>>().join("&");
        if text.is_empty() || text.len() > 1024 { String::new() } else { format!("?{text}") }
    }
}

/// The span of a begin, an end and a length, whose parameters have these names; all that there is if none is given. `now` is in
/// microseconds since 1970.
///
/// # Errors
/// When one is not valid.
pub fn span<'a>(
    get: impl Fn(&str) -> Option<&'a str>,
    [from, to, length]: [&'static str; 3],
    now: i64,
) -> Result<Span, AskError> {
    let time_of = |name| get(name).map(|value| time(value).ok_or_else(|| fault(name, value, TIME))).transpose();
    let (begin, end) = (time_of(from)?, time_of(to)?);
    let given = get(length);
    let lasts = given.map(|value| duration(value).ok_or_else(|| fault(length, value, LENGTH))).transpose()?;
    let (begin, end, is_open) = match (begin, end, lasts) {
        (Some(begin), Some(end), _) => (begin, end, false),
        (Some(begin), None, Some(lasts)) => (begin, begin.saturating_add(lasts), false),
        (Some(begin), None, None) => (begin, now, true),
        (None, Some(end), lasts) => (end.saturating_sub(lasts.unwrap_or(LONGEST)), end, false),
        (None, None, lasts) => (now.saturating_sub(lasts.unwrap_or(LONGEST)), now, true),
    };
    let is_good = end > begin && end.saturating_sub(begin) <= LONGEST;
    if is_good { Ok(Span { from: begin, to: end, is_open }) } else { Err(AskError::Span) }
}

fn fault(name: &'static str, found: &str, expected: &'static str) -> AskError {
    AskError::Parameter { name, found: found.chars().take(40).collect(), expected }
}

/// A time as in RFC 3339, or in seconds since 1970; in microseconds.
fn time(text: &str) -> Option<i64> {
    if let Some(seconds) = decimal(text) {
        return Some(seconds);
    }
    // A plus sign of an offset that was not percent-encoded.
    let text = text.replace(' ', "+");
    text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

/// A time with or without a unit, in microseconds.
pub fn duration(text: &str) -> Option<i64> {
    let units = [("ms", 1000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(unit, micros)| Some((text.strip_suffix(unit)?, micros)))
        .unwrap_or((text, 1_000_000));
    decimal(number)?.checked_mul(unit / 1000)?.checked_div(1000)
}

/// Digits with at most one point between them, in millionths.
fn decimal(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || !are_digits(whole) || !are_digits(part) {
        return None;
    }
    let part: String = part.chars().chain("000000".chars()).take(6).collect();
    whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(part.parse().ok()?)
}

/// A range of bytes of a body (RFC 9110, section 14): the first and the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// All of it.
    Whole,
    /// From the first to the last, both included.
    Part(u64, u64),
    /// Nothing of it.
    Unsatisfiable,
}

/// Reads a `Range` header for a body of `length` bytes. Several ranges, and what is not understood, are answered with all.
pub fn range(header: Option<&str>, length: u64) -> Range {
    let Some(ranges) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Range::Whole };
    let Some((first, last)) = ranges.split_once('-').filter(|_| !ranges.contains(',')) else { return Range::Whole };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()));
    let (first, last) = match (first.is_empty(), last.is_empty()) {
        (true, true) => return Range::Whole,
        (true, false) => match number(last) {
            Some(0) => return Range::Unsatisfiable,
            Some(count) => (length.saturating_sub(count), length.saturating_sub(1)),
            None => return Range::Whole,
        },
        (false, _) => {
            let Some(first) = number(first) else { return Range::Whole };
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            let Some(last) = last.filter(|last| *last >= first) else { return Range::Whole };
            (first, last.min(length.saturating_sub(1)))
        }
    };
    if first >= length { Range::Unsatisfiable } else { Range::Part(first, last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::PictureFormat;
    use proptest::prelude::*;
    use std::num::NonZeroU16;

    const NOW: i64 = 1_795_854_600_000_000;

    #[test]
    fn paths_and_parameters_are_read() {
        let check = |path: &str, query: &str, what: Result<What, AskError>| {
            assert_eq!(asked(path, query, NOW).map(|asked| asked.what), what, "{path}?{query}");
        };
        let span = |from, to| Span { from, to, is_open: false };
        let at = 1_795_854_187_000_000;
        let minute = 60_000_000;
        let time = "2026-11-28T08:23:07Z";
        let whole = |span| What::Clip(span, ClipForm { made: None, gaps: Gaps::Skip });
        check("/rec/cam/clip.mp4", &format!("from={time}&for=1m"), Ok(whole(span(at, at + minute))));
        check("/rec/cam/clip.mp4", "from=2026-11-28T09:23:07%2B01:00&for=1m", Ok(whole(span(at, at + minute))));
        check("/rec/cam/clip.mp4", "from=1795854187.0&to=1795854188.5", Ok(whole(span(at, at + 1_500_000))));
        let open = Span { from: at, to: NOW, is_open: true };
        check("/rec/cam/index.m3u8", &format!("from={time}"), Ok(What::Playlist(open)));
        check("/rec/list", &format!("path=cam&start={time}&end=1795854247"), Ok(What::Spans(span(at, at + minute))));
        check("/rec/get", &format!("path=cam&start={time}&duration=60.0"), Ok(whole(span(at, at + minute))));
        check("/rec/get", &format!("path=cam&start={time}&duration=60&format=mp4"), Ok(whole(span(at, at + minute))));
        let made = |container, gaps| Ok(What::Clip(span(at, at + minute), ClipForm { made: container, gaps }));
        let clip = |name: &str, more: &str, expect| {
            check(&format!("/rec/cam/clip.{name}"), &format!("from={time}&for=1m{more}"), expect);
        };
        clip("mp4", "&gap=hold", made(None, Gaps::Hold));
        clip("mp4", "&as=fmp4&gap=skip", made(Some(Container::Mp4), Gaps::Skip));
        clip("ts", "", made(Some(Container::Ts), Gaps::Skip));
        clip("mkv", "&gap=hold", made(Some(Container::Mkv), Gaps::Hold));
        clip("webm", "", made(Some(Container::Webm), Gaps::Skip));
        clip("flv", "", made(Some(Container::Flv), Gaps::Skip));
        clip("ogg", "", Err(AskError::Path));
        clip("mp4", "&as=ts", Err(fault("as", "ts", "mp4 or fmp4")));
        clip("ts", "&as=mp4", Err(fault("as", "mp4", "none: the name of the film says what it is")));
        clip("mp4", "&gap=x", Err(fault("gap", "x", "skip or hold")));
        let get = |form: &str| format!("path=cam&start={time}&duration=60&format={form}");
        check("/rec/get", &get("fmp4"), made(Some(Container::Mp4), Gaps::Skip));
        check("/rec/get", &get("ts"), Err(fault("format", "ts", "mp4 or fmp4")));
        let pace = |every, rate| Pace { every, rate };
        let minutes = || span(at, at + minute);
        let lapse = |more: &str| format!("from={time}&for=1m{more}");
        check("/rec/cam/timelapse.mp4", &lapse(""), Ok(What::Lapse(minutes(), pace(minute, 30))));
        check("/rec/cam/timelapse.mp4", &lapse("&every=2&fps=5"), Ok(What::Lapse(minutes(), pace(2_000_000, 5))));
        for wrong in ["&every=0", "&every=x", "&every=2d", "&fps=0", "&fps=61", "&fps=1.5"] {
            assert!(asked("/rec/cam/timelapse.mp4", &lapse(wrong), NOW).is_err(), "{wrong}");
        }
        let spec = |format, width| StillSpec { width: NonZeroU16::new(width), ..StillSpec::of(format) };
        let jpeg = |quality| PictureFormat::Jpeg { quality };
        let still = |is_exact, spec| Ok(What::Still(StillAt { at, is_exact, spec }));
        check("/rec/cam/pic", &format!("at={time}"), still(false, spec(jpeg(85), 0)));
        check("/rec/cam/pic.png", "at=1795854187&exact=1&w=320", still(true, spec(PictureFormat::Png, 320)));
        check("/rec/cam/pic", "at=1795854187&exact=0&q=40", still(false, spec(jpeg(40), 0)));
        check("/rec/cam/pic", "", Err(AskError::Missing("at")));
        for wrong in ["at=x", "at=1&exact=2", "at=1&q=0", "at=1&w=5", "at=1&fmt=gif"] {
            assert!(asked("/rec/cam/pic", wrong, NOW).is_err(), "{wrong}");
        }
        let strip = |places, width, quality| Ok(What::Strip(minutes(), Strip { places, width, quality }));
        check("/rec/cam/strip.jpg", &lapse(""), strip(60, 160, 70));
        check("/rec/cam/strip.jpg", &lapse("&n=7&w=91&q=5"), strip(7, 96, 5));
        check("/rec/cam/strip.jpg", "", Err(AskError::Missing("from")));
        for wrong in ["&n=0", "&n=101", "&n=x", "&w=8", "&w=321", "&q=0"] {
            assert!(asked("/rec/cam/strip.jpg", &lapse(wrong), NOW).is_err(), "{wrong}");
        }
        let file = FileId { from: 5, sequence: 42 };
        check("/rec/cam/5-42/init.mp4", "", Ok(What::Header(file)));
        check(&format!("/rec/cam/clips/{file}.mp4"), "", Ok(What::Saved(file)));
        check(&format!("/rec/cam/{file}/0.m4s"), "", Ok(What::Segment(file, 0)));
        assert!(matches!(asked("/rec/cam/list", "", NOW), Ok(Asked { what: What::List(span), .. }) if span.is_open));
        check("/rec/cam/clip.mp4", "", Err(AskError::Missing("from")));
        check("/rec/list", "", Err(AskError::Missing("path")));
        check("/rec/get", "path=cam&start=1", Err(AskError::Missing("duration")));
        check("/rec/cam/clip.mp4", "from=5&to=5", Err(AskError::Span));
        check("/rec/cam/list", "from=0&to=99999999", Err(AskError::Span));
        for path in
            ["/rec/cam/1-07/0.m4s", "/rec/cam/1-7/x.m4s", "/rec/cam/7/0.m4s", "/rec/cam/clip.avi", "/rec/", "/rec/x"]
        {
            assert!(asked(path, "path=a", NOW).is_err(), "{path}");
        }
        let wrong = asked("/rec/cam/list", "from=noon", NOW).unwrap_err().to_string();
        assert!(wrong.starts_with("from=noon is not valid: expected a time like"), "{wrong}");
        let carried = asked("/rec/cam/index.m3u8", "from=1&link=abc&x", NOW).map(|asked| asked.carried);
        assert_eq!(carried, Err(AskError::Span));
        let carried = asked("/rec/cam/index.m3u8", "from=1&to=2&link=a%20c&x", NOW).map(|asked| asked.carried);
        assert_eq!(carried.as_deref(), Ok("?link=a%20c&x"));
    }

    #[test]
    fn ranges_are_those_of_the_standard() {
        let check = |header, length, expect| assert_eq!(range(header, length), expect, "{header:?}");
        check(None, 10, Range::Whole);
        check(Some("bytes=0-"), 10, Range::Part(0, 9));
        check(Some("bytes=2-3"), 10, Range::Part(2, 3));
        check(Some("bytes=9-99"), 10, Range::Part(9, 9));
        check(Some("bytes=-3"), 10, Range::Part(7, 9));
        check(Some("bytes=-99"), 10, Range::Part(0, 9));
        check(Some("bytes=10-"), 10, Range::Unsatisfiable);
        check(Some("bytes=-0"), 10, Range::Unsatisfiable);
        for ignored in ["bytes=3-2", "bytes=1-2,4-5", "lines=1-2", "bytes=a-", "bytes=-", "bytes=+1-2"] {
            check(Some(ignored), 10, Range::Whole);
        }
    }

    proptest! {
        #[test]
        fn any_request_is_read(path in ".{0,40}", query in ".{0,80}", header in ".{0,30}", length: u64) {
            let _ = asked(&format!("/rec/{path}"), &query, NOW);
            if let Range::Part(first, last) = range(Some(&format!("bytes={header}")), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}

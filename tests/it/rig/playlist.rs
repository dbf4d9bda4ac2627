//! Reads media playlists and checks the rules of RFC 8216 and draft-pantos-hls-rfc8216bis, of one playlist and from one to the next.

use std::collections::BTreeMap;

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Playlist {
    pub version: u64,
    pub target: f64,
    pub part_target: Option<f64>,
    /// The attributes of `EXT-X-SERVER-CONTROL`.
    pub control: BTreeMap<String, String>,
    pub sequence: u64,
    pub discontinuity_sequence: u64,
    pub is_independent: bool,
    /// Segments that a delta leaves out.
    pub skipped: u64,
    pub segments: Vec<Segment>,
    /// Parts of the segment that is being made.
    pub open: Vec<Part>,
    pub hint: Option<String>,
    pub reports: Vec<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Segment {
    pub uri: String,
    pub duration: f64,
    pub parts: Vec<Part>,
    pub is_discontinuity: bool,
    pub is_gap: bool,
    /// The header that is in force.
    pub map: Option<String>,
    /// Address of the key that is in force, and the initialisation vector.
    pub key: Option<(String, String)>,
    pub date: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    pub uri: String,
    pub duration: f64,
    pub is_independent: bool,
}

fn attributes(text: &str) -> BTreeMap<String, String> {
    let (mut found, mut rest) = (BTreeMap::new(), text);
    while let Some((name, value)) = rest.split_once('=') {
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("an open quote"),
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        assert!(found.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice in {text}");
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    assert_eq!(rest, "", "of {text}");
    found
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

impl Playlist {
    /// Reads a playlist. Panics on what is not allowed.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("#EXTM3U"));
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut list = Self::default();
        let (mut next, mut map, mut key, mut length) = (Segment::default(), None, None, None);
        for line in lines {
            let Some(tag) = line.strip_prefix('#') else {
                assert!(!line.is_empty(), "an empty line");
                let duration = length.take().unwrap_or_else(|| panic!("no EXTINF before {line}"));
                let (map, key, next) = (map.clone(), key.clone(), std::mem::take(&mut next));
                let segment = Segment { uri: line.to_owned(), duration, map, key, ..next };
                list.segments.push(segment);
                continue;
            };
            let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
            match name {
                "EXT-X-VERSION" => list.version = number(value),
                "EXT-X-TARGETDURATION" => list.target = number::<u64>(value) as f64,
                "EXT-X-PART-INF" => list.part_target = Some(number(&attributes(value)["PART-TARGET"])),
                "EXT-X-SERVER-CONTROL" => list.control = attributes(value),
                "EXT-X-MEDIA-SEQUENCE" => list.sequence = number(value),
                "EXT-X-DISCONTINUITY-SEQUENCE" => list.discontinuity_sequence = number(value),
                "EXT-X-INDEPENDENT-SEGMENTS" => list.is_independent = true,
                "EXT-X-SKIP" => list.skipped = number(&attributes(value)["SKIPPED-SEGMENTS"]),
                "EXT-X-DISCONTINUITY" => {
                    assert!(next.parts.is_empty() && next.date.is_none(), "DISCONTINUITY within a segment");
                    next.is_discontinuity = true;
                }
                "EXT-X-MAP" => {
                    assert!(next.parts.is_empty() && next.date.is_none(), "MAP within a segment");
                    assert!(key.is_none(), "a header is not encrypted");
                    map = Some(attributes(value)["URI"].clone());
                }
                "EXT-X-KEY" if value == "METHOD=NONE" => key = None,
                "EXT-X-KEY" => {
                    let mut found = attributes(value);
                    assert_eq!(found["METHOD"], "AES-128");
                    key = found.remove("URI").zip(found.remove("IV"));
                    assert!(key.is_some(), "{line}");
                }
                "EXT-X-PROGRAM-DATE-TIME" => next.date = Some(value.to_owned()),
                "EXT-X-GAP" => next.is_gap = true,
                "EXTINF" => length = Some(number(value.strip_suffix(',').expect("a comma"))),
                "EXT-X-PART" => {
                    let mut found = attributes(value);
                    next.parts.push(Part {
                        uri: found.remove("URI").expect("a URI"),
                        duration: number(&found["DURATION"]),
                        is_independent: found.get("INDEPENDENT").is_some_and(|value| value == "YES"),
                    });
                }
                "EXT-X-PRELOAD-HINT" => list.hint = Some(attributes(value)["URI"].clone()),
                "EXT-X-RENDITION-REPORT" => list.reports.push(attributes(value)),
                other => panic!("unknown tag {other}"),
            }
        }
        assert!(length.is_none(), "EXTINF without a segment");
        list.open = next.parts;
        list
    }

    /// Number of the segment that is being made.
    pub fn open_number(&self) -> u64 {
        self.sequence + self.skipped + self.segments.len() as u64
    }

    fn control(&self, name: &str) -> f64 {
        self.control.get(name).map_or(0.0, |value| number(value))
    }

    /// Panics where one playlist breaks a rule.
    pub fn check(&self) {
        const ROUNDING: f64 = 0.000_02;
        for segment in &self.segments {
            assert!(segment.duration.round() <= self.target, "{segment:?} is longer than the target {}", self.target);
            assert!(segment.duration > 0.0, "{segment:?}");
            assert!(segment.date.is_some(), "{segment:?} has no date");
            let sum: f64 = segment.parts.iter().map(|part| part.duration).sum();
            let is_whole = (sum - segment.duration).abs() < 0.000_1 * (1.0 + segment.parts.len() as f64);
            assert!(segment.parts.is_empty() || is_whole, "parts of {sum} in {segment:?}");
        }
        assert!(self.control("HOLD-BACK") >= 3.0 * self.target, "{:?}", self.control);
        let Some(target) = self.part_target else {
            assert!(self.hint.is_none() && self.open.is_empty() && self.reports.is_empty());
            return;
        };
        assert!(self.version >= 9);
        assert_eq!(self.control.get("CAN-BLOCK-RELOAD").map(String::as_str), Some("YES"));
        assert!(self.control("PART-HOLD-BACK") >= 2.0 * target, "{:?}", self.control);
        assert!(self.control("CAN-SKIP-UNTIL") >= 6.0 * self.target, "{:?}", self.control);
        for parts in self.segments.iter().map(|segment| &segment.parts).chain([&self.open]) {
            for (index, part) in parts.iter().enumerate() {
                // A segment whose source has ended gets no other part; where it gets one, a later playlist shows that.
                let is_last = index + 1 == parts.len();
                assert!(part.duration <= target + ROUNDING, "{part:?} is longer than {target}");
                assert!(
                    is_last || part.duration >= 0.85 * target,
                    "{part:?} is shorter than 85 % of {target}: {parts:?}"
                );
            }
            if self.is_independent {
                assert!(parts.first().is_none_or(|first| first.is_independent), "{parts:?}");
            }
        }
        assert!(self.hint.is_some(), "no hint");
    }

    /// Panics where this playlist does not follow `before`.
    pub fn check_after(&self, before: &Self) {
        let constants = |list: &Self| (list.target, list.part_target, list.control.clone(), list.version);
        assert_eq!(constants(self), constants(before));
        assert!(self.sequence >= before.sequence, "{} after {}", self.sequence, before.sequence);
        let mut known: BTreeMap<u64, &Segment> = BTreeMap::new();
        known.extend((before.sequence + before.skipped..).zip(&before.segments));
        let mut gone = 0;
        for (number, segment) in &known {
            gone += u64::from(*number < self.sequence && segment.is_discontinuity);
        }
        if before.skipped == 0 && self.sequence <= before.open_number() {
            assert_eq!(self.discontinuity_sequence, before.discontinuity_sequence + gone);
        }
        assert!(self.open_number() >= before.open_number());
        for (number, segment) in (self.sequence + self.skipped..).zip(&self.segments) {
            if let Some(old) = known.get(&number) {
                let same = |one: &Segment| {
                    (one.uri.clone(), one.duration, one.is_discontinuity, one.date.clone(), one.map.clone())
                };
                assert_eq!(same(segment), same(old));
            }
            if number == before.open_number() && !segment.parts.is_empty() {
                assert_eq!(segment.parts[..before.open.len()], before.open[..]);
            }
        }
        let parts = |list: &Self| {
            let of_segments = list.segments.iter().flat_map(|segment| &segment.parts);
            of_segments.chain(&list.open).map(|part| part.uri.clone()).collect::<Vec<_>>()
        };
        let (old, new) = (parts(before), parts(self));
        if let (Some(hint), true) = (&before.hint, old.last() != new.last()) {
            let at = old.last().and_then(|last| new.iter().position(|uri| uri == last));
            let next = at.and_then(|at| new.get(at + 1));
            assert!(next.is_none_or(|next| next == hint), "the hint {hint} was not true: {next:?}");
        }
    }
}

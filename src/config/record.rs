//! `record:` of a stream: what is recorded, where, and how long it is kept; checked and printed.

use super::{
    diagnostics::Path,
    expected::{Expected, path_name},
    pattern::{FilePattern, Zone},
    raw,
    recording::{Keep, Plan, Recording},
    spans::Place,
    units,
    validator::Validator,
};
use crate::media::Container;
use serde_yaml::Value;
use std::{ops::RangeInclusive, time::Duration};

/// Length of a file, if nothing else is said.
const EVERY: Duration = Duration::from_secs(3600);
/// Limits of that. A file of a day has tables of 50 MB.
const EVERY_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Media that a crash may cost.
const PART: Duration = Duration::from_secs(1);
const PART_RANGE: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);
/// What is recorded from before a request, if nothing else is said, and limits of that.
const BEFORE: Duration = Duration::from_secs(10);
const BEFORE_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Limits of the age of what is kept: a minute to a hundred years.
const AGE_RANGE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(100 * 366 * 86_400);
/// The containers of files.
pub(super) const FORMATS: [Container; 6] =
    [Container::Mp4, Container::Mkv, Container::Ts, Container::Webm, Container::Flv, Container::Avi];

impl Validator {
    /// How a stream is recorded; `None` where it is not, or where there are errors, which are noted.
    pub(super) fn recording(&mut self, path: &Path, value: Option<Value>) -> Option<Recording> {
        let value = value.filter(|value| !value.is_null())?;
        let keys: raw::Record = self.section(path, value);
        if keys.folder.is_none() {
            self.note(path, Place::Key, "has no `folder` to record into".to_owned());
        }
        let folder = self.value(&path.key("folder"), keys.folder, path_name);
        let format = self.value(&path.key("format"), keys.format, format).unwrap_or(Container::Mp4);
        let plan = self.value(&path.key("plan"), keys.plan, plan).unwrap_or(Plan::Always);
        let before = self.value(&path.key("before"), keys.before, |text| span(text, BEFORE_RANGE));
        if before.is_some() && plan != Plan::Clips {
            self.note(&path.key("before"), Place::Key, "is for `plan: clips`".to_owned());
        }
        let before = if plan == Plan::Clips { before.unwrap_or(BEFORE) } else { Duration::ZERO };
        let every = self.value(&path.key("every"), keys.every, |text| span(text, EVERY_RANGE));
        let part = self.value(&path.key("part"), keys.part, |text| span(text, PART_RANGE)).unwrap_or(PART);
        let zone = self.value(&path.key("zone"), keys.zone, zone).unwrap_or_default();
        let name = self.value(&path.key("name"), keys.name, pattern).unwrap_or_default();
        let name = name.in_zone(zone).unwrap_or_else(|error| {
            self.note(&path.key("name"), Place::Value, format!("expected {error}"));
            FilePattern::default()
        });
        let keep = self.keep(&path.key("keep"), keys.keep);
        let usual = (plan != Plan::Session).then_some(EVERY);
        Some(Recording { folder: folder?, format, plan, before, every: every.or(usual), part, name, keep })
    }

    fn keep(&mut self, path: &Path, value: Option<Value>) -> Keep {
        let Some(value) = value else { return Keep::default() };
        let keys: raw::Keep = self.section(path, value);
        Keep {
            age: self.value(&path.key("age"), keys.age, |text| span(text, AGE_RANGE)),
            size: self.value(&path.key("size"), keys.size, size),
            free: self.value(&path.key("free"), keys.free, size),
        }
    }
}

/// The section as it could have been read.
pub(super) fn printed(recording: &Recording) -> Value {
    let text = |text: String| Some(Value::String(text));
    let Recording { folder, format, plan, before, every, part, name, keep } = recording;
    let keep = raw::Keep {
        age: keep.age.and_then(|age| text(printed_span(age))),
        size: keep.size.map(Value::from),
        free: keep.free.map(Value::from),
    };
    let keys = raw::Record {
        folder: text(folder.to_string_lossy().into_owned()),
        format: text(format.to_string()),
        plan: text(plan.name().to_owned()),
        before: Some(*before).filter(|_| *plan == Plan::Clips).and_then(|before| text(printed_span(before))),
        every: every.and_then(|every| text(printed_span(every))),
        part: text(printed_span(*part)),
        name: text(name.to_string()),
        zone: text(name.zone().name().to_owned()),
        keep: [&keep.age, &keep.size, &keep.free]
            .into_iter()
            .any(Option::is_some)
            .then(|| serde_yaml::to_value(&keep).unwrap_or_default()),
    };
    serde_yaml::to_value(&keys).unwrap_or_default()
}

pub(super) fn printed_span(span: Duration) -> String {
    match span.subsec_millis() {
        0 => format!("{}s", span.as_secs()),
        _ => format!("{}s", span.as_millis() as f64 / 1000.0),
    }
}

fn format(text: &str) -> Result<Container, Expected> {
    let found = FORMATS.into_iter().find(|format| format.name() == text);
    found.ok_or_else(|| "mp4, mkv, ts, webm, flv or avi".into())
}

fn plan(text: &str) -> Result<Plan, Expected> {
    Plan::ALL
        .into_iter()
        .find(|plan| plan.name() == text)
        .ok_or_else(|| "always, wanted, session, manual or clips".into())
}

fn pattern(text: &str) -> Result<FilePattern, Expected> {
    FilePattern::new(text).map_err(|error| error.to_string().into())
}

fn zone(text: &str) -> Result<Zone, Expected> {
    Zone::ALL.into_iter().find(|zone| zone.name() == text).ok_or_else(|| "utc or local".into())
}

fn size(text: &str) -> Result<u64, Expected> {
    let bytes = units::bytes(text).filter(|bytes| *bytes >= 1 << 20);
    bytes.ok_or_else(|| "bytes, like 500M or 20G, at least 1M".into())
}

/// Time with a unit, to the millisecond: `90s`, `10m`, `1.5h`, `7d`; seconds without one.
pub(super) fn span(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Expected> {
    let text = text.trim();
    let unit = [("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)].into_iter();
    let (number, factor) =
        unit.filter_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor))).next().unwrap_or((text, 1.0));
    let seconds = units::decimal(number.trim_end()).map(|number| number * factor).filter(|seconds| *seconds < 1e10);
    let found = seconds.map(|seconds| Duration::from_millis((seconds * 1000.0).round() as u64));
    let (least, most) = (printed_span(*range.start()), printed_span(*range.end()));
    let found = found.filter(|found| range.contains(found));
    found.ok_or_else(|| format!("time like 90s, 10m, 1h or 7d, {least} to {most}").into())
}

#[cfg(test)]
mod tests {
    use super::super::{parse, to_yaml};
    use super::*;

    fn recording(keys: &str) -> Result<Option<Recording>, String> {
        let yaml = format!("feeds: {{f: {{pipeline: x}}}}\nstreams:\n  s.mp4: {{feed: f, record: {keys}}}");
        let parsed = parse(&yaml);
        if let Ok(config) = &parsed {
            let again = parse(&to_yaml(config)).map_err(|faults| format!("{faults:?}"))?;
            assert_eq!(again.streams[0].recording, config.streams[0].recording);
        }
        parsed
            .map(|config| config.streams[0].recording.clone())
            .map_err(|faults| faults.iter().map(|fault| fault.to_string()).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn every_key_is_understood() {
        assert_eq!(recording("~"), Ok(None));
        let usual = recording("{folder: /rec}").unwrap().unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!((usual.format, usual.plan, usual.every), (Container::Mp4, Plan::Always, Some(hour)));
        assert_eq!((usual.part, usual.keep), (Duration::from_secs(1), Keep::default()));
        let all = recording(
            "{folder: /rec, format: mkv, plan: wanted, every: 10m, part: 0.5, name: 'a/{sequence}', keep: {age: 7d, size: 500G, free: 1.5G}}",
        );
        let keep = Keep { age: Some(hour * 24 * 7), size: Some(500 << 30), free: Some(3 << 29) };
        let expected = Recording {
            folder: "/rec".into(),
            format: Container::Mkv,
            plan: Plan::Wanted,
            before: Duration::ZERO,
            every: Some(Duration::from_secs(600)),
            part: Duration::from_millis(500),
            name: FilePattern::new("a/{sequence}").unwrap(),
            keep,
        };
        assert_eq!(all, Ok(Some(expected)));
        let zone = |keys: &str| recording(keys).unwrap().unwrap().name.zone();
        assert_eq!([zone("{folder: r}"), zone("{folder: r, zone: local}")], [Zone::Utc, Zone::Local]);
        let before = |keys: &str| recording(keys).unwrap().unwrap().before;
        assert_eq!(before("{folder: r, plan: clips}"), Duration::from_secs(10));
        assert_eq!(before("{folder: r, plan: clips, before: 30s}"), Duration::from_secs(30));
        let session = |keys: &str| recording(keys).unwrap().unwrap().every;
        assert_eq!(session("{folder: r, plan: session}"), None);
        assert_eq!(session("{folder: r, plan: session, every: 1.5h}"), Some(hour * 3 / 2));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |keys: &str, expect: &str| {
            let found = recording(keys).unwrap_err();
            assert!(found.ends_with(expect), "{keys}: {found}");
        };
        check("{}", "streams.s.mp4.record: has no `folder` to record into");
        check("{folder: r, format: mov}", "record.format: expected mp4, mkv, ts, webm, flv or avi, found \"mov\"");
        check(
            "{folder: r, plan: never}",
            "record.plan: expected always, wanted, session, manual or clips, found \"never\"",
        );
        check("{folder: r, before: 5s}", "record.before: is for `plan: clips`");
        check("{folder: r, plan: clips, before: 2m}", "1h or 7d, 1s to 60s, found \"2m\"");
        check("{folder: r, every: 0}", "expected time like 90s, 10m, 1h or 7d, 1s to 86400s, found \"0\"");
        check("{folder: r, part: 1m}", "expected time like 90s, 10m, 1h or 7d, 0.2s to 10s, found \"1m\"");
        check("{folder: r, keep: {age: 1}}", "1h or 7d, 60s to 3162240000s, found \"1\"");
        check(
            "{folder: r, keep: {size: 1k}}",
            "keep.size: expected bytes, like 500M or 20G, at least 1M, found \"1k\"",
        );
        check("{folder: r, keep: {days: 1}}", "record.keep.days: unknown key");
        check("{folder: r, name: ../x}", "found \"../x\"");
        check("{folder: r, zone: cet}", "record.zone: expected utc or local, found \"cet\"");
        check("{folder: r, zone: local, name: '{date} {sequence}'}", "an hour of the year is there twice");
    }

    #[test]
    fn it_needs_a_stream_that_is_shared() {
        let yaml = "feeds: {f: {pipeline: x}}\nstreams: {s: {feed: f, command: [cat], client: exclusive, record: {folder: r}}}";
        let faults = parse(yaml).unwrap_err();
        assert!(faults[0].to_string().contains("record: a stream that is made for each request"), "{faults:?}");
    }
}

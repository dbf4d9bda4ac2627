//! From the configuration to what runs: which process does what, and who needs whom. Pure.

use crate::{
    config::{Config, Encoding, Feed, FeedName, Mode, Source, Stream},
    feed::machine::Policy,
    ipc::{self, FeedPlan, FeedSource, Item, StreamPlan},
    media::Container,
};
use std::{collections::HashMap, path::PathBuf, time::Duration};

/// What a command that reads a worker's feed gets: all tracks as they are, in Matroska, which can carry nearly all.
const TAP: &str = "video. ! mux. audio. ! mux. matroskamux name=mux streamable=true min-cluster-duration=0";

/// A whole configuration, ready to be run.
#[derive(Debug, Default, PartialEq)]
pub struct Layout {
    /// Worker processes.
    pub groups: Vec<GroupLayout>,
    /// All that has a supervisor.
    pub units: Vec<Unit>,
    /// What viewers can ask for; positions as in `Config::streams`.
    pub streams: Vec<StreamLayout>,
}

/// What one worker process runs.
#[derive(Debug, Default, PartialEq)]
pub struct GroupLayout {
    /// For the log: the names of its feeds or streams.
    pub name: String,
    /// The plan, with no epoch yet.
    pub plan: ipc::Plan,
    /// For each feed of the plan: the unit whose bytes it gets, if it is not the worker's own.
    pub fed_by: Vec<Option<usize>>,
    /// For each stream of the plan: the unit whose packets they are.
    pub stream_units: Vec<usize>,
}

/// A feed or stream that is started, watched and stopped by itself.
#[derive(Debug, PartialEq)]
pub struct Unit {
    /// For the log: `feed cam0`.
    pub name: String,
    /// When it runs.
    pub policy: Policy,
    /// What it is.
    pub run: Run,
    /// Units that it needs.
    pub needs: Vec<usize>,
}

/// What a unit is.
#[derive(Debug, PartialEq)]
pub enum Run {
    /// A program that reads the packets of unit `input`.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Unit whose packets it reads.
        input: Option<usize>,
    },
    /// A named pipe.
    Pipe(PathBuf),
    /// An item of a group.
    Item {
        /// Position in [`Layout::groups`].
        group: usize,
        /// Which one.
        item: Item,
    },
}

/// What viewers of one stream get.
#[derive(Debug, PartialEq)]
pub struct StreamLayout {
    /// The unit whose packets they are.
    pub unit: usize,
    /// The group that makes its pictures.
    pub group: usize,
    /// Its number in the group's plan, or `None`: pictures are decoded from its bytes.
    pub in_plan: Option<u32>,
}

impl Unit {
    /// Whether its packets are made by our own encoders, which give keyframes on request and whose timestamps go on
    /// when it is restarted.
    pub fn is_ours(&self) -> bool {
        matches!(self.run, Run::Item { item: Item::Stream(_), .. })
    }
}

/// Lays out a configuration.
pub fn layout(config: &Config) -> Layout {
    let mut builder = Builder::new(config);
    config.feeds.iter().for_each(|feed| builder.feed(feed));
    config.streams.iter().for_each(|stream| builder.stream(stream));
    builder.layout
}

struct Builder<'a> {
    layout: Layout,
    /// The group of each feed.
    groups: HashMap<&'a FeedName, usize>,
    /// The unit of each feed, and its place in its group's plan once it has one.
    feeds: HashMap<&'a FeedName, (usize, Option<u32>)>,
    /// The unit that muxes all tracks of a worker's feed for commands.
    taps: HashMap<&'a FeedName, usize>,
    sources: HashMap<&'a FeedName, &'a Source>,
}

impl<'a> Builder<'a> {
    fn new(config: &'a Config) -> Self {
        let mut layout = Layout::default();
        let groups = group_feeds(config);
        let count = groups.values().max().map_or(0, |last| last + 1);
        for group in 0..count {
            let names: Vec<_> = config
                .feeds
                .iter()
                .filter(|feed| groups.get(&feed.name) == Some(&group))
                .map(|feed| feed.name.as_str())
                .collect();
            layout.groups.push(GroupLayout { name: names.join("+"), ..GroupLayout::default() });
        }
        let sources = config.feeds.iter().map(|feed| (&feed.name, &feed.source)).collect();
        Self { layout, groups, feeds: HashMap::new(), taps: HashMap::new(), sources }
    }

    fn unit(&mut self, name: String, policy: Policy, run: Run, needs: Vec<usize>) -> usize {
        self.layout.units.push(Unit { name, policy, run, needs });
        self.layout.units.len() - 1
    }

    fn feed(&mut self, feed: &'a Feed) {
        let (continuous, linger) = match feed.mode {
            Mode::Continuous => (true, Duration::ZERO),
            Mode::OnDemand { linger } => (false, linger),
        };
        let policy = Policy { continuous, linger, resurrect: !feed.no_resurrect };
        let name = format!("feed {}", feed.name);
        let (run, in_plan) = match &feed.source {
            Source::Command(argv) => (Run::Command { argv: argv.clone(), input: None }, None),
            Source::Pipe(path) => (Run::Pipe(path.clone()), None),
            Source::Pipeline(text) => self.worker_feed(&feed.name, FeedSource::Launch(text.clone())),
            Source::File { path, looped } => {
                self.worker_feed(&feed.name, FeedSource::File { path: path.clone(), looped: *looped })
            }
        };
        let unit = self.unit(name, policy, run, Vec::new());
        self.feeds.insert(&feed.name, (unit, in_plan));
    }

    fn worker_feed(&mut self, name: &FeedName, source: FeedSource) -> (Run, Option<u32>) {
        let group = self.group_of(Some(name));
        let number = self.plan_feed(group, name, source, None);
        (Run::Item { group, item: Item::Feed(number) }, Some(number))
    }

    fn group_of(&mut self, feed: Option<&FeedName>) -> usize {
        if let Some(group) = feed.and_then(|feed| self.groups.get(feed)) {
            return *group;
        }
        self.layout.groups.push(GroupLayout::default());
        self.layout.groups.len() - 1
    }

    fn plan_feed(&mut self, group: usize, name: &FeedName, source: FeedSource, fed_by: Option<usize>) -> u32 {
        let Some(group) = self.layout.groups.get_mut(group) else { return u32::MAX };
        group.plan.feeds.push(FeedPlan { name: name.to_string(), source });
        group.fed_by.push(fed_by);
        number(group.plan.feeds.len() - 1)
    }

    /// A feed's number in its group's plan; a feed of bytes gets one with the first stream that needs its tracks.
    fn feed_number(&mut self, group: usize, name: &'a FeedName) -> Option<u32> {
        let (unit, in_plan) = *self.feeds.get(name)?;
        if in_plan.is_some() {
            return in_plan;
        }
        let number = self.plan_feed(group, name, FeedSource::Bytes, Some(unit));
        self.feeds.insert(name, (unit, Some(number)));
        Some(number)
    }

    fn is_bytes(&self, feed: &FeedName) -> bool {
        matches!(self.sources.get(feed), Some(Source::Command(_) | Source::Pipe(_)))
    }

    fn stream(&mut self, stream: &'a Stream) {
        let group = self.group_of(stream.feeds.first());
        if let Some(group) = self.layout.groups.get_mut(group)
            && group.name.is_empty()
        {
            group.name = stream.name.to_string();
        }
        let name = format!("stream {}", stream.name);
        let placed = match (&stream.encoding, stream.feeds.as_slice()) {
            (Encoding::Copy, [feed]) if self.is_bytes(feed) => {
                let Some((unit, _)) = self.feeds.get(feed) else { return };
                StreamLayout { unit: *unit, group, in_plan: None }
            }
            (Encoding::Copy, feeds) => {
                self.worker_stream(group, name, &stream.name.to_string(), feeds, ipc::Encoding::Copy, stream.container)
            }
            (Encoding::Pipeline(text), feeds) => {
                let encoding = ipc::Encoding::Launch(text.clone());
                self.worker_stream(group, name, &stream.name.to_string(), feeds, encoding, stream.container)
            }
            (Encoding::Command(argv), feeds) => {
                let input = feeds.first().and_then(|feed| self.bytes_of(group, feed));
                let run = Run::Command { argv: argv.clone(), input };
                let unit = self.unit(name, WHILE_WANTED, run, input.into_iter().collect());
                StreamLayout { unit, group, in_plan: None }
            }
        };
        self.layout.streams.push(placed);
    }

    fn worker_stream(
        &mut self,
        group: usize,
        name: String,
        plain: &str,
        feeds: &'a [FeedName],
        encoding: ipc::Encoding,
        container: Container,
    ) -> StreamLayout {
        let numbers = feeds.iter().filter_map(|feed| self.feed_number(group, feed)).collect();
        let needs = feeds.iter().filter_map(|feed| self.feeds.get(feed).map(|(unit, _)| *unit)).collect();
        let unit = self.layout.units.len();
        let mut in_plan = 0;
        if let Some(group) = self.layout.groups.get_mut(group) {
            group.plan.streams.push(StreamPlan { name: plain.to_owned(), feeds: numbers, encoding, container });
            group.stream_units.push(unit);
            in_plan = number(group.plan.streams.len() - 1);
        }
        self.unit(name, WHILE_WANTED, Run::Item { group, item: Item::Stream(in_plan) }, needs);
        StreamLayout { unit, group, in_plan: Some(in_plan) }
    }

    /// The unit that has a feed's tracks as bytes.
    fn bytes_of(&mut self, group: usize, feed: &'a FeedName) -> Option<usize> {
        if self.is_bytes(feed) {
            return self.feeds.get(feed).map(|(unit, _)| *unit);
        }
        if let Some(unit) = self.taps.get(feed) {
            return Some(*unit);
        }
        let (name, plain) = (format!("feed {feed} for commands"), format!("{feed} for commands"));
        let encoding = ipc::Encoding::Launch(TAP.to_owned());
        let tap = self.worker_stream(group, name, &plain, std::slice::from_ref(feed), encoding, Container::Mkv);
        self.taps.insert(feed, tap.unit);
        Some(tap.unit)
    }
}

/// Streams run while someone watches.
const WHILE_WANTED: Policy = Policy { continuous: false, linger: Duration::ZERO, resurrect: true };

/// Numbers the groups: feeds are in one group when a stream uses both.
fn group_feeds(config: &Config) -> HashMap<&FeedName, usize> {
    let mut groups: HashMap<&FeedName, usize> =
        config.feeds.iter().enumerate().map(|(at, feed)| (&feed.name, at)).collect();
    for stream in &config.streams {
        let joined: Vec<usize> = stream.feeds.iter().filter_map(|feed| groups.get(feed).copied()).collect();
        if let Some(&into) = joined.iter().min() {
            groups.values_mut().filter(|group| joined.contains(group)).for_each(|group| *group = into);
        }
    }
    let mut used: Vec<usize> = groups.values().copied().collect();
    used.sort_unstable();
    used.dedup();
    groups.values_mut().for_each(|group| *group = used.binary_search(group).unwrap_or_default());
    groups
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    /// What a layout comes to, one line a thing.
    fn check(text: &str, expected: &str) {
        let layout = layout(&parse(text).unwrap());
        let mut lines = Vec::new();
        for (at, group) in layout.groups.iter().enumerate() {
            let feeds = group.plan.feeds.iter().zip(&group.fed_by).map(|(feed, by)| match by {
                Some(unit) => format!("{}<{unit}", feed.name),
                None => feed.name.clone(),
            });
            let feeds: Vec<String> = feeds.collect();
            let streams = group.plan.streams.iter().zip(&group.stream_units);
            let streams = streams.map(|(stream, unit)| format!("{}{:?}={unit}", stream.name, stream.feeds));
            lines.push(format!(
                "group {at} {}: {} | {}",
                group.name,
                feeds.join(" "),
                streams.collect::<Vec<_>>().join(" ")
            ));
        }
        for (at, unit) in layout.units.iter().enumerate() {
            let run = match &unit.run {
                Run::Command { input, .. } => format!("command {input:?}"),
                Run::Pipe(_) => "pipe".to_owned(),
                Run::Item { group, item } => format!("{item:?} of {group}"),
            };
            lines.push(format!("unit {at} {}: {run} needs {:?}", unit.name, unit.needs));
        }
        for (at, stream) in layout.streams.iter().enumerate() {
            lines.push(format!("stream {at}: unit {} group {} {:?}", stream.unit, stream.group, stream.in_plan));
        }
        let expected: Vec<_> = expected.trim().lines().map(str::trim).collect();
        assert_eq!(lines, expected, "\n{}", lines.join("\n"));
    }

    #[test]
    fn feeds_that_share_a_stream_share_a_worker() {
        check(
            "feeds:
  v: {pipeline: videotestsrc}
  a: {pipeline: audiotestsrc}
  other: {pipeline: videotestsrc}
streams:
  av.ts: {feeds: [v, a]}
  other.ts: {feed: other}
  own.ts: {pipeline: videotestsrc ! x264enc ! mpegtsmux}",
            "group 0 v+a: v a | av.ts[0, 1]=3
             group 1 other: other | other.ts[0]=4
             group 2 own.ts:  | own.ts[]=5
             unit 0 feed v: Feed(0) of 0 needs []
             unit 1 feed a: Feed(1) of 0 needs []
             unit 2 feed other: Feed(0) of 1 needs []
             unit 3 stream av.ts: Stream(0) of 0 needs [0, 1]
             unit 4 stream other.ts: Stream(0) of 1 needs [2]
             unit 5 stream own.ts: Stream(0) of 2 needs []
             stream 0: unit 3 group 0 Some(0)
             stream 1: unit 4 group 1 Some(0)
             stream 2: unit 5 group 2 Some(0)",
        );
    }

    #[test]
    fn bytes_pass_through_and_reach_a_worker_only_when_it_needs_them() {
        check(
            "feeds:
  ff: {command: [ffmpeg]}
streams:
  same.ts: {feed: ff}
  again.ts: {feed: ff, command: [cat]}
  small.webm: {feed: ff, video: {codec: vp8}}",
            "group 0 ff: ff<0 | small.webm[0]=2
             unit 0 feed ff: command None needs []
             unit 1 stream again.ts: command Some(0) needs [0]
             unit 2 stream small.webm: Stream(0) of 0 needs [0]
             stream 0: unit 0 group 0 None
             stream 1: unit 1 group 0 None
             stream 2: unit 2 group 0 Some(0)",
        );
    }

    #[test]
    fn commands_of_a_workers_feed_share_one_tap() {
        check(
            "feeds:
  cam: {pipeline: videotestsrc}
streams:
  a.ts: {feed: cam, command: [a]}
  b.ts: {feed: cam, command: [b]}",
            "group 0 cam: cam | cam for commands[0]=1
             unit 0 feed cam: Feed(0) of 0 needs []
             unit 1 feed cam for commands: Stream(0) of 0 needs [0]
             unit 2 stream a.ts: command Some(1) needs [1]
             unit 3 stream b.ts: command Some(1) needs [1]
             stream 0: unit 2 group 0 None
             stream 1: unit 3 group 0 None",
        );
    }

    #[test]
    fn modes_become_policies() {
        let text = "feeds:
  a: {command: [a]}
  b: {command: [b], mode: continuous}
  c: {command: [c], mode: 2.5, no-resurrect: true}";
        let policies: Vec<_> = layout(&parse(text).unwrap()).units.into_iter().map(|unit| unit.policy).collect();
        let policy =
            |continuous, millis, resurrect| Policy { continuous, linger: Duration::from_millis(millis), resurrect };
        assert_eq!(policies, [policy(false, 0, true), policy(true, 0, true), policy(false, 2500, false)]);
    }
}

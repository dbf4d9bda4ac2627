//! From the configuration to what runs: which process does what, and who needs whom. Pure.

use crate::{
    config::{self, Config, Encoding, Feed, FeedName, Mode, Serving, Source, Stream, StreamName},
    feed::machine::Policy,
    ipc::{self, FeedPlan, FeedSource, Item, StreamPlan},
    media::Container,
    sys::guard,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    path::PathBuf,
    time::Duration,
};

/// What a command that reads a worker's feed gets: all tracks as they are, in Matroska, which can carry nearly all.
const TAP: &str = "video. ! mux. audio. ! mux. matroskamux name=mux streamable=true min-cluster-duration=0";

/// A whole configuration, ready to be run. What has the same name in the next configuration keeps its number.
#[derive(Debug, Default, PartialEq)]
pub struct Layout {
    /// Worker processes.
    pub groups: BTreeMap<GroupId, GroupLayout>,
    /// All that has a supervisor.
    pub units: BTreeMap<UnitId, Unit>,
    /// What viewers can ask for and share; in the order of [`shared`].
    pub streams: Vec<StreamLayout>,
    /// What is made for each request.
    pub private: BTreeMap<StreamName, Wiring>,
    /// The group of each feed, and of each stream without one.
    groups_of: BTreeMap<UnitId, GroupId>,
}

/// Number of a group. It stays while one of its feeds stays.
pub type GroupId = usize;

/// Names a unit, in one configuration as in the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitId {
    /// A feed.
    Feed(FeedName),
    /// All tracks of a worker's feed, muxed for commands.
    Tap(FeedName),
    /// A stream.
    Stream(StreamName),
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feed(name) => write!(f, "feed {name}"),
            Self::Tap(name) => write!(f, "feed {name} for commands"),
            Self::Stream(name) => write!(f, "stream {name}"),
        }
    }
}

/// What one worker process runs.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct GroupLayout {
    /// For the log: the names of its feeds or streams.
    pub name: String,
    /// The plan, with no epoch yet.
    pub plan: ipc::Plan,
    /// For each feed of the plan that is not the worker's own: the unit whose bytes it gets.
    pub fed_by: BTreeMap<u32, UnitId>,
    /// For each stream of the plan: the unit whose packets they are.
    pub stream_units: BTreeMap<u32, UnitId>,
}

/// A feed or stream that is started, watched and stopped by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// When it runs.
    pub policy: Policy,
    /// What it is.
    pub run: Run,
    /// Units that it needs.
    pub needs: Vec<UnitId>,
}

/// What a unit is.
#[derive(Debug, Clone, PartialEq)]
pub enum Run {
    /// A program.
    Command(Wiring),
    /// A named pipe.
    Pipe(PathBuf),
    /// An item of a group.
    Item {
        /// Which of [`Layout::groups`].
        group: GroupId,
        /// Which one.
        item: Item,
    },
}

/// A program and where its inputs come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Wiring {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Unit whose packets it reads on its standard input.
    pub stdin: Option<UnitId>,
    /// Units whose packets it reads from descriptors, which `argv` names.
    pub descriptors: Vec<UnitId>,
    /// Where its standard error output is kept, beside the log.
    pub stderr_file: Option<PathBuf>,
    /// Memory in bytes that it may have with all that it starts.
    pub memory_max: Option<u64>,
}

impl Wiring {
    /// All units that it reads.
    pub fn inputs(&self) -> Vec<UnitId> {
        self.stdin.iter().chain(&self.descriptors).cloned().collect()
    }
}

/// What viewers of one stream get.
#[derive(Debug, PartialEq)]
pub struct StreamLayout {
    /// The unit whose packets they are.
    pub unit: UnitId,
    /// The group that makes its pictures.
    pub group: GroupId,
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

impl Layout {
    /// The units of `before` that cannot go on as they are in this layout: those that it lacks, and those that are
    /// something else in it.
    pub fn ended_of(&self, before: &Self) -> BTreeSet<UnitId> {
        let ends = |id: &UnitId| !self.units.contains_key(id) || self.what_runs(id) != before.what_runs(id);
        before.units.keys().filter(|id| ends(id)).cloned().collect()
    }

    /// The units that need this one, it among them.
    pub fn dependents(&self, id: &UnitId) -> Vec<UnitId> {
        let mut found = vec![id.clone()];
        let mut next = 0;
        while let Some(needed) = found.get(next) {
            let needing = self.units.iter().filter(|(_, unit)| unit.needs.contains(needed)).map(|(id, _)| id.clone());
            let new: Vec<_> = needing.filter(|id| !found.contains(id)).collect();
            found.extend(new);
            next += 1;
        }
        found
    }

    /// All that decides what a unit's source does.
    fn what_runs(&self, id: &UnitId) -> Option<(&Run, &[UnitId], Option<Planned<'_>>)> {
        let unit = self.units.get(id)?;
        let planned = match unit.run {
            Run::Item { group, item } => self.groups.get(&group).and_then(|group| group.planned(item)),
            Run::Command(_) | Run::Pipe(_) => None,
        };
        Some((&unit.run, &unit.needs, planned))
    }

    /// The number that a feed or stream has in a group's plan.
    fn number_of(&self, group: GroupId, item: &UnitId) -> Option<u32> {
        let group = self.groups.get(&group)?;
        match item {
            UnitId::Feed(name) => {
                group.plan.feeds.iter().find(|(_, feed)| feed.name == name.as_str()).map(|(number, _)| *number)
            }
            UnitId::Tap(_) | UnitId::Stream(_) => {
                group.stream_units.iter().find(|(_, unit)| *unit == item).map(|(number, _)| *number)
            }
        }
    }
}

/// What a plan says of one item.
#[derive(Debug, PartialEq)]
enum Planned<'a> {
    Feed(&'a FeedPlan),
    /// With where the bytes of its feeds come from.
    Stream(&'a StreamPlan, Vec<Option<&'a UnitId>>),
}

impl GroupLayout {
    fn planned(&self, item: Item) -> Option<Planned<'_>> {
        Some(match item {
            Item::Feed(feed) => Planned::Feed(self.plan.feeds.get(&feed)?),
            Item::Stream(stream) => {
                let stream = self.plan.streams.get(&stream)?;
                Planned::Stream(stream, stream.feeds.iter().map(|feed| self.fed_by.get(feed)).collect())
            }
        })
    }
}

/// Lays out a configuration that takes the place of the one that was laid out as `before`.
pub fn layout(config: &Config, before: &Layout) -> Layout {
    let mut builder = Builder::new(config, before);
    // Commands last: they may read any other feed, which has to have its place by then.
    let (commands, others): (Vec<_>, Vec<_>) =
        config.feeds.iter().partition(|feed| matches!(feed.source, Source::Command(_)));
    others.into_iter().chain(commands).for_each(|feed| builder.feed(feed));
    shared(config).for_each(|stream| builder.stream(stream));
    private(config).for_each(|stream| builder.private(stream));
    builder.layout
}

/// The streams that are made once, for all.
pub fn shared(config: &Config) -> impl Iterator<Item = &Stream> {
    config.streams.iter().filter(|stream| stream.serving == Serving::Shared)
}

/// The streams that are made for each request.
pub fn private(config: &Config) -> impl Iterator<Item = &Stream> {
    config.streams.iter().filter(|stream| stream.serving != Serving::Shared)
}

struct Builder<'a> {
    before: &'a Layout,
    layout: Layout,
    sources: HashMap<&'a FeedName, &'a Source>,
    config: &'a Config,
}

impl<'a> Builder<'a> {
    fn new(config: &'a Config, before: &'a Layout) -> Self {
        let sources = config.feeds.iter().map(|feed| (&feed.name, &feed.source)).collect();
        let mut builder = Self { before, layout: Layout::default(), sources, config };
        for feeds in connected_feeds(config) {
            let names: Vec<_> = feeds.iter().map(|feed| feed.as_str()).collect();
            builder.group(names.join("+"), feeds.iter().map(|feed| UnitId::Feed((*feed).clone())).collect());
        }
        builder
    }

    /// A group for these. It is the one that the first of them was in before, unless others have taken it.
    fn group(&mut self, name: String, members: Vec<UnitId>) -> GroupId {
        let known = members.iter().filter_map(|member| self.before.groups_of.get(member)).copied();
        let numbers = self.layout.groups.keys().chain(self.before.groups.keys());
        let fresh = numbers.max().map_or(0, |last| last + 1);
        let id = known.into_iter().find(|id| !self.layout.groups.contains_key(id)).unwrap_or(fresh);
        self.layout.groups.insert(id, GroupLayout { name, ..GroupLayout::default() });
        self.layout.groups_of.extend(members.into_iter().map(|member| (member, id)));
        id
    }

    fn unit(&mut self, id: UnitId, policy: Policy, run: Run, needs: Vec<UnitId>) {
        self.layout.units.insert(id, Unit { policy, run, needs });
    }

    fn feed(&mut self, feed: &'a Feed) {
        let (continuous, linger) = match feed.mode {
            Mode::Continuous => (true, Duration::ZERO),
            Mode::OnDemand { linger } => (false, linger),
        };
        let policy = Policy { continuous, linger, resurrect: feed.restart };
        let id = UnitId::Feed(feed.name.clone());
        let run = match &feed.source {
            Source::Command(argv) => Run::Command(self.wiring(&id, argv, feed.parent.as_slice())),
            Source::Pipe(path) => Run::Pipe(path.clone()),
            Source::Pipeline(text) => self.worker_feed(&id, FeedSource::Launch(text.clone())),
            Source::File { path, looped } => {
                self.worker_feed(&id, FeedSource::File { path: path.clone(), looped: *looped })
            }
        };
        let needs = match &run {
            Run::Command(wiring) => wiring.inputs(),
            Run::Pipe(_) | Run::Item { .. } => Vec::new(),
        };
        self.unit(id, policy, run, needs);
    }

    /// Connects a command with the feeds that it reads.
    fn wiring(&mut self, id: &UnitId, argv: &[String], feeds: &[FeedName]) -> Wiring {
        let file_name = || format!("{}.log", id.to_string().replace(' ', "-"));
        let stderr_file = self.config.logdir.as_deref().map(|folder| folder.join(file_name()));
        let memory_max = self.config.memory_max;
        let inputs: Vec<_> = feeds.iter().map(|feed| self.bytes_of(feed)).collect();
        match config::with_inputs(argv, guard::input_file) {
            Some(argv) => Wiring { argv, stdin: None, descriptors: inputs, stderr_file, memory_max },
            None => {
                let stdin = inputs.into_iter().next();
                Wiring { argv: argv.to_vec(), stdin, descriptors: Vec::new(), stderr_file, memory_max }
            }
        }
    }

    fn worker_feed(&mut self, id: &UnitId, source: FeedSource) -> Run {
        let group = self.group_of(id);
        let number = self.plan_feed(group, id, source);
        Run::Item { group, item: Item::Feed(number) }
    }

    /// The group of a feed, or of a stream without one.
    fn group_of(&mut self, id: &UnitId) -> GroupId {
        match self.layout.groups_of.get(id) {
            Some(group) => *group,
            None => self.group(plain_name(id).to_owned(), vec![id.clone()]),
        }
    }

    /// A feed's number in its group's plan.
    fn plan_feed(&mut self, group: GroupId, id: &UnitId, source: FeedSource) -> u32 {
        if let Some(number) = self.layout.number_of(group, id) {
            return number;
        }
        let before = self.before.groups.get(&group).map(|group| &group.plan.feeds);
        let known = self.before.number_of(group, id);
        let Some(planned) = self.layout.groups.get_mut(&group) else { return u32::MAX };
        let number = known.unwrap_or_else(|| next(before, &planned.plan.feeds));
        if source == FeedSource::Bytes {
            planned.fed_by.insert(number, id.clone());
        }
        planned.plan.feeds.insert(number, FeedPlan { name: plain_name(id).to_owned(), source });
        number
    }

    fn is_bytes(&self, feed: &FeedName) -> bool {
        matches!(self.sources.get(feed), Some(Source::Command(_) | Source::Pipe(_)))
    }

    fn stream(&mut self, stream: &'a Stream) {
        let id = UnitId::Stream(stream.name.clone());
        let group = self.group_of(&stream.feeds.first().map_or(id.clone(), |feed| UnitId::Feed(feed.clone())));
        if let Some(feed) = config::passed_on(stream, |feed| self.sources.get(feed).copied()) {
            self.layout.streams.push(StreamLayout { unit: UnitId::Feed(feed.clone()), group, in_plan: None });
            return;
        }
        let placed = match (&stream.encoding, stream.feeds.as_slice()) {
            (Encoding::Copy, feeds) => self.worker_stream(group, id, feeds, ipc::Encoding::Copy, stream.container),
            (Encoding::Pipeline(texts), feeds) => {
                self.worker_stream(group, id, feeds, ipc::Encoding::Launch(texts.clone()), stream.container)
            }
            (Encoding::Command(argv), feeds) => {
                let wiring = self.wiring(&id, argv, feeds);
                let needs = wiring.inputs();
                self.unit(id.clone(), WHILE_WANTED, Run::Command(wiring), needs);
                StreamLayout { unit: id, group, in_plan: None }
            }
        };
        self.layout.streams.push(placed);
    }

    fn private(&mut self, stream: &'a Stream) {
        if let Encoding::Command(argv) = &stream.encoding {
            let wiring = self.wiring(&UnitId::Stream(stream.name.clone()), argv, &stream.feeds);
            self.layout.private.insert(stream.name.clone(), wiring);
        }
    }

    fn worker_stream(
        &mut self,
        group: GroupId,
        id: UnitId,
        feeds: &[FeedName],
        encoding: ipc::Encoding,
        container: Container,
    ) -> StreamLayout {
        let feeds: Vec<_> = feeds.iter().map(|feed| UnitId::Feed(feed.clone())).collect();
        // A feed of bytes gets a number with the first stream that needs its tracks.
        let numbers = feeds.iter().map(|feed| self.plan_feed(group, feed, FeedSource::Bytes)).collect();
        let before = self.before.groups.get(&group).map(|group| &group.plan.streams);
        let known = self.before.number_of(group, &id);
        let mut number = 0;
        if let Some(group) = self.layout.groups.get_mut(&group) {
            number = known.unwrap_or_else(|| next(before, &group.plan.streams));
            let name = match &id {
                UnitId::Tap(feed) => format!("{feed} for commands"),
                id => plain_name(id).to_owned(),
            };
            group.plan.streams.insert(number, StreamPlan { name, feeds: numbers, encoding, container });
            group.stream_units.insert(number, id.clone());
        }
        self.unit(id.clone(), WHILE_WANTED, Run::Item { group, item: Item::Stream(number) }, feeds);
        StreamLayout { unit: id, group, in_plan: Some(number) }
    }

    /// The unit that has a feed's tracks as bytes.
    fn bytes_of(&mut self, feed: &FeedName) -> UnitId {
        if self.is_bytes(feed) {
            return UnitId::Feed(feed.clone());
        }
        let tap = UnitId::Tap(feed.clone());
        if !self.layout.units.contains_key(&tap) {
            let group = self.group_of(&UnitId::Feed(feed.clone()));
            let encoding = ipc::Encoding::Launch(vec![TAP.to_owned()]);
            self.worker_stream(group, tap.clone(), std::slice::from_ref(feed), encoding, Container::Mkv);
        }
        tap
    }
}

/// Streams run while someone watches.
const WHILE_WANTED: Policy = Policy { continuous: false, linger: Duration::ZERO, resurrect: true };

fn plain_name(id: &UnitId) -> &str {
    match id {
        UnitId::Feed(name) | UnitId::Tap(name) => name.as_str(),
        UnitId::Stream(name) => name.as_str(),
    }
}

/// A number that neither of two plans uses.
fn next<T>(before: Option<&BTreeMap<u32, T>>, now: &BTreeMap<u32, T>) -> u32 {
    let last = before.into_iter().chain([now]).filter_map(|used| used.keys().next_back()).max();
    last.map_or(0, |last| last.saturating_add(1))
}

/// The feeds in sets: two are in one when a worker makes a stream of both. A command needs no worker.
fn connected_feeds(config: &Config) -> Vec<Vec<&FeedName>> {
    let mut sets: Vec<Vec<&FeedName>> = config.feeds.iter().map(|feed| vec![&feed.name]).collect();
    for stream in config.streams.iter().filter(|stream| !matches!(stream.encoding, Encoding::Command(_))) {
        let (joined, apart): (Vec<_>, Vec<_>) =
            sets.into_iter().partition(|set| set.iter().any(|feed| stream.feeds.contains(feed)));
        sets = apart;
        if !joined.is_empty() {
            sets.push(joined.concat());
        }
    }
    // In the order of the configuration, which partitioning has lost.
    let place = |feed: &FeedName| config.feeds.iter().position(|other| other.name == *feed);
    sets.iter_mut().for_each(|set| set.sort_by_key(|feed| place(feed)));
    sets.sort_by_key(|set| set.first().map(|feed| place(feed)));
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn laid_out(text: &str, before: &Layout) -> Layout {
        layout(&parse(text).unwrap(), before)
    }

    /// What a layout comes to, one line a thing.
    fn lines(layout: &Layout) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, group) in &layout.groups {
            let feeds = group.plan.feeds.iter().map(|(number, feed)| match group.fed_by.get(number) {
                Some(unit) => format!("{number}={}<{unit}", feed.name),
                None => format!("{number}={}", feed.name),
            });
            let feeds: Vec<String> = feeds.collect();
            let streams = group.plan.streams.iter();
            let streams = streams.map(|(number, stream)| format!("{number}={}{:?}", stream.name, stream.feeds));
            let streams: Vec<String> = streams.collect();
            lines.push(format!("group {id} {}: {} | {}", group.name, feeds.join(" "), streams.join(" ")));
        }
        for (id, unit) in &layout.units {
            let run = match &unit.run {
                Run::Command(Wiring { stdin: Some(input), .. }) => format!("command of {input}"),
                Run::Command(Wiring { argv, descriptors, .. }) => {
                    let inputs: Vec<_> = descriptors.iter().map(|input| format!(", reads {input}")).collect();
                    format!(
                        "command{}{}",
                        argv.get(1..).unwrap_or_default().iter().map(|word| format!(" {word}")).collect::<String>(),
                        inputs.concat()
                    )
                }
                Run::Pipe(_) => "pipe".to_owned(),
                Run::Item { group, item } => format!("{item:?} of {group}"),
            };
            let needs: Vec<String> = unit.needs.iter().map(|need| format!(", needs {need}")).collect();
            lines.push(format!("{id}: {run}{}", needs.concat()));
        }
        for (at, stream) in layout.streams.iter().enumerate() {
            lines.push(format!("viewers {at}: {} group {} {:?}", stream.unit, stream.group, stream.in_plan));
        }
        for (name, wiring) in &layout.private {
            let inputs: Vec<_> = wiring.inputs().iter().map(|input| format!(", reads {input}")).collect();
            lines.push(format!("for each viewer of {name}: {}{}", wiring.argv.join(" "), inputs.concat()));
        }
        lines
    }

    fn check(text: &str, expected: &str) {
        let lines: Vec<_> = lines(&laid_out(text, &Layout::default()));
        let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
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
            "group 0 v+a: 0=v 1=a | 0=av.ts[0, 1]
             group 1 other: 0=other | 0=other.ts[0]
             group 2 own.ts:  | 0=own.ts[]
             feed a: Feed(1) of 0
             feed other: Feed(0) of 1
             feed v: Feed(0) of 0
             stream av.ts: Stream(0) of 0, needs feed v, needs feed a
             stream other.ts: Stream(0) of 1, needs feed other
             stream own.ts: Stream(0) of 2
             viewers 0: stream av.ts group 0 Some(0)
             viewers 1: stream other.ts group 1 Some(0)
             viewers 2: stream own.ts group 2 Some(0)",
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
            "group 0 ff: 0=ff<feed ff | 0=small.webm[0]
             feed ff: command
             stream again.ts: command of feed ff, needs feed ff
             stream small.webm: Stream(0) of 0, needs feed ff
             viewers 0: feed ff group 0 None
             viewers 1: stream again.ts group 0 None
             viewers 2: stream small.webm group 0 Some(0)",
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
            "group 0 cam: 0=cam | 0=cam for commands[0]
             feed cam: Feed(0) of 0
             feed cam for commands: Stream(0) of 0, needs feed cam
             stream a.ts: command of feed cam for commands, needs feed cam for commands
             stream b.ts: command of feed cam for commands, needs feed cam for commands
             viewers 0: stream a.ts group 0 None
             viewers 1: stream b.ts group 0 None",
        );
    }

    #[test]
    fn a_chain_may_be_written_in_any_order() {
        check(
            "feeds:
  c: {command: c, feed: b}
  b: {command: b, feed: cam}
  cam: {pipeline: videotestsrc}
streams:
  c.ts: {feed: c}",
            "group 0 c:  |
             group 1 b:  |
             group 2 cam: 0=cam | 0=cam for commands[0]
             feed b: command of feed cam for commands, needs feed cam for commands
             feed c: command of feed b, needs feed b
             feed cam: Feed(0) of 2
             feed cam for commands: Stream(0) of 2, needs feed cam
             viewers 0: feed c group 0 None",
        );
    }

    #[test]
    fn a_command_of_two_feeds_reads_descriptors_and_joins_no_workers() {
        check(
            "feeds:
  v: {pipeline: videotestsrc}
  a: {command: a}
streams:
  av.ts: {feeds: [v, a], command: 'x {input1} {input2}'}",
            "group 0 v: 0=v | 0=v for commands[0]
             group 1 a:  |
             feed a: command
             feed v: Feed(0) of 0
             feed v for commands: Stream(0) of 0, needs feed v
             stream av.ts: command /dev/fd/3 /dev/fd/4, reads feed v for commands, reads feed a, needs feed v for commands, needs feed a
             viewers 0: stream av.ts group 0 None",
        );
    }

    #[test]
    fn what_is_made_for_each_request_is_no_unit() {
        check(
            "feeds:
  ff: {command: ff}
streams:
  snap: {type: shot, feed: ff, command: a}
  ff.ts: {feed: ff}
  own: {client: exclusive, feed: ff, command: 'b {input1}'}",
            "group 0 ff:  |
             feed ff: command
             viewers 0: feed ff group 0 None
             for each viewer of own: b /dev/fd/3, reads feed ff
             for each viewer of snap: a, reads feed ff",
        );
    }

    #[test]
    fn modes_become_policies() {
        let text = "feeds:
  a: {command: [a]}
  b: {command: [b], mode: continuous}
  c: {command: [c], mode: 2.5, no-resurrect: true}";
        let layout = laid_out(text, &Layout::default());
        let policies: Vec<_> = layout.units.into_values().map(|unit| unit.policy).collect();
        let policy =
            |continuous, millis, resurrect| Policy { continuous, linger: Duration::from_millis(millis), resurrect };
        assert_eq!(policies, [policy(false, 0, true), policy(true, 0, true), policy(false, 2500, false)]);
    }

    const TWO: &str = "feeds:
  v: {pipeline: videotestsrc}
  a: {pipeline: audiotestsrc}
  ff: {command: [ffmpeg]}
streams:
  v.ts: {feed: v}
  a.ts: {feed: a}
  ff.webm: {feed: ff, video: {codec: vp8}}
";

    /// What ends when the first configuration is exchanged for the second one.
    fn ended(before: &str, after: &str) -> Vec<String> {
        let before = laid_out(before, &Layout::default());
        laid_out(after, &before).ended_of(&before).iter().map(UnitId::to_string).collect()
    }

    #[test]
    fn what_is_the_same_goes_on() {
        let before = laid_out(TWO, &Layout::default());
        assert_eq!(laid_out(TWO, &before), before);
        assert_eq!(ended(TWO, TWO), [""; 0]);
    }

    #[test]
    fn the_order_of_the_file_and_what_is_new_in_it_end_nothing() {
        let turned = "feeds:
  new: {pipeline: videotestsrc}
  ff: {command: [ffmpeg]}
  a: {pipeline: audiotestsrc}
  v: {pipeline: videotestsrc, mode: continuous}
streams:
  new.ts: {feed: new}
  ff.webm: {feed: ff, video: {codec: vp8}}
  first.ts: {feed: v, video: {codec: h264, bitrate: 1M}}
  v.ts: {feed: v, url: /elsewhere.ts}
  a.ts: {feed: a}
";
        assert_eq!(ended(TWO, turned), [""; 0]);
        let before = laid_out(TWO, &Layout::default());
        let after = laid_out(turned, &before);
        let groups: Vec<_> = lines(&after).into_iter().filter(|line| line.starts_with("group")).collect();
        let expected = [
            "group 0 v: 0=v | 0=v.ts[0] 1=first.ts[0]",
            "group 1 a: 0=a | 0=a.ts[0]",
            "group 2 ff: 0=ff<feed ff | 0=ff.webm[0]",
            "group 3 new: 0=new | 0=new.ts[0]",
        ];
        assert_eq!(groups, expected);
    }

    #[test]
    fn only_what_changed_ends() {
        let check = |from: &str, to: &str, expected: &[&str]| {
            assert!(TWO.contains(from));
            assert_eq!(ended(TWO, &TWO.replace(from, to)), expected, "{from} became {to}");
        };
        check("{pipeline: audiotestsrc}", "{pipeline: audiotestsrc wave=8}", &["feed a"]);
        check("[ffmpeg]", "[ffmpeg, -re]", &["feed ff"]);
        check("v.ts: {feed: v}", "v.ts: {feed: v, video: {codec: h264, bitrate: 1M}}", &["stream v.ts"]);
        check("  v.ts: {feed: v}\n", "", &["stream v.ts"]);
        check("v.ts: {feed: v}", "v.ts: {feed: ff}", &["stream v.ts"]);
        check("feeds:", "logdir: /tmp/log\nfeeds:", &["feed ff"]);
        // The same name, and yet another kind of source: what takes its tracks has to begin anew.
        check("{command: [ffmpeg]}", "{pipeline: videotestsrc}", &["feed ff", "stream ff.webm"]);
    }

    #[test]
    fn feeds_that_come_together_meet_in_the_worker_of_the_first() {
        let together = format!("{TWO}  av.ts: {{feeds: [v, a]}}\n");
        assert_eq!(ended(TWO, &together), ["feed a", "stream a.ts"]);
        assert_eq!(ended(&together, TWO), ["feed a", "stream a.ts", "stream av.ts"]);
    }

    #[test]
    fn a_number_is_not_given_to_another_at_once() {
        let before = laid_out("feeds: {v: {pipeline: videotestsrc}}\nstreams: {a.ts: {feed: v}}", &Layout::default());
        let after = laid_out("feeds: {v: {pipeline: videotestsrc}}\nstreams: {b.ts: {feed: v}}", &before);
        assert_eq!(lines(&after)[0], "group 0 v: 0=v | 1=b.ts[0]");
    }

    #[test]
    fn dependents_are_all_that_stand_on_a_unit() {
        let layout = laid_out(
            "feeds: {v: {pipeline: videotestsrc}}\nstreams: {a.ts: {feed: v, command: [cat]}, b.ts: {feed: v}}",
            &Layout::default(),
        );
        let found: Vec<_> = layout.dependents(&UnitId::Feed(FeedName::new("v").unwrap()));
        let found: Vec<_> = found.iter().map(UnitId::to_string).collect();
        assert_eq!(found, ["feed v", "feed v for commands", "stream b.ts", "stream a.ts"]);
    }
}

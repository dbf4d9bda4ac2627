//! Derives a layout from a configuration.

use super::{
    AlternativeLayout, CommandLayout, GroupId, GroupLayout, Layout, RenditionLayout, StreamLayout, Unit, UnitKind,
    tracks::{shared_audio, tracks_of},
};
use crate::{
    config::{self, Config, Encoding, Feed, FeedName, Mode, Serving, Source, Stream},
    ipc::{self, FeedPlan, FeedSource, Item, StreamPlan},
    media::Container,
    source::{
        lifecycle::Policy,
        unit_id::{UnitId, encoding_name, tap_name},
    },
    sys::guard,
};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// What a command that reads a worker's feed gets: all tracks without re-encoding, in Matroska, which can carry nearly all.
const TAP: &str = "video. ! mux. audio. ! mux. matroskamux name=mux";

/// Lays out a configuration that replaces the one of `before`.
pub fn layout(config: &Config, before: &Layout) -> Layout {
    let mut builder = Builder::new(config, before);
    // Commands last: they may read any other feed, which must be laid out by then.
    let (commands, others): (Vec<_>, Vec<_>) =
        config.feeds.iter().partition(|feed| matches!(feed.source, Source::Command(_)));
    others.into_iter().chain(commands).for_each(|feed| builder.feed(feed));
    shared(config).for_each(|stream| builder.stream(stream));
    per_request(config).for_each(|stream| builder.per_request(stream));
    builder.layout
}

/// The streams that all viewers share.
pub fn shared(config: &Config) -> impl Iterator<Item = &Stream> {
    config.streams.iter().filter(|stream| stream.serving == Serving::Shared)
}

/// The streams that are made for each request.
pub fn per_request(config: &Config) -> impl Iterator<Item = &Stream> {
    config.streams.iter().filter(|stream| stream.serving != Serving::Shared)
}

/// A unit, with its number in the plan of its group if a worker runs it.
type Made = (UnitId, Option<u32>);

struct Builder<'a> {
    before: &'a Layout,
    layout: Layout,
    sources: HashMap<&'a FeedName, &'a Source>,
    config: &'a Config,
    /// What makes the pipelines that are shared.
    encodings: HashMap<(Vec<FeedName>, Vec<String>), Made>,
}

impl<'a> Builder<'a> {
    fn new(config: &'a Config, before: &'a Layout) -> Self {
        let sources = config.feeds.iter().map(|feed| (&feed.name, &feed.source)).collect();
        let mut builder = Self { before, layout: Layout::default(), sources, config, encodings: HashMap::new() };
        for feeds in connected_feeds(config) {
            let names: Vec<_> = feeds.iter().map(|feed| feed.as_str()).collect();
            builder.group(names.join("+"), feeds.iter().map(|feed| UnitId::Feed((*feed).clone())).collect());
        }
        builder
    }

    /// A group for these: the former group of the first of them, unless others have it.
    fn group(&mut self, name: String, members: Vec<UnitId>) -> GroupId {
        let known = members.iter().filter_map(|member| self.before.groups_of.get(member)).copied();
        let numbers = self.layout.groups.keys().chain(self.before.groups.keys());
        let fresh = numbers.max().map_or(0, |last| last + 1);
        let id = known.into_iter().find(|id| !self.layout.groups.contains_key(id)).unwrap_or(fresh);
        self.layout.groups.insert(id, GroupLayout { name, ..GroupLayout::default() });
        self.layout.groups_of.extend(members.into_iter().map(|member| (member, id)));
        id
    }

    fn unit(&mut self, id: UnitId, policy: Policy, kind: UnitKind, needs: Vec<UnitId>) {
        self.layout.units.insert(id, Unit { policy, kind, needs, outputs: Vec::new() });
    }

    fn feed(&mut self, feed: &'a Feed) {
        let (continuous, linger) = match feed.mode {
            // A publisher comes when it likes.
            _ if matches!(feed.source, Source::Publish(_)) => (true, Duration::ZERO),
            Mode::Continuous => (true, Duration::ZERO),
            Mode::OnDemand { linger } => (false, linger),
        };
        let policy = Policy { continuous, linger, restart: feed.restart };
        let id = UnitId::Feed(feed.name.clone());
        let kind = match &feed.source {
            Source::Command(argv) => UnitKind::Command(self.command(&id, argv, feed.parent.as_slice())),
            Source::Pipe(path) => UnitKind::Pipe(path.clone()),
            Source::Publish(publish) => UnitKind::Publish(publish.clone()),
            Source::Link(link) => UnitKind::Link(link.clone()),
            Source::Pipeline(text) => self.worker_feed(&id, FeedSource::Launch(text.clone()), feed.fps),
            Source::File { path, .. } if config::is_session(path) => {
                self.worker_feed(&id, FeedSource::Launch(config::session_pipeline(path)), None)
            }
            Source::File { path, looped } => {
                self.worker_feed(&id, FeedSource::File { path: path.clone(), looped: *looped }, feed.fps)
            }
        };
        let needs = match &kind {
            UnitKind::Command(command) => command.units(),
            _ => Vec::new(),
        };
        self.unit(id, policy, kind, needs);
    }

    /// A command with the units that it reads.
    fn command(&mut self, id: &UnitId, argv: &[String], feeds: &[FeedName]) -> CommandLayout {
        let file_name = || format!("{}.log", id.to_string().replace(' ', "-"));
        let stderr_file = self.config.logdir.as_deref().map(|folder| folder.join(file_name()));
        let memory_max = self.config.memory_max;
        let inputs: Vec<_> = feeds.iter().map(|feed| self.bytes_of(feed)).collect();
        match config::with_inputs(argv, guard::input_file) {
            Some(argv) => CommandLayout { argv, stdin: None, descriptors: inputs, stderr_file, memory_max },
            None => {
                let stdin = inputs.into_iter().next();
                CommandLayout { argv: argv.to_vec(), stdin, descriptors: Vec::new(), stderr_file, memory_max }
            }
        }
    }

    fn worker_feed(&mut self, id: &UnitId, source: FeedSource, fps: Option<(u32, u32)>) -> UnitKind {
        let group = self.group_of(id);
        let number = self.plan_feed(group, id, source, fps);
        UnitKind::Item { group, item: Item::Feed(number) }
    }

    /// The group of a feed, or of a stream without one.
    fn group_of(&mut self, id: &UnitId) -> GroupId {
        match self.layout.groups_of.get(id) {
            Some(group) => *group,
            None => self.group(id.name().to_owned(), vec![id.clone()]),
        }
    }

    /// A feed's number in its group's plan.
    fn plan_feed(&mut self, group: GroupId, id: &UnitId, source: FeedSource, fps: Option<(u32, u32)>) -> u32 {
        if let Some(number) = self.layout.number_of(group, id) {
            return number;
        }
        let fed_by = (source == FeedSource::Bytes).then(|| match id {
            UnitId::Feed(feed) if self.is_published(feed) => self.bytes_of(feed),
            id => id.clone(),
        });
        let before = self.before.groups.get(&group).map(|group| &group.plan.feeds);
        let known = self.before.number_of(group, id);
        let Some(planned) = self.layout.groups.get_mut(&group) else { return u32::MAX };
        let number = known.unwrap_or_else(|| next(before, &planned.plan.feeds));
        if let Some(unit) = fed_by {
            planned.fed_by.insert(number, unit);
        }
        planned.plan.feeds.insert(number, FeedPlan { name: id.name().to_owned(), source, fps });
        number
    }

    fn is_bytes(&self, feed: &FeedName) -> bool {
        matches!(self.sources.get(feed), Some(Source::Command(_) | Source::Pipe(_)))
    }

    /// Whether samples of a feed come into the server by themselves.
    fn is_published(&self, feed: &FeedName) -> bool {
        matches!(self.sources.get(feed), Some(Source::Publish(_) | Source::Link(_)))
    }

    /// The one feed of a stream, if it is published to and nothing of it is encoded.
    fn published_of<'b>(&self, feeds: &'b [FeedName], pipelines: &[String]) -> Option<&'b FeedName> {
        let [feed] = feeds else { return None };
        (pipelines.is_empty() && self.is_published(feed)).then_some(feed)
    }

    fn stream(&mut self, stream: &'a Stream) {
        let id = UnitId::Stream(stream.name.clone());
        let group = self.group_of(&stream.feeds.first().map_or(id.clone(), |feed| UnitId::Feed(feed.clone())));
        let published = stream.encoding == Encoding::Copy && self.published_of(&stream.feeds, &[]).is_some();
        let main = tracks_of(stream).or(published.then(Vec::new)).map(|tracks| {
            let outputs = stream.containers();
            self.encoding(group, id.clone(), &stream.feeds, tracks, &outputs)
        });
        let rendition = main.as_ref().and_then(|(unit, _)| self.rendition(group, stream, unit));
        let placed = |unit, in_plan| StreamLayout { unit, group, in_plan, made: None, rendition: rendition.clone() };
        if let Some(feed) = config::passed_on(stream, |feed| self.sources.get(feed).copied()) {
            let unit = UnitId::Feed(feed.clone());
            // A stream with several outputs has its other containers made in any case.
            let differs = config::may_differ(stream, |feed| self.sources.get(feed).copied()) && rendition.is_none();
            let made = differs.then(|| {
                let (feeds, container) = (&stream.feeds, stream.container);
                let number = self.planned_stream(group, &id, feeds, ipc::Encoding::Copy, Some(container), &[container]);
                (id, number)
            });
            self.layout.streams.push(StreamLayout { made, ..placed(unit, None) });
            return;
        }
        if let Some((unit, number)) = main {
            self.layout.streams.push(placed(unit, number));
            return;
        }
        let (feeds, container) = (stream.feeds.as_slice(), stream.container);
        let encoding = match &stream.encoding {
            Encoding::Copy => ipc::Encoding::Copy,
            Encoding::Pipeline(texts) => ipc::Encoding::Launch(texts.clone()),
            Encoding::Command(argv) => {
                let command = self.command(&id, argv, feeds);
                let needs = command.units();
                self.unit(id.clone(), WHILE_IN_USE, UnitKind::Command(command), needs);
                self.layout.streams.push(placed(id, None));
                return;
            }
        };
        let number = self.planned_stream(group, &id, feeds, encoding, Some(container), &[container]);
        self.layout.streams.push(placed(id, Some(number)));
    }

    /// The other encodings of a stream with several outputs.
    fn rendition(&mut self, group: GroupId, stream: &'a Stream, main: &UnitId) -> Option<RenditionLayout> {
        let outputs = stream.outputs.as_ref()?;
        let main_audio = shared_audio(stream);
        let repairs = config::repairs(outputs);
        let all = outputs.alternatives.iter().map(|one| (one, false)).chain(repairs.iter().map(|one| (one, true)));
        let alternatives = all.map(|(alternative, is_repair)| {
            let id = UnitId::Encoding(stream.name.clone(), alternative.codec.name());
            let (unit, _) = self.encoding(group, id, &stream.feeds, alternative.pipelines.clone(), &[]);
            let is_main_audio = main_audio.is_some_and(|audio| std::ptr::eq(audio, alternative));
            AlternativeLayout { codec: alternative.codec, unit, is_repair, is_main_audio }
        });
        let alternatives: Vec<_> = alternatives.collect();
        // The audio runs with the video.
        for audio in alternatives.iter().filter(|one| one.is_main_audio) {
            let needs = self.layout.units.get_mut(main).map(|unit| &mut unit.needs);
            needs
                .filter(|needs| !needs.contains(&audio.unit))
                .into_iter()
                .for_each(|needs| needs.push(audio.unit.clone()));
        }
        Some(RenditionLayout { unit: main.clone(), alternatives })
    }

    fn per_request(&mut self, stream: &'a Stream) {
        if let Encoding::Command(argv) = &stream.encoding {
            let command = self.command(&UnitId::Stream(stream.name.clone()), argv, &stream.feeds);
            self.layout.per_request.insert(stream.name.clone(), command);
        }
    }

    /// The unit that makes these tracks, and its number in the plan of the group: streams that differ in the container alone share
    /// it. Without pipelines the tracks are those of the feed; those of a publisher need no worker.
    fn encoding(
        &mut self,
        group: GroupId,
        id: UnitId,
        feeds: &[FeedName],
        pipelines: Vec<String>,
        outputs: &[Container],
    ) -> Made {
        let key = (feeds.to_vec(), pipelines);
        if let Some((unit, number)) = self.encodings.get(&key).cloned() {
            if let Some(known) = self.layout.units.get_mut(&unit) {
                for output in outputs {
                    if !known.outputs.contains(output) {
                        known.outputs.push(*output);
                    }
                }
            }
            return (unit, number);
        }
        if let Some(feed) = self.published_of(feeds, &key.1) {
            let needs = vec![UnitId::Feed(feed.clone())];
            self.unit(id.clone(), WHILE_IN_USE, UnitKind::Published(feed.clone()), needs);
            if let Some(unit) = self.layout.units.get_mut(&id) {
                unit.outputs.extend_from_slice(outputs);
            }
            self.encodings.insert(key, (id.clone(), None));
            return (id, None);
        }
        let encoding = match key.1.is_empty() {
            true => ipc::Encoding::Copy,
            false => ipc::Encoding::Launch(key.1.clone()),
        };
        let id = self.name_of_encoding(group, &key.1, &encoding).unwrap_or(id);
        let number = Some(self.planned_stream(group, &id, feeds, encoding, None, outputs));
        self.encodings.insert(key, (id.clone(), number));
        (id, number)
    }

    /// The unit that made these tracks before, if no stream that is made in another way has its name now: it continues, even if the
    /// stream that it is named after is gone.
    fn name_of_encoding(&self, group: GroupId, tracks: &[String], encoding: &ipc::Encoding) -> Option<UnitId> {
        let before = self.before.groups.get(&group)?;
        let (number, _) =
            before.plan.streams.iter().find(|(_, plan)| plan.container.is_none() && plan.encoding == *encoding)?;
        let id = before.stream_units.get(number)?;
        let is_free = self.config.streams.iter().all(|stream| {
            let UnitId::Stream(name) = id else { return false };
            stream.name != *name || tracks_of(stream).is_some_and(|made| made == tracks)
        });
        (is_free && !self.layout.units.contains_key(id)).then(|| id.clone())
    }

    /// Plans a stream and its unit. Returns its number in the plan of the group.
    fn planned_stream(
        &mut self,
        group: GroupId,
        id: &UnitId,
        feeds: &[FeedName],
        encoding: ipc::Encoding,
        container: Option<Container>,
        outputs: &[Container],
    ) -> u32 {
        let feeds: Vec<_> = feeds.iter().map(|feed| UnitId::Feed(feed.clone())).collect();
        // A byte feed gets a number with the first stream that needs its tracks.
        let numbers = feeds.iter().map(|feed| self.plan_feed(group, feed, FeedSource::Bytes, None)).collect();
        let before = self.before.groups.get(&group).map(|group| &group.plan.streams);
        let known = self.before.number_of(group, id);
        let mut number = 0;
        if let Some(group) = self.layout.groups.get_mut(&group) {
            number = known.unwrap_or_else(|| next(before, &group.plan.streams));
            let name = match id {
                UnitId::Tap(feed) => tap_name(feed),
                UnitId::Encoding(stream, codec) => encoding_name(stream, codec),
                id => id.name().to_owned(),
            };
            group.plan.streams.insert(number, StreamPlan { name, feeds: numbers, encoding, container });
            group.stream_units.insert(number, id.clone());
        }
        // What a worker needs of a publisher is muxed for it.
        let needs = |id| match id {
            UnitId::Feed(feed) if self.is_published(&feed) => UnitId::Tap(feed),
            id => id,
        };
        let needs = feeds.into_iter().map(needs).collect();
        self.unit(id.clone(), WHILE_IN_USE, UnitKind::Item { group, item: Item::Stream(number) }, needs);
        if let Some(unit) = self.layout.units.get_mut(id) {
            unit.outputs.extend_from_slice(outputs);
        }
        number
    }

    /// The unit that has a feed's tracks as bytes.
    fn bytes_of(&mut self, feed: &FeedName) -> UnitId {
        if self.is_bytes(feed) {
            return UnitId::Feed(feed.clone());
        }
        let tap = UnitId::Tap(feed.clone());
        if self.is_published(feed) {
            if !self.layout.units.contains_key(&tap) {
                let needs = vec![UnitId::Feed(feed.clone())];
                self.unit(tap.clone(), WHILE_IN_USE, UnitKind::Published(feed.clone()), needs);
                if let Some(unit) = self.layout.units.get_mut(&tap) {
                    unit.outputs.push(Container::Mkv);
                }
            }
            return tap;
        }
        if !self.layout.units.contains_key(&tap) {
            let group = self.group_of(&UnitId::Feed(feed.clone()));
            let encoding = ipc::Encoding::Launch(vec![TAP.to_owned()]);
            let (feed, container) = (std::slice::from_ref(feed), Container::Mkv);
            self.planned_stream(group, &tap, feed, encoding, Some(container), &[container]);
        }
        tap
    }
}

/// Streams run while they have viewers.
const WHILE_IN_USE: Policy = Policy { continuous: false, linger: Duration::ZERO, restart: true };

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
    use super::super::testing::{laid_out, lines};
    use super::*;

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
    fn bytes_are_passed_through_and_reach_a_worker_only_when_it_needs_them() {
        check(
            "feeds:
  ff: {command: [ffmpeg]}
streams:
  same.ts: {feed: ff}
  again.ts: {feed: ff, command: [cat]}
  small.webm: {feed: ff, video: {codec: vp8}}",
            "group 0 ff: 0=ff<feed ff | 0=same.ts[0] 1=small.webm[0]
             feed ff: command
             stream again.ts: command of feed ff, needs feed ff
             stream same.ts: Stream(0) of 0, needs feed ff
             stream small.webm: Stream(1) of 0, needs feed ff
             viewers 0: feed ff group 0 None
             viewers 1: stream again.ts group 0 None
             viewers 2: stream small.webm group 0 Some(1)",
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
    fn a_chain_may_be_configured_in_any_order() {
        check(
            "feeds:
  c: {command: c, feed: b}
  b: {command: b, feed: cam}
  cam: {pipeline: videotestsrc}
streams:
  c.ts: {feed: c}",
            "group 0 c: 0=c<feed c | 0=c.ts[0]
             group 1 b:  |
             group 2 cam: 0=cam | 0=cam for commands[0]
             feed b: command of feed cam for commands, needs feed cam for commands
             feed c: command of feed b, needs feed b
             feed cam: Feed(0) of 2
             feed cam for commands: Stream(0) of 2, needs feed cam
             stream c.ts: Stream(0) of 0, needs feed c
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
    fn the_audio_of_a_ladder_is_one_encoding_that_runs_with_each_video() {
        check(
            "feeds:
  cam: {pipeline: videotestsrc}
streams:
  s: {feed: cam, video: h264, audio: aac, repair: [], outputs: [mp4], renditions: {'360': {bitrate: 1M}}}",
            "group 0 cam: 0=cam | 0=s[0] 1=s in aac[0] 2=s@360[0]
             feed cam: Feed(0) of 0
             stream s: Stream(0) of 0, needs feed cam, needs stream s in aac
             stream s@360: Stream(2) of 0, needs feed cam, needs stream s in aac
             stream s in aac: Stream(1) of 0, needs feed cam
             viewers 0: stream s group 0 Some(0)
             viewers 1: stream s@360 group 0 Some(2)",
        );
    }

    #[test]
    fn per_request_streams_are_no_units() {
        check(
            "feeds:
  ff: {command: ff}
streams:
  snap: {type: shot, feed: ff, command: a}
  ff.ts: {feed: ff}
  own: {client: exclusive, feed: ff, command: 'b {input1}'}",
            "group 0 ff: 0=ff<feed ff | 0=ff.ts[0]
             feed ff: command
             stream ff.ts: Stream(0) of 0, needs feed ff
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
            |continuous, millis, restart| Policy { continuous, linger: Duration::from_millis(millis), restart };
        assert_eq!(policies, [policy(false, 0, true), policy(true, 0, true), policy(false, 2500, false)]);
    }
}

//! Everything that runs for a configuration, and its replacement by the next one.

use super::{
    layout::{self, CommandLayout, GroupId, GroupLayout, Layout, RenditionLayout, StreamLayout, Unit, UnitKind},
    placeholder::{PlaceholderPart, PlaceholderSpec, PlaceholderTask},
    push_status::Pushes,
    recorder_status::RecorderStatus,
    registry::{FeedHandle, LinkHandle, Registry, StreamHandle},
    rendition::{Alternative, Rendition},
};
use crate::{
    config::{self, Config, FeedName, StreamName},
    ipc::{self, Item, Plan, StreamPlan},
    media::Container,
    source::{
        Source,
        command::CommandSource,
        control::Control,
        demand::{Demand, Lease},
        link_status::LinkStatus,
        linked::LinkSource,
        per_request::PerRequestStream,
        pipe::PipeSource,
        pool::Pool,
        program::Program,
        published::{PublishSource, PublishedSource},
        publisher::PublishSlot,
        status::Status,
        stderr_log::StderrLog,
        supervisor::{Supervisor, Terms},
        unit_id::UnitId,
        worker_group::{GroupConfig, ItemSource, WorkerGroup},
    },
    stream::{Entrances, FanOut, OutputLease, Pause, Pauses, StreamInput, Viewers, Writer, WriterHandle},
    sys::{Shutdown, monotonic, service::Pulses},
    telemetry::{Facts, Origin, Origins, Tracer},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a feed runs on without its streams when they are exchanged.
const HANDOVER: Duration = Duration::from_secs(1);

/// What runs, and where its packets are.
#[derive(Debug)]
pub struct Deployment {
    layout: Layout,
    slots: BTreeMap<UnitId, StreamSlot>,
    groups: BTreeMap<GroupId, RunningGroup>,
    running: BTreeMap<UnitId, Running>,
    per_request: BTreeMap<StreamName, Arc<PerRequestStream>>,
    placeholders: BTreeMap<StreamName, RunningPlaceholder>,
    viewers_of: BTreeMap<StreamName, Viewers>,
    /// Where feeds are published to.
    publish_slots: BTreeMap<FeedName, PublishSlot>,
    /// What comes over links.
    links: BTreeMap<FeedName, LinkStatus>,
    recorders: BTreeMap<StreamName, RecorderStatus>,
    pushes: BTreeMap<StreamName, Pushes>,
    /// What people pause, for each unit that there is.
    pauses: BTreeMap<UnitId, UnitPauses>,
    /// Where all of them report what happens.
    facts: Facts,
    /// Records what viewers wait for.
    tracer: Tracer,
    /// What all timestamps count from, so that those of one source continue those of another.
    epoch: u64,
    memory_max: Option<u64>,
    pool: Pool,
    shutdown: Shutdown,
    pulses: Pulses,
}

/// A unit's packets and users. It stays, and so do its viewers, when the source of the packets is replaced.
#[derive(Debug, Clone)]
struct StreamSlot {
    media: SlotMedia,
    demand: Demand,
    control: Control,
    status: Status,
}

/// How media of a unit enters, and where its packets are.
#[derive(Debug, Clone)]
enum SlotMedia {
    /// Bytes of a command or pipe, or of a feed that stays in its worker.
    Bytes { fanout: FanOut, writer: WriterHandle },
    /// What a worker makes: samples, which the server muxes. Who reads a feed for a command always has it muxed.
    Samples {
        input: StreamInput,
        /// Where its media enters: this stream, and those that it is another encoding of.
        entrances: Entrances,
        #[expect(dead_code, reason = "held until the slot goes")]
        always: Option<Arc<OutputLease>>,
    },
}

/// What people pause of a unit.
#[derive(Debug, Clone, Default)]
struct UnitPauses {
    /// The feed that it is.
    feed: Pause,
    /// The streams whose viewers get its packets.
    streams: Pause,
}

/// The supervisor of a unit.
#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    terms: watch::Sender<Terms>,
}

#[derive(Debug)]
struct RunningGroup {
    handle: WorkerGroup,
    stop: CancellationToken,
}

#[derive(Debug)]
struct RunningPlaceholder {
    spec: PlaceholderSpec,
    stop: CancellationToken,
}

impl StreamSlot {
    fn new(id: &UnitId, unit: &Unit) -> Self {
        let media = if unit.is_ours() {
            let input = StreamInput::new(id.name());
            let is_tap = matches!(id, UnitId::Tap(_));
            let outputs = is_tap.then(|| unit.outputs.first()).flatten();
            let always = outputs.map(|container| Arc::new(input.output(*container).lease()));
            let entrances = Entrances::of(input.clone());
            SlotMedia::Samples { input, entrances, always }
        } else {
            let fanout = FanOut::new();
            SlotMedia::Bytes { writer: WriterHandle::new(Writer::new(fanout.clone(), false)), fanout }
        };
        Self { media, demand: Demand::default(), control: Control::default(), status: Status::default() }
    }

    fn is_ours(&self) -> bool {
        matches!(self.media, SlotMedia::Samples { .. })
    }

    /// The packets in a container; bytes are in the one that they are in.
    fn fanout(&self, container: Container) -> FanOut {
        match &self.media {
            SlotMedia::Bytes { fanout, .. } => fanout.clone(),
            SlotMedia::Samples { input, .. } => input.output(container).fanout().clone(),
        }
    }

    fn fanouts(&self) -> Vec<FanOut> {
        match &self.media {
            SlotMedia::Bytes { fanout, .. } => vec![fanout.clone()],
            SlotMedia::Samples { input, .. } => input.outputs(),
        }
    }

    /// Has the outputs that a layout wants, and no others.
    fn apply(&self, unit: &Unit) {
        if let SlotMedia::Samples { input, .. } = &self.media {
            input.offer(&unit.outputs);
        }
    }

    /// These keep its packets from viewers.
    fn set_pauses(&self, pauses: Pauses) {
        match &self.media {
            SlotMedia::Bytes { writer, .. } => writer.lock().set_pauses(pauses),
            SlotMedia::Samples { input, .. } => input.set_pauses(pauses),
        }
    }

    fn writer(&self) -> Option<WriterHandle> {
        match &self.media {
            SlotMedia::Bytes { writer, .. } => Some(writer.clone()),
            SlotMedia::Samples { .. } => None,
        }
    }

    fn entrances(&self) -> Option<&Entrances> {
        match &self.media {
            SlotMedia::Samples { entrances, .. } => Some(entrances),
            SlotMedia::Bytes { .. } => None,
        }
    }

    fn input(&self) -> Option<StreamInput> {
        match &self.media {
            SlotMedia::Samples { input, .. } => Some(input.clone()),
            SlotMedia::Bytes { .. } => None,
        }
    }
}

impl Deployment {
    /// Nothing yet. Tasks are spawned on `shutdown`, supervisors have a pulse in `pulses`, what happens is reported to `facts`, and what
    /// viewers wait for is recorded by `tracer`.
    pub fn new(pool: Pool, shutdown: Shutdown, pulses: Pulses, facts: Facts, tracer: Tracer) -> Self {
        Self {
            layout: Layout::default(),
            slots: BTreeMap::new(),
            groups: BTreeMap::new(),
            running: BTreeMap::new(),
            per_request: BTreeMap::new(),
            placeholders: BTreeMap::new(),
            viewers_of: BTreeMap::new(),
            publish_slots: BTreeMap::new(),
            links: BTreeMap::new(),
            recorders: BTreeMap::new(),
            pushes: BTreeMap::new(),
            pauses: BTreeMap::new(),
            facts,
            tracer,
            epoch: u64::try_from(monotonic().as_nanos()).unwrap_or_default(),
            memory_max: None,
            pool,
            shutdown,
            pulses,
        }
    }

    /// Applies a configuration. What is unchanged in it is not disturbed. What is not is stopped first, which takes seconds
    /// at most, so that nothing new finds a device or port in use. Not cancel-safe.
    pub async fn apply(&mut self, config: &Config) -> (Registry, ApplyReport) {
        let layout = layout::layout(config, &self.layout);
        self.drop_slots(&layout);
        self.drop_per_request(config, &layout);
        let ending = layout.ended_of(&self.layout);
        let kept = self.leases_of_what_stays(&ending);
        let ended = self.end(&ending).await;
        for (id, unit) in &layout.units {
            self.slots.entry(id.clone()).or_insert_with(|| StreamSlot::new(id, unit)).apply(unit);
        }
        self.layout = layout;
        self.apply_publish_slots(config);
        self.connect_encodings();
        self.connect_pauses();
        self.memory_max = config.memory_max;
        self.change_groups().await;
        let begun = self.begin();
        self.apply_placeholders(config);
        self.viewers_of.retain(|name, _| config.streams.iter().any(|stream| stream.name == *name));
        self.pushes.retain(|name, _| config.streams.iter().any(|stream| stream.name == *name));
        self.recorders.retain(|name, _| config.streams.iter().any(|stream| stream.name == *name));
        for stream in &config.streams {
            let (name, facts) = (&stream.name, &self.facts);
            let viewers = || Viewers::reported(name.as_str(), facts.clone());
            self.viewers_of.entry(name.clone()).or_insert_with(viewers);
            let recorder = || RecorderStatus::reported(name.as_str(), facts.clone());
            self.recorders.entry(name.clone()).or_insert_with(recorder);
            self.pushes.entry(name.clone()).or_default();
        }
        self.connect_origins(config);
        self.begin_per_request(config);
        if !kept.is_empty() {
            let stop = self.shutdown.token().clone();
            self.shutdown.spawn("feeds whose streams were exchanged", async move {
                stop.run_until_cancelled(tokio::time::sleep(HANDOVER)).await;
                drop(kept);
            });
        }
        (self.registry(config), ApplyReport { ended, begun })
    }

    /// Has a slot for each feed that is published to, or comes over a link.
    fn apply_publish_slots(&mut self, config: &Config) {
        let link = |link: &config::Link| {
            let protocols = vec![link.protocol()];
            config::Publish { protocols, ..config::Publish::default() }
        };
        let feeds = config.feeds.iter().filter_map(|feed| match &feed.source {
            config::Source::Publish(publish) => Some((&feed.name, publish.clone())),
            config::Source::Link(one) => Some((&feed.name, link(one))),
            _ => None,
        });
        let is_link = |name: &FeedName| {
            let mut feeds = config.feeds.iter();
            feeds.any(|feed| feed.name == *name && matches!(feed.source, config::Source::Link(_)))
        };
        self.links.retain(|name, _| is_link(name));
        let mut wanted: BTreeMap<_, _> = feeds.collect();
        self.publish_slots.retain(|name, slot| match wanted.remove(name) {
            Some(settings) => {
                slot.set_settings(settings);
                true
            }
            None => false,
        });
        for (name, settings) in wanted {
            let slot = PublishSlot::new(name.clone(), settings, self.epoch, self.facts.clone());
            self.publish_slots.insert(name.clone(), slot);
        }
        for name in config.feeds.iter().map(|feed| &feed.name).filter(|name| is_link(name)) {
            self.links.entry(name.clone()).or_default();
        }
    }

    /// Lets the viewers of each stream know what has to run for it.
    fn connect_origins(&self, config: &Config) {
        let shared = layout::shared(config).zip(&self.layout.streams).map(|(stream, placed)| {
            let others = placed.rendition.iter().flat_map(|rendition| {
                let alternatives = rendition.alternatives.iter().map(|one| one.unit.clone());
                alternatives.chain([rendition.unit.clone()])
            });
            let made = placed.made.iter().map(|(unit, _)| unit.clone());
            let units: Vec<_> = others.chain(made).chain([placed.unit.clone()]).collect();
            (&stream.name, units)
        });
        let per_request = self.layout.per_request.iter().map(|(name, command)| (name, command.units()));
        for (name, units) in shared.chain(per_request) {
            if let Some(viewers) = self.viewers_of.get(name) {
                viewers.set_origins(self.origins(units), self.tracer.clone());
            }
        }
    }

    /// These units, and all that they need.
    fn origins(&self, mut wanted: Vec<UnitId>) -> Origins {
        let mut found = BTreeSet::new();
        while let Some(id) = wanted.pop() {
            if found.contains(&id) {
                continue;
            }
            wanted.extend(self.layout.units.get(&id).into_iter().flat_map(|unit| unit.needs.iter().cloned()));
            found.insert(id);
        }
        let origin = |id: &UnitId| {
            let (feed, stream) = id.log_fields();
            Some(Origin { feed, stream, times: self.slots.get(id)?.status.start_times().clone() })
        };
        found.iter().filter_map(origin).collect()
    }

    /// Lets the samples of each encoding enter all streams that it is an encoding of.
    fn connect_encodings(&self) {
        let renditions: Vec<_> = self.layout.streams.iter().filter_map(|stream| stream.rendition.as_ref()).collect();
        for (id, slot) in &self.slots {
            let Some((input, entrances)) = slot.input().zip(slot.entrances()) else { continue };
            let names = renditions.iter().filter(|rendition| rendition.unit == *id);
            let names = names.flat_map(|rendition| &rendition.alternatives);
            let names: Vec<_> = names.filter(|one| one.unit != *id).map(|one| one.unit.to_string()).collect();
            input.keep_sources(&names);
            let mut inputs = vec![input];
            for rendition in renditions.iter().filter(|rendition| rendition.unit != *id) {
                let is_part = rendition.alternatives.iter().any(|one| one.unit == *id);
                let main = self.slots.get(&rendition.unit).and_then(StreamSlot::input).filter(|_| is_part);
                let input = main.and_then(|main| main.of_source(&id.to_string()));
                let is_known = |known: &StreamInput, new: &StreamInput| known.is_same(new);
                inputs.extend(input.filter(|new| !inputs.iter().any(|known| is_known(known, new))));
            }
            entrances.set(inputs);
        }
    }

    /// Lets orders to pause reach all packets that viewers get. What the server itself reads of a feed is not paused.
    fn connect_pauses(&mut self) {
        self.pauses.retain(|id, _| self.layout.units.contains_key(id));
        for id in self.layout.units.keys() {
            self.pauses.entry(id.clone()).or_default();
        }
        let mut pauses_of: BTreeMap<&UnitId, Pauses> = BTreeMap::new();
        for placed in &self.layout.streams {
            for unit in placed.shown_units() {
                pauses_of.entry(unit).or_default().extend(self.pauses_of(placed).iter().cloned());
            }
        }
        for (id, slot) in &self.slots {
            slot.set_pauses(pauses_of.remove(id).unwrap_or_default());
        }
    }

    /// What pauses a stream: its own switch, which streams of the same packets share, and those of its feeds.
    fn pauses_of(&self, placed: &StreamLayout) -> Pauses {
        let own = self.pauses.get(&placed.unit).map(|pauses| pauses.streams.clone()).unwrap_or_default();
        let mut pauses = Pauses::of(own);
        placed.shown_units().for_each(|unit| pauses.extend(self.pauses_of_feeds(unit)));
        // Where streams share some of their packets only, the order to one of them reaches the others.
        for other in self.layout.streams.iter().filter(|other| other.unit != placed.unit) {
            let shares = other.shown_units().any(|unit| placed.shown_units().any(|own| own == unit));
            let switch = self.pauses.get(&other.unit).filter(|_| shares).map(|pauses| pauses.streams.clone());
            pauses.extend(switch);
        }
        pauses
    }

    /// Those of all feeds that a unit needs, itself among them.
    fn pauses_of_feeds(&self, unit: &UnitId) -> Vec<Pause> {
        let needed = self.layout.needed(unit).into_iter();
        let feeds = needed.filter(|id| matches!(id, UnitId::Feed(_)));
        feeds.filter_map(|id| Some(self.pauses.get(&id)?.feed.clone())).collect()
    }

    /// What the outputs of a stream are made of.
    fn rendition(&self, stream: &config::Stream, layout: &RenditionLayout) -> Option<Rendition> {
        let main = self.slots.get(&layout.unit)?;
        let input = main.input()?;
        let alternatives = layout.alternatives.iter().filter_map(|one| {
            let slot = self.slots.get(&one.unit)?;
            let source = match one.unit == layout.unit {
                true => 0,
                false => input.of_source(&one.unit.to_string())?.source(),
            };
            Some(Alternative {
                codec: one.codec,
                source,
                is_repair: one.is_repair,
                is_main_audio: one.is_main_audio,
                demand: slot.demand.clone(),
                status: slot.status.clone(),
                entrances: slot.entrances()?.clone(),
            })
        });
        let alternatives: Vec<_> = alternatives.collect();
        input.set_main_audio(alternatives.iter().find(|one| one.is_main_audio).map(|one| one.source));
        Some(Rendition {
            alternatives,
            main: main.demand.clone(),
            entrances: main.entrances()?.clone(),
            has_placeholder: stream.placeholder.is_some(),
            input,
        })
    }

    /// Disconnects the viewers of what the next layout lacks or cannot continue.
    fn drop_slots(&mut self, next: &Layout) {
        let stays =
            |id: &UnitId, slot: &StreamSlot| next.units.get(id).is_some_and(|unit| unit.is_ours() == slot.is_ours());
        self.slots.retain(|id, slot| {
            let stays = stays(id, slot);
            if !stays {
                slot.fanouts().iter().for_each(FanOut::close);
            }
            stays
        });
    }

    /// Ends the runs of per-request streams that are changed or gone.
    fn drop_per_request(&mut self, config: &Config, next: &Layout) {
        let streams: BTreeMap<_, _> = layout::per_request(config).map(|stream| (&stream.name, stream)).collect();
        self.per_request.retain(|name, per_request| {
            let is_same = streams.get(name).is_some_and(|stream| per_request.config.is_same_media(stream));
            let stays = is_same && next.per_request.get(name) == self.layout.per_request.get(name);
            if !stays {
                per_request.close();
            }
            stays
        });
    }

    /// Ends supervisors and their sources, all at the same time. Returns how many.
    /// Has those continue to run that are used by what ends and stay themselves: what begins uses them in a moment.
    fn leases_of_what_stays(&self, ending: &BTreeSet<UnitId>) -> Vec<Lease> {
        let needs = ending.iter().filter_map(|id| self.layout.units.get(id)).flat_map(|unit| &unit.needs);
        let stays: BTreeSet<_> = needs.filter(|id| !ending.contains(id)).collect();
        let demands = stays.into_iter().filter_map(|id| self.slots.get(id)).map(|slot| &slot.demand);
        demands.filter(|demand| demand.is_used()).map(Demand::lease).collect()
    }

    async fn end(&mut self, units: &BTreeSet<UnitId>) -> usize {
        let ending: Vec<_> = units.iter().filter_map(|id| self.running.remove(id)).collect();
        ending.iter().for_each(|running| running.stop.cancel());
        let ended = ending.len();
        for running in ending {
            // A supervisor ends within its own limit, also when its source does not.
            let _ = running.task.await;
        }
        ended
    }

    async fn change_groups(&mut self) {
        self.groups.retain(|id, group| {
            let stays = self.layout.groups.contains_key(id);
            if !stays {
                group.stop.cancel();
            }
            stays
        });
        for (id, group) in &self.layout.groups {
            let group_config = self.group_config(group);
            if let Some(running) = self.groups.get(id) {
                running.handle.change(group_config).await;
                continue;
            }
            let stop = self.shutdown.token().child_token();
            let (handle, task) = WorkerGroup::new(group_config, self.pool.clone(), stop.clone());
            self.shutdown.spawn(format!("group {}", group.name), task);
            self.groups.insert(*id, RunningGroup { handle, stop });
        }
    }

    fn group_config(&self, group: &GroupLayout) -> GroupConfig {
        let feeds = group.fed_by.iter().filter_map(|(feed, unit)| Some((*feed, self.packets(unit)?)));
        let streams = group
            .stream_units
            .iter()
            .filter_map(|(stream, unit)| Some((*stream, self.slots.get(unit)?.entrances()?.clone())));
        let status = |id: &UnitId| Some(self.slots.get(id)?.status.clone());
        let feed_statuses = group.plan.feeds.iter().filter_map(|(number, feed)| {
            let id = UnitId::Feed(FeedName::new(&feed.name).ok()?);
            Some((Item::Feed(*number), status(&id)?))
        });
        let stream_statuses =
            group.stream_units.iter().filter_map(|(number, unit)| Some((Item::Stream(*number), status(unit)?)));
        GroupConfig {
            name: group.name.clone(),
            plan: Plan { epoch: self.epoch, ..group.plan.clone() },
            feeds: feeds.collect(),
            streams: streams.collect(),
            statuses: feed_statuses.chain(stream_statuses).collect(),
            memory_max: self.memory_max,
        }
    }

    /// Starts supervisors for the units that have none, and sends the others their new terms. Returns how many were started.
    fn begin(&mut self) -> usize {
        let mut begun = 0;
        for (id, unit) in &self.layout.units {
            let dependents = self.layout.dependents(id);
            let ends_with_it =
                dependents.iter().filter_map(|id| self.slots.get(id)).flat_map(StreamSlot::fanouts).collect();
            let terms = Terms { policy: unit.policy, ends_with_it };
            if let Some(running) = self.running.get(id) {
                running.terms.send_replace(terms);
                continue;
            }
            let Some((slot, source)) = self.slots.get(id).zip(self.source(id, unit)) else { continue };
            let terms = watch::Sender::new(terms);
            let supervisor = Supervisor {
                id: id.clone(),
                terms: terms.subscribe(),
                source,
                demand: slot.demand.clone(),
                control: slot.control.clone(),
                needs: unit.needs.iter().filter_map(|need| Some(self.slots.get(need)?.demand.clone())).collect(),
                status: slot.status.clone(),
                pulse: self.pulses.add(id.to_string()),
                facts: self.facts.clone(),
            };
            let stop = self.shutdown.token().child_token();
            let task = self.shutdown.spawn(id.to_string(), supervisor.run(stop.clone()));
            self.running.insert(id.clone(), Running { stop, task, terms });
            begun += 1;
        }
        begun
    }

    fn source(&self, id: &UnitId, unit: &Unit) -> Option<Source> {
        let slot = self.slots.get(id)?;
        Some(match &unit.kind {
            UnitKind::Command(command) => Source::Command(CommandSource {
                program: self.program(id, command),
                container: None,
                writer: slot.writer()?,
            }),
            UnitKind::Pipe(path) => Source::Pipe(PipeSource { path: path.clone(), writer: slot.writer()? }),
            UnitKind::Publish(_) => {
                let UnitId::Feed(feed) = id else { return None };
                Source::Publish(PublishSource {
                    slot: self.publish_slots.get(feed)?.clone(),
                    status: slot.status.clone(),
                })
            }
            UnitKind::Link(link) => {
                let UnitId::Feed(feed) = id else { return None };
                Source::Link(LinkSource {
                    link: link.clone(),
                    slot: self.publish_slots.get(feed)?.clone(),
                    status: slot.status.clone(),
                    packets: self.links.get(feed)?.clone(),
                })
            }
            UnitKind::Published(feed) => Source::Published(PublishedSource {
                slot: self.publish_slots.get(feed)?.clone(),
                entrances: slot.entrances()?.clone(),
                status: slot.status.clone(),
            }),
            UnitKind::Item { group, item } => Source::Item(ItemSource {
                group: self.groups.get(group)?.handle.clone(),
                item: *item,
                entrances: slot.entrances().cloned(),
            }),
        })
    }

    /// The packets of a unit that is read as bytes.
    fn packets(&self, unit: &UnitId) -> Option<FanOut> {
        Some(self.slots.get(unit)?.fanout(Container::Mkv))
    }

    fn program(&self, id: &UnitId, command: &CommandLayout) -> Program {
        let packets = |unit: &UnitId| self.packets(unit);
        Program {
            id: id.clone(),
            argv: command.argv.as_slice().into(),
            stdin: command.stdin.as_ref().and_then(packets),
            inputs: command.descriptors.iter().filter_map(packets).collect(),
            stderr_log: StderrLog::default(),
            status: self.slots.get(id).map(|slot| slot.status.clone()).unwrap_or_default(),
            stderr_file: command.stderr_file.clone(),
            memory_max: command.memory_max,
        }
    }

    /// Adds the per-request streams that are new.
    fn begin_per_request(&mut self, config: &Config) {
        for stream in layout::per_request(config) {
            let Some(command) = self.layout.per_request.get(&stream.name) else { continue };
            if self.per_request.contains_key(&stream.name) {
                continue;
            }
            let program = self.program(&UnitId::Stream(stream.name.clone()), command);
            let units = command.units();
            let needs = units.iter().filter_map(|unit| Some(self.slots.get(unit)?.demand.clone())).collect();
            let mut pauses = Pauses::default();
            units.iter().for_each(|unit| pauses.extend(self.pauses_of_feeds(unit)));
            let per_request = PerRequestStream::new(
                stream.clone(),
                program,
                needs,
                self.viewers(&stream.name),
                pauses,
                self.shutdown.clone(),
            );
            self.per_request.insert(stream.name.clone(), Arc::new(per_request));
        }
    }

    /// Ends the placeholders that are changed or gone, and starts those that are new.
    fn apply_placeholders(&mut self, config: &Config) {
        let mut specs: BTreeMap<_, _> = layout::shared(config)
            .zip(&self.layout.streams)
            .filter_map(|(stream, placed)| Some((stream.name.clone(), (self.placeholder(stream, placed)?, placed))))
            .collect();
        self.placeholders.retain(|name, running| {
            let stays = specs.get(name).is_some_and(|(spec, _)| *spec == running.spec);
            if stays {
                specs.remove(name);
            } else {
                running.stop.cancel();
            }
            stays
        });
        for (name, (spec, placed)) in specs {
            let Some(slot) = self.slots.get(&placed.unit) else { continue };
            let Some(parts) = self.placeholder_parts(placed) else { continue };
            let status = |feed: &FeedName| self.slots.get(&UnitId::Feed(feed.clone())).map(|feed| feed.status.clone());
            let task = PlaceholderTask {
                parts,
                status: slot.status.clone(),
                feeds: spec.feeds.iter().filter_map(status).collect(),
                pool: self.pool.clone(),
                shutdown: self.shutdown.clone(),
                spec: spec.clone(),
            };
            let stop = self.shutdown.token().child_token();
            self.shutdown.spawn(format!("placeholder of {name}"), task.run(stop.clone()));
            self.placeholders.insert(name, RunningPlaceholder { spec, stop });
        }
    }

    fn placeholder(&self, stream: &config::Stream, placed: &StreamLayout) -> Option<PlaceholderSpec> {
        let plan = &self.layout.groups.get(&placed.group)?.plan;
        let is_published =
            self.layout.units.get(&placed.unit).is_some_and(|unit| matches!(unit.kind, UnitKind::Published(_)));
        if placed.in_plan.is_none() && !is_published {
            return None;
        }
        // No worker makes what is published; that of the placeholder makes the tracks that are usual.
        let published = is_published.then(|| StreamPlan {
            name: stream.name.to_string(),
            feeds: Vec::new(),
            encoding: ipc::Encoding::Copy,
            container: None,
        });
        let encodings = self.encodings_of(placed).filter_map(|number| plan.streams.get(&number).cloned());
        Some(PlaceholderSpec {
            shows: stream.placeholder.clone()?,
            encodings: published.into_iter().chain(encodings).collect(),
            feeds: stream.feeds.clone(),
            epoch: self.epoch,
            memory_max: self.memory_max,
        })
    }

    /// The numbers of the encodings of a stream in the plan of its group, that of the main one first.
    fn encodings_of<'a>(&'a self, placed: &'a StreamLayout) -> impl Iterator<Item = u32> + 'a {
        let others = placed.rendition.iter().flat_map(|rendition| &rendition.alternatives);
        let others = others.filter(|one| one.unit != placed.unit);
        let others = others.filter_map(|one| self.layout.number_of(placed.group, &one.unit));
        placed.in_plan.into_iter().chain(others)
    }

    /// Where the samples of a placeholder enter, for each encoding in the order of [`Deployment::encodings_of`].
    fn placeholder_parts(&self, placed: &StreamLayout) -> Option<Vec<PlaceholderPart>> {
        let main = self.slots.get(&placed.unit)?;
        let input = main.input()?;
        let mut parts = vec![PlaceholderPart { input: input.clone(), demand: main.demand.clone() }];
        let others = placed.rendition.iter().flat_map(|rendition| &rendition.alternatives);
        for one in others.filter(|one| one.unit != placed.unit) {
            let demand = self.slots.get(&one.unit)?.demand.clone();
            parts.push(PlaceholderPart { input: input.of_source(&one.unit.to_string())?, demand });
        }
        Some(parts)
    }

    /// The viewers of a stream, who may have joined under an earlier configuration.
    fn viewers(&self, stream: &StreamName) -> Viewers {
        self.viewers_of.get(stream).cloned().unwrap_or_default()
    }

    fn stream_handle(&self, stream: &config::Stream, placed: &StreamLayout) -> Option<StreamHandle> {
        let group = &self.groups.get(&placed.group)?.handle;
        let pauses = self.pauses_of(placed);
        let of_unit = |unit: &UnitId, in_plan, made| {
            let slot = self.slots.get(unit)?;
            Some(StreamHandle {
                config: stream.clone(),
                status: slot.status.clone(),
                viewers: self.viewers(&stream.name),
                recorder: self.recorders.get(&stream.name).cloned().unwrap_or_default(),
                pushes: self.pushes.get(&stream.name).cloned().unwrap_or_default(),
                fanout: slot.fanout(stream.container),
                output: slot.input().map(|input| input.output(stream.container)),
                demand: slot.demand.clone(),
                control: slot.control.clone(),
                pauses: pauses.clone(),
                group: group.clone(),
                in_plan,
                made,
                rendition: None,
                outputs: Vec::new(),
            })
        };
        let made = placed.made.as_ref().and_then(|(unit, number)| of_unit(unit, Some(*number), None));
        let handle = of_unit(&placed.unit, placed.in_plan, made.map(Box::new))?;
        let Some(layout) = &placed.rendition else { return Some(handle) };
        let rendition = Arc::new(self.rendition(stream, layout)?);
        // In its own container the bytes of a feed pass unchanged.
        let is_passed_on = placed.unit != layout.unit;
        let number = self.layout.number_of(placed.group, &layout.unit);
        let muxed = of_unit(&layout.unit, number, None)?;
        let output = |container: Container| {
            let path = stream.output_path(container)?;
            let mimetype = if container == stream.container { &stream.mimetype } else { container.mimetype() };
            let config = config::Stream { path, container, mimetype: mimetype.to_owned(), ..stream.clone() };
            let output = rendition.input.output(container);
            let muxed = StreamHandle {
                config: config.clone(),
                fanout: output.fanout().clone(),
                output: Some(output),
                rendition: Some(rendition.clone()),
                ..muxed.clone()
            };
            Some(Arc::new(match is_passed_on && container == stream.container {
                true => StreamHandle { config, made: Some(Box::new(muxed)), ..handle.clone() },
                false => muxed,
            }))
        };
        let outputs = stream.containers().into_iter().filter_map(output).collect();
        let own = (!is_passed_on).then(|| rendition.clone());
        Some(StreamHandle { outputs, rendition: own, ..handle })
    }

    fn registry(&self, config: &Config) -> Registry {
        let per_request =
            layout::per_request(config).filter_map(|stream| self.per_request.get(&stream.name).cloned()).collect();
        let pairs = layout::shared(config).zip(&self.layout.streams);
        let streams = pairs.filter_map(|(stream, placed)| self.stream_handle(stream, placed).map(Arc::new));
        let feeds = config.feeds.iter().filter_map(|feed| {
            let id = UnitId::Feed(feed.name.clone());
            let has_bytes = matches!(self.layout.units.get(&id)?.kind, UnitKind::Command(_) | UnitKind::Pipe(_));
            let slot = self.slots.get(&id)?;
            let link = self.links.get(&feed.name).zip(self.publish_slots.get(&feed.name));
            let link = link.map(|(packets, slot)| LinkHandle { packets: packets.clone(), slot: slot.clone() });
            // Its own comes first.
            let mut pauses = Pauses::default();
            pauses.extend(self.pauses_of_feeds(&id));
            Some(FeedHandle {
                config: feed.clone(),
                status: slot.status.clone(),
                control: slot.control.clone(),
                pauses,
                fanout: has_bytes.then(|| slot.fanout(Container::Raw)),
                publish: self.publish_slots.get(&feed.name).filter(|_| link.is_none()).cloned(),
                link,
            })
        });
        Registry::new(feeds.collect(), streams.collect(), per_request)
    }
}

/// What applying a configuration changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyReport {
    /// Feeds and streams that are gone or changed; they were stopped if they ran.
    pub ended: usize,
    /// Feeds and streams that are new or changed.
    pub begun: usize,
}

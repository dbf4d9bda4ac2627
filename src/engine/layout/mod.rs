//! From the configuration to what runs: which process does what, and which unit needs which. Pure.

mod build;
mod diff;
#[cfg(test)]
mod testing;
mod tracks;

pub use build::{layout, per_request, shared};

use crate::{
    config::{self, Codec, FeedName, StreamName},
    ipc::{self, Item},
    media::Container,
    source::{lifecycle::Policy, unit_id::UnitId},
};
use std::{collections::BTreeMap, path::PathBuf};

/// What runs for a configuration. What has the same name in the next configuration keeps its number.
#[derive(Debug, Default, PartialEq)]
pub struct Layout {
    /// Worker processes.
    pub groups: BTreeMap<GroupId, GroupLayout>,
    /// Everything that has a supervisor.
    pub units: BTreeMap<UnitId, Unit>,
    /// The streams that viewers share, in the order of [`shared`].
    pub streams: Vec<StreamLayout>,
    /// The commands of streams that are made for each request.
    pub per_request: BTreeMap<StreamName, CommandLayout>,
    /// The group of each feed, and of each stream without one.
    groups_of: BTreeMap<UnitId, GroupId>,
}

/// Number of a group. It stays while one of its feeds stays.
pub type GroupId = usize;

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
    /// What runs.
    pub kind: UnitKind,
    /// Units that run with it.
    pub needs: Vec<UnitId>,
    /// What the server muxes its samples into; of streams of a worker only.
    pub outputs: Vec<Container>,
}

/// What runs for a unit.
#[derive(Debug, Clone, PartialEq)]
pub enum UnitKind {
    /// A program.
    Command(CommandLayout),
    /// A named pipe.
    Pipe(PathBuf),
    /// A feed that is published to.
    Publish(config::Publish),
    /// A feed that comes over a link.
    Link(config::Link),
    /// The tracks of a feed that is published to, or comes over a link.
    Published(FeedName),
    /// An item of a group.
    Item {
        /// Which of [`Layout::groups`].
        group: GroupId,
        /// Which one.
        item: Item,
    },
}

/// A program and the units that it reads.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandLayout {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Unit whose packets it reads on its standard input.
    pub stdin: Option<UnitId>,
    /// Units whose packets it reads from descriptors, which `argv` names.
    pub descriptors: Vec<UnitId>,
    /// Where its standard error output is kept, beside the log.
    pub stderr_file: Option<PathBuf>,
    /// Memory in bytes that it may use with all its children.
    pub memory_max: Option<u64>,
}

impl CommandLayout {
    /// All units that it reads.
    pub fn units(&self) -> Vec<UnitId> {
        self.stdin.iter().chain(&self.descriptors).cloned().collect()
    }
}

/// What viewers of one stream get.
#[derive(Debug, PartialEq)]
pub struct StreamLayout {
    /// The unit whose packets they are.
    pub unit: UnitId,
    /// The group that makes its stills.
    pub group: GroupId,
    /// Its number in the group's plan, or `None`: stills are decoded from its packets.
    pub in_plan: Option<u32>,
    /// What makes the container that its name promises, and its number in the plan, where bytes may turn out to be something else.
    pub made: Option<(UnitId, u32)>,
    /// What its other outputs are made of.
    pub rendition: Option<RenditionLayout>,
}

/// What the outputs of a stream are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct RenditionLayout {
    /// The unit of its main encoding, whose samples are muxed for them.
    pub unit: UnitId,
    /// Other encodings, for outputs that cannot carry the tracks of the main one, in the order of preference.
    pub alternatives: Vec<AlternativeLayout>,
}

/// One track in another codec.
#[derive(Debug, Clone, PartialEq)]
pub struct AlternativeLayout {
    /// Which one.
    pub codec: Codec,
    /// What makes it; the main encoding where that is nothing else.
    pub unit: UnitId,
    /// It is not configured, but encoded on demand.
    pub is_repair: bool,
    /// The main encoding is of the video alone, and this is the audio that belongs to it.
    pub is_main_audio: bool,
}

impl StreamLayout {
    /// The units whose packets viewers get.
    pub fn shown_units(&self) -> impl Iterator<Item = &UnitId> {
        let made = self.made.iter().map(|(unit, _)| unit);
        let muxed = self.rendition.iter().map(|rendition| &rendition.unit);
        [&self.unit].into_iter().chain(made).chain(muxed)
    }
}

impl Unit {
    /// Whether its media comes as samples, whose timestamps continue after a restart.
    pub fn is_ours(&self) -> bool {
        matches!(self.kind, UnitKind::Item { item: Item::Stream(_), .. } | UnitKind::Published(_))
    }
}

impl Layout {
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

    /// The units that this one needs, it among them.
    pub fn needed(&self, id: &UnitId) -> Vec<UnitId> {
        let mut found = vec![id.clone()];
        let mut next = 0;
        while let Some(needing) = found.get(next) {
            let needs = self.units.get(needing).map(|unit| unit.needs.as_slice()).unwrap_or_default();
            let new: Vec<_> = needs.iter().filter(|id| !found.contains(id)).cloned().collect();
            found.extend(new);
            next += 1;
        }
        found
    }

    /// The number that a feed or stream has in a group's plan.
    pub(super) fn number_of(&self, group: GroupId, item: &UnitId) -> Option<u32> {
        let group = self.groups.get(&group)?;
        match item {
            UnitId::Feed(name) => {
                group.plan.feeds.iter().find(|(_, feed)| feed.name == name.as_str()).map(|(number, _)| *number)
            }
            UnitId::Tap(_) | UnitId::Stream(_) | UnitId::Encoding(..) => {
                group.stream_units.iter().find(|(_, unit)| *unit == item).map(|(number, _)| *number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::laid_out, *};
    use crate::config::FeedName;

    #[test]
    fn dependents_are_found_through_other_units() {
        let layout = laid_out(
            "feeds: {v: {pipeline: videotestsrc}}\nstreams: {a.ts: {feed: v, command: [cat]}, b.ts: {feed: v}}",
            &Layout::default(),
        );
        let found: Vec<_> = layout.dependents(&UnitId::Feed(FeedName::new("v").unwrap()));
        let found: Vec<_> = found.iter().map(UnitId::to_string).collect();
        assert_eq!(found, ["feed v", "feed v for commands", "stream b.ts", "stream a.ts"]);
        let needed = layout.needed(&UnitId::Stream(StreamName::new("a.ts").unwrap()));
        let needed: Vec<_> = needed.iter().map(UnitId::to_string).collect();
        assert_eq!(needed, ["stream a.ts", "feed v for commands", "feed v"]);
    }
}

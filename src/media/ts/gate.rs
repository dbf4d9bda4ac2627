//! Lets tracks out before their samples, and holds the first samples until all tracks are known.

use crate::media::demux::Demuxed;
use crate::media::sample::Sample;
use crate::media::{TrackId, TrackInfo, TrackSet};

/// Samples of so long wait for tracks that are announced and whose parameters are unknown, in nanoseconds.
const PATIENCE: i64 = 2_000_000_000;
/// So many samples wait, or so many bytes: more than two seconds of anything live.
const MAX_HELD: usize = 500;
const MAX_HELD_BYTES: usize = 16 << 20;

/// The tracks of a demuxer, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Announced tracks, with what is known of them.
    tracks: Vec<(TrackId, Option<TrackInfo>)>,
    /// `None` when nothing waits.
    held: Option<Vec<Sample>>,
    /// What was let out last.
    sent: Option<TrackSet>,
}

impl Gate {
    /// Announces the tracks from now on, in order. What is known of those that stay is kept. Samples wait for new ones
    /// if there were none before, or if some were replaced; not for those that were added.
    pub(super) fn announce(&mut self, ids: &[TrackId], out: &mut Vec<Demuxed>) {
        let before = std::mem::take(&mut self.tracks);
        let known = |id: TrackId| before.iter().find(|(of, _)| *of == id).and_then(|(_, info)| info.clone());
        self.tracks = ids.iter().map(|id| (*id, known(*id))).collect();
        let has_removed = before.iter().any(|(id, _)| !ids.contains(id));
        let has_added = ids.iter().any(|id| before.iter().all(|(of, _)| of != id));
        if before.is_empty() || has_removed && has_added {
            self.held.get_or_insert_default();
        }
        if let Some(held) = &mut self.held {
            held.retain(|sample| ids.contains(&sample.track));
        }
        self.open_if_due(out);
        if has_removed && self.held.is_none() {
            self.send(out);
        }
    }

    /// Forgets what is known of a track, whose coding changed.
    pub(super) fn forget(&mut self, id: TrackId) {
        self.tracks.iter_mut().filter(|(of, _)| *of == id).for_each(|(_, info)| *info = None);
    }

    /// The parameters of a track are these from now on.
    pub(super) fn describe(&mut self, info: TrackInfo, out: &mut Vec<Demuxed>) {
        let Some((_, known)) = self.tracks.iter_mut().find(|(id, _)| *id == info.id) else { return };
        let changed = known.as_ref() != Some(&info);
        if changed && known.is_some() {
            // What waits is of the parameters before.
            self.open(out);
        }
        if let Some((_, known)) = self.tracks.iter_mut().find(|(id, _)| *id == info.id) {
            *known = Some(info);
        }
        self.open_if_due(out);
        if self.held.is_none() && changed {
            self.send(out);
        }
    }

    /// The next sample, of a track that is described.
    pub(super) fn sample(&mut self, sample: Sample, out: &mut Vec<Demuxed>) {
        match &mut self.held {
            Some(held) => {
                held.push(sample);
                self.open_if_due(out);
            }
            None => out.push(Demuxed::Sample(sample)),
        }
    }

    /// Nothing more will come: what waits leaves.
    pub(super) fn open(&mut self, out: &mut Vec<Demuxed>) {
        let Some(held) = self.held.take() else { return };
        if !held.is_empty() {
            self.send(out);
        }
        out.extend(held.into_iter().map(Demuxed::Sample));
    }

    fn open_if_due(&mut self, out: &mut Vec<Demuxed>) {
        let Some(held) = &self.held else { return };
        let is_complete = !self.tracks.is_empty() && self.tracks.iter().all(|(_, info)| info.is_some());
        let times = || held.iter().map(|sample| sample.dts);
        let span = times().max().zip(times().min()).map_or(0, |(last, first)| last.since(first));
        let bytes: usize = held.iter().map(|sample| sample.data.len()).sum();
        if is_complete || span >= PATIENCE || held.len() >= MAX_HELD || bytes >= MAX_HELD_BYTES {
            self.open(out);
        }
    }

    /// Lets the known tracks out, if they are not those that were.
    fn send(&mut self, out: &mut Vec<Demuxed>) {
        let tracks = TrackSet::new(self.tracks.iter().filter_map(|(_, info)| info.clone()).collect());
        if self.sent.as_ref() != Some(&tracks) {
            out.push(Demuxed::Tracks(tracks.clone()));
            self.sent = Some(tracks);
        }
    }
}

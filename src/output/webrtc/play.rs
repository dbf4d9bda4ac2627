//! What a viewer is sent of its stream: the newest GOP immediately, then everything as it comes.

use super::{
    negotiation::{PlayPlan, still_fits},
    session::Session,
};
use crate::{
    media::{
        MediaKind, Packet, Time,
        webrtc::{Frame, tracks_of},
    },
    net::Outbox,
    stream::{Batch, Delivery, Entry, FanOut, Join, Progress, Reader},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// When the newest keyframe is older, the encoder is asked for another, which is waited for a moment.
const OLD: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_millis(100);
/// Most that is sent to catch up with what is live. Beyond that a keyframe is waited for.
const MOST_BYTES: usize = 1 << 20;
const MOST_FRAMES: usize = 150;
/// How much is sent at a time while catching up, and how long it is until the next time: what a line of 100 Mbit/s takes.
const BURST: usize = 64 << 10;
const PACE: Duration = Duration::from_millis(5);
/// The frames until the live one are shown one after the other in steps of this, so that players do not play them slowly.
const STEP: Duration = Duration::from_millis(1);

/// A source that sends nothing for so long has paused.
const PAUSED: Duration = Duration::from_secs(1);

/// One layer is behind another by this at most, in nanoseconds; times that are farther back are of something else.
const OVERLAP: i64 = 1_000_000_000;

/// What a session is sent.
#[derive(Debug)]
pub struct Play {
    plan: PlayPlan,
    reader: Reader,
    /// Frames on the way to what is live, each with the time that it is shown at.
    behind: VecDeque<(Arc<Frame>, Time)>,
    behind_bytes: usize,
    /// When more of them may be sent.
    paced: Option<Instant>,
    /// How long a keyframe is waited for that the encoder was asked for.
    patience: Option<Instant>,
    /// Another layer, until its next keyframe is there.
    next: Option<Reader>,
    /// The times of the newest frames that were sent, of video and of audio.
    newest: [Option<Time>; 2],
    /// When something was sent last: a picture, where there is video.
    sent: Instant,
    progress: Progress,
}

/// Whether a viewer stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Open,
    /// It leaves, for this reason.
    Ended(&'static str),
}

impl Play {
    /// Begins with the newest keyframe of the stream, if it is new enough.
    pub fn join(plan: PlayPlan, fanout: &FanOut, now: Instant) -> Self {
        let entry = entry(&plan);
        let is_old = entry.join == Join::Keyframe && fanout.newest_join_age().is_some_and(|age| age > OLD);
        let reader = match is_old {
            true => {
                fanout.want_keyframe();
                fanout.subscribe_unforced(Entry { join: Join::NextKeyframe, ..entry })
            }
            false => fanout.subscribe_unforced(entry),
        };
        let mut play = Self {
            plan,
            reader,
            behind: VecDeque::new(),
            behind_bytes: 0,
            paced: Some(now),
            patience: is_old.then(|| now + PATIENCE),
            next: None,
            newest: [None; 2],
            sent: now,
            progress: Progress::default(),
        };
        if !is_old {
            play.take_group();
        }
        play
    }

    /// The stream that is read.
    pub fn fanout(&self) -> &FanOut {
        self.reader.fanout()
    }

    /// What the viewer has got.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Whether nothing has come for a while, of the video where there is some.
    pub fn is_paused(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.sent) >= PAUSED
    }

    /// When [`Play::pump`] is to be called, also if nothing has come.
    pub fn due(&self) -> Option<Instant> {
        self.paced.filter(|_| !self.behind.is_empty()).or(self.patience)
    }

    /// Sends over the session what has come: `batch` with its frames, or whatever else there is for this reader.
    pub fn pump(
        &mut self,
        session: &mut Session,
        batch: Option<(&Batch, &[Arc<Frame>])>,
        now: Instant,
        packets: &mut Outbox,
    ) -> Outcome {
        match batch {
            Some((batch, frames)) if self.reader.take_batch(batch) => {
                frames.iter().for_each(|frame| self.take(session, frame, now, packets));
            }
            _ => {
                while let Some(delivery) = self.reader.try_next() {
                    match delivery {
                        Delivery::Packet(packet) => {
                            if let Some(frame) = read(&packet) {
                                self.take(session, &frame, now, packets);
                            }
                        }
                        Delivery::Aside(header) => {
                            if !self.fits(&header) {
                                return Outcome::Ended("tracks changed");
                            }
                        }
                        Delivery::Gap(lost) => {
                            self.progress.gaps += 1;
                            self.progress.lost += lost;
                        }
                        Delivery::End if self.fanout().is_closed() => return Outcome::Ended("stream ended"),
                        Delivery::End => self.reader = self.fanout().clone().subscribe(entry(&self.plan)),
                    }
                }
            }
        }
        if self.patience.is_some_and(|patience| now >= patience) {
            // It is not our encoder: what there is will do.
            self.patience = None;
            self.reader = self.fanout().subscribe_unforced(entry(&self.plan));
            self.take_group();
        }
        self.catch_up(session, now, packets);
        Outcome::Open
    }

    /// Continues with another layer of the same media from its next keyframe on, see [`Play::pump_next`].
    pub fn switch_to(&mut self, layer: &FanOut) {
        let entry = Entry { join: Join::NextKeyframe, header: true };
        layer.want_keyframe();
        self.next = Some(layer.subscribe_unforced(entry));
    }

    /// The layer that [`Play::switch_to`] named does not matter any more.
    pub fn stay(&mut self) {
        self.next = None;
    }

    /// Looks for the keyframe of another layer. Whether that has begun, and replaces the layer of before.
    pub fn pump_next(&mut self, session: &mut Session, now: Instant, packets: &mut Outbox) -> bool {
        let Some(next) = &mut self.next else { return false };
        while let Some(delivery) = next.try_next() {
            let Delivery::Packet(packet) = delivery else { continue };
            let Some(frame) = read(&packet).filter(|frame| frame.kind == MediaKind::Video) else { continue };
            // What the layer of before has until now belongs before it.
            let _ = self.pump(session, None, now, packets);
            if let Some(next) = self.next.take() {
                self.reader = next;
            }
            self.behind.clear();
            self.behind_bytes = 0;
            self.take(session, &frame, now, packets);
            // What is behind the keyframe already.
            let _ = self.pump(session, None, now, packets);
            return true;
        }
        false
    }

    /// All that is there of the newest GOP, shown as fast as possible. Audio begins with what is live.
    fn take_group(&mut self) {
        let mut frames = Vec::new();
        loop {
            match self.reader.try_next() {
                Some(Delivery::Packet(packet)) => {
                    frames.extend(read(&packet).filter(|frame| frame.kind == MediaKind::Video));
                }
                Some(Delivery::Aside(_)) => {}
                _ => break,
            }
        }
        let bytes = frames.iter().map(|frame| frame.len()).sum::<usize>();
        if bytes > MOST_BYTES || frames.len() > MOST_FRAMES {
            self.fanout().want_keyframe();
            self.reader = self.fanout().subscribe(Entry { join: Join::NextKeyframe, header: true });
            return;
        }
        let last = frames.last().map(|frame| frame.time).unwrap_or_default();
        let steps = (0..frames.len() as u32).rev();
        self.behind_bytes = bytes;
        self.behind = frames.into_iter().zip(steps.map(|steps| last - STEP * steps)).collect();
    }

    fn take(&mut self, session: &mut Session, frame: &Arc<Frame>, now: Instant, packets: &mut Outbox) {
        if frame.kind == MediaKind::Video {
            self.patience = None;
        }
        if frame.kind == MediaKind::Audio || self.behind.is_empty() {
            return self.write(session, (frame, frame.time), now, packets);
        }
        self.behind.push_back((frame.clone(), frame.time));
        self.behind_bytes += frame.len();
        if self.behind_bytes > 2 * MOST_BYTES {
            // The source is faster than the pace: nothing is held back then.
            self.paced = None;
        }
    }

    fn catch_up(&mut self, session: &mut Session, now: Instant, packets: &mut Outbox) {
        if self.paced.is_some_and(|paced| paced > now) {
            return;
        }
        let mut sent = 0;
        while sent < BURST || self.paced.is_none() {
            let Some((frame, time)) = self.behind.pop_front() else { break };
            self.behind_bytes -= frame.len();
            sent += frame.len();
            self.write(session, (&frame, time), now, packets);
        }
        self.paced = Some(now + PACE);
    }

    /// Sends a frame. Layers are not equally quick: what was heard of one is not sent again of another, and pictures are never shown
    /// before those that were sent.
    fn write(&mut self, session: &mut Session, (frame, time): (&Arc<Frame>, Time), now: Instant, packets: &mut Outbox) {
        let newest = match frame.kind {
            MediaKind::Video => &mut self.newest[0],
            MediaKind::Audio => &mut self.newest[1],
        };
        let is_overlap = |newest: Time| (0..=OVERLAP).contains(&newest.since(time));
        let time = match newest.filter(|newest| is_overlap(*newest)) {
            Some(_) if frame.kind == MediaKind::Audio => return,
            Some(newest) => newest + STEP,
            None => time,
        };
        *newest = Some(time);
        if frame.kind == MediaKind::Video || !has_video(&self.plan) {
            self.sent = now;
        }
        self.progress.bytes += session.write(frame, time, now, packets) as u64;
    }

    fn fits(&self, header: &Packet) -> bool {
        tracks_of(&header.payload()).is_none_or(|tracks| still_fits(&self.plan, &tracks))
    }
}

/// A packet as a frame.
pub fn read(packet: &Packet) -> Option<Arc<Frame>> {
    Frame::read(packet.payload()).map(Arc::new)
}

fn has_video(plan: &PlayPlan) -> bool {
    plan.tracks.iter().any(|track| track.kind == MediaKind::Video)
}

fn entry(plan: &PlayPlan) -> Entry {
    Entry { join: if has_video(plan) { Join::Keyframe } else { Join::Live }, header: true }
}

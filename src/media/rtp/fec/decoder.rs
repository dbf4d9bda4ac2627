//! Packets that came, and packets that protect them → those that are missing.

use super::{
    MAX_PACKET,
    packet::{Direction, Protected, read},
    parity::Parity,
};
use bytes::Bytes;
use std::{collections::VecDeque, time::Duration};

/// Packets that are kept to recover others from: more than two matrices of the largest kind. A power of two.
const WINDOW: u16 = 1024;
/// Protecting packets that wait for more of what they protect: those of two matrices, and more.
const MAX_PENDING: usize = 128;
/// Without a packet of a direction for so long, the sender makes none.
const ALIVE: Duration = Duration::from_secs(3);

/// Recovers the packets of one sender.
#[derive(Debug)]
pub struct Decoder {
    /// Each packet is in the slot that its number has, modulo the count of them.
    window: Vec<Option<(u16, Bytes)>>,
    /// The highest number, the first one as long as it matters, and the source.
    newest: Option<u16>,
    first: Option<u16>,
    ssrc: u32,
    /// What lacks more than one of its packets.
    pending: VecDeque<(Protected, Parity)>,
    columns: Option<Progress>,
    rows: Option<Progress>,
}

/// How far the protection of one direction has come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    base: u16,
    span: u16,
    at: Duration,
}

impl Progress {
    fn is_alive(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < ALIVE
    }
}

/// What a protecting packet lacks.
enum Lacks {
    Nothing,
    One(u16),
    More,
}

impl Default for Decoder {
    fn default() -> Self {
        let window = std::iter::repeat_with(|| None).take(WINDOW.into()).collect();
        let pending = VecDeque::new();
        Self { window, newest: None, first: None, ssrc: 0, pending, columns: None, rows: None }
    }
}

impl Decoder {
    /// Takes a packet of media with this number and source. What it makes known is appended to `out`, as whole packets.
    pub fn media(&mut self, packet: &Bytes, (sequence, ssrc): (u16, u32), out: &mut Vec<Bytes>) {
        let ahead = self.newest.map_or(1, |newest| sequence.wrapping_sub(newest) as i16);
        if ssrc != self.ssrc || ahead.unsigned_abs() >= WINDOW {
            // Another sender, or one that began again: what was kept is not of its packets.
            *self = Self { ssrc, ..Self::default() };
        }
        let before = self.newest;
        if ahead > 0 || before.is_none() {
            self.newest = Some(sequence);
        }
        let first = *self.first.get_or_insert(sequence);
        if sequence.wrapping_sub(first) > WINDOW && ahead > 0 {
            // Nothing protects so many packets that the first one still matters.
            self.first = Some(sequence.wrapping_sub(WINDOW));
        }
        // What waits for packets that were never seen must not meet those that have the same numbers later.
        let is_old = |base: u16| sequence.wrapping_sub(base) >= WINDOW && ahead > 0;
        while self.pending.front().is_some_and(|(protected, _)| is_old(protected.base)) {
            self.pending.pop_front();
        }
        self.keep(sequence, packet.clone());
        // Those in between are known to be missing from now on.
        let skipped = before.map_or(0, |before| sequence.wrapping_sub(before)).saturating_sub(1);
        let skipped = if ahead > 0 { skipped } else { 0 };
        (1..=skipped).rev().for_each(|distance| self.known(sequence.wrapping_sub(distance), out));
        self.known(sequence, out);
    }

    /// Takes a packet that protects others and came at `now`. What it makes known is appended to `out`.
    pub fn protection(&mut self, packet: &[u8], now: Duration, out: &mut Vec<Bytes>) {
        let (Some((protected, parity)), Some(newest), Some(first)) = (read(packet), self.newest, self.first) else {
            return;
        };
        let ahead = protected.base.wrapping_sub(newest) as i16;
        let is_near = ahead <= 0 && ahead.unsigned_abs() < WINDOW;
        if !is_near || (protected.base.wrapping_sub(first) as i16) < 0 {
            return;
        }
        let progress = match protected.direction {
            Direction::Column => &mut self.columns,
            Direction::Row => &mut self.rows,
        };
        let base =
            progress.map_or(protected.base, |before| match (protected.base.wrapping_sub(before.base) as i16) < 0 {
                true => before.base,
                false => protected.base,
            });
        *progress = Some(Progress { base, span: protected.span(), at: now });
        self.pending.push_back((protected, parity));
        if self.pending.len() > MAX_PENDING {
            self.pending.pop_front();
        }
        self.known(protected.base, out);
    }

    /// How many packets may come until a missing one is recovered; `None` when the sender protects nothing.
    pub fn patience(&self, now: Duration) -> Option<usize> {
        // A column's protection may come as late as during the next matrix.
        self.alive(now).map(|progress| 2 * usize::from(progress.span)).max()
    }

    /// The number before which nothing that is missing can be recovered any more, if that is known: the protection of columns comes last, and
    /// in order.
    pub fn given_up(&self, now: Duration) -> Option<u16> {
        self.columns.filter(|progress| progress.is_alive(now)).map(|progress| progress.base)
    }

    fn alive(&self, now: Duration) -> impl Iterator<Item = Progress> {
        [self.columns, self.rows].into_iter().flatten().filter(move |progress| progress.is_alive(now))
    }

    fn slot(&mut self, sequence: u16) -> Option<&mut Option<(u16, Bytes)>> {
        self.window.get_mut(usize::from(sequence % WINDOW))
    }

    fn keep(&mut self, sequence: u16, packet: Bytes) {
        // What is larger is nothing that a sender protects; its place is that of a packet that cannot be recovered from.
        let kept = (packet.len() <= MAX_PACKET).then_some((sequence, packet));
        if let Some(slot) = self.slot(sequence) {
            *slot = kept;
        }
    }

    fn kept(&self, sequence: u16) -> Option<&Bytes> {
        let (number, packet) = self.window.get(usize::from(sequence % WINDOW))?.as_ref()?;
        (*number == sequence).then_some(packet)
    }

    fn lacks(&self, protected: Protected) -> Lacks {
        let mut missing = protected.sequences().filter(|sequence| self.kept(*sequence).is_none());
        match (missing.next(), missing.next()) {
            (None, _) => Lacks::Nothing,
            (Some(one), None) => Lacks::One(one),
            (Some(_), Some(_)) => Lacks::More,
        }
    }

    /// A packet is known, or what protects it is: recovers what that makes possible.
    fn known(&mut self, sequence: u16, out: &mut Vec<Bytes>) {
        if self.pending.is_empty() {
            return;
        }
        let mut news = vec![sequence];
        while let Some(sequence) = news.pop() {
            let mut at = 0;
            while let Some((protected, _)) = self.pending.get(at) {
                if !protected.covers(sequence) {
                    at += 1;
                    continue;
                }
                match self.lacks(*protected) {
                    Lacks::More => at += 1,
                    // It may be on its way: what protects it has other ways.
                    Lacks::One(missing) if self.is_ahead(missing) => at += 1,
                    Lacks::Nothing => drop(self.pending.remove(at)),
                    Lacks::One(missing) => {
                        let Some(entry) = self.pending.remove(at) else { return };
                        if let Some(packet) = self.recovered(entry, missing) {
                            self.keep(missing, packet.clone());
                            out.push(packet);
                            news.push(missing);
                        }
                    }
                }
            }
        }
    }

    fn is_ahead(&self, sequence: u16) -> bool {
        self.newest.is_none_or(|newest| sequence.wrapping_sub(newest) as i16 > 0)
    }

    fn recovered(&self, (protected, mut parity): (Protected, Parity), missing: u16) -> Option<Bytes> {
        let others = protected.sequences().filter(|sequence| *sequence != missing);
        others.filter_map(|sequence| self.kept(sequence)).for_each(|packet| parity.add(packet));
        parity.packet(missing, self.ssrc)
    }
}

//! What a viewer is sent of its tracks: RTP packets around payloads that all viewers share, sender reports, and lost packets again.
//! What the viewer reports comes in. No IO and no clock.

use super::srtp::{Decryptor, Encryptor, Head, Keys, Side, Source};
use crate::{
    media::{
        MediaKind, Time,
        rtp::report::{self, Report, ReportBlock, SenderReport},
        webrtc::Frame,
    },
    net::Outbox,
    stream::RtpStats,
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// Packets of video that are kept to be sent again, and for how long. They are those of the stream: a viewer keeps places in them.
const KEPT: usize = 1024;
const KEPT_FOR: Duration = Duration::from_millis(500);
/// One byte of so many may be sent again, and so many more after a while without a loss.
const AGAIN: usize = 7;
const MOST_AGAIN: usize = 64 << 10;
/// How often the time is reported (RTCP SR): players need it to keep video and audio together.
const REPORTS: Duration = Duration::from_secs(1);
/// Bits of the extension with one byte before each element (RFC 8285, section 4.2).
const ONE_BYTE: [u8; 2] = [0xbe, 0xde];

/// What is known of a track before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSetup {
    /// Whether it is seen or heard.
    pub kind: MediaKind,
    /// Who sends it.
    pub ssrc: u32,
    /// Ticks of its clock in a second.
    pub clock: u32,
    /// The type of its packets.
    pub payload_type: u8,
    /// Source and type of packets that are sent again; without it none is.
    pub again: Option<(u32, u8)>,
    /// The number of the header extension that names its medium, and that name.
    pub mid: Option<(u8, String)>,
    /// The canonical name of the sender, equal for tracks that are shown together.
    pub name: String,
}

/// The tracks of a viewer.
#[derive(Debug)]
pub struct Sender {
    encryptor: Encryptor,
    decryptor: Decryptor,
    tracks: Vec<Track>,
    /// A moment, and the time of the media that was sent then.
    anchor: Option<(Instant, Time)>,
    /// A moment, and what the clock of the system was then, in nanoseconds since 1970.
    clock: (Instant, u64),
    /// When the time is reported next.
    due: Option<Instant>,
    /// Bytes that may be sent again.
    credit: usize,
    /// The timestamp of the newest frame of video.
    newest: Option<u32>,
    /// The part of the video that was lost, by the newest report, in 1/256.
    fraction_lost: Option<u8>,
    stats: RtpStats,
}

#[derive(Debug)]
struct Track {
    setup: TrackSetup,
    source: Source,
    again: Option<Source>,
    /// Names the medium until the viewer reports that it knows the source.
    extension: Vec<u8>,
    is_known: bool,
    kept: VecDeque<Kept>,
    kept_packets: usize,
    packets: u32,
    octets: u32,
    lost: i64,
}

/// The packets of a frame.
#[derive(Debug)]
struct Kept {
    first: u64,
    frame: Arc<Frame>,
    ticks: u32,
    at: Instant,
}

impl Sender {
    /// The sender of a session, with the keys of its handshake, in which this was our side. `clock`: a moment, and what the
    /// clock of the system was then, in nanoseconds since 1970. `None` when the keys are none.
    pub fn new(keys: &Keys, own: Side, tracks: &[TrackSetup], clock: (Instant, u64)) -> Option<Self> {
        let mut encryptor = Encryptor::new(keys, own)?;
        let decryptor = Decryptor::new(keys, own.other())?;
        let mut found = Vec::with_capacity(tracks.len());
        for setup in tracks {
            let source = encryptor.source(setup.ssrc)?;
            let again = match setup.again {
                Some((ssrc, _)) => Some(encryptor.source(ssrc)?),
                None => None,
            };
            found.push(Track {
                setup: setup.clone(),
                source,
                again,
                extension: setup.mid.as_ref().map(|(number, mid)| extension(*number, mid)).unwrap_or_default(),
                is_known: false,
                kept: VecDeque::new(),
                kept_packets: 0,
                packets: 0,
                octets: 0,
                lost: 0,
            });
        }
        let (anchor, due, credit, stats) = (None, None, MOST_AGAIN, RtpStats::default());
        Some(Self {
            encryptor,
            decryptor,
            tracks: found,
            anchor,
            clock,
            due,
            credit,
            newest: None,
            fraction_lost: None,
            stats,
        })
    }

    /// Sends a frame, shown at `time` in place of its own. Returns the bytes of its payloads.
    pub fn write(&mut self, frame: &Arc<Frame>, time: Time, now: Instant, out: &mut Outbox) -> usize {
        let Some(track) = self.tracks.iter_mut().find(|track| track.setup.kind == frame.kind) else { return 0 };
        self.anchor.get_or_insert((now, time));
        if self.due.is_none() {
            // With the first packets, so that audio and video are together from the beginning.
            self.due = Some(now);
        }
        let is_video = frame.kind == MediaKind::Video;
        // The clock of RTP wraps around (RFC 3550, section 5.1).
        let ticks = time.ticks(track.setup.clock) as u32;
        if is_video {
            self.newest = Some(ticks);
        }
        let (first, last) = (track.source.number(), frame.count().saturating_sub(1));
        let extension = if track.is_known { &[][..] } else { &track.extension };
        for (number, payload) in frame.payloads().enumerate() {
            let marker = is_video && number == last;
            let head = Head { payload_type: track.setup.payload_type, marker, timestamp: ticks, extension };
            out.push(|bytes| {
                self.encryptor.rtp(&mut track.source, head, &[], payload, bytes);
            });
        }
        let length = frame.len();
        track.packets = track.packets.wrapping_add(frame.count() as u32);
        track.octets = track.octets.wrapping_add(length as u32);
        self.stats.packets_sent += frame.count() as u64;
        self.credit = (self.credit + length / AGAIN).min(MOST_AGAIN);
        if track.again.is_some() {
            track.keep(Kept { first, frame: frame.clone(), ticks, at: now });
        }
        length
    }

    /// Takes what came of RTCP; RTP of viewers is ignored. Whether the viewer needs a keyframe.
    pub fn receive(&mut self, datagram: &[u8], now: Instant, out: &mut Outbox) -> bool {
        if !crate::media::rtp::is_rtcp(datagram) {
            return false;
        }
        let Some(compound) = self.decryptor.rtcp(datagram) else { return false };
        let mut wants_keyframe = false;
        for report in report::parse(&compound) {
            match report {
                Report::Keyframe { ssrc, is_full } if self.tracks.iter().any(|track| track.setup.ssrc == ssrc) => {
                    wants_keyframe = true;
                    let count = if is_full { &mut self.stats.fir_count } else { &mut self.stats.pli_count };
                    *count += 1;
                }
                Report::Lost { ssrc, sequences } => {
                    self.stats.nack_count += 1;
                    self.send_again(ssrc, &sequences, out);
                }
                Report::Receiver { blocks, .. } => blocks.iter().for_each(|block| self.reported(block, now)),
                _ => {}
            }
        }
        wants_keyframe
    }

    /// Packets of a track that did not arrive (RFC 4588). More than the credit allows is not sent: nobody is to be flooded in the name
    /// of another.
    fn send_again(&mut self, ssrc: u32, sequences: &[u16], out: &mut Outbox) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.setup.ssrc == ssrc) else { return };
        let (Some(source), Some((_, payload_type))) = (&mut track.again, track.setup.again) else { return };
        for sequence in sequences {
            // The number with this end that is nearest below the next one.
            let behind = (track.source.number() as u16).wrapping_sub(*sequence);
            let Some(number) = track.source.number().checked_sub(behind.into()) else { continue };
            let at = track.kept.partition_point(|kept| kept.first <= number);
            let Some(kept) = at.checked_sub(1).and_then(|at| track.kept.get(at)) else { continue };
            let place = (number - kept.first) as usize;
            let Some(payload) = kept.frame.payload(place) else { continue };
            let Some(left) = self.credit.checked_sub(payload.len()) else { return };
            self.credit = left;
            let marker = kept.frame.kind == MediaKind::Video && place + 1 == kept.frame.count();
            let head = Head { payload_type, marker, timestamp: kept.ticks, extension: &track.extension };
            self.stats.retransmitted_packets_sent += 1;
            out.push(|bytes| {
                self.encryptor.rtp(source, head, &sequence.to_be_bytes(), payload, bytes);
            });
        }
    }

    fn reported(&mut self, block: &ReportBlock, now: Instant) {
        let ntp = self.ntp(now);
        let Some(track) = self.tracks.iter_mut().find(|track| track.setup.ssrc == block.ssrc) else { return };
        track.is_known = true;
        track.lost = block.lost.into();
        if track.setup.kind == MediaKind::Video && track.setup.clock > 0 {
            let nanos = u64::from(block.jitter) * 1_000_000_000 / u64::from(track.setup.clock);
            self.stats.jitter = Some(Duration::from_nanos(nanos));
            self.fraction_lost = Some(block.fraction_lost);
        }
        if block.last_report != 0 {
            // RFC 3550, section 6.4.1, in 1/65536 seconds. Less than nothing is an error of rounding.
            let taken = ((ntp >> 16) as u32).wrapping_sub(block.last_report).wrapping_sub(block.since_last_report);
            let taken = u64::from(if taken > u32::MAX / 2 { 0 } else { taken });
            self.stats.round_trip_time = Some(Duration::from_nanos(taken * 1_000_000_000 / 65_536));
        }
        self.stats.packets_lost = self.tracks.iter().map(|track| track.lost).sum();
    }

    /// When [`Sender::tick`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Reports the time, when that is due.
    pub fn tick(&mut self, now: Instant, out: &mut Outbox) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = Some(now + REPORTS);
        let (ntp, Some((began, first))) = (self.ntp(now), self.anchor) else { return };
        let since = now.saturating_duration_since(began).as_nanos();
        let time = first.shifted(i64::try_from(since).unwrap_or(i64::MAX));
        for track in self.tracks.iter().filter(|track| track.packets > 0) {
            let (packets, octets) = (track.packets, track.octets);
            let timestamp = time.ticks(track.setup.clock) as u32;
            let report = SenderReport { ssrc: track.setup.ssrc, ntp, timestamp, packets, octets };
            let compound = report.bytes(&track.setup.name);
            out.push(|bytes| {
                self.encryptor.rtcp(&compound, bytes);
            });
        }
    }

    /// Says that the tracks end.
    pub fn end(&mut self, out: &mut Outbox) {
        for track in &self.tracks {
            let compound = report::end(track.setup.ssrc);
            out.push(|bytes| {
                self.encryptor.rtcp(&compound, bytes);
            });
        }
    }

    /// The counts so far.
    pub fn stats(&self) -> RtpStats {
        self.stats
    }

    /// The part of the video that was lost, in 1/256, if the viewer has reported since the last call.
    pub fn take_fraction_lost(&mut self) -> Option<u8> {
        self.fraction_lost.take()
    }

    /// The timestamp of the newest frame of video that was sent.
    pub fn newest_frame(&self) -> Option<u32> {
        self.newest
    }

    /// What the clock of the system is, in nanoseconds since 1970.
    pub fn unix(&self, now: Instant) -> u64 {
        let (at, nanos) = self.clock;
        let since = u64::try_from(now.saturating_duration_since(at).as_nanos()).unwrap_or(u64::MAX);
        nanos.saturating_add(since)
    }

    fn ntp(&self, now: Instant) -> u64 {
        report::ntp(self.unix(now))
    }
}

impl Track {
    fn keep(&mut self, kept: Kept) {
        let oldest = kept.at.checked_sub(KEPT_FOR);
        self.kept_packets += kept.frame.count();
        self.kept.push_back(kept);
        while let Some(first) = self.kept.front() {
            let is_old = oldest.is_some_and(|oldest| first.at < oldest);
            if !is_old && self.kept_packets <= KEPT {
                break;
            }
            self.kept_packets -= first.frame.count();
            self.kept.pop_front();
        }
    }
}

/// The header extension that names a medium.
fn extension(number: u8, mid: &str) -> Vec<u8> {
    let mid = mid.as_bytes();
    // One element has 16 bytes at most.
    let Some(length) = u8::try_from(mid.len()).ok().filter(|length| (1..=16).contains(length)) else {
        return Vec::new();
    };
    let mut out = Vec::from(ONE_BYTE);
    out.extend([0, (length + 1).div_ceil(4), number << 4 | (length - 1)]);
    out.extend(mid);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

#[cfg(test)]
mod tests;

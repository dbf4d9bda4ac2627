//! Where packets enter a fan-out: whatever the source, what the readers get is one unbroken stream.

use super::{FanOut, Pauses};
use crate::{
    media::{Container, Kind, PacketBuf, Scanned, matroska, multipart, ts::ContinuityRewriter},
    sys::{monotonic, since_1970},
};
use bytes::Bytes;
use std::time::Duration;

/// The one writer of a fan-out.
#[derive(Debug)]
pub struct Writer {
    fanout: FanOut,
    /// Whether the source's timestamps continue after a restart, so that readers of any container can stay.
    continues: bool,
    format: Format,
    /// Whose packets come in at the moment.
    origin: Origin,
    /// Whose packets readers get.
    shown: Origin,
    gate: Gate,
    placeholder: Gate,
    /// What came from the source last, as long as it may come back to it.
    own_header: Option<Bytes>,
    /// What follows is no continuation of what was written last.
    restarted: bool,
    /// Something was written since the fan-out was last empty.
    has_written: bool,
    /// When the newest of it was captured, as far as that is known.
    newest: Option<Duration>,
    /// When the last packet came.
    last: Duration,
    /// See [`Scanned::Lead`]: of the next packet.
    lead: Option<Bytes>,
    rhythm: Rhythm,
    /// What keeps the packets from viewers, and whether that is so.
    pauses: Pauses,
    is_held: bool,
}

/// Where packets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// What the stream is made of.
    Source,
    /// What is shown while nothing comes from there.
    Placeholder,
}

/// How packets come from the source.
#[derive(Debug, Clone, Copy, Default)]
struct Rhythm {
    /// When the last one was written.
    last: Option<Duration>,
    /// The longest recent pause between two; it shrinks with each shorter one.
    pause: Duration,
}

impl Rhythm {
    /// A packet came. `goes_on`: after the one before, from the same run.
    fn beat(&mut self, now: Duration, goes_on: bool) {
        if let Some(last) = self.last.replace(now)
            && goes_on
        {
            self.pause = now.saturating_sub(last).max(self.pause - self.pause / 32);
        }
    }
}

/// Whether packets are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// Unused; what comes is left of a run that was stopped.
    Closed,
    /// From the first one on that begins something new.
    Armed,
    /// All.
    Open,
}

/// What is kept of each container to join what a source sends with what it sent before.
#[derive(Debug)]
enum Format {
    Unknown,
    Ts {
        rewriter: Box<ContinuityRewriter>,
        header: Option<Bytes>,
    },
    Matroska {
        container: Container,
        header: Option<Bytes>,
    },
    /// A header before the media, which only late joiners can be given.
    Headed(Container),
    /// A header before media that continues after any break, as long as the header is the same.
    Framed {
        container: Container,
        header: Option<Bytes>,
    },
    /// Frames that need nothing around them.
    Bare(Container),
    Mjpeg,
    Raw,
}

impl Writer {
    /// The writer of `fanout`. `continues`: the timestamps of the source continue when it is restarted.
    pub fn new(fanout: FanOut, continues: bool) -> Self {
        Self {
            fanout,
            continues,
            format: Format::Unknown,
            origin: Origin::Source,
            shown: Origin::Source,
            gate: Gate::Closed,
            placeholder: Gate::Closed,
            own_header: None,
            restarted: false,
            has_written: false,
            newest: None,
            last: Duration::ZERO,
            lead: None,
            rhythm: Rhythm::default(),
            pauses: Pauses::default(),
            is_held: false,
        }
    }

    /// These keep the packets from viewers from now on.
    pub fn set_pauses(&mut self, pauses: Pauses) {
        self.pauses = pauses;
        self.follow_pauses();
    }

    fn follow_pauses(&mut self) {
        let is_held = self.pauses.is_paused();
        if std::mem::replace(&mut self.is_held, is_held) != is_held {
            self.fanout.hold(is_held);
            if !is_held {
                self.fanout.want_keyframe();
            }
        }
    }

    /// The fan-out that is written to.
    pub fn fanout(&self) -> &FanOut {
        &self.fanout
    }

    /// What comes next comes from there.
    pub(super) fn writes_for(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// How long nothing came from the source, and the longest pause between its packets; `None` before its first one
    /// since somebody wanted it.
    pub fn silence(&self) -> Option<(Duration, Duration)> {
        Some((monotonic().saturating_sub(self.rhythm.last?), self.rhythm.pause))
    }

    /// The source begins, for the first time or again.
    pub fn begin(&mut self) {
        self.expect();
        match self.origin {
            Origin::Source => self.gate = Gate::Open,
            Origin::Placeholder => self.placeholder = Gate::Open,
        }
    }

    /// As [`Writer::begin`], for a source whose packets come on a way where some of its last run may still be: they are
    /// dropped until one says that it begins something new.
    pub fn expect(&mut self) {
        match self.origin {
            Origin::Source => self.gate = Gate::Armed,
            Origin::Placeholder => self.placeholder = Gate::Armed,
        }
        if self.shown == self.origin {
            self.interrupt();
        }
    }

    /// What is written next does not continue what was written last.
    fn interrupt(&mut self) {
        self.restarted = self.has_written;
        if self.restarted {
            self.fanout.forget_joins();
        }
    }

    /// The source was stopped because it is unused: nothing of it is kept.
    pub fn clear(&mut self) {
        self.fanout.restart();
        if let Format::Ts { .. } = self.format {
            // No reader is left that has seen its counters and its time.
            self.format = Format::Ts { rewriter: Box::default(), header: None };
        }
        (self.gate, self.placeholder) = (Gate::Closed, Gate::Closed);
        self.shown = Origin::Source;
        self.own_header = None;
        self.rhythm = Rhythm::default();
        self.has_written = false;
        self.newest = None;
        self.restarted = false;
    }

    /// The packets are in this container.
    pub fn container(&mut self, container: Container) {
        if self.known() == Some(container) {
            return;
        }
        if self.has_written {
            self.fanout.restart();
        }
        self.format = match container {
            Container::Ts => Format::Ts { rewriter: Box::default(), header: None },
            Container::Webm | Container::Mkv => Format::Matroska { container, header: None },
            // What a command writes begins again with time 0.
            Container::Mp4 if self.continues => Format::Framed { container, header: None },
            Container::Ogg | Container::Flv | Container::Mp4 => Format::Headed(container),
            Container::Flac | Container::Wav => Format::Framed { container, header: None },
            Container::Mp3 | Container::Aac => Format::Bare(container),
            Container::Mjpeg => Format::Mjpeg,
            Container::Avi | Container::WebRtc | Container::Rtp | Container::Raw => Format::Raw,
        };
        let opening = (container == Container::Mjpeg).then(multipart::opening);
        self.fanout.set_container(container, opening);
        // Bytes of a program are cut where they were read, and Ogg's pages where they are full.
        let is_whole =
            matches!(container, Container::Ts | Container::Webm | Container::Mkv | Container::Flv | Container::Mp4);
        self.fanout.set_whole(self.continues && is_whole);
        self.fanout.set_loose(self.continues && container == Container::Mp4);
    }

    fn known(&self) -> Option<Container> {
        match &self.format {
            Format::Unknown => None,
            Format::Ts { .. } => Some(Container::Ts),
            Format::Matroska { container, .. } | Format::Framed { container, .. } => Some(*container),
            Format::Headed(container) | Format::Bare(container) => Some(*container),
            Format::Mjpeg => Some(Container::Mjpeg),
            Format::Raw => Some(Container::Raw),
        }
    }

    /// Whether what comes now is taken. `begins`: it is the first of a run; `joins`: readers can begin with it.
    fn passes(&mut self, begins: bool, joins: bool) -> bool {
        let gate = match self.origin {
            Origin::Source => &mut self.gate,
            Origin::Placeholder => &mut self.placeholder,
        };
        if *gate == Gate::Armed && begins {
            *gate = Gate::Open;
        }
        if *gate != Gate::Open {
            return false;
        }
        match (self.shown, self.origin) {
            (Origin::Source, Origin::Placeholder) => {
                self.shown = Origin::Placeholder;
                self.interrupt();
            }
            (Origin::Placeholder, Origin::Source) => {
                if !joins {
                    self.fanout.want_keyframe();
                    return false;
                }
                self.shown = Origin::Source;
                self.interrupt();
            }
            (Origin::Source, Origin::Source) | (Origin::Placeholder, Origin::Placeholder) => {}
        }
        if self.origin == Origin::Source {
            // The source is there: what stands in for it has to restart to be seen again.
            self.placeholder = Gate::Closed;
        }
        true
    }

    /// The container header for the packets that follow; `begins` as in [`Writer::packet`].
    pub fn header(&mut self, header: Bytes, begins: bool) {
        if !self.passes(begins, true) {
            return;
        }
        if self.origin == Origin::Source {
            self.own_header = Some(header.clone());
        }
        self.take_header(header);
    }

    fn take_header(&mut self, header: Bytes) {
        // The header of a transport stream is found in its packets, with counters that fit.
        match &mut self.format {
            Format::Matroska { header: current, .. } => {
                let same = current.as_ref().is_some_and(|current| matroska::same_tracks(current, &header));
                if self.has_written && same && self.continues {
                    return;
                }
                *current = Some(header.clone());
            }
            Format::Framed { header: current, .. } => {
                if self.has_written && current.as_ref() == Some(&header) {
                    return;
                }
                *current = Some(header.clone());
            }
            // Serial numbers of Ogg and times of FLV restart, and so do those of MP4 that a command writes.
            Format::Headed(_) => {}
            Format::Unknown | Format::Ts { .. } | Format::Bare(_) | Format::Mjpeg | Format::Raw => return,
        }
        if self.has_written {
            // Readers cannot be given a second header: they end and may reconnect.
            self.fanout.restart();
        }
        self.fanout.set_header(&header);
    }

    /// The next packet. `begins`: it does not continue the one before.
    pub fn packet(&mut self, mut kind: Kind, mut payload: PacketBuf, captured: Option<Duration>, begins: bool) {
        if payload.is_empty() {
            return;
        }
        self.follow_pauses();
        let lead = self.lead.take();
        if lead.is_some() {
            kind = Kind::Keyframe;
        }
        let shown = self.shown;
        if !self.passes(begins, kind == Kind::Keyframe || self.known() == Some(Container::Raw)) {
            return;
        }
        if shown != self.shown
            && self.origin == Origin::Source
            && let Some(header) = self.own_header.clone()
        {
            // It continues where it was, after the header that it had.
            self.take_header(header);
        }
        let restarted = std::mem::take(&mut self.restarted);
        let mut skipped = None;
        let now = monotonic();
        let entered = payload.entered.unwrap_or(now);
        let pause = now.saturating_sub(std::mem::replace(&mut self.last, now));
        if self.origin == Origin::Source {
            self.rhythm.beat(now, !restarted && !begins);
        }
        match &mut self.format {
            Format::Ts { rewriter, header } => {
                if (restarted || begins)
                    && let Some(notice) = rewriter.restarted(pause)
                {
                    let mut packet = crate::media::Packet::copy_of(Kind::Delta, &notice);
                    packet.discontinuity = true;
                    self.fanout.push(packet, None);
                }
                if kind == Kind::Keyframe {
                    skipped = rewriter.skip_notice();
                }
                set_if_changed(&self.fanout, header, rewriter.header());
                rewriter.packet(payload.payload_mut());
                // The first tables of all are in the packet itself.
                if header.is_none() {
                    set_if_changed(&self.fanout, header, rewriter.header_in_front_of(payload.payload()));
                }
            }
            // One place in unknown bytes is as good as another.
            Format::Raw => kind = Kind::Keyframe,
            // The same media again, or that of another worker a little earlier: readers would drop what seems to be old.
            Format::Framed { container: Container::Mp4, header: Some(header) }
                if restarted && captured <= self.newest =>
            {
                self.fanout.restart();
                self.fanout.set_header(header);
            }
            Format::Unknown
            | Format::Matroska { .. }
            | Format::Framed { .. }
            | Format::Headed(_)
            | Format::Bare(_)
            | Format::Mjpeg => {}
        }
        let mut packet = match &self.format {
            Format::Mjpeg => multipart::part(kind, &payload.into_bytes(), captured.and_then(since_1970)),
            _ => payload.finish(kind),
        };
        packet.lead = lead;
        packet.captured = captured;
        packet.entered = Some(entered);
        packet.discontinuity = restarted || begins;
        self.has_written = true;
        self.newest = self.newest.max(captured);
        self.fanout.push(packet, skipped);
    }

    /// How often the clock of a source jumped while it ran, as far as its container shows.
    pub fn clock_jumps(&self) -> u64 {
        match &self.format {
            Format::Ts { rewriter, .. } => rewriter.jumps(),
            _ => 0,
        }
    }

    /// Takes what a scanner found.
    pub fn scanned(&mut self, scanned: Scanned) {
        self.scanned_at(scanned, None);
    }

    /// The same of media that was captured then, on the monotonic clock.
    pub(super) fn scanned_at(&mut self, scanned: Scanned, captured: Option<Duration>) {
        match scanned {
            Scanned::Container(container) => self.container(container),
            Scanned::Header(header) => self.header(header, false),
            Scanned::Lead(lead) => self.lead = Some(lead),
            Scanned::Packet { kind, payload } => self.packet(kind, payload, captured, false),
        }
    }
}

fn set_if_changed(fanout: &FanOut, current: &mut Option<Bytes>, new: Option<Bytes>) {
    let Some(new) = new else { return };
    if current.as_ref().is_none_or(|current| current.as_ptr() != new.as_ptr()) {
        fanout.set_header(&new);
        *current = Some(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Delivery, Entry, Join, Reader};
    use tokio::sync::watch;

    const TS: &[u8] = include_bytes!("../../tests/data/h264-aac.ts");

    fn payload(bytes: &[u8]) -> PacketBuf {
        let mut payload = PacketBuf::default();
        payload.extend_from_slice(bytes);
        payload
    }

    fn writer(container: Container, continues: bool) -> (Writer, Reader) {
        let fanout = FanOut::requesting(watch::Sender::default());
        let reader = fanout.subscribe(Entry { join: Join::Live, header: true });
        let mut writer = Writer::new(fanout, continues);
        writer.container(container);
        writer.begin();
        (writer, reader)
    }

    /// What the reader gets now: payloads, and `None` when it has to end.
    fn read(reader: &mut Reader) -> Vec<Option<Vec<u8>>> {
        let mut read = Vec::new();
        while let Some(delivery) = reader.try_next() {
            match delivery {
                Delivery::Aside(packet) | Delivery::Packet(packet) => read.push(Some(packet.payload().to_vec())),
                Delivery::Gap(_) => {}
                Delivery::End => {
                    read.push(None);
                    break;
                }
            }
        }
        read
    }

    fn text(bytes: &str) -> Option<Vec<u8>> {
        Some(bytes.as_bytes().to_vec())
    }

    #[test]
    fn a_transport_stream_that_nobody_wanted_for_a_while_is_a_new_one() {
        let (mut writer, mut reader) = writer(Container::Ts, false);
        writer.packet(Kind::Keyframe, payload(TS), None, false);
        writer.clear();
        read(&mut reader);
        let mut reader = writer.fanout().subscribe(Entry { join: Join::Live, header: false });
        writer.begin();
        writer.packet(Kind::Keyframe, payload(TS), None, false);
        assert!(read(&mut reader) == [Some(TS.to_vec())] && writer.clock_jumps() == 0);
    }

    #[test]
    fn a_placeholder_is_shown_until_the_source_has_a_join_point() {
        let (mut writer, mut reader) = writer(Container::Mkv, true);
        let send = |writer: &mut Writer, origin, kind, bytes: &str, begins| {
            writer.writes_for(origin);
            writer.packet(kind, payload(bytes.as_bytes()), None, begins);
        };
        let (source, card) = (Origin::Source, Origin::Placeholder);
        send(&mut writer, source, Kind::Keyframe, "s1", true);
        // Not asked for, or left of a run that was.
        send(&mut writer, card, Kind::Keyframe, "c1", true);
        writer.writes_for(card);
        writer.expect();
        send(&mut writer, card, Kind::Delta, "c2", false);
        // The source is still there.
        send(&mut writer, source, Kind::Delta, "s2", false);
        send(&mut writer, card, Kind::Keyframe, "c3", true);
        writer.writes_for(card);
        writer.expect();
        send(&mut writer, card, Kind::Keyframe, "c4", true);
        send(&mut writer, card, Kind::Delta, "c5", false);
        let wishes = writer.fanout().keyframe_requests();
        send(&mut writer, source, Kind::Delta, "s3", false);
        assert!(wishes.has_changed().unwrap(), "a join point is asked for");
        send(&mut writer, card, Kind::Delta, "c6", false);
        send(&mut writer, source, Kind::Keyframe, "s4", false);
        send(&mut writer, card, Kind::Keyframe, "c7", false);
        send(&mut writer, source, Kind::Delta, "s5", false);
        let shown: Vec<_> = read(&mut reader).into_iter().flatten().collect();
        let shown: Vec<_> = shown.iter().map(|part| str::from_utf8(part).unwrap()).collect();
        assert_eq!(shown, ["s1", "s2", "c4", "c5", "c6", "s4", "s5"]);
    }

    #[test]
    fn a_source_that_comes_back_finds_its_header_again() {
        let (mut writer, mut reader) = writer(Container::Flv, true);
        let run = |writer: &mut Writer, origin, name: &str| {
            writer.writes_for(origin);
            writer.expect();
            writer.header(Bytes::from(format!("header {name}")), true);
            writer.packet(Kind::Keyframe, payload(name.as_bytes()), None, false);
        };
        run(&mut writer, Origin::Source, "source");
        assert_eq!(read(&mut reader), [text("header source"), text("source")]);
        run(&mut writer, Origin::Placeholder, "card");
        assert_eq!(read(&mut reader), [None], "no one can be given a second header");
        // It had not ended: it was silent.
        writer.writes_for(Origin::Source);
        writer.packet(Kind::Keyframe, payload(b"continues"), None, false);
        let mut reader = writer.fanout().subscribe(Entry { join: Join::Keyframe, header: true });
        assert_eq!(read(&mut reader), [text("header source"), text("continues")]);
    }

    #[test]
    fn a_transport_stream_goes_on_over_a_restart_and_says_so() {
        let (mut writer, mut reader) = writer(Container::Ts, false);
        writer.packet(Kind::Keyframe, payload(&TS[..188 * 100]), None, false);
        writer.begin();
        writer.packet(Kind::Keyframe, payload(&TS[..188 * 100]), None, false);
        let read: Vec<u8> = read(&mut reader).into_iter().flatten().flatten().collect();
        assert!(read.len() > 2 * 188 * 100, "a notice stands between the runs");
        // Per PID: counters without a gap, and the discontinuity is announced once.
        let mut last = std::collections::HashMap::new();
        let mut announced = 0;
        for packet in read.chunks(188) {
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            let (has_payload, counter) = (packet[3] & 0x10 != 0, packet[3] & 0x0f);
            announced += usize::from(packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0);
            if let Some(last) = last.insert(pid, counter) {
                assert_eq!(counter, if has_payload { (last + 1) & 0x0f } else { last }, "pid {pid}");
            }
        }
        assert_eq!(announced, last.len());
    }

    #[test]
    fn a_key_picture_within_a_cluster_is_joined_behind_what_leads_to_it() {
        let (mut writer, mut there) = writer(Container::Mkv, false);
        writer.header(Bytes::from_static(b"header"), false);
        writer.packet(Kind::Keyframe, payload(b"cluster"), None, false);
        writer.scanned(Scanned::Lead(Bytes::from_static(b"lead")));
        writer.scanned(Scanned::Packet { kind: Kind::Delta, payload: payload(b"keyframe") });
        writer.scanned(Scanned::Packet { kind: Kind::Delta, payload: payload(b"delta") });
        assert_eq!(read(&mut there)[1..], [text("cluster"), text("keyframe"), text("delta")]);
        let mut reader = writer.fanout().subscribe(Entry { join: Join::Keyframe, header: true });
        assert_eq!(read(&mut reader), [text("headerlead"), text("keyframe"), text("delta")]);
    }

    fn webm_header() -> Bytes {
        let mut found = Vec::new();
        crate::media::Scanner::new(None).push(include_bytes!("../../tests/data/vp8-opus-gst.webm"), &mut found);
        let header = found.into_iter().find_map(|found| match found {
            Scanned::Header(header) => Some(header),
            _ => None,
        });
        header.unwrap()
    }

    #[test]
    fn matroska_goes_on_only_when_its_times_and_tracks_do() {
        let header = webm_header();
        // One pixel more to the right: PixelWidth (0xb0) of the video track.
        let width = header.windows(2).rposition(|bytes| bytes == [0xb0, 0x81]).unwrap() + 2;
        let mut wider = header.to_vec();
        wider[width] ^= 1;
        for (continues, again, expected) in
            [(true, header.clone(), text("b")), (false, header.clone(), None), (true, Bytes::from(wider), None)]
        {
            let (mut writer, mut reader) = writer(Container::Webm, continues);
            writer.header(header.clone(), false);
            writer.packet(Kind::Keyframe, payload(b"a"), None, false);
            assert_eq!(read(&mut reader), [Some(header.to_vec()), text("a")]);
            writer.begin();
            writer.header(again.clone(), false);
            writer.packet(Kind::Keyframe, payload(b"b"), None, false);
            assert_eq!(read(&mut reader), [expected]);
            let entry = Entry { join: Join::Keyframe, header: true };
            let mut newcomer = writer.fanout().subscribe(entry);
            assert_eq!(read(&mut newcomer), [Some(again.to_vec()), text("b")], "who comes now has the header of now");
        }
    }

    #[test]
    fn a_second_header_of_ogg_or_flv_ends_its_readers_and_frames_go_on() {
        for (container, continues, is_headed) in [
            (Container::Ogg, true, true),
            (Container::Flv, true, true),
            // Of a command.
            (Container::Mp4, false, true),
            (Container::Mp3, true, false),
            (Container::Aac, true, false),
        ] {
            let (mut writer, mut reader) = writer(container, continues);
            let mut run = |bytes| {
                writer.begin();
                if is_headed {
                    writer.header(Bytes::from_static(b"header"), false);
                }
                writer.packet(Kind::Keyframe, payload(bytes), None, false);
            };
            run(b"a");
            assert_eq!(read(&mut reader), if is_headed { vec![text("header"), text("a")] } else { vec![text("a")] });
            run(b"b");
            assert_eq!(read(&mut reader), [if is_headed { None } else { text("b") }], "{container}");
        }
    }

    #[test]
    fn flac_and_wav_go_on_behind_the_same_header() {
        for container in [Container::Flac, Container::Wav] {
            let (mut writer, mut reader) = writer(container, false);
            let mut run = |header: &'static [u8], frame| {
                writer.begin();
                writer.header(Bytes::from_static(header), false);
                writer.packet(Kind::Keyframe, payload(frame), None, false);
            };
            run(b"mono", b"a");
            run(b"mono", b"b");
            assert_eq!(read(&mut reader), [text("mono"), text("a"), text("b")]);
            run(b"stereo", b"c");
            assert_eq!(read(&mut reader), [None]);
        }
    }

    #[test]
    fn mp4_goes_on_only_when_its_times_do() {
        let (mut writer, mut reader) = writer(Container::Mp4, true);
        let mut run = |bytes, seconds| {
            writer.begin();
            writer.header(Bytes::from_static(b"header"), false);
            writer.packet(Kind::Keyframe, payload(bytes), Some(Duration::from_secs(seconds)), false);
        };
        run(b"a", 5);
        run(b"b", 6);
        assert_eq!(read(&mut reader), [text("header"), text("a"), text("b")]);
        run(b"c", 6);
        assert_eq!(read(&mut reader), [None]);
        let mut reader = writer.fanout().subscribe(Entry { join: Join::Keyframe, header: true });
        assert_eq!(read(&mut reader), [text("header"), text("c")]);
    }

    #[test]
    fn bytes_of_a_source_are_kept_from_viewers_while_it_is_paused() {
        let (mut writer, mut reader) = writer(Container::Mkv, false);
        let pause = crate::stream::Pause::default();
        writer.set_pauses(crate::stream::Pauses::of(pause.clone()));
        let push = |writer: &mut Writer, kind, bytes: &str| writer.packet(kind, payload(bytes.as_bytes()), None, false);
        push(&mut writer, Kind::Keyframe, "a");
        assert_eq!(read(&mut reader), [text("a")]);
        pause.pause();
        push(&mut writer, Kind::Keyframe, "b");
        assert_eq!(read(&mut reader), []);
        let wishes = writer.fanout().keyframe_requests();
        pause.resume();
        push(&mut writer, Kind::Delta, "c");
        assert!(wishes.has_changed().unwrap(), "a join point is asked for");
        push(&mut writer, Kind::Keyframe, "d");
        assert_eq!(read(&mut reader), [text("d")]);
    }

    #[test]
    fn every_viewer_of_motion_jpeg_gets_the_boundary_first() {
        let (mut writer, mut reader) = writer(Container::Mjpeg, true);
        writer.packet(Kind::Keyframe, payload(b"JPEG"), None, false);
        let part = "Content-Type: image/jpeg\r\nContent-Length: 4\r\n\r\nJPEG\r\n--voyandz\r\n";
        assert_eq!(read(&mut reader), [text("--voyandz\r\n"), text(part)]);
    }

    #[test]
    fn what_is_left_of_an_earlier_run_is_dropped() {
        let (mut writer, mut reader) = writer(Container::Raw, true);
        writer.packet(Kind::Delta, payload(b"a"), None, false);
        writer.clear();
        writer.packet(Kind::Delta, payload(b"late"), None, false);
        writer.expect();
        writer.packet(Kind::Delta, payload(b"later"), None, false);
        writer.packet(Kind::Delta, payload(b"b"), None, true);
        writer.packet(Kind::Delta, payload(b"c"), None, false);
        assert_eq!(read(&mut reader), [text("b"), text("c")], "it came before the first run, and had nothing of it");
    }
}

//! One transport stream packet (ISO/IEC 13818-1, section 2.4.3).

/// Bytes of a packet.
pub const PACKET: usize = 188;
/// The byte that every packet begins with.
pub(in crate::media) const SYNC: u8 = 0x47;

/// PID of the program association table.
pub(super) const PAT_PID: u16 = 0;
/// PID of packets that carry nothing; their continuity counter is undefined.
pub(super) const NULL_PID: u16 = 0x1fff;
/// Bytes of a program clock reference.
pub(super) const PCR_LENGTH: usize = 6;
/// PIDs below carry tables about the stream, never media (table 2-3, and ETSI EN 300 468, table 1).
const FIRST_MEDIA_PID: u16 = 0x20;

/// A packet's head and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    raw: &'a [u8; PACKET],
}

impl<'a> Packet<'a> {
    /// `None` when the packet does not begin with the sync byte.
    pub(super) fn new(raw: &'a [u8; PACKET]) -> Option<Self> {
        (raw[0] == SYNC).then_some(Self { raw })
    }

    /// The packet itself.
    pub(super) fn raw(self) -> &'a [u8; PACKET] {
        self.raw
    }

    /// Which of the multiplexed streams this packet belongs to.
    pub(super) fn pid(self) -> u16 {
        u16::from_be_bytes([self.raw[1] & 0x1f, self.raw[2]])
    }

    /// A receiver saw a bit error that it could not repair: no field can be relied on.
    pub(super) fn is_damaged(self) -> bool {
        self.raw[1] & 0x80 != 0
    }

    /// `payload_unit_start_indicator`: a PES packet or a section begins in this packet.
    pub(super) fn starts_unit(self) -> bool {
        self.raw[1] & 0x40 != 0
    }

    /// The payload is encrypted.
    pub(super) fn is_scrambled(self) -> bool {
        self.raw[3] & 0xc0 != 0
    }

    /// `continuity_counter`, 0 to 15.
    pub(super) fn counter(self) -> u8 {
        self.raw[3] & 0x0f
    }

    /// Whether there is a payload; packets without one do not advance the counter (section 2.4.3.3).
    pub(super) fn has_payload(self) -> bool {
        self.raw[3] & 0x10 != 0
    }

    /// Whether this packet cannot belong to an access unit: tables, stuffing, or a lone clock reference.
    pub(super) fn is_filler(self) -> bool {
        self.pid() < FIRST_MEDIA_PID || self.pid() == NULL_PID || !self.has_payload()
    }

    /// `random_access_indicator`: decoding may begin with this packet (section 2.4.3.5).
    pub(super) fn is_random_access(self) -> bool {
        self.has_adaptation_field() && self.raw[4] > 0 && self.raw[5] & 0x40 != 0
    }

    /// The bytes after head and adaptation field; empty when there are none.
    pub(super) fn payload(self) -> &'a [u8] {
        if !self.has_payload() {
            return &[];
        }
        let at = if self.has_adaptation_field() { 5 + usize::from(self.raw[4]) } else { 4 };
        self.raw.get(at..).unwrap_or_default()
    }

    /// Where the program clock reference is in the packet, if there is one (section 2.4.3.5).
    pub(super) fn clock_reference(self) -> Option<usize> {
        let length = usize::from(self.raw[4]);
        (self.has_adaptation_field() && length > PCR_LENGTH && length <= PACKET - 5 && self.raw[5] & 0x10 != 0)
            .then_some(6)
    }

    /// Where in the packet the PTS is and, where it differs, the DTS of a frame that begins here (section
    /// 2.4.3.6).
    pub(super) fn presentation(self) -> Option<(usize, Option<usize>)> {
        if !self.starts_unit() || self.is_scrambled() || self.is_filler() {
            return None;
        }
        let payload = self.payload();
        let at = PACKET - payload.len();
        let [0, 0, 1, id, _, _, marks, flags, length, ..] = payload else { return None };
        // These have no such head (table 2-21).
        if matches!(id, 0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff) || marks & 0xc0 != 0x80 {
            return None;
        }
        let is_whole = |bytes: usize| usize::from(*length) >= bytes && payload.len() >= 9 + bytes;
        match flags >> 6 {
            2 if is_whole(5) => Some((at + 9, None)),
            3 if is_whole(10) => Some((at + 9, Some(at + 14))),
            _ => None,
        }
    }

    /// `discontinuity_indicator`: counters or the time base may be others from here on (section 2.4.3.5).
    pub(super) fn is_discontinuity(self) -> bool {
        self.has_adaptation_field() && self.raw[4] > 0 && self.raw[5] & 0x80 != 0
    }

    /// Whether its adaptation field is longer than what it says needs: the payload is shorter than it could be.
    pub(super) fn has_stuffing(self) -> bool {
        let length = usize::from(self.raw[4]);
        self.has_adaptation_field() && (length == 0 || length > self.used_adaptation())
    }

    /// What its adaptation field says, without its length and stuffing.
    pub(super) fn adaptation_without_stuffing(self) -> &'a [u8] {
        let length = usize::from(self.raw[4]);
        if !self.has_adaptation_field() || length == 0 {
            return &[];
        }
        self.raw.get(5..5 + self.used_adaptation().min(length)).unwrap_or_default()
    }

    /// Bytes of what an adaptation field that is not empty says.
    fn used_adaptation(self) -> usize {
        let flags = self.raw[5];
        let mut used = 1;
        // PCR, OPCR, `splice_countdown`; then two parts with their length.
        for (bit, bytes) in [(0x10, PCR_LENGTH), (0x08, PCR_LENGTH), (0x04, 1)] {
            used += if flags & bit != 0 { bytes } else { 0 };
        }
        for bit in [0x02, 0x01] {
            if flags & bit != 0 {
                used += 1 + usize::from(self.raw.get(5 + used).copied().unwrap_or(0));
            }
        }
        used
    }

    fn has_adaptation_field(self) -> bool {
        self.raw[3] & 0x20 != 0
    }
}

/// Writes `counter` into a packet.
pub(super) fn set_counter(raw: &mut [u8; PACKET], counter: u8) {
    raw[3] = raw[3] & 0xf0 | counter & 0x0f;
}

/// A packet without payload that signals a discontinuity of `pid` to a decoder (section 2.4.3.4). It carries
/// the counter of the packet before it, because it does not advance it.
pub(super) fn discontinuity(pid: u16, counter: u8) -> [u8; PACKET] {
    let [high, low] = pid.to_be_bytes();
    let mut raw = [0xff; PACKET];
    // Head, adaptation field only, its length up to the end of the packet, discontinuity_indicator.
    for (byte, value) in raw.iter_mut().zip([SYNC, high & 0x1f, low, 0x20 | counter & 0x0f, 183, 0x80]) {
        *byte = value;
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(head: &[u8]) -> [u8; PACKET] {
        let mut raw = [0xaa; PACKET];
        raw[..head.len()].copy_from_slice(head);
        raw
    }

    #[test]
    fn fields_are_read_where_the_standard_puts_them() {
        let start = raw(&[0x47, 0x41, 0x00, 0x37, 7, 0x50]);
        let packet = Packet::new(&start).unwrap();
        assert_eq!((packet.pid(), packet.counter(), packet.payload().len()), (0x100, 7, 176));
        assert!(packet.starts_unit() && packet.is_random_access() && !packet.is_filler());

        let plain = raw(&[0x47, 0x1f, 0xff, 0x10, 7, 0x40]);
        let packet = Packet::new(&plain).unwrap();
        assert_eq!((packet.pid(), packet.payload().len()), (NULL_PID, 184));
        assert!(!packet.starts_unit() && !packet.is_random_access() && packet.is_filler());
        assert!(Packet::new(&raw(&[0x46])).is_none());
    }

    #[test]
    fn a_lying_adaptation_field_leaves_no_payload() {
        let lying = raw(&[0x47, 0x01, 0x00, 0x30, 255, 0x40]);
        assert_eq!(Packet::new(&lying).unwrap().payload(), b"");
    }

    #[test]
    fn a_discontinuity_packet_has_no_payload() {
        let notice = discontinuity(0x1001, 9);
        let packet = Packet::new(&notice).unwrap();
        assert_eq!((packet.pid(), packet.counter(), packet.payload()), (0x1001, 9, &b""[..]));
        assert_eq!(notice[4..7], [183, 0x80, 0xff]);
    }
}

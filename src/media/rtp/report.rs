//! RTCP (RFC 3550, section 6): sender and receiver reports, the name of a source, and its end; and what receivers ask for (RFC 4585,
//! RFC 5104).

const SENDER: u8 = 200;
const RECEIVER: u8 = 201;
const DESCRIPTION: u8 = 202;
const END: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
/// Forms of feedback: lost packets; a picture is lost; a keyframe is wanted.
const NACK: usize = 1;
const PLI: usize = 1;
const FIR: usize = 4;
const CANONICAL_NAME: u8 = 1;
/// Seconds from 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// What a sender says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Whose it is.
    pub ssrc: u32,
    /// A moment of wall-clock time, as NTP: seconds since 1900, and 2^-32 seconds.
    pub ntp: u64,
    /// The timestamp of the same moment.
    pub timestamp: u32,
    /// Packets sent so far, which wraps.
    pub packets: u32,
    /// Bytes of payload sent so far, which wraps.
    pub octets: u32,
}

/// What a receiver says of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The sender.
    pub ssrc: u32,
    /// Packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all, in 24 bits.
    pub lost: i32,
    /// The highest sequence number with the number of its wraps.
    pub highest: u32,
    /// Jitter in ticks.
    pub jitter: u32,
    /// The middle of the NTP time of the last sender report; 0 when there was none.
    pub last_report: u32,
    /// Since then, in 1/65536 seconds.
    pub since_last_report: u32,
}

/// One part of a compound packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A sender report. What it says of others follows as [`Report::Receiver`].
    Sender(SenderReport),
    /// What this receiver says.
    Receiver {
        /// Who says it.
        ssrc: u32,
        /// Of whom.
        blocks: Vec<ReportBlock>,
    },
    /// These senders end.
    End(Vec<u32>),
    /// These packets did not come.
    Lost {
        /// Of whom.
        ssrc: u32,
        /// Their sequence numbers.
        sequences: Vec<u16>,
    },
    /// A keyframe is needed of this sender: the picture is lost (PLI), or it is wanted for another reason (FIR).
    Keyframe {
        /// Of whom.
        ssrc: u32,
        /// It is a FIR.
        is_full: bool,
    },
    /// Anything else, by its packet type.
    Other(u8),
}

/// The parts of a compound packet; ends at the first that is cut off or wrong.
pub fn parse(mut bytes: &[u8]) -> Vec<Report> {
    let mut out = Vec::new();
    while let Some((&[head, kind, high, low], _)) = bytes.split_first_chunk::<4>() {
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let Some((part, rest)) = bytes.split_at_checked(length).filter(|_| head >> 6 == 2) else { break };
        bytes = rest;
        let content = part.get(4..).unwrap_or_default();
        let count = usize::from(head & 0x1f);
        if read(kind, count, content, &mut out).is_none() {
            break;
        }
    }
    out
}

fn read(kind: u8, count: usize, content: &[u8], out: &mut Vec<Report>) -> Option<()> {
    match kind {
        SENDER => {
            let (ssrc, rest) = word(content)?;
            let (ntp, rest) = rest.split_first_chunk::<8>()?;
            let (timestamp, rest) = word(rest)?;
            let (packets, rest) = word(rest)?;
            let (octets, rest) = word(rest)?;
            out.push(Report::Sender(SenderReport { ssrc, ntp: u64::from_be_bytes(*ntp), timestamp, packets, octets }));
            if count > 0 {
                out.push(Report::Receiver { ssrc, blocks: blocks(count, rest)? });
            }
        }
        RECEIVER => {
            let (ssrc, rest) = word(content)?;
            out.push(Report::Receiver { ssrc, blocks: blocks(count, rest)? });
        }
        END => {
            let (words, _) = content.as_chunks::<4>();
            out.push(Report::End(words.get(..count)?.iter().map(|word| u32::from_be_bytes(*word)).collect()));
        }
        TRANSPORT_FEEDBACK if count == NACK => {
            let (_, rest) = word(content)?;
            let (ssrc, rest) = word(rest)?;
            let lost = rest.as_chunks::<4>().0.iter().flat_map(|&[a, b, c, d]| {
                let (first, others) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                let others = (0..16).filter(move |bit| others & 1 << bit != 0);
                std::iter::once(first).chain(others.map(move |bit| first.wrapping_add(bit + 1)))
            });
            out.push(Report::Lost { ssrc, sequences: lost.collect() });
        }
        PAYLOAD_FEEDBACK if count == PLI => {
            let (_, rest) = word(content)?;
            let (ssrc, _) = word(rest)?;
            out.push(Report::Keyframe { ssrc, is_full: false });
        }
        PAYLOAD_FEEDBACK if count == FIR => {
            let (_, rest) = word(content)?;
            let (_, rest) = word(rest)?;
            let (entries, _) = rest.as_chunks::<8>();
            out.extend(
                entries.iter().map(|&[a, b, c, d, ..]| Report::Keyframe {
                    ssrc: u32::from_be_bytes([a, b, c, d]),
                    is_full: true,
                }),
            );
        }
        kind => out.push(Report::Other(kind)),
    }
    Some(())
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(word, rest)| (u32::from_be_bytes(*word), rest))
}

fn blocks(count: usize, mut bytes: &[u8]) -> Option<Vec<ReportBlock>> {
    let mut blocks = Vec::new();
    for _ in 0..count {
        let (ssrc, rest) = word(bytes)?;
        let (loss, rest) = word(rest)?;
        let (highest, rest) = word(rest)?;
        let (jitter, rest) = word(rest)?;
        let (last_report, rest) = word(rest)?;
        let (since_last_report, rest) = word(rest)?;
        bytes = rest;
        blocks.push(ReportBlock {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            // 24 bits with a sign.
            lost: (loss << 8) as i32 >> 8,
            highest,
            jitter,
            last_report,
            since_last_report,
        });
    }
    Some(blocks)
}

impl SenderReport {
    /// A compound packet: the report, and the canonical name by which receivers know what is from the same clock.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let mut out = vec![0x80, SENDER, 0, 6];
        out.extend(self.ssrc.to_be_bytes());
        out.extend(self.ntp.to_be_bytes());
        out.extend([self.timestamp, self.packets, self.octets].iter().flat_map(|word| word.to_be_bytes()));
        describe(self.ssrc, name, &mut out);
        out
    }
}

/// A compound packet of a receiver.
pub fn receiver(ssrc: u32, blocks: &[ReportBlock], name: &str) -> Vec<u8> {
    let blocks = blocks.get(..31).unwrap_or(blocks);
    let mut out = vec![0x80 | blocks.len() as u8, RECEIVER, 0, 1 + 6 * blocks.len() as u8];
    out.extend(ssrc.to_be_bytes());
    for block in blocks {
        let loss = u32::from(block.fraction_lost) << 24 | (block.lost as u32 & 0xff_ffff);
        let words = [block.ssrc, loss, block.highest, block.jitter, block.last_report, block.since_last_report];
        out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    }
    describe(ssrc, name, &mut out);
    out
}

/// A compound packet with which a sender ends.
pub fn end(ssrc: u32) -> Vec<u8> {
    let ssrc = ssrc.to_be_bytes();
    [&[0x80, RECEIVER, 0, 1], &ssrc[..], &[0x81, END, 0, 1], &ssrc].concat()
}

/// Appends a source description.
fn describe(ssrc: u32, name: &str, out: &mut Vec<u8>) {
    let name = name.as_bytes();
    let name = name.get(..200).unwrap_or(name);
    let mut item = ssrc.to_be_bytes().to_vec();
    item.extend([CANONICAL_NAME, name.len() as u8]);
    item.extend(name);
    // One zero ends the items, more fill the word.
    item.resize((item.len() + 1).next_multiple_of(4), 0);
    out.extend([0x81, DESCRIPTION, 0, (item.len() / 4) as u8]);
    out.extend(item);
}

/// Nanoseconds since 1970 as NTP.
pub fn ntp(unix_nanos: u64) -> u64 {
    let (seconds, nanos) = (unix_nanos / 1_000_000_000, unix_nanos % 1_000_000_000);
    // The era of NTP ends in 2036; only the lowest bits are sent.
    ((seconds.wrapping_add(NTP_EPOCH) & 0xffff_ffff) << 32) | ((nanos << 32) / 1_000_000_000)
}

/// Nanoseconds from one NTP time to another, across the end of an era, negative when the other is earlier.
pub fn ntp_since(later: u64, earlier: u64) -> i64 {
    let difference = i128::from(later.wrapping_sub(earlier) as i64);
    i64::try_from((difference * 1_000_000_000) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reports_come_back() {
        let sender = SenderReport { ssrc: 1, ntp: ntp(1_700_000_000_500_000_000), timestamp: 3, packets: 4, octets: 5 };
        assert_eq!(parse(&sender.bytes("cam0@host")), [Report::Sender(sender), Report::Other(DESCRIPTION)]);
        assert_eq!(sender.ntp as u32, 1 << 31);
        let block = ReportBlock {
            ssrc: 1,
            fraction_lost: 128,
            lost: -2,
            highest: 0x1_0000,
            jitter: 9,
            last_report: 7,
            since_last_report: 8,
        };
        let report = Report::Receiver { ssrc: 2, blocks: vec![block] };
        assert_eq!(parse(&receiver(2, &[block], "x")), [report, Report::Other(DESCRIPTION)]);
        assert_eq!(parse(&end(7))[1], Report::End(vec![7]));
    }

    #[test]
    fn what_receivers_ask_for_is_read() {
        let check = |bytes: &[u8], expect: &[Report]| assert_eq!(parse(bytes), expect, "{bytes:x?}");
        // RFC 4585, section 6.2.1: a number, and bits for the 16 after it.
        let lost = Report::Lost { ssrc: 2, sequences: vec![0xffff, 0, 15, 9] };
        check(&[0x81, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0x80, 1, 0, 9, 0, 0], &[lost]);
        check(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], &[Report::Keyframe { ssrc: 2, is_full: false }]);
        // RFC 5104, section 4.3.1: the sender is named in the entry.
        let full = [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 7, 0, 0, 0];
        check(&full, &[Report::Keyframe { ssrc: 2, is_full: true }]);
        check(&[0x8f, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], &[Report::Other(206)]);
        check(&[0x81, 205, 0, 1, 0, 0, 0, 1], &[]);
    }

    #[test]
    fn descriptions_fill_their_words() {
        for length in 0..9 {
            let bytes = receiver(1, &[], &"x".repeat(length));
            assert!(bytes.len().is_multiple_of(4) && bytes.last() == Some(&0), "{length}");
            assert_eq!(parse(&bytes).len(), 2);
        }
    }

    #[test]
    fn differences_of_ntp_times_cross_eras() {
        let (before, after) = (0xffff_ffff_8000_0000, 0x0000_0000_4000_0000);
        assert_eq!(ntp_since(after, before), 750_000_000);
        assert_eq!(ntp_since(before, after), -750_000_000);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, kind in 199u8..206, count in 0u8..32) {
            let _ = parse(&bytes);
            let length = (bytes.len() / 4) as u16;
            let _ = parse(&[&[0x80 | count, kind][..], &length.to_be_bytes(), &bytes].concat());
        }
    }
}

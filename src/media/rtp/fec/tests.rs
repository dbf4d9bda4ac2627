//! What is lost and what comes back.

use super::{super::Header, *};
use bytes::Bytes;
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

/// A datagram on its way: media by its number, or protection.
#[derive(Debug, Clone)]
enum Datagram {
    Media(u16, Bytes),
    Protection(Direction, Vec<u8>),
}

fn media(sequence: u16, length: usize) -> Bytes {
    let timestamp = u32::from(sequence).wrapping_mul(0x0101_0203);
    let header = Header { payload_type: 33, marker: sequence.is_multiple_of(7), sequence, timestamp, ssrc: 9 };
    let payload = (0..length).map(|at| (at as u16).wrapping_mul(sequence) as u8);
    header.bytes().into_iter().chain(payload).collect::<Vec<_>>().into()
}

/// What a sender sends of so many packets, in the order of sending.
fn sent(matrix: Matrix, start: u16, count: u16) -> Vec<Datagram> {
    let (mut encoder, mut all, mut out) = (Encoder::new(matrix, [7, 8]), Vec::new(), Vec::new());
    for number in 0..count {
        let sequence = start.wrapping_add(number);
        let packet = media(sequence, 188 * (1 + usize::from(number % 7)));
        encoder.push(&packet, (sequence, 5), &mut out);
        all.push(Datagram::Media(sequence, packet));
        all.extend(out.drain(..).map(|(direction, packet)| Datagram::Protection(direction, packet)));
    }
    all
}

/// Which numbers a receiver has in the end; each packet has to be as it was sent.
fn received(datagrams: impl IntoIterator<Item = Datagram>) -> BTreeMap<u16, usize> {
    let (mut decoder, mut out, mut found) = (Decoder::default(), Vec::new(), BTreeMap::new());
    for datagram in datagrams {
        match datagram {
            Datagram::Media(sequence, packet) => {
                *found.entry(sequence).or_default() += 1;
                decoder.media(&packet, (sequence, 9), &mut out);
            }
            Datagram::Protection(_, packet) => decoder.protection(&packet, Duration::ZERO, &mut out),
        }
        for packet in out.drain(..) {
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            assert_eq!(packet, media(sequence, packet.len() - 12), "{sequence}");
            *found.entry(sequence).or_default() += 1;
        }
    }
    found
}

fn is_media(datagram: &Datagram, lost: &[u16]) -> bool {
    matches!(datagram, Datagram::Media(sequence, _) if lost.contains(sequence))
}

const FIVE: Matrix = Matrix { columns: 5, rows: 5, protects_rows: true };

#[test]
fn a_protecting_packet_is_as_the_standard_has_it() {
    let matrix = Matrix { columns: 2, rows: 2, protects_rows: true };
    let mut encoder = Encoder::new(matrix, [0x1234, 0x4321]);
    let (mut out, mut all) = (Vec::new(), Vec::new());
    let packets: [(u16, u32, &[u8]); 5] =
        [(0xfffe, 1, &[0x47, 1]), (0xffff, 2, &[0x47, 2, 3]), (0, 4, &[0x40]), (1, 8, &[]), (2, 16, &[])];
    for (sequence, timestamp, payload) in packets {
        let header = Header { payload_type: 33, marker: sequence == 0, sequence, timestamp, ssrc: 1 };
        encoder.push(&[&header.bytes()[..], payload].concat(), (sequence, timestamp), &mut out);
        all.extend(out.drain(..).map(|(direction, packet)| (sequence, direction, packet)));
    }
    let row = [
        0x80, 96, 0x43, 0x21, 0, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xfe, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 3, 0x40, 1, 2, 0, 0, 3,
        3,
    ];
    assert_eq!(all[0], (0xffff, Direction::Row, row.to_vec()));
    // The marker is summed up, too, in the header of RTP.
    let column = [
        0x80,
        0x80 | 96,
        0x12,
        0x34,
        0,
        0,
        0,
        16,
        0,
        0,
        0,
        0,
        0xff,
        0xfe,
        0,
        3,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        5,
        0,
        2,
        2,
        0,
        7,
        1,
    ];
    assert_eq!(all[2].1, Direction::Column);
    assert_eq!((all.len(), all[2].0, &all[2].2[..24]), (3, 2, &column[..24]));
    assert_eq!(all[2].2[24..], column[24..]);
}

#[test]
fn what_one_repair_makes_possible_is_repaired() {
    // Two in each of two rows and columns but one: only the corner begins.
    let lost = [100, 101, 106, 107, 112];
    let datagrams = sent(FIVE, 100, 100);
    let found = received(datagrams.iter().filter(|datagram| !is_media(datagram, &lost[1..])).cloned());
    assert_eq!(found.len(), 100, "{found:?}");
    // Four in a square are not.
    let lost = [101, 102, 106, 107];
    let found = received(datagrams.into_iter().filter(|datagram| !is_media(datagram, &lost)));
    assert_eq!(found.len(), 96);
}

#[test]
fn a_receiver_knows_how_long_to_wait_and_when_to_give_up() {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    assert_eq!((decoder.patience(Duration::ZERO), decoder.given_up(Duration::ZERO)), (None, None));
    let mut given_up = Vec::new();
    for datagram in sent(FIVE, 65_530, 60) {
        match datagram {
            Datagram::Media(sequence, packet) => decoder.media(&packet, (sequence, 9), &mut out),
            Datagram::Protection(_, packet) => decoder.protection(&packet, Duration::ZERO, &mut out),
        }
        if given_up.last() != Some(&decoder.given_up(Duration::ZERO)) {
            given_up.push(decoder.given_up(Duration::ZERO));
        }
    }
    let start = 65_530_u16;
    let columns = [0, 1, 2, 3, 4, 25, 26, 27, 28, 29].map(|at| Some(start.wrapping_add(at)));
    let expect = [None].into_iter().chain(columns);
    assert_eq!(given_up, expect.collect::<Vec<_>>());
    // 21 packets from the first of a column to the last, and as many again.
    assert_eq!(decoder.patience(Duration::ZERO), Some(42));
    assert_eq!((decoder.patience(Duration::from_secs(3)), decoder.given_up(Duration::from_secs(3))), (None, None));
}

#[test]
fn what_may_still_come_is_not_recovered() {
    let mut datagrams = sent(FIVE, 0, 40);
    // The protection of a row overtakes its last packet.
    let row = datagrams.iter().position(|one| matches!(one, Datagram::Protection(Direction::Row, _))).unwrap();
    datagrams.swap(row, row - 1);
    assert!(received(datagrams.clone()).values().all(|count| *count == 1));
    // The next one shows that it is lost.
    datagrams.remove(row);
    let found = received(datagrams.drain(..=row));
    assert_eq!((found.len(), found.get(&4)), (6, Some(&1)));
}

#[test]
fn what_began_before_the_receiver_is_not_recovered() {
    let found = received(sent(FIVE, 0, 60).into_iter().skip_while(|datagram| !is_media(datagram, &[2])));
    assert_eq!((found.len(), found.keys().next()), (58, Some(&2)));
}

#[test]
fn a_sender_that_begins_again_does_not_meet_its_past() {
    let first = sent(FIVE, 0, 60).into_iter().filter(|datagram| !is_media(datagram, &[11, 12, 16, 17]));
    // The same numbers, other packets: they are longer.
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for datagram in first {
        match datagram {
            Datagram::Media(sequence, packet) => decoder.media(&packet, (sequence, 9), &mut out),
            Datagram::Protection(_, packet) => decoder.protection(&packet, Duration::ZERO, &mut out),
        }
    }
    assert_eq!(out, [] as [Bytes; 0]);
    for sequence in [11, 12, 16] {
        decoder.media(&media(sequence, 500), (sequence, 10), &mut out);
    }
    assert_eq!(out, [] as [Bytes; 0], "of another source");
}

fn matrices() -> impl Strategy<Value = Matrix> {
    (1_u8..=20, 2_u8..=20, any::<bool>()).prop_filter_map("at most 100 packets", |(columns, rows, protects_rows)| {
        (u16::from(columns) * u16::from(rows) <= 100).then_some(Matrix { columns, rows, protects_rows })
    })
}

proptest! {
    /// One of each column, whatever the rows are like.
    #[test]
    fn one_of_each_column_is_repaired(matrix in matrices(), start: u16, picks in prop::collection::vec(0_u16..20, 60)) {
        let (columns, size) = (u16::from(matrix.columns), u16::from(matrix.columns) * u16::from(matrix.rows));
        let lost: Vec<u16> = (0..3 * columns)
            .zip(picks)
            .map(|(at, pick)| at / columns * size + pick % u16::from(matrix.rows) * columns + at % columns)
            // The receiver has to know where it begins.
            .filter(|at| *at != 0)
            .map(|at| start.wrapping_add(at))
            .collect();
        let datagrams = sent(matrix, start, 5 * size);
        let found = received(datagrams.into_iter().filter(|datagram| !is_media(datagram, &lost)));
        prop_assert_eq!(found.len(), usize::from(5 * size));
        prop_assert!(found.values().all(|count| *count == 1));
    }

    /// As many datagrams as there are columns, wherever they are, with what protects others among them.
    #[test]
    fn a_burst_as_long_as_a_row_is_repaired(matrix in matrices(), start: u16, at in 1_usize..200) {
        let size = u16::from(matrix.columns) * u16::from(matrix.rows);
        let mut datagrams = sent(matrix, start, 5 * size);
        let at = 1 + at % (usize::from(3 * size) - usize::from(matrix.columns));
        drop(datagrams.drain(at..at + usize::from(matrix.columns)));
        let found = received(datagrams);
        prop_assert_eq!(found.len(), usize::from(5 * size));
    }

    /// Whatever is lost, swapped or sent twice, nothing wrong is recovered; `received` compares.
    #[test]
    fn nothing_wrong_is_recovered(
        matrix in matrices(),
        start: u16,
        fates in prop::collection::vec((0_u8..10, 0_usize..30), 600),
    ) {
        let mut datagrams = Vec::new();
        for (datagram, (fate, _)) in sent(matrix, start, 400).into_iter().zip(&fates) {
            let copies = match fate { 0..2 => 0, 2 => 2, _ => 1 };
            datagrams.extend(std::iter::repeat_n(datagram, copies));
        }
        for (at, (_, swap)) in fates.iter().enumerate() {
            if at + swap < datagrams.len() {
                datagrams.swap(at, at + swap);
            }
        }
        received(datagrams);
    }

    #[test]
    fn foreign_bytes_never_panic(packets in prop::collection::vec((any::<bool>(), any::<u16>(), any::<Vec<u8>>()), 0..60)) {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for (is_media, sequence, mut bytes) in packets {
            if is_media {
                decoder.media(&bytes.into(), (sequence, 1), &mut out);
            } else {
                // Most are read further than their first bytes.
                bytes.resize(bytes.len().max(40), 0xff);
                (bytes[0], bytes[16], bytes[24]) = (0x80, bytes[16] | 0x80, bytes[24] & 0x40);
                bytes[12..14].copy_from_slice(&sequence.to_be_bytes());
                decoder.protection(&bytes, Duration::ZERO, &mut out);
            }
        }
        prop_assert!(out.iter().all(|packet| packet.len() <= MAX_PACKET));
    }
}

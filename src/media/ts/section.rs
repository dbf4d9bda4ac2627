//! Sections, in which tables travel (ISO/IEC 13818-1, section 2.4.4).

use super::packet::{PACKET, SYNC};

/// `table_id` of the program association table.
pub(super) const PAT_TABLE: u8 = 0;
/// `table_id` of a program map table.
pub(super) const PMT_TABLE: u8 = 2;

/// The section with this table id, table id extension, version from 0 to 31, and body.
pub(super) fn section(table: u8, extension: u16, version: u8, body: &[u8]) -> Vec<u8> {
    // A body is bounded by what its maker knows: a section has 1024 bytes at most.
    let length = (5 + body.len() + 4) as u16;
    let mut section = vec![table];
    section.extend((0xb000 | length & 0x0fff).to_be_bytes());
    section.extend(extension.to_be_bytes());
    // In force now; the first and the last one of its table.
    section.extend([0xc1 | version << 1 & 0x3e, 0, 0]);
    section.extend(body);
    let crc = crc32(&section);
    section.extend(crc.to_be_bytes());
    section
}

/// The packets that carry a section on a PID, with counters from 0.
pub(super) fn packets(pid: u16, section: &[u8]) -> Vec<[u8; PACKET]> {
    let mut payload = vec![0];
    payload.extend(section);
    let [high, low] = pid.to_be_bytes();
    let packet = |(at, part): (usize, &[u8])| {
        let begins = if at == 0 { 0x40 } else { 0 };
        let head = [SYNC, high & 0x1f | begins, low, 0x10 | at as u8 & 0x0f];
        let mut raw = [0xff; PACKET];
        raw.iter_mut().zip(head.iter().chain(part)).for_each(|(byte, value)| *byte = *value);
        raw
    };
    payload.chunks(PACKET - 4).enumerate().map(packet).collect()
}

/// The checksum of sections (ISO/IEC 13818-1, annex A); zero over a section that includes its own.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte) << 24,
            |crc, _| {
                if crc & 0x8000_0000 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7);
        assert_eq!(crc32(&section(PMT_TABLE, 1, 31, b"body")), 0);
    }
}

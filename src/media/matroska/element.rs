//! EBML elements (RFC 8794, sections 4 to 6) and the ones of Matroska that matter here (RFC 9559, section 5.1).

pub(super) const EBML: u32 = 0x1a45_dfa3;
pub(super) const EBML_VERSION: u32 = 0x4286;
pub(super) const EBML_READ_VERSION: u32 = 0x42f7;
pub(super) const EBML_MAX_ID_LENGTH: u32 = 0x42f2;
pub(super) const EBML_MAX_SIZE_LENGTH: u32 = 0x42f3;
pub(super) const DOC_TYPE: u32 = 0x4282;
pub(super) const DOC_TYPE_VERSION: u32 = 0x4287;
pub(super) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
pub(super) const VOID: u32 = 0xec;
pub(super) const CRC_32: u32 = 0xbf;
pub(super) const SEGMENT: u32 = 0x1853_8067;
pub(super) const SEEK_HEAD: u32 = 0x114d_9b74;
pub(super) const INFO: u32 = 0x1549_a966;
pub(super) const TRACKS: u32 = 0x1654_ae6b;
pub(super) const CLUSTER: u32 = 0x1f43_b675;
pub(super) const CUES: u32 = 0x1c53_bb6b;
pub(super) const CHAPTERS: u32 = 0x1043_a770;
pub(super) const TAGS: u32 = 0x1254_c367;
pub(super) const ATTACHMENTS: u32 = 0x1941_a469;

pub(super) const TIMESTAMP_SCALE: u32 = 0x002a_d7b1;
pub(super) const MUXING_APP: u32 = 0x4d80;
pub(super) const WRITING_APP: u32 = 0x5741;

pub(super) const TIMESTAMP: u32 = 0xe7;
pub(super) const SILENT_TRACKS: u32 = 0x5854;
pub(super) const POSITION: u32 = 0xa7;
pub(super) const PREV_SIZE: u32 = 0xab;
pub(super) const ENCRYPTED_BLOCK: u32 = 0xaf;
pub(super) const SIMPLE_BLOCK: u32 = 0xa3;
pub(super) const BLOCK_GROUP: u32 = 0xa0;
pub(super) const BLOCK: u32 = 0xa1;
pub(super) const BLOCK_DURATION: u32 = 0x9b;
pub(super) const REFERENCE_BLOCK: u32 = 0xfb;

pub(super) const TRACK_ENTRY: u32 = 0xae;
pub(super) const TRACK_NUMBER: u32 = 0xd7;
pub(super) const TRACK_UID: u32 = 0x73c5;
pub(super) const TRACK_TYPE: u32 = 0x83;
pub(super) const FLAG_LACING: u32 = 0x9c;
pub(super) const LANGUAGE: u32 = 0x0022_b59c;
pub(super) const DEFAULT_DURATION: u32 = 0x0023_e383;
pub(super) const CODEC_ID: u32 = 0x86;
pub(super) const CODEC_PRIVATE: u32 = 0x63a2;
pub(super) const CODEC_DELAY: u32 = 0x56aa;
pub(super) const SEEK_PRE_ROLL: u32 = 0x56bb;
pub(super) const CONTENT_ENCODINGS: u32 = 0x6d80;
pub(super) const CONTENT_ENCODING: u32 = 0x6240;
pub(super) const CONTENT_ENCODING_SCOPE: u32 = 0x5032;
pub(super) const CONTENT_ENCODING_TYPE: u32 = 0x5033;
pub(super) const CONTENT_COMPRESSION: u32 = 0x5034;
pub(super) const CONTENT_COMP_ALGO: u32 = 0x4254;
pub(super) const CONTENT_COMP_SETTINGS: u32 = 0x4255;
pub(super) const VIDEO: u32 = 0xe0;
pub(super) const PIXEL_WIDTH: u32 = 0xb0;
pub(super) const COLOUR_SPACE: u32 = 0x2e_b524;
pub(super) const PIXEL_HEIGHT: u32 = 0xba;
pub(super) const DISPLAY_WIDTH: u32 = 0x54b0;
pub(super) const DISPLAY_HEIGHT: u32 = 0x54ba;
pub(super) const DISPLAY_UNIT: u32 = 0x54b2;
pub(super) const AUDIO: u32 = 0xe1;
pub(super) const SAMPLING_FREQUENCY: u32 = 0xb5;
pub(super) const OUTPUT_SAMPLING_FREQUENCY: u32 = 0x78b5;
pub(super) const CHANNELS: u32 = 0x9f;
pub(super) const BIT_DEPTH: u32 = 0x6264;

/// ID and size of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: u32,
    /// Bytes of content; `None` when they are as many as come (section 6.2).
    pub(super) size: Option<u64>,
    /// Bytes of the head itself.
    pub(super) length: usize,
}

/// Bytes where an element should be are none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Head {
    /// The head at the beginning of `bytes`; `None` when it is longer than they are.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let id_length = first.leading_zeros() as usize + 1;
        if id_length > 4 {
            return Err(Malformed);
        }
        let Some((id, rest)) = bytes.split_at_checked(id_length) else { return Ok(None) };
        let Some(&first) = rest.first() else { return Ok(None) };
        if first == 0 {
            return Err(Malformed);
        }
        let Some((size, size_length)) = number(rest) else { return Ok(None) };
        let unknown = u64::MAX >> (64 - 7 * size_length);
        Ok(Some(Self {
            id: id.iter().fold(0, |id, &byte| id << 8 | u32::from(byte)),
            size: (size != unknown).then_some(size),
            length: id_length + size_length,
        }))
    }

    /// Whether this element is a child of the segment, or begins a stream, and so ends a cluster of unknown size.
    pub(super) fn is_top_level(&self) -> bool {
        matches!(self.id, EBML | SEGMENT | SEEK_HEAD | INFO | TRACKS | CLUSTER | CUES | CHAPTERS | TAGS | ATTACHMENTS)
    }
}

/// A number of variable size (section 4) and how long it is; `None` when the bytes end before it does or it is none.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let &first = bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    let (first, rest) = bytes.get(..length)?.split_first()?;
    let marked = rest.iter().fold(u64::from(*first), |number, &byte| number << 8 | u64::from(byte));
    Some((marked & u64::MAX >> (64 - 7 * length), length))
}

/// The elements in `bytes`, up to the first that is malformed. One that is cut short has the content that is there.
pub(super) fn elements(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let head = Head::read(rest).ok()??;
        let content = rest.get(head.length..)?;
        let size = head.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
        let (content, after) = content.split_at_checked(size).unwrap_or((content, &[]));
        rest = after;
        Some((head.id, content))
    })
}

/// The beginning of a `Block` or `SimpleBlock` (RFC 9559, sections 10.1 and 10.2).
pub(super) struct Block {
    /// `None` when the block is too short to be one.
    pub(super) track: Option<u64>,
    /// Only told by a `SimpleBlock`.
    pub(super) is_key: bool,
}

impl Block {
    /// Reads the block of `size` bytes; `None` when too few of them are there.
    pub(super) fn read(content: &[u8], size: u64) -> Option<Self> {
        let content = usize::try_from(size).ok().and_then(|size| content.get(..size)).unwrap_or(content);
        if let Some((track, length)) = number(content)
            && let Some(flags) = content.get(length + 2)
        {
            return Some(Self { track: Some(track), is_key: flags & 0x80 != 0 });
        }
        // The head has at most 8 + 2 + 1 bytes.
        let is_all = content.len() as u64 >= size.min(11);
        is_all.then_some(Self { track: None, is_key: false })
    }
}

/// The beginning of a cluster of unknown size with this timestamp: what follows may be blocks from the middle of another one
/// that has the same.
pub(super) fn cluster_head(timestamp: u64) -> Vec<u8> {
    cluster_begin(timestamp).to_vec()
}

/// Bytes of the beginning of a cluster.
pub(super) const CLUSTER_BEGIN: usize = 22;

/// The beginning of a cluster of unknown size with this timestamp, in ticks.
pub(super) fn cluster_begin(timestamp: u64) -> [u8; CLUSTER_BEGIN] {
    let mut begin = [0xff; CLUSTER_BEGIN];
    let parts = [&CLUSTER.to_be_bytes()[..], &UNKNOWN_SIZE, &[0xe7, 0x88], &timestamp.to_be_bytes()];
    begin.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    begin
}

/// The size of an element that ends where the next one on its level begins (RFC 8794, section 6.2), in the length that
/// the WebM guidelines ask of live streams.
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// An unsigned integer (RFC 8794, section 7.2).
pub(super) fn unsigned(content: &[u8]) -> u64 {
    content.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Makes the size of the segment in `header` unknown (RFC 8794, section 6.2). A reader that joins late gets less than the
/// size promises, one that continues over a restart of the source gets more.
pub(super) fn forget_size(header: &mut [u8]) {
    let mut rest = header;
    while let Ok(Some(head)) = Head::read(rest) {
        let Some((bytes, after)) = rest.split_at_mut_checked(head.length) else { return };
        if head.id == SEGMENT {
            if let Some((_, size)) = bytes.split_first_chunk_mut::<4>() {
                let marker = 0xff_u8.checked_shr(size.len().saturating_sub(1) as u32).unwrap_or_default();
                size.fill(0xff);
                size.first_mut().into_iter().for_each(|first| *first = marker);
            }
            return;
        }
        let content = head.size.and_then(|size| usize::try_from(size).ok());
        rest = content.and_then(|content| after.get_mut(content..)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_far_as_they_are_there() {
        #[track_caller]
        fn check(bytes: &[u8], expect: Result<Option<(u32, Option<u64>, usize)>, Malformed>) {
            let head = Head::read(bytes).map(|head| head.map(|head| (head.id, head.size, head.length)));
            assert_eq!(head, expect);
        }
        check(b"", Ok(None));
        check(b"\xa3\x85", Ok(Some((SIMPLE_BLOCK, Some(5), 2))));
        check(b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff", Ok(Some((CLUSTER, None, 12))));
        check(b"\x1f\x43\xb6\x75\x01\xff\xff", Ok(None));
        check(b"\x1f\x43\xb6\x75\xff", Ok(Some((CLUSTER, None, 5))));
        check(b"\x1f\x43\xb6\x75\x40\x7f", Ok(Some((CLUSTER, Some(127), 6))));
        check(b"\x08", Err(Malformed));
        check(b"\xa3\x00", Err(Malformed));
    }

    #[test]
    fn elements_of_a_cut_buffer_end_with_it() {
        let found: Vec<_> = elements(b"\xd7\x81\x01\x83\x85abc").collect();
        assert_eq!(found, [(TRACK_NUMBER, &b"\x01"[..]), (TRACK_TYPE, b"abc")]);
    }
}

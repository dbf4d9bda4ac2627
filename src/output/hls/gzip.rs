//! Compressed playlists. Pure.

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// Shorter texts fit into a packet of the network anyway, in bytes.
pub const WORTH_IT: usize = 1000;

/// Whether a client takes gzip, by its `Accept-Encoding` (RFC 9110, section 12.5.3).
pub fn is_accepted(header: &str) -> bool {
    let weight = |name: &str| {
        header.split(',').find_map(|item| {
            let mut words = item.split(';').map(str::trim);
            let is_meant = words.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
            let quality = words.find_map(|word| word.strip_prefix("q=").or(word.strip_prefix("Q=")));
            is_meant.then(|| quality.map_or(1.0, |quality| quality.parse::<f32>().unwrap_or(0.0)))
        })
    };
    weight("gzip").or_else(|| weight("x-gzip")).or_else(|| weight("*")).is_some_and(|quality| quality > 0.0)
}

/// A text as gzip (RFC 1952); `None` where it would not be shorter.
pub fn compressed(text: &[u8]) -> Option<Bytes> {
    // Level 1: repeated names and dates are found as well, for a third of the time.
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    encoder.write_all(text).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < text.len()).then(|| packed.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[test]
    fn gzip_is_for_those_who_name_it() {
        for (header, expect) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("deflate, *", true),
            ("*;q=0", false),
            ("*, gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("gzip;q=x", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(is_accepted(header), expect, "{header}");
        }
    }

    #[test]
    fn what_is_compressed_is_the_same_and_shorter() {
        let text = "#EXTINF:2.00000,\nv0-118.m4s\n".repeat(50);
        let packed = compressed(text.as_bytes()).unwrap();
        assert!(packed.len() * 5 < text.len());
        let mut again = String::new();
        GzDecoder::new(&packed[..]).read_to_string(&mut again).unwrap();
        assert_eq!(again, text);
        assert_eq!(compressed(b"ab"), None);
    }
}

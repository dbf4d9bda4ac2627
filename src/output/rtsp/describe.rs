//! The description of a stream in SDP (RFC 8866), and what is said of its first packets. Pure.

use super::target::track_name;
use crate::media::rtp::{Packet, interleaved, is_rtcp, report};
use bytes::Bytes;
use std::{fmt::Write, net::IpAddr};

/// The description of a stream: what is said of the session, and of the tracks.
pub fn description(name: &str, own: IpAddr, tracks: &str) -> String {
    let kind = if own.is_ipv4() { "IP4" } else { "IP6" };
    let none = if own.is_ipv4() { "0.0.0.0" } else { "::" };
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!(
        "v=0\r\no=- 0 0 IN {kind} {own}\r\ns={name}\r\nc=IN {kind} {none}\r\nt=0 0\r\na=tool:voyandz\r\na=range:npt=now-\r\n\
         a=control:*\r\n{tracks}"
    )
}

/// The number of tracks in the part of a description that is about them.
pub fn track_count(tracks: &str) -> usize {
    tracks.lines().filter(|line| line.starts_with("m=")).count()
}

/// Where the tracks of a stream are when a reader begins with some packets of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begin {
    /// Of the first RTP packet.
    pub sequence: Option<u16>,
    /// Of the first RTP packet, else of the sender report for the same moment.
    pub timestamp: Option<u32>,
    /// Of the sender.
    pub ssrc: Option<u32>,
}

/// What some bytes of the ring say of a track.
pub fn begin_of(bytes: &Bytes, track: usize) -> Begin {
    let channel = interleaved::channel(track);
    let mut begin = Begin::default();
    for framed in interleaved::split(bytes) {
        if framed.channel == channel
            && begin.sequence.is_none()
            && let Some(packet) = Packet::parse(framed.packet())
        {
            let header = packet.header;
            begin =
                Begin { sequence: Some(header.sequence), timestamp: Some(header.timestamp), ssrc: Some(header.ssrc) };
        } else if framed.channel == channel + 1
            && is_rtcp(&framed.packet())
            && let Some(report::Report::Sender(sender)) = report::parse(&framed.packet()).first()
        {
            begin.timestamp = begin.timestamp.or(Some(sender.timestamp));
            begin.ssrc = begin.ssrc.or(Some(sender.ssrc));
        }
    }
    begin
}

/// The header `RTP-Info` (RFC 2326, section 12.33) of these tracks, with the address of the whole stream.
pub fn rtp_info(base: &str, tracks: &[(usize, Begin)]) -> String {
    let base = base.trim_end_matches('/');
    let mut text = String::new();
    for (number, begin) in tracks {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}url={base}/{}", track_name(*number));
        if let Some(sequence) = begin.sequence {
            let _ = write!(text, ";seq={sequence}");
        }
        if let Some(timestamp) = begin.timestamp {
            let _ = write!(text, ";rtptime={timestamp}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::rtp::Header;

    #[test]
    fn descriptions_have_the_tracks_behind_the_session() {
        let text =
            description("cam\n0", "192.0.2.1".parse().unwrap(), "m=video 0 RTP/AVP 96\r\nm=audio 0 RTP/AVP 8\r\n");
        assert!(text.starts_with("v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=cam 0\r\nc=IN IP4 0.0.0.0\r\n"), "{text}");
        assert_eq!(track_count(&text), 2);
        assert!(description("x", "::1".parse().unwrap(), "").contains("c=IN IP6 ::\r\n"));
    }

    #[test]
    fn the_first_packets_say_where_the_tracks_are() {
        let header = Header { payload_type: 96, marker: true, sequence: 7, timestamp: 900, ssrc: 3 };
        let packet = [&header.bytes()[..], b"media"].concat();
        let report =
            |ssrc, timestamp| report::SenderReport { ssrc, ntp: 0, timestamp, packets: 0, octets: 0 }.bytes("x");
        let framed = |channel, bytes: &[u8]| [&interleaved::head(channel, bytes.len())[..], bytes].concat();
        let bytes = Bytes::from([framed(1, &report(3, 900)), framed(3, &report(4, 480)), framed(0, &packet)].concat());
        let video = begin_of(&bytes, 0);
        assert_eq!(video, Begin { sequence: Some(7), timestamp: Some(900), ssrc: Some(3) });
        let audio = begin_of(&bytes, 1);
        assert_eq!(audio, Begin { sequence: None, timestamp: Some(480), ssrc: Some(4) });
        assert_eq!(
            rtp_info("rtsp://cam/cam0/", &[(0, video), (1, audio)]),
            "url=rtsp://cam/cam0/trackID=0;seq=7;rtptime=900,url=rtsp://cam/cam0/trackID=1;rtptime=480"
        );
    }
}

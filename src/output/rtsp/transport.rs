//! The header `Transport` (RFC 2326, section 12.39). Pure.

use super::multicast::GroupAddress;
use std::fmt;

/// How a client gets the packets of a track, or sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Between the messages of its connection, on these channels for RTP and RTCP.
    Interleaved {
        /// Of RTP, and RTCP.
        channels: Option<(u8, u8)>,
    },
    /// In datagrams, to these ports of the client.
    Udp {
        /// For RTP, and RTCP.
        client: (u16, u16),
    },
    /// In datagrams to a group, which the server chooses.
    Multicast,
}

/// Ways of datagrams that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// To a client.
    pub has_udp: bool,
    /// To a group.
    pub has_multicast: bool,
}

/// What a client may do with a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Receive it.
    Play,
    /// Send it.
    Record,
}

impl Transport {
    /// The first of those that a client offers which there is, for this mode; `None` when there is none.
    pub fn choose(offers: &str, mode: Mode, ways: Ways) -> Option<Self> {
        let is_there = |transport: &Self| match transport {
            Self::Interleaved { .. } => true,
            Self::Udp { .. } => ways.has_udp,
            // A publisher sends to this server alone.
            Self::Multicast => ways.has_multicast && mode == Mode::Play,
        };
        offers.split(',').filter_map(|offer| Self::parse(offer, mode)).find(is_there)
    }

    fn parse(offer: &str, mode: Mode) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        let is_tcp = match parts.next()?.to_ascii_uppercase().as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => false,
            "RTP/AVP/TCP" => true,
            _ => return None,
        };
        let (mut channels, mut client, mut is_multicast) = (None, None, false);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "multicast" => is_multicast = true,
                "interleaved" => channels = Some(pair::<u8>(value)?),
                "client_port" => client = Some(pair::<u16>(value).filter(|(rtp, rtcp)| *rtp > 0 && *rtcp > 0)?),
                "mode" => {
                    let value = value.trim().trim_matches('"').to_ascii_lowercase();
                    let is_record = matches!(value.as_str(), "record" | "receive");
                    if is_record != (mode == Mode::Record) {
                        return None;
                    }
                }
                _ => {}
            }
        }
        match (is_tcp, is_multicast) {
            (true, false) => Some(Self::Interleaved { channels }),
            (true, true) => None,
            (false, true) => Some(Self::Multicast),
            (false, false) => client.map(|client| Self::Udp { client }),
        }
    }
}

/// `2-3`, or `2`, which means the next one as well.
fn pair<T: std::str::FromStr + Into<u32> + TryFrom<u32> + Copy>(value: &str) -> Option<(T, T)> {
    match value.trim().split_once('-') {
        Some((first, second)) => Some((first.trim().parse().ok()?, second.trim().parse().ok()?)),
        None => {
            let first: T = value.trim().parse().ok()?;
            Some((first, T::try_from(first.into() + 1).ok()?))
        }
    }
}

/// What the response says of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The transport; interleaved channels are known.
    pub transport: Transport,
    /// The ports of the server, for datagrams.
    pub server: (u16, u16),
    /// Where packets to a group are sent.
    pub group: Option<GroupAddress>,
    /// Of the packets that the server sends.
    pub ssrc: Option<u32>,
    /// Whether the client sends.
    pub mode: Mode,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Interleaved { channels } => {
                let (rtp, rtcp) = channels.unwrap_or((0, 1));
                write!(f, "RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")?;
            }
            Transport::Udp { client: (rtp, rtcp) } => {
                let (own_rtp, own_rtcp) = self.server;
                write!(f, "RTP/AVP;unicast;client_port={rtp}-{rtcp};server_port={own_rtp}-{own_rtcp}")?;
            }
            Transport::Multicast => {
                f.write_str("RTP/AVP;multicast")?;
                if let Some(GroupAddress { address, port, ttl }) = self.group {
                    write!(f, ";destination={address};port={port}-{};ttl={ttl}", port.saturating_add(1))?;
                }
            }
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        match self.mode {
            Mode::Play => f.write_str(";mode=\"PLAY\""),
            Mode::Record => f.write_str(";mode=record"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_offer_that_there_is_is_taken() {
        #[track_caller]
        fn check(offers: &str, mode: Mode, has_udp: bool, expect: Option<Transport>) {
            let ways = Ways { has_udp, has_multicast: false };
            assert_eq!(Transport::choose(offers, mode, ways), expect, "{offers}");
        }
        let tcp = |channels| Some(Transport::Interleaved { channels });
        let udp = |client| Some(Transport::Udp { client });
        // ffmpeg, VLC, GStreamer playing; ffmpeg recording.
        check("RTP/AVP/TCP;unicast;interleaved=0-1", Mode::Play, false, tcp(Some((0, 1))));
        check("RTP/AVP;unicast;client_port=9242-9243", Mode::Play, true, udp((9242, 9243)));
        check("RTP/AVP;unicast;client_port=9242-9243", Mode::Play, false, None);
        check("RTP/AVP/UDP;unicast;client_port=21-22;mode=record", Mode::Record, true, udp((21, 22)));
        check("RTP/AVP/TCP;unicast;interleaved=2-3;mode=\"RECORD\"", Mode::Record, true, tcp(Some((2, 3))));
        check("RTP/AVP;multicast,RTP/AVP;unicast;client_port=4-5,RTP/AVP/TCP", Mode::Play, true, udp((4, 5)));
        check("RTP/AVP;unicast;client_port=4-5, rtp/avp/tcp;unicast", Mode::Play, false, tcp(None));
        check("RTP/AVP;client_port=8", Mode::Play, true, udp((8, 9)));
        check("RTP/AVP/TCP;unicast;mode=record", Mode::Play, true, None);
        check("RTP/AVP/TCP;unicast", Mode::Record, true, tcp(None));
        check("RTP/AVP/TCP;interleaved=0-999", Mode::Play, true, None);
        check("RTP/AVP/TCP;interleaved=255", Mode::Play, true, None);
        check("RTP/AVP;client_port=0-1", Mode::Play, true, None);
        check("RTP/SAVP;unicast;client_port=4-5", Mode::Play, true, None);
        check("", Mode::Play, true, None);
        // ffmpeg and GStreamer ask for a group; ports are for the server to choose.
        let ways = Ways { has_udp: true, has_multicast: true };
        let choose = |offers, mode| Transport::choose(offers, mode, ways);
        assert_eq!(choose("RTP/AVP/UDP;multicast", Mode::Play), Some(Transport::Multicast));
        assert_eq!(choose("RTP/AVP;multicast;client_port=8-9", Mode::Play), Some(Transport::Multicast));
        assert_eq!(choose("RTP/AVP;unicast;client_port=4-5,RTP/AVP;multicast", Mode::Play), udp((4, 5)));
        assert_eq!(choose("RTP/AVP/TCP;multicast", Mode::Play), None);
        assert_eq!(choose("RTP/AVP;multicast", Mode::Record), None);
    }

    #[test]
    fn the_response_repeats_what_was_agreed() {
        let transport = Transport::Udp { client: (4, 5) };
        let agreed = Agreed { transport, server: (8000, 8001), group: None, ssrc: Some(0xab), mode: Mode::Play };
        assert_eq!(
            agreed.to_string(),
            "RTP/AVP;unicast;client_port=4-5;server_port=8000-8001;ssrc=000000AB;mode=\"PLAY\""
        );
        let group = Some(GroupAddress { address: "239.255.42.1".parse().unwrap(), port: 5004, ttl: 2 });
        assert_eq!(
            Agreed { transport: Transport::Multicast, group, ..agreed }.to_string(),
            "RTP/AVP;multicast;destination=239.255.42.1;port=5004-5005;ttl=2;ssrc=000000AB;mode=\"PLAY\""
        );
        let transport = Transport::Interleaved { channels: Some((2, 3)) };
        let agreed = Agreed { transport, ssrc: None, mode: Mode::Record, ..agreed };
        assert_eq!(agreed.to_string(), "RTP/AVP/TCP;unicast;interleaved=2-3;mode=record");
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(offers in "(RTP/AVP(/TCP)?;)?[a-z_;=,0-9-]{0,40}") {
            let _ = Transport::choose(&offers, Mode::Play, Ways { has_udp: true, has_multicast: true });
        }
    }
}

//! What a client has set up, and what it may do next. Pure.

use super::{
    message::Status,
    transport::{Agreed, Mode, Transport},
};
use crate::media::rtp::interleaved;
use bytes::Bytes;

/// Most tracks of a session.
const MAX_TRACKS: usize = 16;

/// The session of a client.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its name, which cannot be guessed.
    pub id: String,
    /// The path of the stream.
    pub path: String,
    /// The tracks that were set up, in this order.
    pub tracks: Vec<TrackSetup>,
    /// Media flows.
    pub is_active: bool,
}

/// A track that was set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackSetup {
    /// Its place in the description.
    pub number: usize,
    /// How its packets travel; interleaved channels are known.
    pub transport: Transport,
}

impl Session {
    /// A session without tracks.
    pub fn new(id: String, path: String) -> Self {
        Self { id, path, tracks: Vec::new(), is_active: false }
    }

    /// The track that a `SETUP` means: the one it names, else the only one, else the next in the order of the description.
    pub fn track_of(&self, named: Option<usize>, count: usize) -> Option<usize> {
        let next = || (0..count).find(|number| self.tracks.iter().all(|track| track.number != *number));
        named.or_else(next).filter(|number| *number < count)
    }

    /// Sets up a track, or changes one.
    ///
    /// # Errors
    /// The status of the response: when media flows already, or another track travels otherwise.
    pub fn setup(&mut self, number: usize, transport: Transport, mode: Mode) -> Result<Agreed, Status> {
        if self.is_active {
            return Err(Status::NotInThisState);
        }
        self.tracks.retain(|track| track.number != number);
        let is_other =
            |known: &TrackSetup| std::mem::discriminant(&known.transport) != std::mem::discriminant(&transport);
        if self.tracks.iter().any(is_other) {
            return Err(Status::BadRequest);
        }
        if self.tracks.len() >= MAX_TRACKS {
            return Err(Status::TooMany);
        }
        let transport = match transport {
            Transport::Interleaved { channels } => {
                let channels = channels.filter(|pair| self.is_free(*pair)).or_else(|| self.free(number));
                Transport::Interleaved { channels: Some(channels.ok_or(Status::TooMany)?) }
            }
            datagrams @ (Transport::Udp { .. } | Transport::Multicast) => datagrams,
        };
        self.tracks.push(TrackSetup { number, transport });
        Ok(Agreed { transport, server: (0, 0), group: None, ssrc: None, mode })
    }

    /// How its packets travel, which is the same for all tracks; `None` before one is set up.
    pub fn transport(&self) -> Option<Transport> {
        self.tracks.first().map(|track| track.transport)
    }

    fn is_free(&self, (rtp, rtcp): (u8, u8)) -> bool {
        let uses = |track: &TrackSetup, channel| match track.transport {
            Transport::Interleaved { channels: Some((first, second)) } => first == channel || second == channel,
            _ => false,
        };
        rtp != rtcp && !self.tracks.iter().any(|track| uses(track, rtp) || uses(track, rtcp))
    }

    /// The usual channels of a track, else the first that are free.
    fn free(&self, number: usize) -> Option<(u8, u8)> {
        let pair = |number: usize| u8::try_from(2 * number).ok().map(|first| (first, first + 1));
        std::iter::once(number).chain(0..=MAX_TRACKS).filter_map(pair).find(|pair| self.is_free(*pair))
    }
}

/// The place of the packets of a stream in a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// For each channel of the stream the one of the client; `None` where the client does not want it.
    map: Vec<Option<u8>>,
    /// They are all the same.
    is_usual: bool,
}

impl Channels {
    /// Those of a session of a stream with this many tracks.
    pub fn of(session: &Session, count: usize) -> Self {
        let mut map = vec![None; 2 * count];
        for TrackSetup { number, transport } in &session.tracks {
            if let Transport::Interleaved { channels: Some((rtp, rtcp)) } = transport
                && let Some([first, second]) = map.get_mut(2 * number..2 * number + 2)
            {
                (*first, *second) = (Some(*rtp), Some(*rtcp));
            }
        }
        let is_usual = (0u8..).zip(&map).all(|(own, other)| *other == Some(own));
        Self { map, is_usual }
    }

    /// Whether packets of the stream are sent as they are.
    pub fn is_usual(&self) -> bool {
        self.is_usual
    }

    /// Packets of the ring as the client gets them.
    pub fn of_client(&self, packets: &Bytes) -> Bytes {
        if self.is_usual {
            return packets.clone();
        }
        let mut bytes = Vec::with_capacity(packets.len());
        for framed in interleaved::split(packets) {
            if let Some(channel) = self.get(framed.channel) {
                let packet = framed.packet();
                bytes.extend_from_slice(&interleaved::head(channel, packet.len()));
                bytes.extend_from_slice(&packet);
            }
        }
        bytes.into()
    }

    /// The channel of the client for one of the stream.
    fn get(&self, channel: u8) -> Option<u8> {
        self.map.get(usize::from(channel)).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(channels: Option<(u8, u8)>) -> Transport {
        Transport::Interleaved { channels }
    }

    fn session() -> Session {
        Session::new("1".to_owned(), "/cam0".to_owned())
    }

    #[test]
    fn channels_are_those_that_are_asked_for_if_they_are_free() {
        let mut session = session();
        let mut setup =
            |number, channels| session.setup(number, tcp(channels), Mode::Play).map(|agreed| agreed.transport);
        assert_eq!(setup(0, Some((0, 1))), Ok(tcp(Some((0, 1)))));
        assert_eq!(setup(1, None), Ok(tcp(Some((2, 3)))));
        assert!(Channels::of(&session, 2).is_usual());
        let mut setup =
            |number, channels| session.setup(number, tcp(channels), Mode::Play).map(|agreed| agreed.transport);
        assert_eq!(setup(1, Some((1, 2))), Ok(tcp(Some((2, 3)))), "1 is taken");
        assert_eq!(setup(0, Some((10, 11))), Ok(tcp(Some((10, 11)))), "set up again");
        let channels = Channels::of(&session, 2);
        assert_eq!(
            (channels.is_usual(), channels.get(0), channels.get(3), channels.get(9)),
            (false, Some(10), Some(3), None)
        );
    }

    #[test]
    fn what_is_not_set_up_is_not_sent() {
        let mut session = session();
        session.setup(1, tcp(Some((0, 1))), Mode::Play).unwrap();
        let channels = Channels::of(&session, 2);
        assert_eq!((0..4).map(|own| channels.get(own)).collect::<Vec<_>>(), [None, None, Some(0), Some(1)]);
    }

    #[test]
    fn tracks_are_named_or_come_in_order() {
        let mut session = session();
        assert_eq!(
            [None, Some(0), Some(1), Some(2)].map(|named| session.track_of(named, 2)),
            [Some(0), Some(0), Some(1), None]
        );
        session.setup(0, tcp(None), Mode::Play).unwrap();
        assert_eq!(session.track_of(None, 2), Some(1));
        assert_eq!(session.track_of(None, 1), None);
    }

    #[test]
    fn tracks_travel_alike_and_are_set_up_before_media_flows() {
        let mut session = session();
        let udp = Transport::Udp { client: (4, 5) };
        session.setup(0, udp, Mode::Play).unwrap();
        assert_eq!(session.transport(), Some(udp));
        assert_eq!(session.setup(1, Transport::Multicast, Mode::Play).unwrap_err(), Status::BadRequest);
        assert_eq!(session.setup(1, tcp(None), Mode::Play).unwrap_err(), Status::BadRequest);
        assert!(session.setup(0, tcp(None), Mode::Play).is_ok());
        session.is_active = true;
        assert_eq!(session.setup(1, tcp(None), Mode::Play).unwrap_err(), Status::NotInThisState);
    }
}

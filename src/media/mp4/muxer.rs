//! A muxer for live tracks: a header, then a fragment for each sample, at once.
//!
//! Nothing waits for another track but the header, and that not for long. A track that comes later gets a new header, and
//! so does one that stays away while others go on: a player would wait for it without end.

use super::coding::Track;
use super::movie;
use super::timing::Clock;
use crate::media::sample::{Sample, Waiting};
use std::time::{Duration, Instant};

/// A track that stays away for so long while others go on is gone.
const GONE: Duration = Duration::from_secs(2);
/// The same of one with long pauses: so many of its longest.
const GONE_PAUSES: u32 = 3;
/// When nothing at all comes for so long, no track is gone: the source is.
const REST: Duration = Duration::from_millis(500);

/// What leaves a [`Muxer`].
#[derive(Debug, PartialEq)]
pub enum Made<P> {
    /// File type and movie box. It replaces an earlier one.
    Header(Vec<u8>),
    /// A fragment.
    Fragment {
        /// A reader may begin with it.
        is_join: bool,
        /// The step to it is so long that some players drop pictures up to the next key picture.
        is_torn: bool,
        /// When the sample is shown.
        shown: i64,
        /// All that stands in front of the sample.
        front: Vec<u8>,
        /// The sample.
        payload: P,
    },
}

/// Muxes some tracks, which are told apart by their place.
#[derive(Debug)]
pub struct Muxer<P> {
    lanes: Vec<Lane>,
    /// What waits for the header.
    waiting: Waiting<P>,
    /// When the newest sample of all came.
    newest: Option<Instant>,
    /// Number of the last fragment.
    sequence: u32,
}

/// One track on its way.
#[derive(Debug, Default)]
struct Lane {
    described: Option<(Track, Clock)>,
    /// It is in the header as it is described.
    is_listed: bool,
    /// When its newest sample came.
    seen: Option<Instant>,
    /// The longest pause between two of late; it shrinks with each shorter one.
    pause: Duration,
}

impl Lane {
    fn beat(&mut self, now: Instant) {
        if let Some(seen) = self.seen.replace(now) {
            self.pause = now.saturating_duration_since(seen).max(self.pause - self.pause / 32);
        }
    }

    fn is_gone(&self, now: Instant) -> bool {
        let most = GONE.max(self.pause.saturating_mul(GONE_PAUSES));
        self.seen.is_none_or(|seen| now.saturating_duration_since(seen) > most)
    }
}

impl<P> Muxer<P> {
    /// A muxer for so many tracks.
    pub fn new(tracks: usize) -> Self {
        let lanes = (0..tracks).map(|_| Lane::default()).collect();
        Self { lanes, waiting: Waiting::new(), newest: None, sequence: 0 }
    }

    /// Says what the samples of a track are from now on.
    pub fn describe(&mut self, place: usize, track: Track) {
        let Some(lane) = self.lanes.get_mut(place) else { return };
        match &lane.described {
            Some((known, _)) if *known == track => return,
            Some((_, clock)) => lane.described = Some((track.clone(), Clock::after(track.tempo(), clock))),
            None => lane.described = Some((track.clone(), Clock::of(track.tempo()))),
        }
        lane.is_listed = false;
        lane.pause = lane.pause.max(lane.described.as_ref().map_or(Duration::ZERO, |(track, _)| track.pause()));
    }

    /// Takes the next sample of a track, which has to be described, and adds what leaves to `out`.
    ///
    /// # Errors
    /// When a track's set-up cannot be written.
    pub fn push(
        &mut self,
        place: usize,
        sample: Sample<P>,
        now: Instant,
        out: &mut Vec<Made<P>>,
    ) -> Result<(), mp4_atom::Error> {
        if self.newest.replace(now).is_some_and(|newest| now.saturating_duration_since(newest) > REST) {
            self.lanes.iter_mut().filter(|lane| lane.is_listed).for_each(|lane| lane.seen = Some(now));
        }
        let Some(lane) = self.lanes.get_mut(place).filter(|lane| lane.described.is_some()) else { return Ok(()) };
        lane.beat(now);
        if self.waiting.is_over() {
            let is_listed = lane.is_listed;
            if !is_listed || self.lanes.iter().any(|lane| lane.is_listed && lane.is_gone(now)) {
                out.push(self.header(now)?);
            }
            return self.fragment(place, sample, out);
        }
        let is_whole = self.lanes.iter().all(|lane| lane.seen.is_some());
        if let Some(waiting) = self.waiting.push(place, sample, is_whole, now) {
            // Numbers grow over muxers that follow one another, as fragments come slower than one a millisecond.
            let begin = waiting.first().map_or(0, |(_, sample)| sample.decode / 1_000_000);
            self.sequence = u32::try_from(begin.rem_euclid(u32::MAX.into())).unwrap_or(0);
            out.push(self.header(now)?);
            for (place, sample) in waiting {
                self.fragment(place, sample, out)?;
            }
        }
        Ok(())
    }

    /// The header of the tracks that are there.
    fn header(&mut self, now: Instant) -> Result<Made<P>, mp4_atom::Error> {
        for lane in &mut self.lanes {
            lane.is_listed = lane.described.is_some() && !lane.is_gone(now);
        }
        let listed = (1..).zip(&self.lanes).filter(|(_, lane)| lane.is_listed);
        let tracks = listed.filter_map(|(id, lane)| Some((id, &lane.described.as_ref()?.0)));
        movie::header(tracks).map(Made::Header)
    }

    fn fragment(&mut self, place: usize, sample: Sample<P>, out: &mut Vec<Made<P>>) -> Result<(), mp4_atom::Error> {
        // Readers begin with the first track of pictures that there is.
        let shows =
            |lane: &Lane| lane.is_listed && lane.described.as_ref().is_some_and(|(track, _)| track.has_pictures());
        let is_join = sample.is_sync && self.lanes.iter().position(shows).is_none_or(|first| first == place);
        let Some((_, clock)) = self.lanes.get_mut(place).and_then(|lane| lane.described.as_mut()) else {
            return Ok(());
        };
        let (times, is_torn) = clock.place(sample.decode, sample.shown, sample.duration);
        self.sequence = self.sequence.wrapping_add(1);
        let id = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let front = movie::front(id, self.sequence, times, sample.is_sync, sample.length)?;
        let Sample { shown, is_sync, payload, .. } = sample;
        out.push(Made::Fragment { is_join, is_torn: is_torn && !is_sync, shown, front, payload });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::coding::{Coding, Shape};
    use super::*;
    use crate::media::{Container, sample::MAX_WAITING, testing::Scan};
    use mp4_atom::{Decode, Ftyp, Moof, Moov};
    use proptest::prelude::*;

    /// Parameter sets of a real stream.
    const AVCC: &[u8] = b"\x01\x4d\x40\x15\xff\xe1\0\x1c\x67\x4d\x40\x15\xd9\x01\x41\xfb\x01\x6a\x0c\x0c\x0d\x4a\0\0\
        \x03\0\x02\0\0\x03\0\x65\x1e\x2c\x5c\x90\x01\0\x04\x68\xeb\xcc\xb2";
    const SECOND: i64 = 1_000_000_000;

    fn pictures(width: u16) -> Track {
        pictures_at(width, (25, 1))
    }

    fn pictures_at(width: u16, rate: (u32, u32)) -> Track {
        let coding = Coding::Avc { record: AVCC.to_vec(), in_band: false };
        let shape = Shape::Pictures { width, height: 240, pixel: (4, 3), rate: Some(rate) };
        Track::new(&coding, shape, b"").unwrap().unwrap()
    }

    fn sound() -> Track {
        let coding = Coding::Aac(vec![0x11, 0x90]);
        Track::new(&coding, Shape::Sound { rate: 48_000, channels: 2 }, b"").unwrap().unwrap()
    }

    /// A muxer of pictures and sound, its time, and what has left it.
    struct Rig {
        muxer: Muxer<&'static [u8]>,
        begin: Instant,
        out: Vec<Made<&'static [u8]>>,
    }

    impl Rig {
        fn new() -> Self {
            let mut muxer = Muxer::new(2);
            muxer.describe(0, pictures(320));
            muxer.describe(1, sound());
            Self { muxer, begin: Instant::now(), out: Vec::new() }
        }

        /// A sample of a track that comes after so many milliseconds. What left with it: `H` a header, `J` a join point, `d` a delta.
        fn push(&mut self, place: usize, millis: u64, is_sync: bool) -> String {
            let time = i64::try_from(millis).unwrap() * SECOND / 1000;
            let payload: &[u8] = if place == 0 { b"picture" } else { b"sound" };
            let sample = Sample { decode: time, shown: time, duration: None, is_sync, length: payload.len(), payload };
            let from = self.out.len();
            self.muxer.push(place, sample, self.begin + Duration::from_millis(millis), &mut self.out).unwrap();
            let sign = |made: &Made<_>| match made {
                Made::Header(_) => 'H',
                Made::Fragment { is_join: true, .. } => 'J',
                Made::Fragment { .. } => 'd',
            };
            self.out[from..].iter().map(sign).collect()
        }

        fn headers(&self) -> Vec<&[u8]> {
            let headers = self.out.iter().filter_map(|made| match made {
                Made::Header(header) => Some(&header[..]),
                Made::Fragment { .. } => None,
            });
            headers.collect()
        }

        fn bytes(&self) -> Vec<u8> {
            let piece = |made: &Made<&[u8]>| match made {
                Made::Header(header) => header.clone(),
                Made::Fragment { front, payload, .. } => [&front[..], payload].concat(),
            };
            self.out.iter().flat_map(piece).collect()
        }
    }

    /// The numbers of the tracks of a header.
    fn listed(header: &[u8]) -> Vec<u32> {
        let mut rest = header;
        Ftyp::decode(&mut rest).unwrap();
        let moov = Moov::decode(&mut rest).unwrap();
        let extended: Vec<_> = moov.mvex.unwrap().trex.iter().map(|trex| trex.track_id).collect();
        assert_eq!(moov.trak.iter().map(|trak| trak.tkhd.track_id).collect::<Vec<_>>(), extended);
        extended
    }

    #[test]
    fn samples_leave_at_once_and_a_scanner_finds_what_was_meant() {
        let mut rig = Rig::new();
        let made = [rig.push(0, 0, true), rig.push(1, 5, true), rig.push(0, 40, false), rig.push(0, 80, true)];
        assert_eq!(made, ["", "HJd", "d", "J"]);
        let bytes = rig.bytes();
        let found = Scan::of(None, &bytes, &[7]);
        assert_eq!((found.container, found.headers.len(), found.joins.len()), (Some(Container::Mp4), 1, 2));
        assert!(found.headers[0].1 == rig.headers()[0] && found.joined() == bytes);
        assert_eq!(crate::media::codecs(Container::Mp4, rig.headers()[0]).unwrap(), "avc1.4d4015, mp4a.40.2");
    }

    #[test]
    fn a_fragment_says_where_and_when_its_sample_is() {
        let mut rig = Rig { muxer: Muxer::new(1), ..Rig::new() };
        rig.muxer.describe(0, pictures(320));
        // A picture that is shown before those that are decoded before it, and 14 hours old.
        let (decode, shown) = (50_000 * SECOND, 49_999 * SECOND);
        let sample = Sample { decode, shown, duration: None, is_sync: false, length: 7, payload: &b"picture"[..] };
        rig.muxer.push(0, sample, rig.begin, &mut rig.out).unwrap();
        let Some(Made::Fragment { front, .. }) = rig.out.last() else { panic!("no fragment") };
        let mut rest = &front[..];
        let moof = Moof::decode(&mut rest).unwrap();
        assert_eq!(rest, [&15u32.to_be_bytes()[..], b"mdat"].concat());
        assert_eq!(moof.mfhd.sequence_number, 50_000_001);
        let traf = &moof.traf[0];
        assert_eq!((traf.tfhd.track_id, traf.tfhd.default_base_is_moof), (1, true));
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 50_000 * 90_000);
        assert_eq!(traf.trun[0].data_offset, Some(i32::try_from(front.len()).unwrap()));
        let sample = traf.trun[0].samples.get(0).unwrap();
        assert_eq!((sample.size, sample.duration, sample.cts), (Some(7), Some(3600), Some(-90_000)));
        assert_eq!(sample.flags, Some(0x0101_0000));
    }

    #[test]
    fn a_header_waits_for_its_tracks_but_not_for_long() {
        let mut rig = Rig { muxer: Muxer::new(2), ..Rig::new() };
        rig.muxer.describe(0, pictures(320));
        assert_eq!([rig.push(0, 0, true), rig.push(0, 40, false)], ["", ""]);
        assert_eq!(rig.push(1, 50, true), "", "nobody knows what it is");
        rig.muxer.describe(1, sound());
        assert_eq!(rig.push(1, 60, true), "HJdd");
        assert_eq!(listed(rig.headers()[0]), [1, 2]);

        let mut rig = Rig { muxer: Muxer::new(2), ..Rig::new() };
        rig.muxer.describe(0, pictures(320));
        let made: Vec<_> = (0..=50).map(|number| rig.push(0, number * 40, number == 0)).collect();
        assert_eq!((made.concat().len(), made[50].len()), (52, 52));
        assert_eq!(listed(rig.headers()[0]), [1]);
        // It comes after all.
        rig.muxer.describe(1, sound());
        assert_eq!((rig.push(1, 2010, true), rig.push(0, 2040, true)), ("Hd".into(), "J".into()));
        assert_eq!(listed(rig.headers()[1]), [1, 2]);
    }

    #[test]
    fn a_file_that_comes_at_once_does_not_wait_in_memory() {
        let mut rig = Rig { muxer: Muxer::new(2), ..Rig::new() };
        rig.muxer.describe(1, sound());
        let made: Vec<_> = (0..MAX_WAITING).map(|_| rig.push(1, 0, true).len()).collect();
        assert_eq!((made[MAX_WAITING - 2], made[MAX_WAITING - 1]), (0, MAX_WAITING + 1));
    }

    #[test]
    fn a_track_that_stays_away_leaves_the_header_and_comes_back() {
        let mut rig = Rig::new();
        rig.push(0, 0, true);
        let mut made: String = (0..100).map(|number| rig.push(1, number * 21, true)).collect();
        assert!(made.starts_with("HJd") && made.ends_with("JJ") && made.matches('H').count() == 2, "{made}");
        assert_eq!(listed(rig.headers()[1]), [2]);
        made = rig.push(0, 2200, true) + &rig.push(1, 2201, true);
        assert_eq!((made, listed(rig.headers()[2])), ("HJd".to_owned(), vec![1, 2]));
        assert!(rig.headers()[0] == rig.headers()[2], "readers could stay if they were still there");
    }

    #[test]
    fn when_nothing_comes_nothing_is_gone() {
        let mut rig = Rig::new();
        rig.push(0, 0, true);
        rig.push(1, 1, true);
        // The feed began anew.
        assert_eq!(rig.push(1, 9000, true) + &rig.push(1, 9900, true) + &rig.push(0, 9950, true), "ddJ");
    }

    #[test]
    fn a_slow_track_is_not_gone() {
        let mut rig = Rig::new();
        rig.muxer.describe(0, pictures_at(320, (1, 3)));
        rig.push(0, 0, true);
        let sounds: String = (0..400).map(|number| rig.push(1, number * 20, true)).collect();
        assert_eq!(sounds.matches('H').count(), 1, "{sounds}");
        let sounds: String = (400..460).map(|number| rig.push(1, number * 20, true)).collect();
        assert!(sounds.contains('H'), "after three times its pause it is: {sounds}");
    }

    #[test]
    fn another_size_is_another_header() {
        let mut rig = Rig::new();
        rig.push(0, 0, true);
        rig.push(1, 0, true);
        rig.muxer.describe(0, pictures(320));
        assert_eq!(rig.push(0, 40, true), "J", "it is what it was");
        rig.muxer.describe(0, pictures(640));
        assert_eq!(rig.push(0, 80, true), "HJ");
        let moov = |header: &[u8]| Moov::decode(&mut &header[24..]).unwrap();
        assert_eq!(moov(rig.headers()[1]).trak[0].tkhd.width.integer(), 853);
    }

    proptest! {
        #[test]
        fn whatever_comes_decode_times_grow_and_boxes_are_whole(
            pushes in prop::collection::vec((0usize..2, 0u64..3000, any::<bool>()), 1..60),
        ) {
            let (mut rig, mut now) = (Rig::new(), 0);
            for (place, step, is_sync) in pushes {
                now += step;
                rig.push(place, now, is_sync || place == 1);
            }
            let mut decoded = [None; 2];
            for made in &rig.out {
                let Made::Fragment { front, .. } = made else { continue };
                let traf = &Moof::decode(&mut &front[..]).unwrap().traf[0];
                let time = traf.tfdt.as_ref().unwrap().base_media_decode_time;
                let last = decoded[traf.tfhd.track_id as usize - 1].replace(time);
                prop_assert!(last.is_none_or(|last| time > last));
            }
            prop_assert!(Scan::of(None, &rig.bytes(), &[100]).joined() == rig.bytes());
        }
    }
}

//! Texts in video that change with each frame: `%clock`, `%counter` and `%fps` in the text of a `textoverlay`.

use super::threads::lock;
use gst::prelude::*;
use gstreamer as gst;
use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

const CLOCK: &str = "%clock";
const COUNTER: &str = "%counter";
const FPS: &str = "%fps";
/// Frames are counted over this time.
const SPAN: Duration = Duration::from_secs(1);
/// Most frames that are counted so.
const MOST: usize = 256;

/// Updates the text of those overlays of a pipeline that want it, for each frame.
pub(super) fn animate(bin: &gst::Bin) {
    for overlay in bin.iterate_all_by_element_factory_name("textoverlay").into_iter().flatten() {
        let text = overlay.property::<Option<String>>("text").unwrap_or_default();
        let Some(pad) = overlay.static_pad("video_sink") else { continue };
        if ![CLOCK, COUNTER, FPS].iter().any(|mark| text.contains(mark)) {
            continue;
        }
        let caption = Mutex::new(Caption::new(text));
        let overlay = overlay.downgrade();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            if let Some(overlay) = overlay.upgrade() {
                let now = jiff::Zoned::now();
                overlay.set_property("text", lock(&caption).next(Instant::now(), &now));
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// What is shown in the frames of one run.
struct Caption {
    template: String,
    count: u64,
    /// When the newest frames came.
    recent: VecDeque<Instant>,
}

impl Caption {
    fn new(template: String) -> Self {
        Self { template, count: 0, recent: VecDeque::new() }
    }

    /// The text of the next frame, which comes now.
    fn next(&mut self, now: Instant, time: &jiff::Zoned) -> String {
        self.count += 1;
        self.recent.push_back(now);
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > SPAN;
        while self.recent.len() > MOST || self.recent.front().is_some_and(is_old) {
            self.recent.pop_front();
        }
        let mut text = self.template.replace(COUNTER, &self.count.to_string());
        if text.contains(CLOCK) {
            text = text.replace(CLOCK, &time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string());
        }
        if text.contains(FPS) {
            text = text.replace(FPS, &self.rate().map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}")));
        }
        text
    }

    /// Frames a second lately; unknown before the second one.
    fn rate(&self) -> Option<f64> {
        let time = self.recent.back()?.saturating_duration_since(*self.recent.front()?);
        let pictures = u32::try_from(self.recent.len()).ok()?.checked_sub(1)?;
        (!time.is_zero()).then(|| f64::from(pictures) / time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_has_its_own_text() {
        let time = "2026-01-02T03:04:05.6+01:00[+01:00]".parse().unwrap();
        let start = Instant::now();
        let mut caption = Caption::new("é %clock #%counter %fps".to_owned());
        let mut at = |millis| caption.next(start + Duration::from_millis(millis), &time);
        assert_eq!(at(0), "é 2026-01-02 03:04:05.600 #1 –");
        assert!(at(40).ends_with("#2 25.0"));
        (2..25).for_each(|picture| drop(at(picture * 40)));
        // Twice as many a second from here on.
        (0..50).for_each(|picture| drop(at(1000 + picture * 20)));
        assert!(at(2000).ends_with("#76 50.0"));
        assert!(at(60_000).ends_with("#77 –"));
        assert_eq!(Caption::new("%fpsx%counter%counter".to_owned()).next(start, &time), "–x11");
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let (mut caption, start) = (Caption::new(FPS.to_owned()), Instant::now());
        let time = jiff::Zoned::now();
        let last = (0..10_000).map(|picture| caption.next(start + Duration::from_micros(picture * 100), &time)).last();
        assert_eq!((caption.recent.len(), last.unwrap().as_str()), (MOST, "10000.0"));
    }
}

//! `overlay:` of a stream: what is drawn into its video.

use super::{
    diagnostics::Path,
    expected::{Expected, flag},
    raw,
    spans::Place,
    validator::Validator,
};
use serde_yaml::Value;

/// Longest text. A line of a frame holds some forty letters.
const LENGTH: usize = 200;

/// Letters of one width stand still when numbers change. Their size is for 640 pixels in a row, and grows with those.
const ELEMENT: &str = "textoverlay halignment=left valignment=top line-alignment=left shaded-background=true \
                       font-desc=\"Monospace, Bold 16\"";

/// What is written, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Overlay {
    pub(super) text: Option<String>,
    /// The time of day when the frame is drawn.
    pub(super) clock: bool,
    /// The number of the frame.
    pub(super) counter: bool,
    /// Frames a second, as they come.
    pub(super) fps: bool,
}

impl Overlay {
    /// The element that draws it. The worker fills in what begins with `%`.
    pub(super) fn element(&self) -> String {
        let marks = [(self.clock, "%clock"), (self.counter, "%counter"), (self.fps, "%fps fps")];
        let marks = marks.into_iter().filter(|(wanted, _)| *wanted).map(|(_, mark)| mark.to_owned());
        let lines: Vec<_> = self.text.as_deref().map(escaped).into_iter().chain(marks).collect();
        let text = lines.join("&#10;");
        format!("{ELEMENT} text=\"{text}\"")
    }
}

impl Validator {
    /// `None` when there are errors.
    pub(super) fn overlay(&mut self, path: &Path, value: Value) -> Option<Overlay> {
        let keys: raw::Overlay = self.section(path, value);
        let has_text = keys.text.is_some();
        let text = self.value(&path.key("text"), keys.text, text);
        if has_text {
            text.as_ref()?;
        }
        let mut flag = |key, value| self.value(&path.key(key), value, flag).unwrap_or(false);
        let (clock, counter, fps) = (flag("clock", keys.clock), flag("counter", keys.counter), flag("fps", keys.fps));
        let overlay = Overlay { text, clock, counter, fps };
        if overlay == Overlay::default() {
            let message = "says nothing to write: expected a `text`, or `clock`, `counter` or `fps` to be true";
            self.note(path, Place::Key, message.to_owned());
            return None;
        }
        Some(overlay)
    }
}

fn text(text: &str) -> Result<String, Expected> {
    let text = text.trim_end();
    let is_good = |c: char| c == '\n' || !c.is_control();
    if text.is_empty() || text.chars().count() > LENGTH || !text.chars().all(is_good) {
        return Err(format!("text of 1 to {LENGTH} letters").into());
    }
    Ok(text.to_owned())
}

/// As Pango's markup, without anything that has a meaning to it, to a gst-launch pipeline or to the worker.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' | '\\' | '%' | '\n' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostic, Encoding, parse};

    fn stream(name: &str, keys: &str) -> String {
        format!("feeds: {{f: {{command: cat}}}}\nstreams: {{{name}: {{feed: f, {keys}}}}}")
    }

    fn text_of(name: &str, keys: &str) -> String {
        let config = parse(&stream(name, keys)).unwrap_or_else(|faults| panic!("{keys}: {faults:?}"));
        match &config.streams[0].encoding {
            Encoding::Pipeline(texts) => {
                texts.iter().find(|text| text.contains(" x264enc ")).or(texts.last()).unwrap().clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_drawn_in_front_of_the_encoder() {
        let text = text_of("a.ts", "overlay: {counter: true, fps: true, clock: true, text: Yard}");
        let all = format!(
            "video/x-raw,format=I420 ! {ELEMENT} text=\"Yard&#10;%clock&#10;%counter&#10;%fps fps\" ! x264enc "
        );
        assert!(text.contains(&all), "{text}");
        assert!(text.ends_with(" ! queue ! mux. audio. ! mux. mpegtsmux name=mux"), "{text}");
        let jpeg = text_of("a.mjpeg", "video: {quality: 5, size: 32x32}, overlay: {fps: true, clock: false}");
        let one = format!("pixel-aspect-ratio=1/1 ! {ELEMENT} text=\"%fps fps\" ! videoconvert ! ");
        assert!(jpeg.contains(&one), "{jpeg}");
    }

    #[test]
    fn a_text_means_nothing_but_itself() {
        let text = text_of("a.ts", r#"overlay: {text: "<b>\"50%\"&\\ ! {x}\né"}"#);
        let drawn = "text=\"&#60;b&#62;&#34;50&#37;&#34;&#38;&#92; ! {x}&#10;é\" ! x264enc";
        assert!(text.contains(drawn), "{text}");
    }

    #[test]
    fn faults_of_overlays() {
        let check = |name: &str, keys: &str, fault: &str| {
            let faults: Vec<_> = parse(&stream(name, keys)).unwrap_err().iter().map(Diagnostic::to_string).collect();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].ends_with(fault), "{} is not {fault}", faults[0]);
        };
        let nothing =
            "streams.a.ts.overlay: says nothing to write: expected a `text`, or `clock`, `counter` or `fps` to be true";
        check("a.ts", "overlay: {}", nothing);
        check("a.ts", "overlay: {clock: false}", nothing);
        check(
            "a.ts",
            "overlay: {text: ''}",
            "streams.a.ts.overlay.text: expected text of 1 to 200 letters, found \"\"",
        );
        let none = "streams.a.ts.overlay: there is no video in this stream to draw into";
        check("a.ts", "video: false, overlay: {clock: true}", none);
        check("a.mp3", "overlay: {clock: true}", &none.replace("a.ts", "a.mp3"));
        let made = "`command` says already how the stream is made, keep one of them";
        check("a.ts", "command: cat, overlay: {clock: true}", &format!("streams.a.ts.overlay: {made}"));
        check("a.ts", "overlay: {text: a, clok: true}", "did you mean `clock`?");
    }
}

//! How a stream is watched elsewhere: commands and markup to copy. Pure.

use crate::{config, media::Container};
use maud::{Markup, html};

/// One way.
#[derive(Debug, PartialEq, Eq)]
pub struct Way {
    /// What it is done with.
    pub with: &'static str,
    /// To be copied as it is.
    pub line: String,
}

/// How the lines look.
pub const STYLE: &str = "
dl.ways{margin:0}.ways dt{color:var(--soft);font-size:.875rem}.ways dd{margin:0 0 .5rem}.ways pre{white-space:pre-wrap;overflow-wrap:anywhere}.ways code{user-select:all}
";

/// All ways to watch this stream in this container, the best first. `host` is the server's address as the client knows it.
pub fn ways(stream: &config::Stream, container: Container, host: Option<&str>) -> Vec<Way> {
    let host = host.unwrap_or("localhost");
    let url = format!("http://{host}{}", address(stream, container));
    let plain = format!("http://{host}{}", stream.path.encoded());
    let mut ways = Vec::new();
    let mut add = |with, line: String| ways.push(Way { with, line });
    // It takes the parts for one broken picture.
    if container != Container::Mjpeg {
        add("ffplay", format!("ffplay -fflags nobuffer -flags low_delay '{url}'"));
    }
    add("mpv", format!("mpv --profile=low-latency '{url}'"));
    add("VLC", format!("vlc --network-caching=200 '{url}'"));
    if has_pictures(stream) {
        add("curl", format!("curl -o now.jpg '{plain}/pic'"));
    } else {
        add("curl", format!("curl -o sound.{container} '{url}'"));
    }
    let markup = match Shown::of(stream, container) {
        Shown::Pictures => format!("<img src=\"{plain}\" alt=\"\">"),
        Shown::Video => format!("<video src=\"{url}\" autoplay muted playsinline></video>"),
        Shown::Audio => format!("<audio src=\"{url}\" controls></audio>"),
        Shown::Stills => format!("<img src=\"{plain}/pic\" alt=\"\">"),
    };
    add("HTML", markup);
    ways
}

/// The lines of some ways, each of them selected as a whole.
pub fn list(ways: &[Way]) -> Markup {
    html! {
        dl.ways {
            @for way in ways { dt { (way.with) } dd { pre { code { (way.line) } } } }
        }
    }
}

/// How a browser shows a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As an image that goes on.
    Pictures,
    /// In a `<video>`.
    Video,
    /// In an `<audio>`.
    Audio,
    /// It knows nothing of it, and gets one still after the other.
    Stills,
}

impl Shown {
    /// Of what is in this container.
    pub fn of(stream: &config::Stream, container: Container) -> Self {
        match container {
            Container::Mjpeg => Self::Pictures,
            _ if !has_pictures(stream) => Self::Audio,
            Container::Webm | Container::Ogg | Container::Mp4 => Self::Video,
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav => Self::Audio,
            Container::Ts | Container::Mkv | Container::Flv | Container::Raw => Self::Stills,
        }
    }

    /// For the script of the player.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Stills => "stills",
        }
    }
}

/// Whether it has pictures, as far as its type tells.
pub fn has_pictures(stream: &config::Stream) -> bool {
    !stream.mimetype.starts_with("audio/")
}

/// The path of a stream, with what a player needs to begin at once.
pub fn address(stream: &config::Stream, container: Container) -> String {
    let joined = if container.is_joinable() { "?header=1&keyframe=1" } else { "" };
    format!("{}{joined}", stream.path.encoded())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn check(name: &str, more: &str, shown: Shown, withs: &[&str], markup: &str) {
        let yaml = format!("feeds: {{f: {{command: cat}}}}\nstreams: {{'{name}': {{feed: f{more}}}}}");
        let config = parse(&yaml).unwrap();
        let (stream, container) = (&config.streams[0], config.streams[0].container);
        assert_eq!(Shown::of(stream, container), shown, "{name}");
        let ways = ways(stream, container, Some("h:1"));
        assert_eq!(ways.iter().map(|way| way.with).collect::<Vec<_>>(), withs, "{name}");
        assert_eq!(ways.last().unwrap().line, markup, "{name}");
    }

    #[test]
    fn each_container_is_shown_as_browsers_can() {
        let all = ["ffplay", "mpv", "VLC", "curl", "HTML"];
        check("a.mjpeg", "", Shown::Pictures, &all[1..], "<img src=\"http://h:1/a.mjpeg\" alt=\"\">");
        let video = "<video src=\"http://h:1/a%20b.webm?header=1&keyframe=1\" autoplay muted playsinline></video>";
        check("a b.webm", "", Shown::Video, &all, video);
        let audio = "<audio src=\"http://h:1/a.webm?header=1&keyframe=1\" controls></audio>";
        check("a.webm", ", mimetype: audio/webm", Shown::Audio, &all, audio);
        let audio = "<audio src=\"http://h:1/a.mp3?header=1&keyframe=1\" controls></audio>";
        check("a.mp3", "", Shown::Audio, &all, audio);
        check("a.ts", "", Shown::Stills, &all, "<img src=\"http://h:1/a.ts/pic\" alt=\"\">");
    }
}

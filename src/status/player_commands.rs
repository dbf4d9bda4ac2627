//! Commands and markup to watch a stream in other players. Pure.

use crate::{config, engine::registry::StreamHandle, media::Container};
use maud::{Markup, html};

/// A command or markup.
#[derive(Debug, PartialEq, Eq)]
pub struct PlayerCommand {
    /// The name of the player.
    pub player: &'static str,
    /// The text to copy.
    pub line: String,
}

/// The style of [`list`].
pub const STYLE: &str = "
dl.ways{margin:0}.ways dt{color:var(--soft);font-size:.875rem}.ways dd{margin:0 0 .5rem}.ways pre{white-space:pre-wrap;overflow-wrap:anywhere}.ways code{user-select:all}
";

/// All commands for this stream in this container, the best first. `site` is the beginning of the addresses of the server as the
/// client knows it.
pub fn player_commands(stream: &config::Stream, container: Container, site: &str) -> Vec<PlayerCommand> {
    let url = format!("{site}{}", play_path(stream, container));
    let plain = format!("{site}{}", stream.path.encoded());
    let mut commands = Vec::new();
    let mut add = |player, line: String| commands.push(PlayerCommand { player, line });
    // ffplay reads the parts as one broken frame.
    if container != Container::Mjpeg {
        add("ffplay", format!("ffplay -fflags nobuffer -flags low_delay '{url}'"));
    }
    add("mpv", format!("mpv --profile=low-latency '{url}'"));
    add("VLC", format!("vlc --network-caching=200 '{url}'"));
    if has_video(stream) {
        add("curl", format!("curl -o now.jpg '{plain}/pic'"));
    } else {
        add("curl", format!("curl -o audio.{container} '{url}'"));
    }
    let markup = match Playback::of(stream, container) {
        Playback::Image => format!("<img src=\"{plain}\" alt=\"\">"),
        Playback::Video => format!("<video src=\"{url}\" autoplay muted playsinline></video>"),
        Playback::Audio => format!("<audio src=\"{url}\" controls></audio>"),
        Playback::Stills => format!("<img src=\"{plain}/pic\" alt=\"\">"),
    };
    add("HTML", markup);
    commands
}

/// The addresses of its playlists, for players that take these; none where there are none.
pub fn playlists(stream: &StreamHandle, site: &str) -> Vec<PlayerCommand> {
    let Some(path) = stream.playlist_path() else { return Vec::new() };
    let hls = PlayerCommand { player: "HLS", line: format!("{site}{path}") };
    let dash = stream.manifest_path().map(|path| PlayerCommand { player: "DASH", line: format!("{site}{path}") });
    [hls].into_iter().chain(dash).collect()
}

/// The list of these commands; a click selects a line.
pub fn list(commands: &[PlayerCommand]) -> Markup {
    html! {
        dl.ways {
            @for command in commands { dt { (command.player) } dd { pre { code { (command.line) } } } }
        }
    }
}

/// How a browser shows a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playback {
    /// As an image that is updated continuously.
    Image,
    /// In a `<video>`.
    Video,
    /// In an `<audio>`.
    Audio,
    /// It cannot play it, and gets one still after the other.
    Stills,
}

impl Playback {
    /// The playback of this container.
    pub fn of(stream: &config::Stream, container: Container) -> Self {
        match container {
            Container::Mjpeg => Self::Image,
            _ if !has_video(stream) => Self::Audio,
            Container::Webm | Container::Ogg | Container::Mp4 => Self::Video,
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav => Self::Audio,
            Container::Ts
            | Container::Mkv
            | Container::Flv
            | Container::Avi
            | Container::WebRtc
            | Container::Rtp
            | Container::Raw => Self::Stills,
        }
    }

    /// The value for the script of the player.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "pictures",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Stills => "stills",
        }
    }
}

/// Whether the stream has video, as far as its content type shows.
pub fn has_video(stream: &config::Stream) -> bool {
    !stream.mimetype.starts_with("audio/")
}

/// The path of a stream, with the parameters that let a player start immediately.
pub fn play_path(stream: &config::Stream, container: Container) -> String {
    let joined = if container.is_joinable() { "?header=1&keyframe=1" } else { "" };
    format!("{}{joined}", stream.path.encoded())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn check(name: &str, more: &str, playback: Playback, players: &[&str], markup: &str) {
        let yaml = format!("feeds: {{f: {{command: cat}}}}\nstreams: {{'{name}': {{feed: f{more}}}}}");
        let config = parse(&yaml).unwrap();
        let (stream, container) = (&config.streams[0], config.streams[0].container);
        assert_eq!(Playback::of(stream, container), playback, "{name}");
        let commands = player_commands(stream, container, "http://h:1");
        assert_eq!(commands.iter().map(|command| command.player).collect::<Vec<_>>(), players, "{name}");
        assert_eq!(commands.last().unwrap().line, markup, "{name}");
    }

    #[test]
    fn each_container_has_a_playback_in_browsers() {
        let all = ["ffplay", "mpv", "VLC", "curl", "HTML"];
        check("a.mjpeg", "", Playback::Image, &all[1..], "<img src=\"http://h:1/a.mjpeg\" alt=\"\">");
        let video = "<video src=\"http://h:1/a%20b.webm?header=1&keyframe=1\" autoplay muted playsinline></video>";
        check("a b.webm", "", Playback::Video, &all, video);
        let audio = "<audio src=\"http://h:1/a.webm?header=1&keyframe=1\" controls></audio>";
        check("a.webm", ", mimetype: audio/webm", Playback::Audio, &all, audio);
        let audio = "<audio src=\"http://h:1/a.mp3?header=1&keyframe=1\" controls></audio>";
        check("a.mp3", "", Playback::Audio, &all, audio);
        check("a.ts", "", Playback::Stills, &all, "<img src=\"http://h:1/a.ts/pic\" alt=\"\">");
    }
}

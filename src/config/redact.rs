//! Secrets in texts and words, made unreadable: user and password of URLs, and values of keys that sound like one.

use super::{
    model::{Config, Encoding, Source},
    publish_pattern::PublishPattern,
    push_target::PushService,
    telemetry::Telemetry,
};
use crate::access::{MASK, Secret};
use std::iter::once;

/// Ends of names whose values are secret, in lower case. `user-pw` is of GStreamer's `rtspsrc`.
const SECRET_NAMES: [&str; 10] =
    ["password", "passphrase", "passwd", "pwd", "user-pw", "token", "secret", "api-key", "api_key", "apikey"];

/// What addresses begin with whose last part is a secret.
const SCHEMES_WITH_KEYS: [&str; 2] = ["rtmp://", "rtmps://"];

/// A configuration to be shown: it is like the one that is used, but for its secrets.
pub fn masked(config: &Config) -> Config {
    let mut config = config.clone();
    config.auth = config.auth.masked();
    if let Some(passphrase) = config.srt.as_mut().and_then(|srt| srt.passphrase.as_mut()) {
        *passphrase = Secret::new(MASK);
    }
    config.hooks = config.hooks.iter().map(|hook| hook.masked(words_without_secrets)).collect();
    for hook in config.webrtc.iter_mut().flat_map(|webrtc| &mut webrtc.channels) {
        *hook = hook.masked(words_without_secrets);
    }
    config.telemetry = config.telemetry.as_ref().map(Telemetry::masked);
    config.patterns = config.patterns.iter().map(PublishPattern::masked).collect();
    for feed in &mut config.feeds {
        match &mut feed.source {
            Source::Pipeline(text) => *text = text_without_secrets(text),
            Source::Command(words) => *words = words_without_secrets(words),
            Source::Publish(publish) => *publish = publish.masked(),
            Source::Link(link) => *link = link.masked(),
            Source::File { .. } | Source::Pipe(_) => {}
        }
    }
    for stream in &mut config.streams {
        stream.pushes.iter_mut().for_each(|push| *push = push.masked());
        stream.push_service = stream.push_service.as_ref().map(PushService::masked);
        match &mut stream.encoding {
            Encoding::Pipeline(texts) => texts.iter_mut().for_each(|text| *text = text_without_secrets(text)),
            Encoding::Command(words) => *words = words_without_secrets(words),
            Encoding::Copy => {}
        }
        for alternative in stream.outputs.iter_mut().flat_map(|outputs| &mut outputs.alternatives) {
            alternative.pipelines.iter_mut().for_each(|text| *text = text_without_secrets(text));
        }
    }
    config
}

/// A word after one like `--password` is secret as a whole.
fn words_without_secrets(words: &[String]) -> Vec<String> {
    let before = once("").chain(words.iter().map(String::as_str));
    let mask = |(before, word): (&str, &String)| {
        if before.starts_with('-') && is_secret_name(before) { MASK.to_owned() } else { text_without_secrets(word) }
    };
    before.zip(words).map(mask).collect()
}

/// A text to be shown.
pub fn text_without_secrets(text: &str) -> String {
    values_masked(&keys_masked(&users_masked(text)))
}

/// Whether a key or option with this name has a secret as its value.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.ends_with(secret))
}

/// `rtmp://host/app/key?query` → `rtmp://host/app/***`: with most services the last part is the secret.
fn keys_masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = SCHEMES_WITH_KEYS.iter().filter_map(|scheme| Some(rest.find(scheme)? + scheme.len())).min() {
        let (before, behind) = rest.split_at(at);
        masked.push_str(before);
        let end = behind.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(behind.len());
        let (address, after) = behind.split_at(end);
        let path = address.find('?').map_or(address, |query| address.split_at(query).0);
        match path.rfind('/') {
            Some(slash) if slash + 1 < address.len() => {
                masked.push_str(address.split_at(slash + 1).0);
                masked.push_str(MASK);
            }
            _ => masked.push_str(address),
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// `rtsp://user:password@host` → `rtsp://***@host`.
fn users_masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("://") {
        masked.push_str(before);
        masked.push_str("://");
        let end = behind
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''))
            .unwrap_or(behind.len());
        let (authority, path) = behind.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                masked.push_str(MASK);
                masked.push('@');
                masked.push_str(host);
            }
            None => masked.push_str(authority),
        }
        rest = path;
    }
    masked.push_str(rest);
    masked
}

/// `passphrase=x`, `"token": "x"` and the like, where the value ends at a blank, `&`, `,`, `;`, or the end of its quotes.
fn values_masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(sign) = rest.find(['=', ':']) {
        let (before, behind) = rest.split_at(sign);
        let name = before.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        let blanks = behind.find(|c: char| !(c.is_whitespace() || matches!(c, '=' | ':'))).unwrap_or(behind.len());
        let (sign, value) = behind.split_at(blanks);
        masked.push_str(before);
        masked.push_str(sign);
        rest = value;
        if is_secret_name(name) && !value.is_empty() {
            rest = value.get(value_length(value)..).unwrap_or_default();
            masked.push_str(MASK);
        }
    }
    masked.push_str(rest);
    masked
}

/// In bytes; a backslash keeps what follows inside.
fn value_length(value: &str) -> usize {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut chars = value.char_indices().skip(usize::from(quote.is_some()));
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                chars.next();
            }
            (c, Some(quote)) if c == quote => return at + c.len_utf8(),
            (c, None) if c.is_whitespace() || matches!(c, '&' | ',' | ';' | '"' | '\'') => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{parse, to_yaml};
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(text_without_secrets(text), expect);
    }

    #[test]
    fn secrets_of_texts() {
        check("rtspsrc location=rtsp://u:p@h:554/a ! x", "rtspsrc location=rtsp://***@h:554/a ! x");
        check("a=rtsp://u:p@ss@h b=http://h/@x", "a=rtsp://***@h b=http://h/@x");
        check("a location=\"rtsp://u:p@h\"", "a location=\"rtsp://***@h\"");
        check("rtspsrc user-id=me user-pw=\"a b\\\" c\" ! x", "rtspsrc user-id=me user-pw=*** ! x");
        check("srtsrc passphrase=a\\ b uri=srt://h", "srtsrc passphrase=*** uri=srt://h");
        check("srt://h?passphrase=geheim&mode=caller", "srt://h?passphrase=***&mode=caller");
        check("http://h/a?access_token=x y", "http://h/a?access_token=*** y");
        check("Authorization: Basic x\nX-Token: y", "Authorization: Basic x\nX-Token: ***");
        check("x264enc bitrate=1 name=password", "x264enc bitrate=1 name=password");
        check("password=", "password=");
        check("ffmpeg -i x -f flv rtmp://u:p@h/app/geheim?a=b/c -y", "ffmpeg -i x -f flv rtmp://***@h/app/*** -y");
        check(
            "rtmp2src location='rtmps://h/geheim' ! rtmp://h ! rtmp://h/",
            "rtmp2src location='rtmps://h/***' ! rtmp://h ! rtmp://h/",
        );
        check("a PassWord = b", "a PassWord = ***");
    }

    #[test]
    fn a_word_behind_an_option_is_one() {
        let words = ["curl", "--password", "a b", "-x", "token=c", "rtsp://u:p@h"].map(str::to_owned);
        assert_eq!(words_without_secrets(&words), ["curl", "--password", "***", "-x", "token=***", "rtsp://***@h"]);
    }

    #[test]
    fn the_configuration_itself_keeps_its_secrets() {
        let config = parse("feeds: {a: {command: cat rtsp://u:geheim@h}, b: {pipeline: x token=geheim}}").unwrap();
        assert!(!to_yaml(&masked(&config)).contains("geheim"));
        assert!(to_yaml(&config).contains("geheim"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(password=|rtmp://|token: |://|@|\"|\\\\|é|'| |a|=|:|&){0,12}") {
            let _ = text_without_secrets(&text);
        }

        #[test]
        fn no_password_of_a_url_is_left(password in "[A-Z0-9:@]{1,10}", before in "[a-z =\"]{0,6}") {
            let text = text_without_secrets(&format!("{before}rtsp://u:SECRET{password}@host/x"));
            prop_assert!(!text.contains("SECRET"), "{}", text);
        }
    }
}

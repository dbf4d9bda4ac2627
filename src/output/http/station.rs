//! What source clients of icecast say in words: their station, and the titles of what they play. Pure.

use http::HeaderMap;
use percent_encoding::percent_decode_str;

/// Most characters of a title, and of the name of a station.
const MOST_TEXT: usize = 256;

/// The path for which a title is sent; `None` when the query is not about a title.
pub fn mount_of(query: &str) -> Option<String> {
    value(query, "mode").filter(|mode| *mode == "updinfo")?;
    percent_decode_str(value(query, "mount")?).decode_utf8().ok().map(|mount| mount.into_owned())
}

/// The title in a query.
pub fn title_of(query: &str) -> Option<String> {
    let song = value(query, "song")?.replace('+', " ");
    Some(shown(&percent_decode_str(&song).collect::<Vec<_>>()))
}

/// The name of the station that a source client says.
pub fn station_of(headers: &HeaderMap) -> Option<String> {
    headers.get("ice-name").map(|name| shown(name.as_bytes())).filter(|name| !name.is_empty())
}

/// A foreign text as it may be shown: in Latin-1 where it is no UTF-8, as old clients send it.
fn shown(text: &[u8]) -> String {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.to_owned(),
        Err(_) => text.iter().copied().map(char::from).collect(),
    };
    text.trim().chars().filter(|c| !c.is_control()).take(MOST_TEXT).collect()
}

fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_for_a_path() {
        assert_eq!(mount_of("mode=updinfo&mount=%2Fstudio&song=a+b").as_deref(), Some("/studio"));
        assert_eq!(mount_of("mount=/live/anna&mode=updinfo").as_deref(), Some("/live/anna"));
        assert_eq!(
            (mount_of("mode=updinfo&song=x"), mount_of("mode=other&mount=/x"), mount_of("")),
            (None, None, None)
        );
    }

    #[test]
    fn titles_are_text_that_may_be_shown() {
        let check = |query: &str, expect: Option<&str>| assert_eq!(title_of(query).as_deref(), expect, "{query}");
        check("mount=/x&song=anna%20-%20a+song&mode=updinfo", Some("anna - a song"));
        check("song=%C3%A9t%C3%A9", Some("été"));
        check("song=%E9t%E9", Some("été"));
        check("song=%00a%0d%0ab%1b", Some("ab"));
        check("song=", Some(""));
        check("mode=updinfo", None);
        assert_eq!(title_of(&format!("song={}", "x".repeat(5000))).unwrap().len(), MOST_TEXT);
    }
}

//! Fragments of session descriptions that clients send later (RFC 8840): further candidates, or another ICE session. Pure.

/// Longest name and password of an ICE session (RFC 8839, section 5.4).
const MAX_CREDENTIAL: usize = 256;

/// What a fragment says. Candidates of the client need nothing from a server that only answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The name of the ICE session.
    pub ufrag: String,
    /// Its password.
    pub password: String,
}

impl Fragment {
    /// Reads a fragment; `None` when it names no ICE session.
    pub fn parse(text: &str) -> Option<Self> {
        let attribute = |name: &str| {
            let mut lines = text.lines().map(str::trim);
            lines.find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let (ufrag, password) = (attribute("ice-ufrag")?, attribute("ice-pwd")?);
        let is_good = |text: &str, least| {
            let is_ice = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            (least..=MAX_CREDENTIAL).contains(&text.len()) && text.bytes().all(is_ice)
        };
        let is_fragment = is_good(ufrag, 4) && is_good(password, 22);
        is_fragment.then(|| Self { ufrag: ufrag.to_owned(), password: password.to_owned() })
    }

    /// The offer of before with this ICE session, without candidates.
    pub fn renewed(&self, offer: &str) -> String {
        let lines = offer.lines().filter(|line| !line.starts_with("a=candidate:"));
        let lines = lines.map(|line| match line {
            _ if line.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{}\r\n", self.ufrag),
            _ if line.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{}\r\n", self.password),
            line => format!("{line}\r\n"),
        });
        lines.collect()
    }
}

/// The fragment that answers one with another ICE session: from the answer to the renewed offer.
pub fn answer_of(answer: &str) -> String {
    let mut out = String::from("a=ice-lite\r\n");
    let mut seen: Vec<&str> = Vec::new();
    for line in answer.lines().map(str::trim_end) {
        let is_ice = ["a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"].iter().any(|name| line.starts_with(name));
        // All media share the connection of the first.
        if is_ice && !seen.contains(&line) {
            seen.push(line);
        }
    }
    let medium = answer.lines().map(str::trim_end).find(|line| line.starts_with("m="));
    let mid = answer.lines().map(str::trim_end).find(|line| line.starts_with("a=mid:"));
    let credentials = seen.iter().filter(|line| !line.starts_with("a=candidate:"));
    let candidates = seen.iter().filter(|line| line.starts_with("a=candidate:"));
    for line in credentials.chain(medium.iter()).chain(mid.iter()).chain(candidates) {
        out += line;
        out += "\r\n";
    }
    out + "a=end-of-candidates\r\n"
}

#[cfg(test)]
mod tests {
    use super::super::sdp::{Offer, tests::CHROMIUM};
    use super::*;
    use proptest::prelude::*;

    const FRAGMENT: &str = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r
a=mid:0\r\na=candidate:1387637174 1 udp 2122260223 x.local 61764 typ host\r\n";

    #[test]
    fn a_fragment_renews_the_offer() {
        let fragment = Fragment::parse(FRAGMENT).unwrap();
        let renewed = fragment.renewed(&format!("{CHROMIUM}a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n"));
        assert!(!renewed.contains("candidate"));
        let offer = Offer::parse(&renewed).unwrap();
        assert_eq!(offer.ufrag.as_deref(), Some("ysXw"));
        assert_eq!(offer.media, Offer::parse(CHROMIUM).unwrap().media);
        for bad in [
            "",
            "a=ice-ufrag:ysXw",
            "a=ice-ufrag:x\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k",
            "a=ice-ufrag:ysXw\na=ice-pwd:short",
        ] {
            assert_eq!(Fragment::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_answer_has_each_line_once() {
        let answer = "v=0\r\nm=video 9 x 96\r\na=mid:0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1\r\nm=audio 9 x 1\r\na=mid:1\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1\r\n";
        let expect = "a=ice-lite\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\nm=video 9 x 96\r\na=mid:0\r\na=candidate:1\r\na=end-of-candidates\r\n";
        assert_eq!(answer_of(answer), expect);
    }

    proptest! {
        #[test]
        fn foreign_texts_never_panic(text: String) {
            if let Some(fragment) = Fragment::parse(&text) {
                let _ = fragment.renewed(&text);
            }
            let _ = answer_of(&text);
        }
    }
}

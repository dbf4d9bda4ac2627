//! The way that a push has taken, in the name of the program that it tells a server: so a server notices media that comes back to the
//! feed which it is made of.

use crate::{config::FeedName, engine::registry::Registry};
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use std::sync::OnceLock;

/// Precedes the hops in the name of the program.
const VIA: &str = "; via ";
/// Most hops that are kept: the oldest ones are.
const MOST: usize = 8;

/// One server and stream on the way. Neither is named: a stranger learns nothing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    server: u32,
    stream: u32,
}

impl Hop {
    /// A stream of this server.
    pub fn own(stream: &str) -> Self {
        Self { server: own_server(), stream: hash(stream.as_bytes()) }
    }
}

/// The name of our program, with the way that the media of a push has taken, this server last.
pub fn agent(way: &[Hop]) -> String {
    let hops: Vec<_> = way.iter().take(MOST).map(|hop| format!("{:08x}.{:08x}", hop.server, hop.stream)).collect();
    // Servers know this beginning, which is that of all encoders.
    format!("FMLE/3.0 (compatible; voyandz/{}{VIA}{})", env!("CARGO_PKG_VERSION"), hops.join(","))
}

/// The way in the name of a program; empty where there is none.
pub fn way(agent: &str) -> Vec<Hop> {
    let Some((_, hops)) = agent.split_once(VIA) else { return Vec::new() };
    let hop = |text: &str| {
        let (server, stream) = text.split_once('.')?;
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        Some(Hop { server: number(server)?, stream: number(stream)? })
    };
    hops.trim_end_matches(')').split(',').take(MOST).map_while(hop).collect()
}

/// Whether media of a program with this name is made of the feed that it is to be published to.
pub fn is_loop(agent: Option<&str>, registry: &Registry, feed: &FeedName) -> bool {
    let way = agent.map(way).unwrap_or_default();
    let is_passed = |stream: &str| way.contains(&Hop::own(stream));
    registry
        .streams()
        .iter()
        .map(|stream| &stream.config)
        .any(|stream| is_passed(stream.name.as_str()) && origins(registry, &stream.feeds).contains(feed))
}

/// These feeds, and those that they are made of.
pub fn origins(registry: &Registry, feeds: &[FeedName]) -> Vec<FeedName> {
    let mut all = feeds.to_vec();
    let mut at = 0;
    while let Some(name) = all.get(at) {
        let parent = registry.feeds().iter().find(|feed| feed.config.name == *name);
        let parent = parent.and_then(|feed| feed.config.parent.clone());
        all.extend(parent.filter(|parent| !all.contains(parent)));
        at += 1;
    }
    all
}

/// Chosen by chance when the program starts.
fn own_server() -> u32 {
    static OWN: OnceLock<u32> = OnceLock::new();
    *OWN.get_or_init(|| {
        let mut random = [0; 4];
        // Without random numbers there would be no gate either.
        let _ = rand::fill(&mut random);
        u32::from_be_bytes(random)
    })
}

fn hash(bytes: &[u8]) -> u32 {
    digest(&SHA256, bytes).as_ref().first_chunk().map_or(0, |four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_way_is_read_as_it_is_written() {
        let way_of = |count: usize| (0..count).map(|number| Hop::own(&number.to_string())).collect::<Vec<_>>();
        for (count, kept) in [(0, 0), (1, 1), (8, 8), (9, 8)] {
            assert_eq!(way(&agent(&way_of(count))), way_of(kept), "{count}");
        }
        assert!(agent(&way_of(9)).len() < 256);
        assert_eq!(way("FMLE/3.0 (compatible; Lavf60)"), []);
        assert_ne!(Hop::own("a"), Hop::own("b"));
    }

    proptest! {
        #[test]
        fn foreign_names_never_panic(name in "(FMLE; via )?[0-9a-f.,)é]{0,60}") {
            prop_assert!(way(&name).len() <= MOST);
        }
    }
}

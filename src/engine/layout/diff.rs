//! What ends when one layout takes the place of another.

use super::{GroupLayout, Layout, UnitKind};
use crate::{
    ipc::{FeedPlan, Item, StreamPlan},
    source::unit_id::UnitId,
};
use std::collections::BTreeSet;

impl Layout {
    /// The units of `before` that cannot continue in this layout: those that it lacks, and those that run something else in
    /// it.
    pub fn ended_of(&self, before: &Self) -> BTreeSet<UnitId> {
        let ends = |id: &UnitId| !self.units.contains_key(id) || self.what_runs(id) != before.what_runs(id);
        before.units.keys().filter(|id| ends(id)).cloned().collect()
    }

    /// Everything that determines what a unit's source does.
    fn what_runs(&self, id: &UnitId) -> Option<(&UnitKind, &[UnitId], Option<Planned<'_>>)> {
        let unit = self.units.get(id)?;
        let planned = match unit.kind {
            UnitKind::Item { group, item } => self.groups.get(&group).and_then(|group| group.planned(item)),
            UnitKind::Command(_)
            | UnitKind::Pipe(_)
            | UnitKind::Publish(_)
            | UnitKind::Link(_)
            | UnitKind::Published(_) => None,
        };
        Some((&unit.kind, &unit.needs, planned))
    }
}

/// The plan of one item.
#[derive(Debug, PartialEq)]
enum Planned<'a> {
    Feed(&'a FeedPlan),
    /// With the sources of its feeds' bytes.
    Stream(&'a StreamPlan, Vec<Option<&'a UnitId>>),
}

impl GroupLayout {
    fn planned(&self, item: Item) -> Option<Planned<'_>> {
        Some(match item {
            Item::Feed(feed) => Planned::Feed(self.plan.feeds.get(&feed)?),
            Item::Stream(stream) => {
                let stream = self.plan.streams.get(&stream)?;
                Planned::Stream(stream, stream.feeds.iter().map(|feed| self.fed_by.get(feed)).collect())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{laid_out, lines};
    use super::*;

    const TWO: &str = "feeds:
  v: {pipeline: videotestsrc}
  a: {pipeline: audiotestsrc}
  ff: {command: [ffmpeg]}
streams:
  v.ts: {feed: v}
  a.ts: {feed: a}
  ff.webm: {feed: ff, video: {codec: vp8}}
";

    /// What ends when the second configuration replaces the first.
    fn ended(before: &str, after: &str) -> Vec<String> {
        let before = laid_out(before, &Layout::default());
        laid_out(after, &before).ended_of(&before).iter().map(UnitId::to_string).collect()
    }

    #[test]
    fn what_is_unchanged_continues() {
        let before = laid_out(TWO, &Layout::default());
        assert_eq!(laid_out(TWO, &before), before);
        assert_eq!(ended(TWO, TWO), [""; 0]);
    }

    #[test]
    fn another_order_and_additions_end_nothing() {
        let reordered = "feeds:
  new: {pipeline: videotestsrc}
  ff: {command: [ffmpeg]}
  a: {pipeline: audiotestsrc}
  v: {pipeline: videotestsrc, mode: continuous}
streams:
  new.ts: {feed: new}
  ff.webm: {feed: ff, video: {codec: vp8}}
  first.ts: {feed: v, video: {codec: h264, bitrate: 1M}}
  v.ts: {feed: v, url: /elsewhere.ts}
  a.ts: {feed: a}
";
        assert_eq!(ended(TWO, reordered), [""; 0]);
        let before = laid_out(TWO, &Layout::default());
        let after = laid_out(reordered, &before);
        let groups: Vec<_> = lines(&after).into_iter().filter(|line| line.starts_with("group")).collect();
        let expected = [
            "group 0 v: 0=v | 0=v.ts[0] 1=first.ts[0]",
            "group 1 a: 0=a | 0=a.ts[0]",
            "group 2 ff: 0=ff<feed ff | 0=ff.webm[0]",
            "group 3 new: 0=new | 0=new.ts[0]",
        ];
        assert_eq!(groups, expected);
    }

    #[test]
    fn only_what_changed_ends() {
        let check = |from: &str, to: &str, expected: &[&str]| {
            assert!(TWO.contains(from));
            assert_eq!(ended(TWO, &TWO.replace(from, to)), expected, "{from} became {to}");
        };
        check("{pipeline: audiotestsrc}", "{pipeline: audiotestsrc wave=8}", &["feed a"]);
        check("[ffmpeg]", "[ffmpeg, -re]", &["feed ff"]);
        check("v.ts: {feed: v}", "v.ts: {feed: v, video: {codec: h264, bitrate: 1M}}", &["stream v.ts"]);
        check("  v.ts: {feed: v}\n", "", &["stream v.ts"]);
        check("v.ts: {feed: v}", "v.ts: {feed: ff}", &["stream v.ts"]);
        check("feeds:", "logdir: /tmp/log\nfeeds:", &["feed ff"]);
        // The same name with another kind of source: what uses its tracks restarts.
        check("{command: [ffmpeg]}", "{pipeline: videotestsrc}", &["feed ff", "stream ff.webm"]);
    }

    #[test]
    fn feeds_that_are_joined_move_to_the_worker_of_the_first() {
        let together = format!("{TWO}  av.ts: {{feeds: [v, a]}}\n");
        assert_eq!(ended(TWO, &together), ["feed a", "stream a.ts"]);
        assert_eq!(ended(&together, TWO), ["feed a", "stream a.ts", "stream av.ts"]);
    }

    #[test]
    fn a_number_is_not_reused_immediately() {
        let before = laid_out("feeds: {v: {pipeline: videotestsrc}}\nstreams: {a.ts: {feed: v}}", &Layout::default());
        let after = laid_out("feeds: {v: {pipeline: videotestsrc}}\nstreams: {b.ts: {feed: v}}", &before);
        assert_eq!(lines(&after)[0], "group 0 v: 0=v | 1=b.ts[0]");
    }
}

//! What the tests of layouts share.

use super::{CommandLayout, Layout, UnitKind, layout};
use crate::config::parse;

pub(super) fn laid_out(text: &str, before: &Layout) -> Layout {
    layout(&parse(text).unwrap(), before)
}

/// A layout as text, one line for each group, unit and stream.
pub(super) fn lines(layout: &Layout) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, group) in &layout.groups {
        let feeds = group.plan.feeds.iter().map(|(number, feed)| match group.fed_by.get(number) {
            Some(unit) => format!("{number}={}<{unit}", feed.name),
            None => format!("{number}={}", feed.name),
        });
        let feeds: Vec<String> = feeds.collect();
        let streams = group.plan.streams.iter();
        let streams = streams.map(|(number, stream)| format!("{number}={}{:?}", stream.name, stream.feeds));
        let streams: Vec<String> = streams.collect();
        lines.push(format!("group {id} {}: {} | {}", group.name, feeds.join(" "), streams.join(" ")));
    }
    for (id, unit) in &layout.units {
        let kind = match &unit.kind {
            UnitKind::Command(CommandLayout { stdin: Some(input), .. }) => format!("command of {input}"),
            UnitKind::Command(CommandLayout { argv, descriptors, .. }) => {
                let inputs: Vec<_> = descriptors.iter().map(|input| format!(", reads {input}")).collect();
                format!(
                    "command{}{}",
                    argv.get(1..).unwrap_or_default().iter().map(|word| format!(" {word}")).collect::<String>(),
                    inputs.concat()
                )
            }
            UnitKind::Pipe(_) => "pipe".to_owned(),
            UnitKind::Publish(_) => "publish".to_owned(),
            UnitKind::Link(link) => format!("link {link}"),
            UnitKind::Published(feed) => format!("published to {feed}"),
            UnitKind::Item { group, item } => format!("{item:?} of {group}"),
        };
        let needs: Vec<String> = unit.needs.iter().map(|need| format!(", needs {need}")).collect();
        lines.push(format!("{id}: {kind}{}", needs.concat()));
    }
    for (at, stream) in layout.streams.iter().enumerate() {
        lines.push(format!("viewers {at}: {} group {} {:?}", stream.unit, stream.group, stream.in_plan));
    }
    for (name, command) in &layout.per_request {
        let units: Vec<_> = command.units().iter().map(|input| format!(", reads {input}")).collect();
        lines.push(format!("for each viewer of {name}: {}{}", command.argv.join(" "), units.concat()));
    }
    lines
}

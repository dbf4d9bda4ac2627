//! The paths of a stream that a signed link can be for. Pure.

use super::{Serving, Stream};
use crate::access::Action;

/// The paths of a stream that these actions are for, without a query; `has_players` says whether it has a page of its own.
pub fn link_paths(stream: &Stream, actions: &[Action], has_players: bool) -> Vec<String> {
    let path = stream.path.encoded();
    let (views, takes) = (actions.contains(&Action::View), actions.contains(&Action::Still));
    let is_shot = stream.serving == Serving::Shot;
    let is_shared = stream.serving == Serving::Shared;
    let has_stills = is_shared && !stream.mimetype.starts_with("audio/");
    let mut paths = Vec::new();
    if (views && !is_shot) || (takes && is_shot) {
        paths.push(path.clone());
    }
    if views && stream.outputs.is_some() {
        let containers = stream.containers().into_iter();
        paths.extend(containers.filter_map(|container| stream.output_path(container)).map(|path| path.encoded()));
    }
    if views && is_shared && has_players {
        paths.push(format!("{path}/play"));
    }
    if takes && has_stills {
        paths.push(format!("{path}/pic"));
    }
    paths
}

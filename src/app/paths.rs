//! Which paths are left for pages.

use crate::engine::registry::Registry;

/// Whether no stream has this path: a page that came later gives way to streams of that name.
pub(super) fn is_free(registry: &Registry, path: &str) -> bool {
    let shared = registry.streams().iter().flat_map(|stream| {
        let outputs = stream.outputs.iter().map(|output| &output.config.path);
        [&stream.config.path].into_iter().chain(outputs)
    });
    let own = registry.per_request().iter().map(|stream| &stream.config.path);
    shared.chain(own).all(|taken| taken.as_str() != path)
}

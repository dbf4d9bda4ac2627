//! What is refused while the machine is overloaded.

use super::response::{Response, unavailable};
use crate::{
    sys::overload::{CurrentLoad, LoadLevel},
    telemetry::{HttpStats, Refusal},
};
use std::sync::Arc;

/// Refuses requests while the machine is overloaded, and counts them.
#[derive(Debug, Clone)]
pub struct Admission {
    load: CurrentLoad,
    stats: Arc<HttpStats>,
}

impl Admission {
    /// Decides by `load`; `stats` counts what is refused.
    pub fn new(load: CurrentLoad, stats: Arc<HttpStats>) -> Self {
        Self { load, stats }
    }

    /// The response to a new viewer, if it is refused.
    pub fn refuse_viewer(&self) -> Option<Response> {
        (self.load.level() >= LoadLevel::Overloaded).then(|| {
            self.stats.refused(Refusal::Viewer);
            unavailable("overloaded: no new viewers")
        })
    }

    /// The response to a request for a still that would have to be encoded, if it is refused.
    pub fn refuse_still(&self) -> Option<Response> {
        (self.load.level() >= LoadLevel::Degraded).then(|| {
            self.stats.refused(Refusal::Still);
            unavailable("overloaded: no new stills; max_age= accepts a cached one")
        })
    }
}

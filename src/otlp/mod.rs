//! Sends the spans of recorded traces to a collector of OpenTelemetry, as JSON over HTTP.
//!
//! Spans come in by the queue of a [`Tracer`], which those who trace never wait for; one task ([`exporter`]) takes them in batches, has them
//! written as JSON ([`encode`]) and posts them by the client of hooks. Nothing else in the server depends on it, nor on the collector.

mod encode;
mod exporter;

pub use exporter::Exporter;

use crate::{
    config::Telemetry,
    net::HttpClient,
    telemetry::{OtlpStats, Tracer},
};
use std::sync::Arc;
use tokio::sync::watch;

/// Where traces go, and which of them: what a configuration decides.
#[derive(Debug)]
pub struct Otlp {
    tracer: Tracer,
    collector: watch::Sender<Option<Telemetry>>,
}

impl Otlp {
    /// Nothing is recorded yet. The exporter is to be run.
    pub fn new(client: HttpClient, stats: Arc<OtlpStats>) -> (Self, Exporter) {
        let (tracer, spans) = Tracer::queue(stats.clone());
        let (collector, settings) = watch::channel(None);
        (Self { tracer, collector }, Exporter::new(spans, settings, client, stats))
    }

    /// Records traces.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// From now on traces are recorded and sent like this, or not at all.
    pub fn apply(&self, telemetry: Option<&Telemetry>) {
        self.tracer.record(telemetry.map(|telemetry| telemetry.sample));
        self.collector.send_if_modified(|known| {
            let is_other = known.as_ref() != telemetry;
            *known = telemetry.cloned();
            is_other
        });
    }
}

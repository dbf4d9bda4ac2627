//! What this machine has and lacks of what voyandz needs: `voyandz doctor`.

mod machine;
mod media;
mod report;

use crate::{
    config::{Loaded, Origin},
    source::worker::Worker,
};
use report::{Finding, Report};

/// Looks at everything and returns what is to be printed, and whether the server can do its work here. `faults` are those that
/// were found in the texts of the configuration.
pub async fn examine(loaded: &Result<(Origin, Loaded), Vec<String>>, faults: &[String]) -> (String, bool) {
    let mut report = machine().await;
    report.section("Configuration", machine::configuration(loaded, faults));
    (report.to_string(), report.is_well())
}

/// Looks at the machine, for a server that runs.
pub async fn findings() -> serde_json::Value {
    machine().await.to_json()
}

async fn machine() -> Report {
    let mut report = Report::default();
    match Worker::spawn().await {
        Ok(mut worker) => {
            report.section("GStreamer", media::elements(&mut worker).await);
            report.section("Encoders", media::encoders(&mut worker).await);
            worker.end().await;
        }
        Err(error) => report.section("GStreamer", vec![Finding::lacks("worker", &error.to_string(), "")]),
    }
    report.section("Devices", machine::devices());
    report.section("Programs", machine::programs());
    report.section("Limits", machine::limits());
    report
}

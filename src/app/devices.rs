//! Reports the devices that are plugged in and unplugged.

use crate::{
    sys::devices::{Device, added, devices},
    telemetry::{Fact, Facts},
};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Interval between two looks at what there is: three folders of the system.
const PERIOD: Duration = Duration::from_millis(500);

/// Reports changes until it is dropped. Those that are there at its start are no change.
pub(super) async fn follow(facts: Facts) {
    let mut round = tokio::time::interval(PERIOD);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<Vec<Device>> = None;
    loop {
        round.tick().await;
        let Ok(now) = tokio::task::spawn_blocking(devices).await else { return };
        if let Some(before) = &known {
            added(&now, before).for_each(|device| report(&facts, "device.removed", device));
            added(before, &now).for_each(|device| report(&facts, "device.added", device));
        }
        known = Some(now);
    }
}

fn report(facts: &Facts, kind: &'static str, device: &Device) {
    let Device { kind: class, path, name, id, .. } = device;
    match kind {
        "device.added" => tracing::info!(path, name, "device plugged in"),
        _ => tracing::info!(path, name, "device unplugged"),
    }
    // What stands where is for those who manage the server.
    let fact = Fact::server(kind).with("kind", *class).who("path", path.as_str()).who("name", name.as_str());
    facts.report(fact.who("id", id.clone()));
}

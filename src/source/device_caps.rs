//! What devices offer: the caps that a pipeline can ask them for.

use super::worker::Worker;
use crate::{
    ipc::{FromWorker, ToWorker},
    sys::devices::Device,
};
use std::time::Duration;

/// Time for all of them: a card that hangs is as good as none.
const WITHIN: Duration = Duration::from_secs(10);

/// The caps of each of these devices, best first, or why it cannot be opened; `None` for one that captures nothing. A worker of its own opens
/// them, so that a driver that hangs harms nobody. Cancel-safe.
///
/// # Errors
/// There is no worker, or it does not answer in ten seconds.
pub async fn device_caps(devices: &[Device]) -> Result<Vec<Option<Result<Vec<String>, String>>>, String> {
    let texts: Vec<_> = devices.iter().map(source).collect();
    let wanted: Vec<_> = texts.iter().flatten().cloned().collect();
    if wanted.is_empty() {
        return Ok(texts.iter().map(|_| None).collect());
    }
    let mut worker = Worker::spawn().await.map_err(|error| format!("no worker: {error}"))?;
    let offered = worker.ask(ToWorker::Offers(wanted), WITHIN, |answer| match answer {
        FromWorker::Offered(offered) => Some(offered),
        _ => None,
    });
    let offered = offered.await;
    worker.kill().await;
    let mut offered = offered.ok_or("the devices did not answer in time")?.into_iter();
    Ok(texts.iter().map(|text| text.as_ref().and_then(|_| offered.next())).collect())
}

/// The element that opens a device.
fn source(device: &Device) -> Option<String> {
    match device.kind {
        "video" => Some(format!("v4l2src device=\"{}\"", device.path)),
        "audio" => Some(format!("alsasrc device=\"{}\"", device.path)),
        _ => None,
    }
}

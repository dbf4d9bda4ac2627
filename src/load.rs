//! Reads and checks a configuration, at startup and for each reload.

use crate::{
    app::{self, LaunchFault},
    config::{self, Diagnostics, Loaded, Origin},
};

/// Reads and checks a configuration; pipelines are not parsed yet.
///
/// # Errors
/// A line for each error.
pub fn load(origin: &Origin) -> Result<Loaded, Vec<String>> {
    config::load(origin).map_err(|error| lines(&error))
}

/// Lets a worker parse the pipelines of a configuration; returns their errors.
///
/// # Errors
/// When no worker can be started.
pub async fn check_texts(loaded: &Loaded) -> anyhow::Result<Diagnostics> {
    let faults = app::check_texts(&loaded.config).await?;
    let found = faults.into_iter().map(|LaunchFault { path, fault }| {
        let message = match fault.at {
            Some(at) => format!("{} (at character {} of the text)", fault.message, at + 1),
            None => fault.message,
        };
        (path.to_vec(), message)
    });
    Ok(loaded.late_faults(found))
}

/// An error and its causes, a line each.
pub fn lines(error: &dyn std::error::Error) -> Vec<String> {
    crate::telemetry::chain(error).lines().map(str::to_owned).collect()
}

//! What the program does for each way of calling it, from the options to the exit code.

use crate::{
    app::{self, App, LaunchFault},
    cli::{Options, Serve},
    config::{self, Loaded, Origin},
    reload, telemetry,
};
use std::{fmt::Display, path::PathBuf, process::ExitCode, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// The configuration is at fault (`EX_CONFIG` of sysexits.h).
const BAD_CONFIG: u8 = 78;
/// Anything else that prevents the start.
const CANNOT_START: u8 = 1;
/// Time for the last line of the log to be written.
const LAST_LINE: Duration = Duration::from_millis(50);
/// What blocking work may take after all tasks have ended.
const LAST_THREADS: Duration = Duration::from_millis(500);

/// Serves until SIGTERM or SIGINT; a second one ends at once.
pub fn serve(options: &Serve) -> ExitCode {
    let _log = telemetry::init(options.config.verbose);
    tracing::info!("voyandz {}", env!("CARGO_PKG_VERSION"));
    let (origin, loaded) = match find_and_load(&options.config) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults, BAD_CONFIG),
    };
    match &origin {
        Origin::File(path) => tracing::info!(file = %path.display(), "configuration"),
        Origin::Demo => tracing::info!("no configuration file: running the built-in demo; name a file with -f"),
    }
    for warning in loaded.warnings().iter().flat_map(|warnings| &warnings.faults) {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&[error.to_string()], CANNOT_START),
    };
    let code = runtime.block_on(async {
        match check_texts(&loaded).await {
            Ok(faults) if faults.is_empty() => {}
            Ok(faults) => return refuse(&faults, BAD_CONFIG),
            Err(error) => return refuse(&[format!("{error:#}")], CANNOT_START),
        }
        match listen(origin, loaded, options.watch).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&[format!("{error:#}")], CANNOT_START),
        }
    });
    runtime.shutdown_timeout(LAST_THREADS);
    tracing::info!("ended");
    code
}

async fn listen(origin: Origin, loaded: Loaded, watched: bool) -> anyhow::Result<()> {
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let app = App::load(loaded.config)?;
    let (changes, coming) = mpsc::channel(1);
    tokio::spawn(reload::follow(origin, watched.then_some(loaded.files), changes));
    tracing::info!(address = %app.address()?, "listening");
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = signals.0.recv() => {}
                _ = signals.1.recv() => {}
            }
            if first {
                told.cancel();
            } else {
                // The kernel tells workers and guards that we are gone; they end by themselves.
                tracing::warn!("told twice to end: ending at once");
                tokio::time::sleep(LAST_LINE).await;
                std::process::exit(i32::from(CANNOT_START));
            }
        }
    });
    app.run(stop, coming).await;
    Ok(())
}

/// Reports all faults of a configuration.
pub fn check(options: &Options) -> ExitCode {
    let faults = find_and_load(options).and_then(|(_, loaded)| {
        if let Some(warnings) = loaded.warnings() {
            say(&warnings.to_string());
        }
        let checked = tokio::runtime::Runtime::new()
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(check_texts(&loaded)));
        match checked {
            Ok(faults) if faults.is_empty() => Ok(()),
            Ok(faults) => Err(faults),
            Err(error) => Err(vec![format!("{error:#}")]),
        }
    });
    match faults {
        Ok(()) => say("the configuration is good"),
        Err(faults) => {
            say(&faults.join("\n"));
            ExitCode::from(BAD_CONFIG)
        }
    }
}

/// Prints the resolved configuration, without its secrets.
pub fn print(options: &Options) -> ExitCode {
    match find_and_load(options) {
        Ok((_, loaded)) => say(config::to_yaml(&config::masked(&loaded.config)).trim_end()),
        Err(faults) => {
            say(&faults.join("\n"));
            ExitCode::from(BAD_CONFIG)
        }
    }
}

fn find_and_load(options: &Options) -> Result<(Origin, Loaded), Vec<String>> {
    let environment = std::env::var_os("VOYANDZ_CONFFILE").map(PathBuf::from);
    let origin = config::find(options.file.as_deref(), environment.as_deref()).map_err(|error| lines(&error))?;
    let loaded = load(&origin)?;
    Ok((origin, loaded))
}

/// Reads and checks a configuration; what only GStreamer can check is not checked yet.
pub(crate) fn load(origin: &Origin) -> Result<Loaded, Vec<String>> {
    config::load(origin).map_err(|error| lines(&error))
}

/// Lets a worker check the gst-launch texts of a configuration; returns their faults.
pub(crate) async fn check_texts(loaded: &Loaded) -> anyhow::Result<Vec<String>> {
    let faults = app::check_texts(&loaded.config).await?;
    let found = faults.into_iter().map(|LaunchFault { path, fault }| {
        let message = match fault.at {
            Some(at) => format!("{} (at character {} of the text)", fault.message, at + 1),
            None => fault.message,
        };
        (path.to_vec(), message)
    });
    Ok(loaded.late_faults(found).to_string().lines().map(str::to_owned).collect())
}

fn lines(error: &dyn std::error::Error) -> Vec<String> {
    chain(error).lines().map(str::to_owned).collect()
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// Logs why there will be no serving.
fn refuse(reasons: &[impl Display], code: u8) -> ExitCode {
    for reason in reasons {
        tracing::error!("{reason}");
    }
    ExitCode::from(code)
}

#[allow(clippy::print_stdout, reason = "the answer of a command goes to standard output")]
fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

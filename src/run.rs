//! The subcommands of the program, from the options to the exit code.

use crate::{
    api::configurator::configurator,
    app::{App, statedir},
    cli::{Options, Serve},
    config::{self, Diagnostics, LoadError, Loaded, Origin},
    doctor,
    load::{check_texts, lines, load},
    reload::{self, Sources},
    sys::output,
    telemetry::{self, Reopen, chain},
};
use std::{fmt::Display, io::IsTerminal as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// The configuration has errors (`EX_CONFIG` of sysexits.h).
const BAD_CONFIG: u8 = 78;
/// Anything else that prevents the start.
const CANNOT_START: u8 = 1;
/// Time for the last line of the log to be written.
const LAST_LINE: Duration = Duration::from_millis(50);
/// What blocking work may take after all tasks have ended.
const LAST_THREADS: Duration = Duration::from_millis(500);

/// Serves until SIGTERM or SIGINT; a second signal exits immediately.
pub fn serve(options: &Serve) -> ExitCode {
    let log = match telemetry::init(options.config.verbose, options.log_format, options.log_file.as_deref()) {
        Ok(log) => log,
        Err(error) => return cannot_log(options, &error),
    };
    tracing::info!("voyandz {}", env!("CARGO_PKG_VERSION"));
    let (origin, loaded) = match find_and_load(&options.config) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults, BAD_CONFIG),
    };
    match &origin {
        Origin::File(path) => tracing::info!(file = %path.display(), "configuration"),
        Origin::Demo => tracing::info!("no configuration file: running the built-in demo; name a file with -f"),
    }
    for warning in loaded.missing_programs().and(loaded.missing_files()).faults {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&[error.to_string()], CANNOT_START),
    };
    let code = runtime.block_on(async {
        match check_texts(&loaded).await {
            Ok(faults) if faults.is_empty() => {}
            Ok(faults) => return refuse(&faults.faults, BAD_CONFIG),
            Err(error) => return refuse(&[format!("{error:#}")], CANNOT_START),
        }
        match listen(origin, loaded, options.watch, log.reopener()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&[format!("{error:#}")], CANNOT_START),
        }
    });
    runtime.shutdown_timeout(LAST_THREADS);
    tracing::info!("stopped");
    code
}

async fn listen(origin: Origin, loaded: Loaded, watched: bool, log: Reopen) -> anyhow::Result<()> {
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let files = loaded.files.clone();
    let (configurator, orders) = configurator(Arc::new(loaded.clone()));
    let history = statedir(&loaded.config).map(|folder| folder.join("history"));
    let texts: Vec<_> = loaded.texts().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let app = App::load(loaded.config, configurator)?;
    if let Some(folder) = history {
        let current = |wanted: &str| texts.iter().find(|(name, _)| name == wanted).map(|(_, text)| text.clone());
        if let Err(error) = orders.history.open(&folder, current) {
            tracing::warn!(%error, folder = %folder.display(), "history of the configuration kept in memory only");
        }
    }
    // From here on SIGHUP does not end the program.
    let hangup = signal(SignalKind::hangup())?;
    let (changes, coming) = mpsc::channel(1);
    let facts = app.facts();
    let sources = Sources { origin, watched: watched.then_some(files), hangup, log, orders, facts };
    tokio::spawn(reload::follow(sources, changes, app.info()));
    tracing::info!(address = %app.address()?, "listening");
    if std::io::stderr().is_terminal()
        && let Some(address) = app.login_address()
    {
        // Not into the log, which others may read.
        output::complain(&format!("manage it at {} (once, within 15 minutes)", address.expose()));
    }
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
                // The kernel notifies workers and guards that the server has exited; they exit by themselves.
                tracing::warn!("second signal: exiting immediately");
                tokio::time::sleep(LAST_LINE).await;
                std::process::exit(i32::from(CANNOT_START));
            }
        }
    });
    app.run(stop, coming).await;
    Ok(())
}

/// Reports all errors of a configuration, and missing programs and files.
pub fn check(options: &Options) -> ExitCode {
    let (loaded, faults) = match find(options).and_then(|origin| config::examine(&origin)) {
        Ok(examined) => examined,
        Err(error) => return give_up(&error),
    };
    let checked = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(check_texts(&loaded)));
    // Without GStreamer the rest can be checked still.
    let (late, trouble) = match checked {
        Ok(late) => (late, None),
        Err(error) => (Diagnostics::default(), Some(error)),
    };
    // Without its program no command can start; a file may appear later.
    let faults = faults.and(late).and(loaded.missing_programs());
    let is_good = faults.is_empty();
    let lines = faults.and(loaded.missing_files().as_warnings()).and(loaded.hidden_outputs().as_warnings());
    let verdict = match (&trouble, is_good) {
        (Some(_), _) => CANNOT_START,
        (None, true) => 0,
        (None, false) => BAD_CONFIG,
    };
    let last = match trouble {
        Some(error) => Some(format!("{error:#}")),
        None => is_good.then(|| "the configuration is good".to_owned()),
    };
    let found = (!lines.is_empty()).then(|| lines.to_string());
    let printed = say(&found.into_iter().chain(last).collect::<Vec<_>>().join("\n"));
    // What was found counts more than whether someone read it.
    if verdict == 0 { printed } else { ExitCode::from(verdict) }
}

/// Reports what this machine has and lacks.
pub fn doctor(options: &Options) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&[error.to_string()], CANNOT_START),
    };
    let (report, is_well) = runtime.block_on(async {
        let loaded = find_and_load(options);
        let faults = match &loaded {
            Ok((_, loaded)) => match check_texts(loaded).await {
                Ok(faults) => texts(&faults.and(loaded.missing_programs())),
                Err(error) => vec![format!("{error:#}")],
            },
            Err(_) => Vec::new(),
        };
        doctor::examine(&loaded, &faults).await
    });
    let printed = say(&report);
    if is_well { printed } else { ExitCode::from(CANNOT_START) }
}

/// Prints the resolved configuration, without its secrets.
pub fn print(options: &Options) -> ExitCode {
    match find(options).and_then(|origin| config::load(&origin)) {
        Ok(loaded) => say(config::to_yaml(&config::masked(&loaded.config)).trim_end()),
        Err(error) => give_up(&error),
    }
}

fn find(options: &Options) -> Result<Origin, LoadError> {
    let environment = std::env::var_os("VOYANDZ_CONFFILE").map(PathBuf::from);
    config::find(options.file.as_deref(), environment.as_deref())
}

fn give_up(error: &LoadError) -> ExitCode {
    say(&chain(error));
    ExitCode::from(BAD_CONFIG)
}

fn find_and_load(options: &Options) -> Result<(Origin, Loaded), Vec<String>> {
    let origin = find(options).map_err(|error| lines(&error))?;
    let loaded = load(&origin)?;
    Ok((origin, loaded))
}

fn texts(faults: &Diagnostics) -> Vec<String> {
    faults.faults.iter().map(ToString::to_string).collect()
}

/// Reports on standard error, as there is no log.
fn cannot_log(options: &Serve, error: &std::io::Error) -> ExitCode {
    let file = options.log_file.clone().unwrap_or_default();
    output::complain(&format!("cannot open the log file {}: {error}", file.display()));
    ExitCode::from(CANNOT_START)
}

/// Logs why there will be no serving.
fn refuse(reasons: &[impl Display], code: u8) -> ExitCode {
    for reason in reasons {
        tracing::error!("{reason}");
    }
    ExitCode::from(code)
}

/// Prints the answer of a command.
fn say(text: &str) -> ExitCode {
    output::print(format!("{text}\n").as_bytes())
}

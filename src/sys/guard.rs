//! `voyandz guard`: the small process between the server and the program of a `command`.
//!
//! It leads the process group of the program, adopts orphaned children of the program, and kills all of them when the program
//! exits, on SIGTERM, or when the server has exited for any reason: the kernel then sends it SIGTERM. The program gets the
//! standard streams and further inputs of the guard; nothing is copied.

use super::{orphans, proc_stats};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, WaitOptions, kill_process};
use std::{
    ffi::OsString,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitCode, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

/// Time between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);
/// Interval of the search for new children while all are killed.
const SWEEP: Duration = Duration::from_millis(20);

/// Interval of the memory check of a program with a limit.
const LOOK: Duration = Duration::from_millis(500);

/// Exit code for a program that cannot be run, as in shells.
const CANNOT_RUN: u8 = 127;
/// Exit code for a program that SIGKILL ended.
const KILLED: u8 = 128 + 9;

/// The descriptor of a program's first further input; those below are its standard streams.
const FIRST_INPUT: i32 = 3;

/// Runs `argv` and returns its exit code, or 128 plus the number of the signal that ended it.
/// `server` is the pid of the server, `inputs` the number of further inputs of the program, `memory_max` the limit in bytes of the
/// memory of the program and its descendants.
pub fn run(server: u32, inputs: u16, memory_max: Option<u64>, argv: &[OsString]) -> ExitCode {
    super::prefer_for_oom_kill();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::from(CANNOT_RUN);
    };
    let code = runtime.block_on(guard(server, inputs, memory_max, argv));
    end_descendants();
    ExitCode::from(code)
}

async fn guard(server: u32, inputs: u16, memory_max: Option<u64>, argv: &[OsString]) -> u8 {
    let (Some((program, arguments)), Ok(mut terminate)) = (argv.split_first(), signal(SignalKind::terminate())) else {
        return CANNOT_RUN;
    };
    let prepared = rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .and_then(|()| rustix::process::set_child_subreaper(Some(rustix::process::getpid())));
    let orphaned = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != i32::try_from(server).ok();
    if let Err(error) = prepared {
        return report_failure(&format!("guard: {error}"));
    }
    if orphaned {
        return CANNOT_RUN;
    }
    let mut child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => return report_failure(&format!("cannot run {}: {error}", program.to_string_lossy())),
    };
    // Only the program may hold the pipes: their other ends must see it exit.
    if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
    for input in FIRST_INPUT..FIRST_INPUT + i32::from(inputs) {
        let _ = nix::unistd::close(input);
    }
    let status = tokio::select! {
        status = child.wait() => status,
        message = exceeds(memory_max) => {
            report_failure(&message);
            return KILLED;
        }
        _ = terminate.recv() => {
            // The group includes this process, which catches the signal.
            let _ = rustix::process::kill_current_process_group(Signal::TERM);
            // A stopped process handles it only when it continues.
            let _ = rustix::process::kill_current_process_group(Signal::CONT);
            match tokio::time::timeout(GRACE, child.wait()).await {
                Ok(status) => status,
                Err(_) => return KILLED,
            }
        }
    };
    let Ok(status) = status else { return CANNOT_RUN };
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// Waits until the program and its descendants exceed the limit; returns the message.
async fn exceeds(memory_max: Option<u64>) -> String {
    let Some(most) = memory_max else { return std::future::pending().await };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let descendants = proc_stats::children(std::process::id()).into_iter();
        let resident = descendants.map(proc_stats::resident_with_descendants).fold(0, u64::saturating_add);
        if resident > most {
            return format!("guard: the program {}", proc_stats::excess(resident, most));
        }
    }
}

/// Reports on standard error, which the server logs.
fn report_failure(text: &str) -> u8 {
    super::output::complain(text);
    CANNOT_RUN
}

/// Kills and reaps every descendant. As a subreaper the guard inherits orphaned children, so the loop ends when none is left,
/// whatever process groups or sessions they created.
fn end_descendants() {
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        let children = proc_stats::children(std::process::id()).into_iter();
        for pid in children.filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        std::thread::sleep(SWEEP);
    }
}

/// A command for `argv` under a guard, leading its own process group, with nothing inherited but `inputs`, which the
/// program finds as the files of [`input_file`], and at most `memory_max` bytes of memory.
///
/// # Errors
/// When this program's own file cannot be found, or there are too many inputs.
pub fn command(argv: &[String], inputs: Vec<OwnedFd>, memory_max: Option<u64>) -> std::io::Result<Command> {
    let count = u16::try_from(inputs.len()).map_err(std::io::Error::other)?;
    let mut command = Command::new(own_file()?);
    command.arg("guard").arg("--server").arg(std::process::id().to_string());
    command.arg("--inputs").arg(count.to_string());
    if let Some(most) = memory_max {
        command.arg("--memory-max").arg(most.to_string());
    }
    command.arg("--").args(argv);
    command.env(orphans::MARK, orphans::mark());
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !inputs.is_empty() {
        let mapping = |(parent_fd, child_fd)| FdMapping { parent_fd, child_fd };
        let mappings = inputs.into_iter().zip(FIRST_INPUT..).map(mapping).collect();
        command.fd_mappings(mappings).map_err(std::io::Error::other)?;
    }
    Ok(command)
}

/// The guard of a program, which ends it when this is dropped.
#[derive(Debug)]
pub struct Guarded(Mutex<Option<Pid>>);

impl Guarded {
    /// That of a process which [`command`] has started.
    pub fn new(child: &Child) -> Self {
        Self(Mutex::new(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))))
    }

    fn pid(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number may be another process's from now on.
    pub fn has_ended(&self) {
        *self.pid() = None;
    }

    /// Has the guard end the program.
    pub fn terminate(&self) {
        if let Some(pid) = *self.pid() {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// The file that a program under a guard reads its further input `number` from; the first one is 1.
pub fn input_file(number: usize) -> String {
    format!("/dev/fd/{}", FIRST_INPUT.unsigned_abs() as usize + number.saturating_sub(1))
}

/// The executable file of this program, also after a newer one replaced it.
///
/// # Errors
/// Where `/proc` is missing.
pub fn own_file() -> std::io::Result<std::path::PathBuf> {
    // The link leads to the running file even when its name is gone; the text of the link would not.
    let link = std::path::PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { std::env::current_exe() }
}

//! `voyandz guard`: the small process between the server and the program of a `command`.
//!
//! It leads the program's process group, adopts what the program leaves behind, and ends all of it when the program
//! ends, when it is told to (SIGTERM), or when the server is gone, however that happened: the kernel then sends it
//! SIGTERM. The program gets the guard's standard streams and further inputs; nothing is copied.

use super::{leftovers, usage};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, WaitOptions};
use std::{
    ffi::OsString,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// Time between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);
/// How often children that nobody announced are looked for while all are being ended.
const SWEEP: Duration = Duration::from_millis(20);

/// How often the memory of a program is looked at that has a limit of it.
const LOOK: Duration = Duration::from_millis(500);

/// Exit code for a program that cannot be run, as shells have it.
const CANNOT_RUN: u8 = 127;
/// Exit code for a program that SIGKILL ended.
const KILLED: u8 = 128 + 9;

/// The descriptor of a program's first further input; those below are its standard streams.
const FIRST_INPUT: i32 = 3;

/// Runs `argv` and answers with its exit code, or 128 plus the number of the signal that ended it.
/// `server` is the pid of the server, `inputs` the number of further inputs that the program gets, `memory_max` the bytes of
/// memory that it may have with all that it starts.
pub fn run(server: u32, inputs: u16, memory_max: Option<u64>, argv: &[OsString]) -> ExitCode {
    super::die_before_the_server();
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
        return complain(&format!("guard: {error}"));
    }
    if orphaned {
        return CANNOT_RUN;
    }
    let mut child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => return complain(&format!("cannot run {}: {error}", program.to_string_lossy())),
    };
    // Only the program may hold the pipes: their other ends must see it leave.
    if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
    for input in FIRST_INPUT..FIRST_INPUT + i32::from(inputs) {
        let _ = nix::unistd::close(input);
    }
    let status = tokio::select! {
        status = child.wait() => status,
        excess = outgrows(memory_max) => {
            complain(&excess);
            return KILLED;
        }
        _ = terminate.recv() => {
            // The group includes this process, which catches the signal.
            let _ = rustix::process::kill_current_process_group(Signal::TERM);
            // One that was stopped hears it only when it goes on.
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

/// Waits until the program and all that it started have more memory than that, and says so.
async fn outgrows(memory_max: Option<u64>) -> String {
    let Some(most) = memory_max else { return std::future::pending().await };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let descendants = usage::children(std::process::id()).into_iter();
        let resident = descendants.map(usage::resident_with_descendants).fold(0, u64::saturating_add);
        if resident > most {
            return format!("guard: the program {}", usage::excess(resident, most));
        }
    }
}

#[allow(clippy::print_stderr, reason = "the guard's standard error is the program's line to the server's log")]
fn complain(text: &str) -> u8 {
    eprintln!("{text}");
    CANNOT_RUN
}

/// Kills and reaps every process below this one. As a subreaper the guard inherits the children of the dead, so
/// the sweep ends when nobody is left, whatever groups or sessions they made.
fn end_descendants() {
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        let children = usage::children(std::process::id()).into_iter();
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
    command.env(leftovers::MARK, leftovers::mark());
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !inputs.is_empty() {
        let mapping = |(parent_fd, child_fd)| FdMapping { parent_fd, child_fd };
        let mappings = inputs.into_iter().zip(FIRST_INPUT..).map(mapping).collect();
        command.fd_mappings(mappings).map_err(std::io::Error::other)?;
    }
    Ok(command)
}

/// The file that a program under a guard reads its further input `number` from; the first one is 1.
pub fn input_file(number: usize) -> String {
    format!("/dev/fd/{}", FIRST_INPUT.unsigned_abs() as usize + number.saturating_sub(1))
}

/// This program's file, also after it was replaced by a newer one.
///
/// # Errors
/// Where `/proc` is missing.
pub fn own_file() -> std::io::Result<std::path::PathBuf> {
    // The link leads to the running file even when its name is gone; its target's text would not.
    let link = std::path::PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { std::env::current_exe() }
}

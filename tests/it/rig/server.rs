//! The real program, started as a user starts it, and the proof that nothing of it stays behind.

use super::{
    Answer, SOON, http,
    log::{Log, field},
    millis,
    process::{self, Process},
    secs, wait_until,
};
use rustix::process::Signal;
use std::{
    ffi::OsString,
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Everything that a server started by a test leaves in the environment of its descendants.
const MARK: &str = "VOYANDZ_TEST_RUN";

/// The configuration file in a launch's folder.
const FILE: &str = "voyandz.yaml";

/// The last line about a configuration that was read again.
const RELOADED: &str = "configuration reloaded|running configuration is unchanged";

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_voyandz");

/// The hash of a password, as `voyandz passwd` prints it.
pub fn password_hash(password: &str) -> String {
    passwd(&[], password)
}

/// The secret of a user for Digest, as `voyandz passwd --digest` prints it.
pub fn password_digest(user: &str, password: &str) -> String {
    let printed = passwd(&["--digest", user], password);
    let line = printed.lines().find_map(|line| line.strip_prefix("digest: "));
    line.unwrap_or_else(|| panic!("{printed}")).to_owned()
}

fn passwd(options: &[&str], password: &str) -> String {
    let mut command = Command::new(PROGRAM);
    command.arg("passwd").args(options).env_remove("VOYANDZ_CONFFILE").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// How to start a server.
pub struct Launch {
    yaml: Option<String>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    wrapper: Vec<String>,
    folder: TempDir,
}

impl Launch {
    /// With this configuration; the port is added.
    pub fn new(yaml: &str) -> Self {
        Self::bare().with(yaml)
    }

    /// With exactly this configuration.
    pub fn exact(yaml: &str) -> Self {
        Self { yaml: Some(yaml.to_owned()), ..Self::bare() }
    }

    /// With the configuration of the demo.
    pub fn demo() -> Self {
        let yaml = include_str!("../../../config/demo.yaml").lines();
        Self::new(&yaml.filter(|line| !line.starts_with("listenport")).collect::<Vec<_>>().join("\n"))
    }

    /// Without a configuration file.
    pub fn bare() -> Self {
        let folder = tempfile::Builder::new().prefix("voyandz-it-").tempdir().unwrap();
        Self { yaml: None, arguments: Vec::new(), environment: Vec::new(), wrapper: Vec::new(), folder }
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Started by these words, of which the program must be what they become.
    pub fn within(self, wrapper: Vec<String>) -> Self {
        Self { wrapper, ..self }
    }

    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With this configuration, to which the port is added.
    pub fn with(self, yaml: &str) -> Self {
        Self { yaml: Some(with_port(yaml)), ..self }
    }

    /// The folder of the configuration file, where a test may put what it needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Server {
        let mut server = self.spawn();
        let line = server.log.wait("listening .*address=", SOON);
        server.address = Some(field(&line, "address").parse().unwrap());
        server
    }

    /// Starts it.
    pub fn spawn(self) -> Server {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        super::room::wait();
        let mark = format!("{MARK}={}.{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let mut words = self.wrapper.iter().map(String::as_str).chain([PROGRAM]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        if let Some(yaml) = &self.yaml {
            let file = self.folder.path().join(FILE);
            fs::write(&file, yaml).unwrap();
            command.arg("-f").arg(file);
        }
        command.args(&self.arguments);
        // Its control socket is there.
        command.env_remove("RUNTIME_DIRECTORY").env("XDG_RUNTIME_DIR", self.folder.path());
        command.env_remove("VOYANDZ_CONFFILE").envs(self.environment).env(MARK, mark.split_once('=').unwrap().1);
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Log::read(child.stderr.take().unwrap());
        Server {
            address: None,
            log,
            mark,
            folder: Some(self.folder),
            child,
            ended: None,
            is_stopping: AtomicBool::new(false),
        }
    }
}

/// A running server. Dropped, it is told to end, and must do so in time and without a trace.
pub struct Server {
    address: Option<SocketAddr>,
    pub log: Log,
    mark: String,
    folder: Option<TempDir>,
    child: Child,
    ended: Option<ExitStatus>,
    /// A test has it stop: another signal would not let it finish.
    is_stopping: AtomicBool,
}

impl Server {
    /// Starts a server with this configuration, to which the port is added.
    pub fn start(yaml: &str) -> Self {
        Launch::new(yaml).start()
    }

    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Asks for something and reads the head of the answer.
    pub fn get(&self, target: &str) -> Answer {
        http::get(self.address(), target)
    }

    /// The folder in which `voyandz ctl` looks for its control socket, as `XDG_RUNTIME_DIR`.
    pub fn runtime_folder(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().to_owned()
    }

    /// Its control socket, unless the configuration names another.
    pub fn control_socket(&self) -> PathBuf {
        self.runtime_folder().join("voyandz").join(format!("control-{}.sock", self.address().port()))
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join(FILE)
    }

    /// Has it go over to this configuration, to which the port is added; returns the log's line about it.
    pub fn reload(&self, yaml: &str) -> String {
        self.reload_exact(&with_port(yaml))
    }

    /// Has it go over to exactly this configuration.
    pub fn reload_exact(&self, yaml: &str) -> String {
        let before = self.log.count(RELOADED);
        fs::write(self.file(), yaml).unwrap();
        process::send(self.pid(), Signal::HUP);
        self.log.wait_nth(RELOADED, before + 1, SOON)
    }

    /// All processes below the server, near and far.
    pub fn descendants(&self) -> Vec<Process> {
        process::marked(&self.mark).into_iter().filter(|process| process.pid != self.pid()).collect()
    }

    /// Descendants with this text in their command line, guards left out, and forks that still look like their parents.
    pub fn programs(&self, text: &str) -> Vec<Process> {
        let mut programs = self.descendants();
        programs.retain(|process| process.command.contains(text) && !process.command.contains(" guard "));
        let pids: Vec<i32> = programs.iter().map(|process| process.pid).collect();
        programs.retain(|process| !pids.contains(&process.parent));
        programs
    }

    /// The newest worker of a group.
    pub fn worker(&self, group: &str) -> i32 {
        let begins = self.log.matching(&format!("worker started group=\"?{}\"? ", regex::escape(group)));
        field(begins.last().expect("the group has no worker"), "pid").parse().unwrap()
    }

    /// Tells it to end.
    pub fn terminate(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        process::send(self.pid(), Signal::TERM);
    }

    /// Waits for its end.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let until = Instant::now() + within;
        while self.ended.is_none() {
            assert!(Instant::now() < until, "the server still runs after {within:?}");
            self.ended = self.child.try_wait().unwrap();
            std::thread::sleep(millis(5));
        }
        self.log.wait_end(secs(2));
        self.ended.unwrap()
    }

    /// Fails unless all descendants are gone within this time.
    pub fn assert_nothing_left(&self, within: Duration) {
        let began = Instant::now();
        while began.elapsed() < within && !self.descendants().is_empty() {
            std::thread::sleep(millis(20));
        }
        let left = self.descendants();
        assert!(left.is_empty(), "left behind after {within:?}: {left:#?}");
    }

    /// Children of the server that ended and were not reaped.
    pub fn zombies(&self) -> Vec<Process> {
        process::children(self.pid()).into_iter().filter(|process| process.state == 'Z').collect()
    }

    /// Fails if zombies are there to stay.
    pub fn assert_no_zombies(&self) {
        wait_until("no zombies", secs(2), || self.zombies().is_empty());
    }

    fn end(&mut self) {
        if self.ended.is_none() {
            if !self.is_stopping.load(Ordering::Relaxed) {
                self.terminate();
            }
            let status = self.wait(millis(10_500));
            assert!(status.success(), "the server ended with {status}");
        }
        self.assert_nothing_left(secs(1));
        let critical = self.log.matching("CRITICAL");
        assert!(critical.is_empty(), "GStreamer complains: {critical:#?}");
    }

    /// Keeps what helps to understand a failure.
    fn keep(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        for process in self.descendants() {
            process::send(process.pid, Signal::KILL);
        }
        if let Some(folder) = self.folder.take() {
            let folder = folder.keep();
            let _ = fs::write(folder.join("server.log"), self.log.text());
            eprintln!("configuration and log are kept in {}", folder.display());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.end()));
        if ended.is_err() || std::thread::panicking() {
            self.keep();
        }
        if let Err(fault) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(fault);
        }
    }
}

fn with_port(yaml: &str) -> String {
    format!("listenport: 0\n{}", unindent(yaml))
}

/// Takes away the indentation that a text has in the source of a test.
pub fn unindent(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let depth =
        text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len()).min();
    let lines = text.lines().map(|line| line.get(depth.unwrap_or(0)..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Runs the program to its end with these arguments.
pub fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(PROGRAM).args(arguments).env_remove("VOYANDZ_CONFFILE").stdin(Stdio::null()).output().unwrap()
}

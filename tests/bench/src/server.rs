//! The servers that are measured, each a process of its own, and how one of ours listens.

use crate::source::Kind;
use anyhow::{Context, bail};
use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;
/// Time to say where it listens.
const START: Duration = Duration::from_secs(20);
/// Time to end.
const END: Duration = Duration::from_secs(15);

/// Which server, and how it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum System {
    /// voyandz, with these streams in its configuration.
    Voyandz(String),
    /// One to compare with: what this program is called with, see [`crate::limit`] and [`crate::plain`].
    Other(&'static str, Kind, usize),
}

/// A running server.
pub struct Server {
    /// Where it listens for HTTP.
    pub address: SocketAddr,
    /// Where it listens otherwise, by protocol.
    others: mpsc::Receiver<(Option<String>, SocketAddr)>,
    child: Child,
    source: Option<Child>,
    _folder: TempDir,
}

impl System {
    /// voyandz with one stream, `live`, of the source.
    pub fn voyandz(kind: Kind, rate: usize, more: &str) -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        let (this, kind) = (this.display(), kind.name());
        Ok(Self::Voyandz(format!(
            "feeds: {{source: {{command: ['{this}', source, {kind}, '{rate}']}}}}\n\
             streams: {{live: {{feed: source, container: {kind}{more}}}}}\n"
        )))
    }

    /// Starts it, and its source if it does not do that itself.
    pub fn start(&self) -> anyhow::Result<Server> {
        self.start_on(None)
    }

    /// The same, and voyandz with all that it starts has this processor alone.
    pub fn start_on(&self, processor: Option<usize>) -> anyhow::Result<Server> {
        let folder = tempfile::Builder::new().prefix("voyandz-bench-").tempdir()?;
        let this = std::env::current_exe()?;
        let (mut command, mut source) = match self {
            Self::Voyandz(yaml) => {
                let file = folder.path().join("voyandz.yaml");
                std::fs::write(&file, format!("listenport: 0\n{yaml}"))?;
                let program = std::env::var_os("VOYANDZ_BENCH_SERVER").context("VOYANDZ_BENCH_SERVER is not set")?;
                let mut command = match processor {
                    Some(processor) => {
                        let mut command = Command::new("taskset");
                        command.args(["-c", &processor.to_string()]).arg(program);
                        command
                    }
                    None => Command::new(program),
                };
                command.arg("-f").arg(file).env_remove("VOYANDZ_CONFFILE").stdin(Stdio::null());
                (command, None)
            }
            Self::Other(part, kind, rate) => {
                let mut source = Command::new(&this);
                source.args(["source", kind.name(), &rate.to_string()]).stdout(Stdio::piped());
                let mut source = source.spawn()?;
                let media = source.stdout.take().context("the source has no output")?;
                let mut command = Command::new(&this);
                command.arg(part).stdin(media);
                (command, Some(source))
            }
        };
        let mut child = match command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => {
                source.iter_mut().for_each(reap);
                return Err(error).context("cannot start a server");
            }
        };
        let log = child.stderr.take().context("the server has no log")?;
        let (told, listening) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let field = |name: &str| line.split(name).nth(1)?.split(' ').next();
                let address = field(" address=").and_then(|address| address.parse::<SocketAddr>().ok());
                if let Some(address) = address.filter(|_| line.contains("listening ")) {
                    let _ = told.send((field(" protocol=").map(str::to_owned), address));
                } else if line.contains("ERROR") || line.contains("panicked") {
                    eprintln!("{line}");
                }
            }
        });
        // The port of HTTP is the first one.
        let address = listening.recv_timeout(START).map(|(_, address)| address);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let server = Server {
            address: *address.as_ref().unwrap_or(&unknown),
            others: listening,
            child,
            source,
            _folder: folder,
        };
        address.context("the server does not listen")?;
        Ok(server)
    }
}

impl Server {
    /// The process that is measured: of voyandz the server alone, without its workers and commands.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens for this protocol; to be asked once.
    ///
    /// # Errors
    /// When it does not.
    pub fn address_of(&self, protocol: &str) -> anyhow::Result<SocketAddr> {
        loop {
            let found = self.others.recv_timeout(START);
            let (other, address) = found.with_context(|| format!("the server does not listen for {protocol}"))?;
            if other.as_deref() == Some(protocol) {
                return Ok(address);
            }
        }
    }

    /// Fails when it ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("a server ended by itself: {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The source is ended by its broken pipe at the latest.
        self.source.iter_mut().for_each(reap);
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let until = Instant::now() + END;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        reap(&mut self.child);
    }
}

fn reap(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A port of ours, told as voyandz does.
pub fn bind() -> anyhow::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener: TcpListener = socket.into();
    eprintln!("listening address={}", listener.local_addr()?);
    Ok(listener)
}

/// The same for a readiness loop.
pub fn listen() -> anyhow::Result<mio::net::TcpListener> {
    Ok(mio::net::TcpListener::from_std(bind()?))
}

//! Makes credentials: hashes of passwords, tokens, and signed links. From the options to the exit code.

use crate::{
    access::{
        Action, LINK_PARAMETER, Link, PasswordHash, Pattern, Secret, TOKEN_PREFIX, digest::DigestSecret, token_digest,
    },
    cli::{Passwd, Sign},
    config::{self, Config, Serving, Stream},
    telemetry::chain,
};
use aws_lc_rs::rand;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::{
    fmt::Write as _,
    io::{self, BufRead, Read, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The configuration has errors, or not what is needed (`EX_CONFIG` of sysexits.h).
const BAD_CONFIG: u8 = 78;
/// Anything else.
const FAILED: u8 = 1;
/// Most bytes of a line with a password.
const MAX_LINE: u64 = 4096;

/// Prints the hash of a password, which is read from the terminal without showing it, or from standard input. For Digest there are two
/// lines, as the configuration has them.
pub fn passwd(options: &Passwd) -> ExitCode {
    let hashed = read_password().map_err(|error| error.to_string()).and_then(|password| {
        let hash = PasswordHash::of(password.expose()).map_err(|error| error.to_string())?;
        let digest = options.digest.as_deref().map(|user| DigestSecret::of(user, password.expose()));
        Ok((hash, digest))
    });
    match hashed {
        Ok((hash, None)) => say(&format!("'{}'", hash.text().expose())),
        Ok((hash, Some(digest))) => {
            say(&format!("password: '{}'\ndigest: '{}'", hash.text().expose(), digest.text().expose()))
        }
        Err(error) => fail(&error, FAILED),
    }
}

/// Prints a new token and its digest.
pub fn token() -> ExitCode {
    let Some(random) = random() else { return fail("the system has no random numbers", FAILED) };
    let token = Secret::new(format!("{TOKEN_PREFIX}{random}"));
    say(&format!("token: {}\nsha256: {}", token.expose(), HEXLOWER.encode(&token_digest(&token))))
}

/// Prints signed links, one a line.
pub fn sign(options: &Sign) -> ExitCode {
    if options.new_key {
        return random().map_or_else(|| fail("the system has no random numbers", FAILED), |key| say(&key));
    }
    let environment = std::env::var_os("VOYANDZ_CONFFILE").map(PathBuf::from);
    let found = config::find(options.config.file.as_deref(), environment.as_deref());
    let config = match found.and_then(|origin| config::load(&origin)) {
        Ok(loaded) => loaded.config,
        Err(error) => return fail(&chain(&error), BAD_CONFIG),
    };
    match links(&config, options, SystemTime::now()) {
        Ok(links) => say(links.trim_end()),
        Err(error) => fail(&error, BAD_CONFIG),
    }
}

/// The links to all streams that match.
fn links(config: &Config, options: &Sign, now: SystemTime) -> Result<String, String> {
    let (key_name, key) = config
        .auth
        .link_keys
        .last()
        .ok_or("the configuration has no `auth.link_keys`: `voyandz sign --new-key` prints a key for it")?;
    let name = options.stream.as_deref().unwrap_or_default();
    let streams = Pattern::new(name).ok_or("expected the name of a stream, in which * stands for any characters")?;
    let matching: Vec<_> = config.streams.iter().filter(|stream| streams.matches(stream.name.as_str())).collect();
    if matching.is_empty() {
        return Err(format!("no stream matches {name:?}"));
    }
    let action = |name: &String| {
        let action = Action::from_name(name).filter(|action| Link::can_permit(*action));
        action.ok_or_else(|| format!("a link permits view, still, playback or publish, not {name:?}"))
    };
    let actions = if options.may.is_empty() {
        vec![Action::View, Action::Still]
    } else {
        options.may.iter().map(action).collect::<Result<_, _>>()?
    };
    let network = options.from.as_deref().map(str::parse).transpose();
    let network = network.map_err(|error: crate::access::NetworkError| format!("expected {error}"))?;
    if options.name.len() > 64 || options.name.chars().any(char::is_control) {
        return Err("a name has at most 64 bytes and no control characters".to_owned());
    }
    let until = whole_seconds(now, options.lasts);
    let open_until = options.open.map_or(until, |open| whole_seconds(now, open).min(until));
    let key_name = key_name.to_string();
    let link = Link { key: key_name, actions, streams, open_until, until, network, name: options.name.clone() };
    let signed = link.sign(key);
    let base = options.base.clone().unwrap_or_else(|| base(config));
    let mut text = String::new();
    for stream in matching {
        for path in paths(stream, &link.actions, config.pages.home) {
            let _ = writeln!(text, "{}{path}?{LINK_PARAMETER}={signed}", base.trim_end_matches('/'));
        }
    }
    Ok(text)
}

/// The paths of a stream that the actions are for.
fn paths(stream: &Stream, actions: &[Action], has_players: bool) -> Vec<String> {
    let path = stream.path.encoded();
    let (views, takes) = (actions.contains(&Action::View), actions.contains(&Action::Still));
    let is_shot = stream.serving == Serving::Shot;
    let is_shared = stream.serving == Serving::Shared;
    let has_stills = is_shared && !stream.mimetype.starts_with("audio/");
    let mut paths = Vec::new();
    if (views && !is_shot) || (takes && is_shot) {
        paths.push(path.clone());
    }
    if views && stream.outputs.is_some() {
        paths.extend(
            stream
                .containers()
                .into_iter()
                .filter_map(|container| stream.output_path(container))
                .map(|path| path.encoded()),
        );
    }
    if views && is_shared && has_players {
        paths.push(format!("{path}/play"));
    }
    if takes && has_stills {
        paths.push(format!("{path}/pic"));
    }
    paths
}

/// Where the server is reached from this machine.
fn base(config: &Config) -> String {
    let address = if config.listen_addr.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { config.listen_addr };
    format!("http://{}", SocketAddr::new(address, config.listen_port))
}

/// A link has whole seconds.
fn whole_seconds(now: SystemTime, later: Duration) -> SystemTime {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default() + later;
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// 32 random bytes as text.
fn random() -> Option<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    Some(BASE64URL_NOPAD.encode(&bytes))
}

fn read_password() -> io::Result<Secret> {
    let input = io::stdin();
    if !isatty(&input) {
        return read_line();
    }
    let _silence = Silence::start()?;
    let first = ask("Password: ")?;
    let second = ask("Again: ")?;
    if first == second { Ok(first) } else { Err(io::Error::other("the passwords differ")) }
}

fn ask(prompt: &str) -> io::Result<Secret> {
    let mut terminal = io::stderr();
    terminal.write_all(prompt.as_bytes())?;
    terminal.flush()?;
    let line = read_line();
    terminal.write_all(b"\n")?;
    line
}

fn read_line() -> io::Result<Secret> {
    let mut line = String::new();
    io::stdin().lock().take(MAX_LINE).read_line(&mut line)?;
    Ok(Secret::new(line.trim_end_matches(['\n', '\r'])))
}

/// A terminal that shows nothing of what is typed.
struct Silence(Termios);

impl Silence {
    fn start() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[allow(clippy::print_stdout, reason = "the answer of a command goes to standard output")]
fn say(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

#[allow(clippy::print_stderr, reason = "there is no log")]
fn fail(error: &str, code: u8) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(code)
}

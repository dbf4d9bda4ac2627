//! Makes credentials: hashes of passwords, tokens, and signed links. From the options to the exit code.

use crate::{
    access::{LINK_PARAMETER, LinkTerms, PasswordHash, Secret, TOKEN_PREFIX, digest::DigestSecret, token_digest},
    cli::{Passwd, Sign},
    config::{self, Config, link_paths},
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
    time::SystemTime,
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
    let terms = LinkTerms {
        streams: options.stream.as_deref().unwrap_or_default(),
        may: options.may.iter().map(String::as_str).collect(),
        lasts: options.lasts,
        open: options.open,
        from: options.from.as_deref(),
        name: &options.name,
    };
    let link = terms.link(key_name, now).map_err(|error| error.to_string())?;
    let matching: Vec<_> = config.streams.iter().filter(|stream| link.streams.matches(stream.name.as_str())).collect();
    if matching.is_empty() {
        return Err(format!("no stream matches {:?}", terms.streams));
    }
    let signed = link.sign(key);
    let base = options.base.clone().unwrap_or_else(|| base(config));
    let mut text = String::new();
    for stream in matching {
        for path in link_paths(stream, &link.actions, config.pages.home) {
            let _ = writeln!(text, "{}{path}?{LINK_PARAMETER}={signed}", base.trim_end_matches('/'));
        }
    }
    Ok(text)
}

/// Where the server is reached from this machine.
fn base(config: &Config) -> String {
    let address = if config.listen_addr.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { config.listen_addr };
    format!("http://{}", SocketAddr::new(address, config.listen_port))
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

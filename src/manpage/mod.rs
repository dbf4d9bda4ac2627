//! Manual pages, shell completions and licences. They are generated from the command line options and the configuration
//! reference, so that they always agree with them.

mod roff;

use crate::{cli::Cli, sys::output::print};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use std::process::ExitCode;

/// The reference of the configuration.
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
/// Every crate in the program, with its licence. A test keeps it up to date.
const LICENSES: &str = include_str!("../../docs/licenses.txt");

/// Sections that `--help` does not have.
const EXIT_CODES: [(&str, &str); 5] = [
    ("0", "The server stopped on a signal, or the command succeeded."),
    ("1", "It cannot start: the address is in use, or a file cannot be read."),
    ("74", "The output of a command cannot be written, as on a full disk."),
    ("78", "The configuration has errors."),
    ("141", "The reader of the output of a command closed the pipe."),
];
const SIGNALS: [(&str, &str); 2] = [
    ("SIGTERM, SIGINT", "Stop all streams and exit, within 10 seconds; a second signal exits immediately."),
    (
        "SIGHUP",
        "Reload the configuration. Only what changed restarts; a file with errors changes nothing. The file of --log-file is reopened.",
    ),
];
const ENVIRONMENT: [(&str, &str); 2] = [
    ("VOYANDZ_CONFFILE", "The configuration file, when there is no -f."),
    ("VOYANDZ_LOG", "Log levels by module, like voyandz::feed=debug,info."),
];
const FILES: [(&str, &str); 1] = [(
    "/etc/voyandz.yaml",
    "The default configuration. /etc/voyandz.ini and /etc/voyandz, its older names, are used as well. Without one a demo is served.",
)];

/// Prints a manual page: section 1, or 5.
pub fn page(section: &str) -> ExitCode {
    let text = match section {
        "5" => configuration_page(),
        _ => program_page(&Cli::command()),
    };
    print(&text)
}

/// Prints the completions of the command line.
pub fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), "voyandz", &mut text);
    print(&text)
}

/// The command line without internal subcommands.
fn visible(command: &Command) -> Command {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("voyandz").args(command.get_arguments().cloned()).subcommands(shown)
}

/// Prints the licences.
pub fn licenses() -> ExitCode {
    print(LICENSES.as_bytes())
}

fn program_page(command: &Command) -> Vec<u8> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    // Writing into memory does not fail.
    let _ = man.render_title(&mut page);
    let _ = man.render_name_section(&mut page);
    let _ = man.render_synopsis_section(&mut page);
    let _ = man.render_description_section(&mut page);
    let _ = man.render_options_section(&mut page);
    let mut rest = Roff::new();
    rest.control("SH", ["COMMANDS"]);
    for command in visible(command).get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        tagged(&mut rest, command.get_name(), &about);
    }
    for (title, entries) in
        [("EXIT STATUS", &EXIT_CODES[..]), ("SIGNALS", &SIGNALS), ("ENVIRONMENT", &ENVIRONMENT), ("FILES", &FILES)]
    {
        rest.control("SH", [title]);
        entries.iter().for_each(|(tag, text)| tagged(&mut rest, tag, text));
    }
    rest.control("SH", ["SEE ALSO"]);
    rest.text([bold("voyandz.yaml"), roman("(5)")]);
    page.extend(rest.to_roff().into_bytes());
    page
}

fn tagged(page: &mut Roff, tag: &str, text: &str) {
    page.control("TP", []);
    page.text([bold(tag)]);
    page.text([roman(text)]);
}

fn configuration_page() -> Vec<u8> {
    let mut page = Roff::new();
    let version = format!("voyandz {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["voyandz.yaml", "5", "", &version]);
    page.control("SH", ["NAME"]);
    page.text([roman("voyandz.yaml - the configuration of voyandz(1)")]);
    page.control("SH", ["DESCRIPTION"]);
    roff::append(&mut page, CONFIGURATION);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("voyandz"), roman("(1)")]);
    page.to_roff().into_bytes()
}

//! The program: reads the command line and runs what it asks for.

use clap::Parser;
use std::process::ExitCode;
use voyandz::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Reads FAILPOINTS; does nothing in a release.
    let _failures = fail::FailScenario::setup();
    match cli.command {
        Some(Command::Worker) => {
            voyandz::sys::abort_on_fault();
            voyandz::worker::run()
        }
        Some(Command::Guard { server, inputs, memory_max, argv }) => {
            voyandz::sys::guard::run(server, inputs, memory_max, &argv)
        }
        Some(Command::Check(options)) => voyandz::run::check(&options),
        Some(Command::Doctor(options)) => voyandz::run::doctor(&options),
        Some(Command::Config(options)) => voyandz::run::print(&options),
        Some(Command::Passwd(options)) => voyandz::credentials::passwd(&options),
        Some(Command::Token) => voyandz::credentials::token(),
        Some(Command::Sign(options)) => voyandz::credentials::sign(&options),
        Some(Command::Ctl(options)) => voyandz::ctl::run(&options),
        Some(Command::Completions { shell }) => voyandz::manpage::completions(shell),
        Some(Command::Man { section }) => voyandz::manpage::page(&section),
        None if cli.licenses => voyandz::manpage::licenses(),
        None => voyandz::run::serve(&cli.serve),
    }
}

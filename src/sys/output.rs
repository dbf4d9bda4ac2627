//! What a subcommand prints. A reader may close its end of the pipe at any time, as `head` does; that is no fault of this program.

use std::{
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// The reader closed the pipe: what a shell shows for a program that SIGPIPE ended (128 + 13).
pub const CLOSED: u8 = 141;
/// The output cannot be written, as on a full disk (`EX_IOERR` of sysexits.h).
pub const CANNOT_WRITE: u8 = 74;

/// Writes to standard output. The exit code is 0, 141 when the reader closed the pipe, or 74 when writing fails otherwise; then the
/// reason is on standard error. Blocks while the reader does not read.
pub fn print(text: &[u8]) -> ExitCode {
    let mut output = io::stdout().lock();
    ExitCode::from(code(output.write_all(text).and_then(|()| output.flush())))
}

/// Writes a line to standard error, where there is one.
pub fn complain(text: &str) {
    // There is no other place for the fault of this write.
    let _ = writeln!(io::stderr(), "{text}");
}

fn code(written: io::Result<()>) -> u8 {
    match written {
        Ok(()) => 0,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => CLOSED,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            CANNOT_WRITE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_failed_write_decides() {
        assert_eq!(code(Ok(())), 0);
        assert_eq!(code(Err(ErrorKind::BrokenPipe.into())), CLOSED);
        assert_eq!(code(Err(ErrorKind::StorageFull.into())), CANNOT_WRITE);
    }
}

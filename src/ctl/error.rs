//! Why `voyandz ctl` fails, and its exit codes: those of sysexits.h where one fits.

use crate::{
    net::{ClientError, tls::authorities::TrustError},
    sys::output,
    telemetry::chain,
};
use http::StatusCode;
use std::{io, path::PathBuf, process::ExitCode};

/// The server cannot be reached, or has no room (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// A token is missing or wrong, or permits less (`EX_NOPERM`).
const NO_PERMISSION: u8 = 77;
/// A file cannot be read or written (`EX_IOERR`).
const IO: u8 = 74;
/// The server refuses for another reason.
const REFUSED: u8 = 1;

/// Why it fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum CtlError {
    /// There is no answer.
    #[error("no server at {server}: name it with --server")]
    Unreachable {
        /// Where it was looked for.
        server: String,
        /// Why.
        source: ClientError,
    },
    /// There is no answer in time.
    #[error("no response from {0} within 30 s")]
    Late(String),
    /// What the server says.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What, and what to do.
        detail: String,
    },
    /// An option is needed.
    #[error("{0} is missing: it says which one")]
    Missing(&'static str),
    /// The answer is no answer of the API.
    #[error("this is no voyandz: {0}")]
    Foreign(String),
    /// A file is not read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file with authorities is of no use.
    #[error("cannot use the authorities of --ca")]
    Trust(#[from] TrustError),
    /// A terminal cannot show a still.
    #[error("name a file with --output: a terminal cannot show a still")]
    Terminal,
    /// The standard output, or the system.
    #[error("cannot write the output")]
    Io(#[from] io::Error),
}

impl CtlError {
    /// Prints it.
    pub(super) fn exit(&self) -> ExitCode {
        // Whoever reads the output has enough of it: `| head`.
        if matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        output::complain(&format!("voyandz: {}", chain(self)));
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Late(_) => UNAVAILABLE,
            Self::Refused { status, .. } => match *status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NO_PERMISSION,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => UNAVAILABLE,
                _ => REFUSED,
            },
            Self::Foreign(_) | Self::Missing(_) | Self::Terminal => REFUSED,
            Self::File { .. } | Self::Trust(_) | Self::Io(_) => IO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_sysexits() {
        let refused = |status| CtlError::Refused { status, detail: String::new() }.code();
        assert_eq!(refused(StatusCode::UNAUTHORIZED), 77);
        assert_eq!(refused(StatusCode::NOT_FOUND), 1);
        assert_eq!(refused(StatusCode::TOO_MANY_REQUESTS), 69);
        assert_eq!(CtlError::Late(String::new()).code(), 69);
    }
}

//! To the standard output.

use super::error::CtlError;
use serde_json::Value;
use std::io::Write as _;

pub(super) fn print_json(value: &Value) -> Result<(), CtlError> {
    print(&format!("{value:#}\n"))
}

pub(super) fn print(text: &str) -> Result<(), CtlError> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

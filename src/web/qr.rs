//! QR codes of addresses, as inline SVG.

use maud::{Markup, PreEscaped, html};
use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write;

/// Modules of white around a code (ISO/IEC 18004).
const QUIET: usize = 4;

/// The code of a text, in the middle of its quiet zone; `None` when the text is too long for one.
pub fn code(text: &str, label: &str) -> Option<Markup> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let size = code.width() + 2 * QUIET;
    let path = path(&code.to_colors(), code.width());
    Some(html! {
        svg.qr viewBox=(format!("0 0 {size} {size}")) role="img" aria-label=(label) shape-rendering="crispEdges" {
            (PreEscaped(format!("<rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/>")))
        }
    })
}

/// The dark modules, as one rectangle for each run of them.
fn path(modules: &[Color], width: usize) -> String {
    let mut path = String::new();
    for (y, row) in modules.chunks(width.max(1)).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|one, other| one == other) {
            if run.first() == Some(&Color::Dark) {
                let _ = write!(path, "M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, run.len(), run.len());
            }
            x += run.len();
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_dark_modules_are_rectangles() {
        use Color::{Dark as D, Light as L};
        assert_eq!(path(&[D, D, L, L, D, D, D, L, D], 3), "M4 4h2v1h-2zM5 5h2v1h-2zM4 6h1v1h-1zM6 6h1v1h-1z");
    }

    #[test]
    fn a_code_has_its_quiet_zone_and_a_text_may_be_too_long() {
        let svg = code("http://192.0.2.1:8090/cam0/play", "a label").unwrap().into_string();
        assert!(svg.contains("viewBox=\"0 0 37 37\"") && svg.contains("aria-label=\"a label\""), "{svg}");
        // The finder patterns, whose first row is seven modules.
        assert!(
            svg.contains("M4 4h7v1h-7z") && svg.contains("M26 4h7v1h-7z") && svg.contains("M4 32h7v1h-7z"),
            "{svg}"
        );
        assert!(code(&"x".repeat(5000), "").is_none());
    }
}

//! Findings and how they are printed. Pure.

use serde_json::{Value, json};
use std::fmt;

/// How good or bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It is there.
    Good,
    /// It is not there, or not usable; voyandz works without.
    Absent,
    /// voyandz does not work without it.
    Lacking,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    level: Level,
    what: String,
    detail: String,
    remedy: String,
}

impl Finding {
    /// It is there.
    pub(super) fn good(what: &str, detail: &str) -> Self {
        Self::new(Level::Good, what, detail, "")
    }

    /// It is not there, and what can be done about it; voyandz works without.
    pub(super) fn absent(what: &str, detail: &str, remedy: &str) -> Self {
        Self::new(Level::Absent, what, detail, remedy)
    }

    /// It is not there, and voyandz does not work without it.
    pub(super) fn lacks(what: &str, detail: &str, remedy: &str) -> Self {
        Self::new(Level::Lacking, what, detail, remedy)
    }

    fn new(level: Level, what: &str, detail: &str, remedy: &str) -> Self {
        Self { level, what: what.to_owned(), detail: detail.to_owned(), remedy: remedy.to_owned() }
    }
}

/// All findings, by section.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<(&'static str, Vec<Finding>)>);

impl Report {
    /// Adds a section.
    pub(super) fn section(&mut self, title: &'static str, findings: Vec<Finding>) {
        self.0.push((title, findings));
    }

    /// The findings, for programs.
    pub(super) fn to_json(&self) -> Value {
        let finding = |finding: &Finding| {
            let level = match finding.level {
                Level::Good => "good",
                Level::Absent => "absent",
                Level::Lacking => "lacking",
            };
            json!({"level": level, "what": finding.what, "detail": finding.detail, "remedy": finding.remedy})
        };
        let section = |(title, findings): &(&str, Vec<Finding>)| json!({"title": title, "findings": findings.iter().map(finding).collect::<Vec<_>>()});
        json!({"is_well": self.is_well(), "sections": self.0.iter().map(section).collect::<Vec<_>>()})
    }

    /// Whether nothing is missing that voyandz needs.
    pub(super) fn is_well(&self) -> bool {
        self.findings().all(|finding| finding.level != Level::Lacking)
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter().flat_map(|(_, findings)| findings)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings().map(|finding| finding.what.chars().count()).max().unwrap_or(0);
        for (title, findings) in &self.0 {
            writeln!(f, "{title}")?;
            for Finding { level, what, detail, remedy } in findings {
                let mark = match level {
                    Level::Good => "ok     ",
                    Level::Absent => "-      ",
                    Level::Lacking => "MISSING",
                };
                write!(f, "  {mark} {what:width$}  {detail}")?;
                if !remedy.is_empty() {
                    write!(f, " ({remedy})")?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
        }
        let lacking = self.findings().filter(|finding| finding.level == Level::Lacking).count();
        match lacking {
            0 => write!(f, "voyandz can serve here."),
            1 => write!(f, "1 thing is missing that voyandz needs."),
            n => write!(f, "{n} things are missing that voyandz needs."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table_with_a_verdict() {
        let mut report = Report::default();
        report.section("One", vec![Finding::good("x264enc", "H.264"), Finding::absent("vp9", "VP9", "install it")]);
        assert!(report.is_well());
        let expected = "One\n  ok      x264enc  H.264\n  -       vp9      VP9 (install it)\n\nvoyandz can serve here.";
        assert_eq!(report.to_string(), expected);
        report.section("Two", vec![Finding::lacks("a", "b", "")]);
        assert!(!report.is_well());
        assert!(report.to_string().ends_with("Two\n  MISSING a        b\n\n1 thing is missing that voyandz needs."));
    }
}

//! Converts Markdown, as far as docs/configuration.md uses it, to a manual page. Pure.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Appends a Markdown text without its title: the page has its own.
pub(super) fn append(page: &mut Roff, markdown: &str) {
    let mut writer = Writer { page, line: Vec::new(), marks: Vec::new(), lists: Vec::new(), table: None };
    Parser::new_ext(markdown, Options::ENABLE_TABLES).for_each(|event| writer.event(event));
    writer.flush();
}

struct Writer<'a> {
    page: &'a mut Roff,
    /// The text so far of the current paragraph, heading, item or cell.
    line: Vec<Inline>,
    /// Open emphasis.
    marks: Vec<fn(&str) -> Inline>,
    /// The next number of each open list, if it is numbered.
    lists: Vec<Option<u64>>,
    table: Option<Table>,
}

/// A table becomes a list: the first cell of a row is the tag, the others follow with the titles of their columns.
#[derive(Default)]
struct Table {
    titles: Vec<String>,
    row: Vec<Vec<Inline>>,
}

impl Writer<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) => {
                let mark = self.marks.last().copied().unwrap_or(plain);
                self.line.push(mark(&text));
            }
            Event::Code(text) => self.line.push(bold(text.to_string())),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Emphasis => self.marks.push(|text| italic(text)),
            Tag::Strong => self.marks.push(|text| bold(text)),
            Tag::Paragraph if self.lists.is_empty() => self.control("PP", &[]),
            Tag::CodeBlock(_) => {
                self.flush();
                self.control("PP", &[]);
                self.control("RS", &["4"]);
                self.control("nf", &[]);
            }
            Tag::List(first) => {
                self.flush();
                self.lists.push(*first);
            }
            Tag::Item => match self.lists.last_mut() {
                Some(Some(number)) => {
                    let tag = format!("{number}.");
                    *number += 1;
                    self.control("IP", &[&tag, "4"]);
                }
                _ => self.control("IP", &["\\(bu", "4"]),
            },
            Tag::Table(_) => self.table = Some(Table::default()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis | TagEnd::Strong => {
                self.marks.pop();
            }
            TagEnd::Heading(level) => {
                let title = text_of(&std::mem::take(&mut self.line));
                match level {
                    HeadingLevel::H1 => {}
                    HeadingLevel::H2 => self.control("SH", &[&title.to_uppercase()]),
                    _ => self.control("SS", &[&title]),
                }
            }
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::CodeBlock => {
                self.flush();
                self.control("fi", &[]);
                self.control("RE", &[]);
            }
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.line);
                if let Some(table) = &mut self.table {
                    table.row.push(cell);
                }
            }
            TagEnd::TableHead => {
                if let Some(table) = &mut self.table {
                    table.titles = std::mem::take(&mut table.row).iter().map(|cell| text_of(cell)).collect();
                }
            }
            TagEnd::TableRow => self.row(),
            TagEnd::Table => self.table = None,
            _ => {}
        }
    }

    fn row(&mut self) {
        let Some(table) = &mut self.table else { return };
        let cells = std::mem::take(&mut table.row);
        let titles = table.titles.clone();
        let last = cells.len().saturating_sub(1);
        let mut text = Vec::new();
        self.page.control("TP", []);
        for (at, (cell, title)) in cells.into_iter().zip(titles).enumerate() {
            if at == 0 {
                self.page.text(cell);
            } else if at == last {
                text.extend(cell);
            } else if !cell.is_empty() {
                text.push(italic(title));
                text.push(roman(" "));
                text.extend(cell);
                text.push(roman(". "));
            }
        }
        self.page.text(text);
    }

    fn control(&mut self, name: &str, arguments: &[&str]) {
        self.page.control(name, arguments.iter().copied());
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.page.text(line);
        }
    }
}

fn plain(text: &str) -> Inline {
    roman(text)
}

fn text_of(line: &[Inline]) -> String {
    let texts = line.iter().map(|inline| match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.as_str(),
        Inline::LineBreak => " ",
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(markdown: &str, expected: &str) {
        let mut page = Roff::new();
        append(&mut page, markdown);
        let text = page.to_roff();
        let lines: Vec<_> =
            text.lines().skip_while(|line| line.starts_with(".ie") || line.starts_with(".el")).collect();
        assert_eq!(lines.join("\n"), expected, "{text}");
    }

    #[test]
    fn markdown_becomes_roff() {
        check("# Title\n\nOne `two` *three*\nfour.\n", ".PP\nOne \\fBtwo\\fR \\fIthree\\fR four.");
        check("## A b\n### C d\n", ".SH \"A B\"\n.SS \"C d\"");
        check("- one\n- two\n", ".IP \\(bu 4\none\n.IP \\(bu 4\ntwo");
        check("1. one\n2. two\n", ".IP 1. 4\none\n.IP 2. 4\ntwo");
        check("```yaml\na: {b}\n.c\n```\n", ".PP\n.RS 4\n.nf\na: {b}\n\\&.c\n\n.fi\n.RE");
    }

    #[test]
    fn a_table_becomes_a_list() {
        let table = "| key | default | meaning |\n|---|---|---|\n| `a` | `1` | First. |\n| `b` | | Second. |\n";
        check(table, ".TP\n\\fBa\\fR\n\\fIdefault\\fR \\fB1\\fR. First.\n.TP\n\\fBb\\fR\nSecond.");
    }
}

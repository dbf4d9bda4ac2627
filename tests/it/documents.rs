//! The documents: every link leads to a file and a heading that are there, and every document can be found.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// Folders with documents, besides the root.
const FOLDERS: [&str; 4] = ["docs", "docs/adr", "clients/python", "tests/data"];

/// A document: its headings, as they are linked to, and where its links lead to.
#[derive(Default)]
struct Document {
    anchors: BTreeSet<String>,
    links: Vec<String>,
}

/// All of them, by their path from the root.
fn documents() -> BTreeMap<PathBuf, Document> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = FOLDERS.iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let paths =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "md"));
    paths
        .chain([root.join("README.md")])
        .map(|path| (path.strip_prefix(root).unwrap().to_owned(), read(&fs::read_to_string(&path).unwrap())))
        .collect()
}

fn read(text: &str) -> Document {
    let (mut document, mut heading) = (Document::default(), None::<String>);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap());
                // Another heading of the same words gets a number.
                let numbered = (1..).map(|number| format!("{anchor}-{number}"));
                let free = [anchor.clone()].into_iter().chain(numbered).find(|one| !document.anchors.contains(one));
                document.anchors.insert(free.unwrap());
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                document.links.push(dest_url.into_string());
            }
            _ => {}
        }
    }
    document
}

/// How a heading is linked to: its letters and digits, with lines for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// `docs/adr` and `../http.md` are `docs/http.md`; none where it leads out of the root.
fn joined(folder: &Path, link: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in folder.join(link).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::ParentDir if path.pop() => {}
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path)
}

/// Why a link of the document at `from` leads nowhere.
fn fault(documents: &BTreeMap<PathBuf, Document>, from: &Path, link: &str) -> Option<&'static str> {
    if link.contains("://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let Some(path) = (if file.is_empty() { Some(from.to_owned()) } else { joined(from.parent()?, file) }) else {
        return Some("leads out of the repository");
    };
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists() {
        return Some("there is no such file");
    }
    let anchor = anchor?;
    match documents.get(&path) {
        Some(document) if document.anchors.contains(anchor) => None,
        Some(_) => Some("there is no such heading"),
        None => Some("has no headings"),
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let documents = documents();
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, document) in &documents {
        count += document.links.len();
        let faults = document.links.iter().filter_map(|link| Some((link, fault(&documents, path, link)?)));
        wrong.extend(faults.map(|(link, fault)| format!("{}: `{link}` {fault}", path.display())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 300, "{count} links");
}

#[test]
fn every_document_is_found_from_the_readme() {
    let documents = documents();
    let readme = &documents[Path::new("README.md")];
    let linked: BTreeSet<_> = readme.links.iter().map(|link| link.split('#').next().unwrap()).collect();
    let is_top = |path: &&PathBuf| path.parent() == Some(Path::new("docs"));
    let lost: Vec<_> =
        documents.keys().filter(is_top).filter(|path| !linked.contains(path.to_str().unwrap())).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_decision_has_a_number_of_its_own() {
    let mut numbers = BTreeSet::new();
    for path in documents().keys().filter(|path| path.starts_with("docs/adr")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let number: u32 = name.split('-').next().unwrap().parse().unwrap_or_else(|_| panic!("{name} has no number"));
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        assert!(text.starts_with(&format!("# {number}. ")), "{name} has another number in its title");
        assert!(numbers.insert(number), "there are two decisions {number}");
    }
    assert!(numbers.len() > 50, "{}", numbers.len());
}

#[test]
fn links_that_lead_nowhere_are_found() {
    let documents = BTreeMap::from([
        (PathBuf::from("docs/http.md"), read("# HTTP\n\n## `auth.users:` & more\n\n## Twice\n\n## Twice\n")),
        (
            PathBuf::from("README.md"),
            read("[one](docs/http.md#twice-1) ![two](x.png)\n\n| a |\n|---|\n| [three](#t) |\n"),
        ),
    ]);
    let readme = Path::new("README.md");
    assert_eq!(documents[readme].links, ["docs/http.md#twice-1", "x.png", "#t"]);
    let check = |from: &str, link: &str, expected: Option<&str>| {
        assert_eq!(fault(&documents, Path::new(from), link), expected, "{link} of {from}");
    };
    check("README.md", "docs/http.md#twice-1", None);
    check("README.md", "docs/http.md#authusers--more", None);
    check("docs/http.md", "../README.md", None);
    check("docs/http.md", "adr/", None);
    check("README.md", "https://example.org/none", None);
    check("README.md", "docs/http.md#twice-2", Some("there is no such heading"));
    check("docs/http.md", "#none", Some("there is no such heading"));
    check("docs/http.md", "none.md", Some("there is no such file"));
    check("docs/http.md", "../../none.md", Some("leads out of the repository"));
    check("docs/http.md", "../LICENSE#none", Some("has no headings"));
}

//! The code keeps to its own map.

use regex::Regex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Which folders of `src` a folder may import. What is not listed here may import anything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("telemetry", &[]),
    ("sys", &[]),
    ("net", &["config", "telemetry"]),
    ("access", &["telemetry"]),
    ("config", &["access", "media", "sys"]),
    ("ipc", &["media"]),
    ("worker", &["config", "ipc", "media", "sys"]),
    ("stream", &["media", "sys", "telemetry"]),
    ("link", &["config", "media", "net", "sys"]),
    ("source", &["config", "ipc", "link", "media", "stream", "sys", "telemetry"]),
    ("engine", &["config", "ipc", "media", "source", "stream", "sys", "telemetry"]),
    ("still", &["engine", "ipc", "media", "source", "stream", "sys"]),
    (
        "output",
        &["access", "config", "engine", "ipc", "link", "media", "net", "source", "still", "stream", "sys", "telemetry"],
    ),
    ("store", &["sys"]),
    ("journal", &["telemetry"]),
    ("hooks", &["access", "config", "engine", "journal", "net", "source", "status", "sys", "telemetry"]),
    ("otlp", &["config", "net", "telemetry"]),
    ("ctl", &["access", "config", "net", "sys", "telemetry"]),
    (
        "api",
        &[
            "access",
            "config",
            "engine",
            "ipc",
            "journal",
            "media",
            "output",
            "source",
            "status",
            "store",
            "stream",
            "sys",
            "telemetry",
        ],
    ),
    ("status", &["access", "config", "engine", "ipc", "media", "source", "stream", "sys", "telemetry"]),
    ("web", &["access", "config", "engine", "ipc", "media", "source", "status", "stream"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found
        .into_iter()
        .map(|path| (path.strip_prefix(&src).unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The first parts of all `crate::…` paths outside the tests of a file.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    let single = Regex::new(r"crate::([a-z_]+)").unwrap();
    let mut found: BTreeSet<String> = single.captures_iter(&code).map(|found| found[1].to_owned()).collect();
    for (start, opening) in code.match_indices("use crate::{") {
        let group = code[start + opening.len()..].split(';').next().unwrap();
        let mut depth = 0;
        // Members of the outermost list: what stands in inner braces belongs to one of them.
        let outer: String = group
            .chars()
            .filter(|c| {
                depth += i32::from(*c == '{') - i32::from(*c == '}');
                depth == 0
            })
            .collect();
        let members = outer.split(',').map(|member| member.split("::").next().unwrap().trim().trim_matches('}'));
        found.extend(members.filter(|member| member.chars().next().is_some_and(char::is_lowercase)).map(str::to_owned));
    }
    found
}

#[test]
fn imports_point_downwards_only() {
    let mut wrong = Vec::new();
    // Tests of a worker take its media as the server does.
    let is_test = |path: &Path| path.components().any(|part| part.as_os_str() == "tests");
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let folder = path.iter().next().unwrap().to_str().unwrap().to_owned();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == folder) else { continue };
        for import in imports(&text) {
            if import != folder && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Files that are one type with its parts: the child may import the parent.
const PARENT_AND_CHILD: &[(&str, &str)] = &[
    ("worker/group.rs", "worker/group/feeds.rs"),
    ("worker/group.rs", "worker/group/pictures.rs"),
    ("worker/group.rs", "worker/group/streams.rs"),
    ("worker/track.rs", "worker/track/decode.rs"),
];

#[test]
fn files_do_not_import_each_other_in_circles() {
    let sources = sources();
    let modules = Modules::of(&sources);
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in &sources {
        let file = path.to_str().unwrap();
        let found = modules.imported_by(file, text);
        let is_part = |parent: &&str| PARENT_AND_CHILD.contains(&(parent, file));
        imports.insert(file, found.into_iter().filter(|other| *other != file && !is_part(other)).collect());
    }
    let circles = circles(&imports);
    let found: Vec<_> = circles
        .iter()
        .map(|circle| {
            circle.iter().map(|file| format!("{file} imports {:?}", &imports[file] & circle)).collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// The modules of this crate, by path: `stream::ring` is in `stream/ring.rs`.
struct Modules<'a> {
    files: BTreeMap<String, &'a str>,
    /// What `pub use` makes of a path: `stream::FanOut` is `stream::fanout::FanOut`.
    aliases: BTreeMap<String, String>,
}

impl<'a> Modules<'a> {
    fn of(sources: &'a [(PathBuf, String)]) -> Self {
        let files =
            sources.iter().map(|(path, _)| (module_of(path.to_str().unwrap()), path.to_str().unwrap())).collect();
        let mut aliases = BTreeMap::new();
        for (path, text) in sources {
            let module = module_of(path.to_str().unwrap());
            for (_, name, target) in uses(&code_of(text), &module).into_iter().filter(|(is_public, ..)| *is_public) {
                aliases.insert(joined(&module, &name), target);
            }
        }
        Self { files, aliases }
    }

    /// The files that the code of a file uses. What it re-exports only counts for those who use it.
    fn imported_by(&self, file: &str, text: &str) -> BTreeSet<&'a str> {
        let (module, code) = (module_of(file), code_of(text));
        let mut paths: Vec<String> =
            uses(&code, &module).into_iter().filter(|(is_public, ..)| !is_public).map(|(.., target)| target).collect();
        let code = use_items().replace_all(&code, "");
        let qualified = Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").unwrap();
        paths.extend(qualified.find_iter(&code).map(|path| absolute(path.as_str(), &module)));
        // Children are in scope without a `use`.
        for child in Regex::new(r"\bmod (\w+);").unwrap().captures_iter(&code) {
            if Regex::new(&format!(r"(?:^|[^:\w]){}::", &child[1])).unwrap().is_match(&code) {
                paths.push(joined(&module, &child[1]));
            }
        }
        paths.iter().filter_map(|path| self.file_of(path)).collect()
    }

    /// The file that defines what is at a path: that of the longest part of the path which is a module.
    fn file_of(&self, path: &str) -> Option<&'a str> {
        let ends: Vec<usize> = path.match_indices("::").map(|(end, _)| end).chain([path.len()]).collect();
        let alias = ends.iter().find_map(|end| Some((*end, self.aliases.get(&path[..*end])?)));
        if let Some((end, target)) = alias
            && !path.starts_with(target.as_str())
        {
            return self.file_of(&format!("{target}{}", &path[end..]));
        }
        ends.iter().rev().find_map(|end| self.files.get(&path[..*end]).copied())
    }
}

/// `stream/ring.rs` is the module `stream::ring`, `stream/mod.rs` is `stream`, `lib.rs` is the empty path.
fn module_of(file: &str) -> String {
    let path = file.trim_end_matches(".rs").replace('/', "::");
    let path = path.strip_suffix("mod").map_or(path.as_str(), |path| path.trim_end_matches("::"));
    if path == "lib" { String::new() } else { path.to_owned() }
}

fn joined(module: &str, rest: &str) -> String {
    if module.is_empty() { rest.to_owned() } else { format!("{module}::{rest}") }
}

/// A path from the root of the crate, without `crate`, `self` and `super`.
fn absolute(path: &str, module: &str) -> String {
    let mut base: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts = path.split("::").peekable();
    while let Some(first) = parts.next_if(|part| ["crate", "self", "super"].contains(part)) {
        match first {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            _ => {}
        }
    }
    base.into_iter().chain(parts).filter(|part| *part != "self").collect::<Vec<_>>().join("::")
}

/// The code of a file without comments and tests.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

fn use_items() -> Regex {
    Regex::new(r"(?m)^\s*(pub(?:\([^)]*\))? )?use ([^;]+);").unwrap()
}

/// All `use` paths of our own: whether they are public, the name that they bring, and the whole path.
fn uses(code: &str, module: &str) -> Vec<(bool, String, String)> {
    let mut found = Vec::new();
    for item in use_items().captures_iter(code) {
        let mut paths = Vec::new();
        expand("", &item[2].split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
        for path in paths {
            let (path, name) = path.split_once(" as ").unwrap_or((&path, path.rsplit("::").next().unwrap()));
            let first = path.split("::").next().unwrap();
            let is_child = code.contains(&format!("mod {first};"));
            if ["crate", "super", "self"].contains(&first) || is_child {
                found.push((item.get(1).is_some(), name.to_owned(), absolute(path, module)));
            }
        }
    }
    found
}

/// `a::{b, c::{self, d}}` is `a::b`, `a::c::self` and `a::c::d`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, group)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{}", tree.trim()));
        return;
    };
    let (prefix, group) = (format!("{prefix}{}", head.trim()), group.trim_end().strip_suffix('}').unwrap());
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 && c == ',' {
            let member = group[start..at].trim();
            if !member.is_empty() {
                expand(&prefix, member, paths);
            }
            start = at + 1;
        }
    }
}

/// The largest sets of files in which each reaches each other.
fn circles<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<BTreeSet<&'a str>> {
    let reached = |from: &'a str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(imports[file].iter().filter(|other| seen.insert(**other)));
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports.keys().map(|file| (*file, reached(file))).collect();
    let circle =
        |file: &&'a str| reached[file].iter().filter(|other| reached[*other].contains(file)).copied().collect();
    reached.keys().filter(|file| reached[*file].contains(*file)).map(circle).collect()
}

#[test]
fn paths_resolve_to_files() {
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    let sources = [
        file("lib.rs", "pub mod a;\npub mod b;"),
        file("a/mod.rs", "mod one;\nmod two;\npub use one::One;\nfn f() { two::g() }"),
        file("a/one.rs", "use super::two::{self, Two};\nuse std::fmt;"),
        file("a/two.rs", "// use crate::b::B;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}"),
        file("b.rs", "use crate::{\n    a::{One, two as other},\n};\nfn f() { crate::a::missing() }"),
    ];
    let modules = Modules::of(&sources);
    let check = |at: usize, expected: &[&str]| {
        let (path, text) = &sources[at];
        let found = modules.imported_by(path.to_str().unwrap(), text);
        assert_eq!(found, expected.iter().copied().collect(), "{}", path.display());
    };
    check(1, &["a/two.rs"]);
    check(2, &["a/two.rs"]);
    check(3, &[]);
    check(4, &["a/mod.rs", "a/one.rs", "a/two.rs"]);
    let imports =
        BTreeMap::from([("x", BTreeSet::from(["y"])), ("y", BTreeSet::from(["x", "z"])), ("z", BTreeSet::new())]);
    assert_eq!(circles(&imports), BTreeSet::from([BTreeSet::from(["x", "y"])]));
}

#[test]
fn foreign_names_stay_where_they_belong() {
    let belongs = |path: &Path, name: &str| match name {
        "gstreamer" | "glib" => path.starts_with("worker"),
        "warp" => {
            ["response.rs", "router.rs", "session.rs"].into_iter().any(|file| path.ends_with(file))
                || path.starts_with("status")
                || path.starts_with("web")
                || path.starts_with("api")
                || path == Path::new("app.rs")
        }
        _ => true,
    };
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for name in ["gstreamer", "glib", "warp"] {
            let named = Regex::new(&format!(r"\b{name}(_\w+)?::")).unwrap();
            let used = text.lines().any(|line| !line.trim_start().starts_with("//") && named.is_match(line));
            if used && !belongs(&path, name) {
                wrong.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_folder_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} has no description", path.display());
    }
}

#[test]
fn tests_that_the_table_of_faults_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let named = Regex::new(r"`(\w+)::(\w+)`").unwrap();
    let mut count = 0;
    for name in named.captures_iter(&table) {
        let text = fs::read_to_string(root.join(format!("tests/it/{}.rs", &name[1]))).unwrap();
        assert!(text.contains(&format!("#[test]\nfn {}()", &name[2])), "there is no test {}", &name[0]);
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// Retired words, as regular expressions, and what the text says instead.
const RETIRED: &[(&str, &str)] = &[
    ("a text of", "a pipeline of, a string of"),
    ("anew", "again, restarts"),
    ("at once", "immediately, together"),
    ("(come|comes|came) again", "returns, reconnects, is repeated"),
    ("(come|comes|came) late", "joins late"),
    ("(go|goes|going|went|gone) on", "continues"),
    ("groups of pictures", "GOPs"),
    ("(intra-frame|key picture|key unit)s?", "keyframe"),
    ("(is|are|was|were|be|been|being|gets) told", "gets, is sent, is reported"),
    ("(latecomer|newcomer)s?", "late joiner"),
    ("left out", "dropped, skipped, absent"),
    ("(pass|passes|passed|passing) on", "forwards, passthrough"),
    ("set-ups?", "configuration"),
    ("still pictures", "stills"),
    ("stays? as (it is|they are)", "is unchanged"),
    ("tells", "reports, sends, shows, contains"),
    ("wishe[sd]", "requests"),
    ("worth a (line|word)", "is logged"),
];

#[test]
fn retired_words_do_not_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (path, text) in sources() {
        found.extend(retired(&prose(&text)).into_iter().map(|line| format!("src/{}:{line}", path.display())));
    }
    let documents = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let is_checked =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "md") && !path.ends_with("CHANGELOG.md");
    for path in documents.filter(is_checked).chain([root.join("README.md")]) {
        let name = path.strip_prefix(root).unwrap().display();
        found.extend(retired(&fs::read_to_string(&path).unwrap()).into_iter().map(|line| format!("{name}:{line}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn retired_words_are_found_in_comments_and_strings_only() {
    let check = |text: &str, expected: &[&str]| {
        let found = retired(&prose(text));
        let found: Vec<_> = found.iter().map(|line| line.split(" means ").next().unwrap()).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("/// It begins Anew.", &["1: `Anew`"]);
    check("a();\n    // A feed goes\n    // on, and tells.", &["2: `goes on`", "3: `tells`"]);
    check(r#"say("http://host", "it is told"); // Newcomers."#, &["1: `is told`", "1: `Newcomers`"]);
    check("let latecomer = wishes.tells(anew);", &[]);
    check("// A renewed text, and it retells_it.", &[]);
    check(r#"["go", "on"]"#, &[]);
}

/// The comments and string literals of a source, each on the line where it is.
fn prose(text: &str) -> String {
    let parts = Regex::new(r#""(?:[^"\\]|\\.)*"|//.*"#).unwrap();
    let of_line = |line: &str| {
        // Most lines have neither; it saves seconds.
        if !line.contains("//") && !line.contains('"') {
            return String::new();
        }
        let parts = parts.find_iter(line).map(|part| part.as_str().trim_start_matches(['/', '!', ' ']));
        parts.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(of_line).collect::<Vec<_>>().join("\n")
}

/// The number of each line with a retired word, the word, and what it means. A phrase may continue in the next line.
fn retired(text: &str) -> Vec<String> {
    let pattern = |word: &str| format!(r"\b(?:{})\b", word.replace(' ', r"\s+"));
    let any = RETIRED.iter().map(|(word, _)| pattern(word)).collect::<Vec<_>>().join("|");
    let any = Regex::new(&format!("(?i){any}")).unwrap();
    let mut found = Vec::new();
    for place in any.find_iter(text) {
        let is_this = |word: &str| Regex::new(&format!("(?i)^{}$", pattern(word))).unwrap().is_match(place.as_str());
        let (_, instead) = RETIRED.iter().find(|(word, _)| is_this(word)).unwrap();
        let line = text[..place.start()].matches('\n').count() + 1;
        let word = place.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
        found.push(format!("{line}: `{word}` means {instead}"));
    }
    found
}

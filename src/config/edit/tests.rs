//! Edits of the files of the project and of hostile texts.

use super::*;
use proptest::prelude::*;

const TEXT: &str = "\
# The yard.
listen: 127.0.0.1:8090   # loopback

feeds:
  # The camera at the gate.
  gate:          # old
    command: [cat, a.ts]   # words
    mode: 10
  yard: {file: yard.ts, loop: true}  # a file

  'cam 2':
    url: rtsp://a/b#c # with a fragment
    pipeline: |
      videotestsrc !
      # not a comment
      queue
# The streams.
streams:
  gate.ts:
    feed: gate
    video:
      codec: h264
      # rather low
      bitrate: 1M
  # To come.
pages: ~
";

fn value(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap()
}

fn put(path: &str, yaml: &str) -> Edit {
    Edit { path: path.split('/').map(str::to_owned).collect(), value: Some(value(yaml)) }
}

fn drop_at(path: &str) -> Edit {
    Edit { path: path.split('/').map(str::to_owned).collect(), value: None }
}

/// The lines that an edit takes away and brings.
fn changed(text: &str, edit_: Edit) -> (Vec<String>, Vec<String>) {
    let new = edit(text, &[edit_]).unwrap();
    let lines = |text: &str| text.split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(text), lines(&new));
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(old, new)| old == new).count();
    (old[head..old.len() - tail].to_vec(), new[head..new.len() - tail].to_vec())
}

#[test]
fn only_the_lines_of_the_entry_change() {
    let check = |edit: Edit, gone: &[&str], come: &[&str]| {
        let (old, new) = changed(TEXT, edit.clone());
        assert_eq!(
            (old, new),
            (
                gone.iter().map(|line| format!("{line}\n")).collect(),
                come.iter().map(|line| format!("{line}\n")).collect()
            ),
            "{edit:?}"
        );
    };
    check(put("listen", "0.0.0.0:80"), &["listen: 127.0.0.1:8090   # loopback"], &["listen: 0.0.0.0:80   # loopback"]);
    check(put("feeds/gate/mode", "5"), &["    mode: 10"], &["    mode: 5"]);
    check(
        put("feeds/gate/command", "[cat, 'b c']"),
        &["    command: [cat, a.ts]   # words"],
        &["    command: [cat, b c]   # words"],
    );
    check(put("feeds/gate/loop", "true"), &[], &["    loop: true"]);
    check(
        put("feeds/yard/loop", "false"),
        &["  yard: {file: yard.ts, loop: true}  # a file"],
        &["  yard: {file: yard.ts, loop: false}  # a file"],
    );
    check(
        put("feeds/cam 2/url", "http://x"),
        &["    url: rtsp://a/b#c # with a fragment"],
        &["    url: http://x # with a fragment"],
    );
    check(put("feeds/cam 2/mode", "soon"), &[], &["    mode: soon"]);
    check(put("feeds/new", "{file: a.ts, command: [a, b]}"), &[], &["  new:", "    file: a.ts", "    command: [a, b]"]);
    check(put("streams/gate.ts/video/bitrate", "2M"), &["      bitrate: 1M"], &["      bitrate: 2M"]);
    check(put("streams/b.ts", "{feed: yard}"), &[], &["  b.ts:", "    feed: yard"]);
    check(put("pages/stat", "/s"), &["pages: ~"], &["pages:", "  stat: /s"]);
    check(put("sets/s/for", "[1, 2]"), &[], &["sets:", "  s:", "    for: [1, 2]"]);
    check(drop_at("feeds/gate/mode"), &["    mode: 10"], &[]);
    check(drop_at("feeds/yard"), &["  yard: {file: yard.ts, loop: true}  # a file"], &[]);
    check(
        drop_at("feeds/gate"),
        &[
            "  # The camera at the gate.",
            "  gate:          # old",
            "    command: [cat, a.ts]   # words",
            "    mode: 10",
        ],
        &[],
    );
    check(drop_at("streams/gate.ts/video/bitrate"), &["      # rather low", "      bitrate: 1M"], &[]);
    // A map in place of a map: what is the same keeps its comments.
    check(put("streams/gate.ts/video", "{codec: h264, bitrate: 3M}"), &["      bitrate: 1M"], &["      bitrate: 3M"]);
    check(put("feeds/gate", "{command: [cat, a.ts]}"), &["    mode: 10"], &[]);
}

#[test]
fn the_last_entry_of_a_section_can_go() {
    let new = edit("feeds:\n  a: {file: x}\nstreams: {}\n", &[drop_at("feeds/a")]).unwrap();
    assert_eq!(new, "feeds:\nstreams: {}\n");
    let new = edit(&new, &[put("feeds/b", "{file: y}"), put("streams/c.ts", "{feed: b}")]).unwrap();
    assert_eq!(new, "feeds:\n  b:\n    file: y\nstreams:\n  c.ts:\n    feed: b\n");
}

#[test]
fn line_ends_and_the_end_of_the_text_stay() {
    let check = |text: &str, edit_: Edit, expect: &str| assert_eq!(edit(text, &[edit_]).as_deref(), Ok(expect));
    check("feeds:\r\n  a: 1\r\nb: 2\r\n", put("feeds/c", "x"), "feeds:\r\n  a: 1\r\n  c: x\r\nb: 2\r\n");
    check("feeds:\n  a: 1", put("feeds/c", "x"), "feeds:\n  a: 1\n  c: x");
    check("feeds:\n  a: 1", put("feeds/a", "x"), "feeds:\n  a: x");
    check("a: 1\nb: 2", drop_at("b"), "a: 1");
    check("", put("a", "x"), "a: x\n");
    check("# only a comment\n", put("a/b", "x"), "# only a comment\na:\n  b: x\n");
    check("---\na: 1\n...\n", put("b", "x"), "---\na: 1\nb: x\n...\n");
    check("a:\n- x\n- y\nb: 1\n", put("a", "[z]"), "a: [z]\nb: 1\n");
    check("{a: 1}\n", put("b", "2"), "a: 1\nb: 2\n");
}

#[test]
fn texts_of_several_lines_are_written_as_such() {
    let pipeline = Value::String("videotestsrc !\n  queue\n".to_owned());
    let text =
        edit("feeds:\n", &[Edit { path: vec!["feeds".into(), "a".into(), "pipeline".into()], value: Some(pipeline) }]);
    assert_eq!(text.as_deref(), Ok("feeds:\n  a:\n    pipeline: |\n      videotestsrc !\n        queue\n"));
}

#[test]
fn what_is_shared_is_refused_or_written_out() {
    let text = "a: &x {m: 1}\nb: *x\nc:\n  <<: *x\n  n: 2\n";
    let error = edit(text, &[put("a/m", "2")]).unwrap_err();
    assert!(matches!(&error, EditError::NotInPlace { path, line: 1 } if path == "a.m"), "{error}");
    assert_eq!(edit(text, &[put("c/n", "3")]).as_deref(), Ok("a: &x {m: 1}\nb: *x\nc:\n  <<: *x\n  n: 3\n"));
    assert_eq!(edit(text, &[put("c/m", "3")]).as_deref(), Ok("a: &x {m: 1}\nb: *x\nc:\n  <<: *x\n  n: 2\n  m: 3\n"));
    let error = edit(text, &[drop_at("d")]).unwrap_err();
    assert_eq!(error.to_string(), "there is no `d` in the file");
    assert!(matches!(edit("a: 1\na: 2\n", &[drop_at("a")]), Err(EditError::Unreadable(_))));
}

/// Hostile texts beside the files of the project.
const HOSTILE: [&str; 8] = [
    "a: # one\n  # two\n  b: 1 # three\n  # four\n# five\nc:\n# six\n  - d: 1\n    e: 2\n  -\n    f: 3\n",
    "a: {b: 1, # one\n  c: [x, 'y, z'], d: \"}\"}\ne: 1\n",
    "a: |\n  # text\n\n  more\n\nb: >-\n  folded\n  text\n# end\n",
    "\"a b\": 'it''s'\n'c: d': \"x # y\"\n? e\n: f\n",
    "a:\n  b:\n    c:\n      d: 1\n\n\n  e: ~\nf: null\n",
    "a: one two\n  three\nb: 'x\n  y'\nc: [1,\n2,\n  3]\n",
    "ключ: значение # ö\nfeeds: {}\n",
    "# a\n---\n# b\na: 1\n# c\n...\n",
];

fn texts_of_the_project() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let folders = [root.clone(), root.join("examples")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let mut texts: Vec<_> = yaml.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    texts.sort();
    texts
}

/// All paths of keys of a tree.
fn paths(tree: &Value, around: &[String], found: &mut Vec<Vec<String>>) {
    for (key, value) in tree.as_mapping().into_iter().flatten() {
        let path = [around, &[key.as_str().unwrap().to_owned()]].concat();
        paths(value, &path, found);
        found.push(path);
    }
}

/// The values of other entries stay.
fn check_others(before: &Value, new: &str, path: &[String]) {
    let (mut all, after) = (Vec::new(), tree(new).unwrap());
    paths(before, &[], &mut all);
    for other in all.iter().filter(|other| !other.starts_with(path) && !path.starts_with(other)) {
        assert_eq!(get(before, other), get(&after, other), "{other:?} of\n{new}");
    }
}

#[test]
fn every_path_of_every_file_can_be_edited() {
    let (mut done, mut refused) = (0, Vec::new());
    for text in texts_of_the_project().into_iter().chain(HOSTILE.map(str::to_owned)) {
        let (mut all, before) = (Vec::new(), tree(&text).unwrap());
        paths(&before, &[], &mut all);
        for (number, path) in all.into_iter().enumerate() {
            let below = [path.as_slice(), &["new key".to_owned()]].concat();
            let is_map = get(&before, &path).is_some_and(|value| value.is_mapping() || value.is_null());
            let mut edits = vec![(path.clone(), None)];
            let values = ["x y", "[a, 'b: c', 5]", "{a: {b: [c]}, d: ~}", "'# no comment'"];
            edits.push((path.clone(), Some(value(values[number % values.len()]))));
            edits.extend(is_map.then(|| (below, Some(value("z")))));
            for (path, value) in edits {
                match edit(&text, &[Edit { path: path.clone(), value }]) {
                    Ok(new) => {
                        check_others(&before, &new, &path);
                        done += 1;
                    }
                    Err(error) => refused.push(format!("{error}")),
                }
            }
        }
    }
    // What an anchor or alias shares cannot be edited; there are few.
    assert!(refused.len() * 50 <= done, "{} of {done}: {refused:#?}", refused.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_edit_changes_what_it_says_or_nothing(
        file in 0_usize..40,
        at in 0_usize..200,
        text in "[ -~äß\n\t\u{85}]{0,12}",
        removes in prop::bool::weighted(0.2),
    ) {
        let files: Vec<_> = texts_of_the_project().into_iter().chain(HOSTILE.map(str::to_owned)).collect();
        let before = &files[file % files.len()];
        let mut all = Vec::new();
        paths(&tree(before).unwrap(), &[], &mut all);
        let path = all[at % all.len()].clone();
        let value = (!removes).then(|| Value::String(text));
        if let Ok(new) = edit(before, &[Edit { path: path.clone(), value: value.clone() }]) {
            let after = tree(&new).unwrap();
            prop_assert_eq!(get(&after, &path), value.as_ref());
            check_others(&tree(before).unwrap(), &new, &path);
        }
    }

    #[test]
    fn foreign_texts_never_panic(text in "([ab]: |  |\n|- |\\{|\\}|\\[|\\]|,|#|'|\"|\\||&x |\\*x|<<: |---\n|\\.\\.\\.\n|\r|x|é){0,20}", value in "[a-c#: ]{0,4}") {
        let _ = edit(&text, &[Edit { path: vec!["a".into(), "b".into()], value: Some(Value::String(value)) }]);
        let _ = edit(&text, &[Edit { path: vec!["a".into()], value: None }]);
    }
}

/// The lines of an entry of a section, or of a whole section, with the comments right above it: from the first, and behind the last.
fn block(lines: &[&str], path: &[String]) -> Option<(usize, usize)> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let (mut first, mut last) = (0, lines.len());
    for key in path.iter().take(2) {
        let is_key = |line: &str| {
            let line = line.trim_start();
            [key.clone(), format!("'{key}'"), format!("\"{key}\"")]
                .iter()
                .any(|key| line.starts_with(&format!("{key}:")))
        };
        let least = (first..last).filter(|at| is_content(lines[*at])).map(|at| depth(lines[at])).min()?;
        let begin = (first..last).find(|at| depth(lines[*at]) == least && is_key(lines[*at]))?;
        let end = (begin + 1..last).find(|at| is_content(lines[*at]) && depth(lines[*at]) <= least).unwrap_or(last);
        (first, last) = (begin + usize::from(path.len() > 1 && key == &path[0]), end);
        if path.len() == 1 || key != &path[0] {
            first = begin;
            while first > 0 && lines[first - 1].trim_start().starts_with('#') {
                first -= 1;
            }
        }
    }
    Some((first, last))
}

/// Seeded, so that a failure can be repeated. `VOYANDZ_EDITS` says how many; `ci/long` has 10,000.
#[test]
fn random_edits_leave_every_other_line_as_it_is() {
    let count = std::env::var("VOYANDZ_EDITS").ok().and_then(|count| count.parse().ok()).unwrap_or(500_usize);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    let files = texts_of_the_project();
    let values = [
        "x",
        "5",
        "[a, 'b: c', 5]",
        "{a: {b: [c]}, d: e}",
        "'# no comment'",
        "~",
        "rtsp://u:p@h/x#y",
        "\"two\\nlines\"",
    ];
    let (mut done, mut refused, mut compared) = (0, 0, 0);
    for _ in 0..count {
        let text = &files[random(files.len())];
        let before = tree(text).unwrap();
        let mut all = Vec::new();
        paths(&before, &[], &mut all);
        if all.is_empty() {
            continue;
        }
        let mut path = all[random(all.len())].clone();
        let is_map = get(&before, &path).is_some_and(Value::is_mapping);
        let wanted = match random(4) {
            0 => None,
            1 if is_map => {
                path.push(format!("new{}", random(9)));
                Some(value(values[random(values.len())]))
            }
            _ => Some(value(values[random(values.len())])),
        };
        let Ok(new) = edit(text, &[Edit { path: path.clone(), value: wanted.clone() }]) else {
            refused += 1;
            continue;
        };
        done += 1;
        let mut expected = before.clone();
        set(&mut expected, &path, wanted);
        assert!(says(&new, &expected), "{path:?} of\n{text}\nis\n{new}");
        let (old, new): (Vec<&str>, Vec<&str>) =
            (text.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
        if let Some((first, last)) = block(&old, &path) {
            compared += 1;
            assert!(new.starts_with(&old[..first]), "{path:?} of\n{text}\nis\n{}", new.concat());
            assert!(new.ends_with(&old[last..]), "{path:?} of\n{text}\nis\n{}", new.concat());
        }
    }
    assert!(refused * 50 <= done, "{refused} of {done} were refused");
    assert!(compared * 2 >= done, "{compared} of {done} were compared line by line");
    println!("{done} edits, {compared} compared line by line, {refused} refused");
}

#[test]
fn many_new_entries_are_as_if_they_came_one_by_one() {
    let new = |section: &str, name: &str| Edit {
        path: vec![section.to_owned(), name.to_owned()],
        value: Some(serde_yaml::from_str("{feed: cam, title: 'a: b'}").unwrap()),
    };
    let edits = [
        new("streams", "x"),
        new("streams", "y"),
        new("feeds", "z"),
        new("streams", "w"),
        new("streams", "x"),
        new("streams", "v"),
    ];
    for text in [
        "streams:\n  a: {feed: cam}   # a\n  # The end.\nfeeds:\n  cam: {command: x}\n",
        "streams:\n    a:\n        feed: cam\n\n# about feeds\nfeeds: {cam: {command: x}}\n",
        "streams: {a: {feed: cam}}\n",
        "streams:\n",
        "{streams: {a: {feed: cam}}}\n",
        "",
        "feeds:\r\n  cam: {command: x}\r\nstreams:\r\n  a: {feed: cam}\r\n...\n",
    ] {
        let one_by_one =
            edits.iter().fold(text.to_owned(), |text, one| edit(&text, std::slice::from_ref(one)).unwrap());
        assert_eq!(edit(text, &edits).unwrap(), one_by_one, "{text:?}");
    }
}

//! Every file of `tests/data/broken`, with the whole answer of `voyandz check`: each of its faults, no others, in order.
//!
//! What a file expects stands in its comments that begin with `#=`, without the name of the file itself in front. With
//! `VOYANDZ_WRITE_FAULTS=1` the test writes them anew, for someone to read the difference.

use crate::rig::server::PROGRAM;
use std::{fs, path::Path, process::Command, sync::Mutex, thread};

/// What `voyandz check` says of one file, and what it should say.
struct Answer {
    name: String,
    code: Option<i32>,
    said: Vec<String>,
    expected: Vec<String>,
}

fn check(folder: &Path, name: &str) -> Answer {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let expected = text.lines().filter_map(|line| line.strip_prefix("#= ")).map(|line| {
        // Diagnostics of other files and of variables have their own names.
        if line.starts_with(|c: char| c.is_ascii_digit()) { format!("{name}:{line}") } else { line.to_owned() }
    });
    let expected = expected.collect();
    let output = Command::new(PROGRAM).args(["check", "-f", name]).current_dir(folder).output().unwrap();
    assert!(output.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    Answer { name: name.to_owned(), code: output.status.code(), said, expected }
}

/// Writes down what is said of a file, which counts lines as they are then.
fn write(folder: &Path, name: &str) {
    let file = folder.join(name);
    let text = fs::read_to_string(&file).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("#= ")).map(|line| format!("{line}\n")).collect();
    for _ in 0..2 {
        let said = check(folder, name).said;
        let own = format!("{name}:");
        let head: String =
            said.iter().map(|line| format!("#= {}\n", line.strip_prefix(&own).unwrap_or(line))).collect();
        fs::write(&file, head + &body).unwrap();
    }
}

#[test]
fn a2_every_fault_has_its_line() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/broken");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    assert!(names.len() >= 40);
    let is_written = std::env::var_os("VOYANDZ_WRITE_FAULTS").is_some();
    let (names, answers) = (Mutex::new(names), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(name) = { names.lock().unwrap().pop() } {
                    if is_written {
                        write(&folder, &name);
                    }
                    let answer = check(&folder, &name);
                    answers.lock().unwrap().push(answer);
                }
            });
        }
    });
    for Answer { name, code, said, expected } in answers.into_inner().unwrap() {
        assert!(!expected.is_empty(), "{name} expects nothing");
        assert_eq!(said, expected, "{name}");
        assert_eq!(code, Some(78), "{name}");
    }
}

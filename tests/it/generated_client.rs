//! A client that a generator makes of the document of the API does what the document says.

use crate::{
    api::{ADMIN, yaml},
    rig::{Server, tool},
};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

#[test]
fn it_creates_reads_changes_and_deletes() {
    let Some(generator) = tool("openapi/bin/openapi-python-client") else { return };
    let folder = TempDir::new().unwrap();
    let (client, settings) = (folder.path().join("generated"), folder.path().join("settings.yaml"));
    // A formatter is not run.
    fs::write(&settings, "package_name_override: generated\npost_hooks: []\n").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(&generator)
        .args(["generate", "--meta", "none", "--fail-on-warning", "--path"])
        .arg(root.join("config/openapi.json"))
        .arg("--config")
        .arg(settings)
        .arg("--output-path")
        .arg(client)
        .output()
        .unwrap();
    let said = |output: &std::process::Output| {
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
    };
    assert!(output.status.success(), "{}", said(&output));
    let server = Server::start(&yaml("api: {exec: true}\n"));
    let output = Command::new(generator.with_file_name("python"))
        .arg(root.join("tests/data/generated_client.py"))
        .arg(folder.path())
        .args([server.url(""), ADMIN.to_owned()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{}", said(&output), server.log.text());
}

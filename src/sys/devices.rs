//! The devices of this machine that media can come from.

use std::{fs, io::ErrorKind, path::Path};

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `video`, `audio` or `render`.
    pub kind: &'static str,
    /// As pipelines name it: `/dev/video0`, `hw:1,0`.
    pub path: String,
    /// As its driver calls it; may be empty.
    pub name: String,
    /// Why this user cannot use it.
    pub fault: Option<String>,
}

/// Capture cards, sound cards that record, graphics cards, by kind and number.
pub fn devices() -> Vec<Device> {
    let mut found = Vec::new();
    for node in names_in("/sys/class/video4linux") {
        let folder = format!("/sys/class/video4linux/{node}");
        // Beside the one that captures a card has others, for data about the video.
        if node.starts_with("video") && text(&format!("{folder}/index")).is_none_or(|index| index == "0") {
            let name = text(&format!("{folder}/name")).unwrap_or_default();
            found.push(of_node("video", format!("/dev/{node}"), None, name));
        }
    }
    for node in names_in("/sys/class/sound") {
        // `pcmC1D0c` captures.
        let numbers = node.strip_prefix("pcmC").and_then(|rest| rest.strip_suffix('c')?.split_once('D'));
        if let Some((card, device)) = numbers {
            let name = text(&format!("/sys/class/sound/card{card}/id")).unwrap_or_default();
            found.push(of_node("audio", format!("/dev/snd/{node}"), Some(format!("hw:{card},{device}")), name));
        }
    }
    for node in names_in("/sys/class/drm").into_iter().filter(|name| name.starts_with("renderD")) {
        found.push(of_node("render", format!("/dev/dri/{node}"), None, String::new()));
    }
    found
}

fn of_node(kind: &'static str, node: String, named: Option<String>, name: String) -> Device {
    let fault = match fs::File::options().read(true).write(true).open(Path::new(&node)) {
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let group = if kind == "render" { "render" } else { kind };
            Some(format!("not for this user: usermod -aG {group} USER"))
        }
        Err(error) => Some(error.to_string()),
    };
    Device { kind, path: named.unwrap_or(node), name, fault }
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn names_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // `video10` comes after `video9`.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

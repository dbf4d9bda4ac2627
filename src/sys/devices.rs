//! The devices of this machine that media can come from.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `video`, `audio` or `render`.
    pub kind: &'static str,
    /// As pipelines name it: `/dev/video0`, `hw:1,0`.
    pub path: String,
    /// As its driver calls it; may be empty.
    pub name: String,
    /// A file that leads to this device and no other one, whatever is plugged in before it: `/dev/v4l/by-id/…`; `None` where the system
    /// makes none.
    pub id: Option<String>,
    /// The file that is opened.
    node: PathBuf,
}

impl Device {
    /// Why this user cannot use it. It is opened.
    pub fn fault(&self) -> Option<String> {
        match fs::File::options().read(true).write(true).open(&self.node) {
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Some(format!("not for this user: usermod -aG {} USER", self.kind))
            }
            Err(error) => Some(error.to_string()),
        }
    }
}

/// Capture cards, sound cards that record, graphics cards, by kind and number. None is opened.
pub fn devices() -> Vec<Device> {
    devices_in(Path::new("/"))
}

/// The devices that are in `now` and not in `before`.
pub fn added<'a>(before: &'a [Device], now: &'a [Device]) -> impl Iterator<Item = &'a Device> {
    now.iter().filter(|device| !before.contains(device))
}

/// The same of a system with another root.
fn devices_in(root: &Path) -> Vec<Device> {
    let (dev, sys) = (root.join("dev"), root.join("sys/class"));
    let shown = |node: &Path| Path::new("/").join(node.strip_prefix(root).unwrap_or(node)).display().to_string();
    let id = |folders: &[&str], node: &str| folders.iter().find_map(|folder| link_to(&dev.join(folder), node));
    let mut found = Vec::new();
    let cards = sys.join("video4linux");
    for node in names_in(&cards).into_iter().filter(|name| name.starts_with("video")) {
        let folder = cards.join(&node);
        // Beside the one that captures a card has others, for data about the video.
        if text(&folder.join("index")).is_none_or(|index| index == "0") {
            let (name, id) = (text(&folder.join("name")), id(&["v4l/by-id", "v4l/by-path"], &node));
            let node = dev.join(&node);
            let (path, name, id) = (shown(&node), name.unwrap_or_default(), id.as_deref().map(shown));
            found.push(Device { kind: "video", path, name, id, node });
        }
    }
    let cards = sys.join("sound");
    for node in names_in(&cards) {
        // `pcmC1D0c` captures.
        let numbers = node.strip_prefix("pcmC").and_then(|rest| rest.strip_suffix('c')?.split_once('D'));
        if let Some((card, device)) = numbers {
            let name = text(&cards.join(format!("card{card}/id"))).unwrap_or_default();
            let id = id(&["snd/by-id", "snd/by-path"], &format!("controlC{card}")).as_deref().map(shown);
            let node = dev.join("snd").join(&node);
            found.push(Device { kind: "audio", path: format!("hw:{card},{device}"), name, id, node });
        }
    }
    for node in names_in(&sys.join("drm")).into_iter().filter(|name| name.starts_with("renderD")) {
        let id = id(&["dri/by-path"], &node).as_deref().map(shown);
        let node = dev.join("dri").join(&node);
        found.push(Device { kind: "render", path: shown(&node), name: String::new(), id, node });
    }
    found
}

/// The link in a folder that leads to a file of this name.
fn link_to(folder: &Path, name: &str) -> Option<PathBuf> {
    let links = names_in(folder).into_iter().map(|link| folder.join(link));
    links
        .into_iter()
        .find(|link| fs::read_link(link).is_ok_and(|target| target.file_name().is_some_and(|found| found == name)))
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // `video10` comes after `video9`.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn cards_are_found_with_a_name_that_stays() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("sys/class/video4linux/video10/name", "Cam Link 4K\n");
        file("sys/class/video4linux/video10/index", "0\n");
        file("sys/class/video4linux/video11/index", "1\n");
        file("sys/class/video4linux/vbi0/index", "0\n");
        file("sys/class/sound/card1/id", "Link\n");
        file("sys/class/sound/pcmC1D0c", "");
        file("sys/class/sound/pcmC1D0p", "");
        file("dev/video10", "");
        fs::create_dir_all(root.path().join("dev/v4l/by-id")).unwrap();
        symlink("../../video10", root.path().join("dev/v4l/by-id/usb-Elgato-index0")).unwrap();
        fs::create_dir_all(root.path().join("dev/snd/by-path")).unwrap();
        symlink("../controlC1", root.path().join("dev/snd/by-path/pci-0")).unwrap();
        let before = devices_in(root.path());
        let shown: Vec<_> = before
            .iter()
            .map(|device| {
                (device.kind, device.path.as_str(), device.name.as_str(), device.id.as_deref().unwrap_or("none"))
            })
            .collect();
        let expect = [
            ("video", "/dev/video10", "Cam Link 4K", "/dev/v4l/by-id/usb-Elgato-index0"),
            ("audio", "hw:1,0", "Link", "/dev/snd/by-path/pci-0"),
        ];
        assert_eq!(shown, expect);
        assert_eq!((before[0].fault(), before[1].fault().is_some()), (None, true));
        file("sys/class/drm/renderD128/x", "");
        let now = devices_in(root.path());
        let paths = |before: &[Device], now: &[Device]| -> Vec<String> {
            added(before, now).map(|device| device.path.clone()).collect()
        };
        assert_eq!(paths(&before, &now), ["/dev/dri/renderD128"]);
        assert!(paths(&now, &before).is_empty() && paths(&now, &now).is_empty());
    }
}

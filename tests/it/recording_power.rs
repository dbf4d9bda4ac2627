//! Power cuts: a copy of the disk at a random moment has what was flushed by then, and nothing else.

use crate::{
    recordings::{files, packets_of, probe},
    rig::{
        SOON, Server, have, media, millis, process,
        script::{H264, PICTURE},
        state::wait_for,
        times,
    },
};
use rustix::process::Signal;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// Loss that a part of a second and what is on its way may cost, in milliseconds.
const MOST_LOST: i64 = 1200;

/// A file system in a file, which only a program of its own has mounted.
struct Image {
    holder: Child,
    file: PathBuf,
    place: PathBuf,
}

impl Image {
    /// `None` where a user may not have one.
    fn mount(temp: &Path) -> Option<Self> {
        let (file, place) = (temp.join("disk.img"), temp.join("disk"));
        fs::create_dir(&place).unwrap();
        fs::File::create(&file).unwrap().set_len(48 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&file).status();
        made.ok().filter(std::process::ExitStatus::success)?;
        let script =
            format!("mount -o loop '{}' '{}' && echo ready && exec sleep 3600", file.display(), place.display());
        let mut holder = Command::new("unshare");
        holder.args(["-m", "sh", "-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = holder.spawn().ok()?;
        let mut said = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut said).ok()?;
        let image = Self { holder, file, place };
        (said == "ready\n").then_some(image)
    }

    /// How others reach it.
    fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.place.display()))
    }

    /// The files that are there when the power of a copy comes back.
    fn restore(copy: &Path, to: &Path) {
        // It corrects what it finds: 1.
        let checked =
            Command::new("e2fsck").args(["-fy"]).arg(copy).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(checked.unwrap().code().is_some_and(|code| code <= 1));
        let place = copy.with_extension("mounted");
        fs::create_dir(&place).unwrap();
        fs::create_dir(to).unwrap();
        let script = format!(
            "mount -o loop '{}' '{}' && cp -a '{}/rec/.' '{}' && umount '{}'",
            copy.display(),
            place.display(),
            place.display(),
            to.display(),
            place.display()
        );
        assert!(Command::new("unshare").args(["-m", "sh", "-c", &script]).status().unwrap().success());
        fs::remove_dir(place).unwrap();
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A configuration that records into a folder.
fn yaml(folder: &Path, plan: &str) -> String {
    format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam: {{feed: cam, video: {H264}, record: {{folder: {}, every: 5s, plan: {plan}}}}}}}
        auth: {{anyone: [operator]}}
        ",
        folder.display()
    )
}

/// When the last frame of a file ends, in milliseconds of the file: there are 25 a second.
fn last_frame(file: &Path) -> Option<i64> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "quiet", "-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"]);
    let text = String::from_utf8(probe.arg(file).output().unwrap().stdout).unwrap();
    let times = text.lines().filter_map(|line| line.trim_matches(',').parse::<f64>().ok());
    times.max_by(f64::total_cmp).map(|time| (time * 1000.0) as i64 + 40)
}

/// When the newest frame of a folder ends, in milliseconds since 1970.
fn newest(folder: &Path) -> Option<i64> {
    let ends = files(folder, "mp4").into_iter().filter_map(|file| {
        let name = file.file_stem()?.to_str()?.to_owned();
        let date = file.parent()?.file_name()?.to_str()?.to_owned();
        let time = format!("{date}T{}:{}:{}", &name[..2], &name[2..4], &name[4..11]);
        let begin = time.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        Some(begin + last_frame(&file)?)
    });
    ends.max()
}

/// The files that a cut may have hurt: those before them were looked at after an earlier one.
fn newest_files(folder: &Path) -> Vec<PathBuf> {
    let mut all = files(folder, "mp4");
    all.split_off(all.len().saturating_sub(4))
}

/// `VOYANDZ_KILLS` makes it longer: `ci/long` has a hundred.
#[test]
fn a_power_cut_costs_a_second() {
    let has_tools = ["unshare", "mkfs.ext4", "e2fsck", "ffmpeg"].into_iter().all(have);
    if !has_tools {
        return;
    }
    let temp = TempDir::new().unwrap();
    let Some(image) = Image::mount(temp.path()) else {
        eprintln!("SKIPPED: only root may mount an image");
        return;
    };
    let cuts = u64::from(times("VOYANDZ_KILLS", 4));
    let server = Server::start(&yaml(&image.folder().join("rec"), "always"));
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["bytes"].as_u64() > Some(100_000));
    let mut viewer = server.get("/cam.ts");
    let (mut lost, mut unfinished) = (Vec::new(), 0);
    for cut in 0..cuts {
        // At different moments of a part and of a file, as viewers see them.
        viewer.collect(millis(1000 + cut * 373 % 1000));
        let copy = temp.path().join("copy.img");
        process::send(server.pid(), Signal::STOP);
        let at = jiff::Timestamp::now().as_millisecond();
        fs::copy(&image.file, &copy).unwrap();
        process::send(server.pid(), Signal::CONT);
        let rest = temp.path().join("rest");
        Image::restore(&copy, &rest);
        // Each file opens as it is, but for one whose first part is not there yet.
        for file in newest_files(&rest) {
            let is_begun = fs::metadata(&file).unwrap().len() > 4096;
            assert!(!is_begun || !packets_of(&file, "v").is_empty(), "{file:?} at {cut}");
        }
        lost.push(at - newest(&rest).unwrap());
        // The next server finishes what is open.
        let next = Server::start(&yaml(&rest, "manual"));
        next.log.wait("recording folder opened", SOON);
        let left = next.log.matching("recording was left unfinished");
        unfinished += left.len();
        drop(next);
        for file in newest_files(&rest) {
            media::assert_decodes_file(&file);
            assert!(probe(&file)["streams"][0]["nb_frames"].is_string(), "{file:?} at {cut}");
        }
        fs::remove_dir_all(&rest).unwrap();
        fs::remove_file(&copy).unwrap();
    }
    lost.sort_unstable();
    println!("lost {lost:?} ms, {unfinished} unfinished");
    assert!(unfinished > 0, "no file was open at any cut");
    let most = *lost.last().unwrap();
    assert!(most < MOST_LOST, "{lost:?}");
}

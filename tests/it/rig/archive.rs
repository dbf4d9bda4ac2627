//! Recordings that nobody had to wait for: files and their index as a recorder writes them, of media that is repeated.

use serde_json::json;
use std::{fs, os::unix::fs::FileExt, path::Path};
use voyandz::media::{
    Sample, Time, TrackInfo, demux::Demuxed, mp4::file::FileWriter, track::MediaKind, unpack::AnyDemuxer,
};

const SECOND: i64 = 1_000_000_000;

/// Media of some whole seconds, which begins with a keyframe.
pub struct Film {
    tracks: Vec<TrackInfo>,
    samples: Vec<Sample>,
    seconds: i64,
}

/// What to write.
pub struct Plan<'a> {
    /// The folder of `record:`.
    pub folder: &'a Path,
    /// The stream.
    pub stream: &'a str,
    /// Seconds since 1970 of the first frame; a whole hour.
    pub from: i64,
    /// In all.
    pub seconds: i64,
    /// Of each file.
    pub file: i64,
    /// Seconds of nothing between two files.
    pub gap: i64,
}

impl Film {
    /// What is in these bytes of any container, of which the last frames may be left out.
    pub fn of(bytes: &[u8], seconds: i64) -> Self {
        let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
        demuxer.push(bytes, &mut found).unwrap();
        demuxer.finish(&mut found).unwrap();
        let (mut tracks, mut samples) = (Vec::new(), Vec::new());
        for found in found {
            match found {
                Demuxed::Tracks(set) => tracks = set.tracks().to_vec(),
                Demuxed::Sample(sample) => samples.push(sample),
            }
        }
        let lead = tracks.iter().find(|track| track.kind() == MediaKind::Video).unwrap().id;
        let first = samples.iter().find(|sample| sample.track == lead && sample.is_sync).unwrap().dts;
        let shift = -first.nanos();
        samples.retain_mut(|sample| {
            (sample.dts, sample.pts) = (sample.dts.shifted(shift), sample.pts.shifted(shift));
            (0..seconds * SECOND).contains(&sample.dts.nanos())
        });
        Self { tracks, samples, seconds }
    }

    /// Writes files that have it again and again.
    pub fn record(&self, plan: &Plan<'_>) {
        let index = plan.folder.join(".voyandz/index").join(plan.stream);
        fs::create_dir_all(&index).unwrap();
        fs::create_dir_all(plan.folder.join(plan.stream)).unwrap();
        let (mut days, count) = (Vec::<(String, String)>::new(), plan.seconds / plan.file);
        assert!(plan.file % self.seconds == 0 && count > 0);
        for number in 0..count {
            let from = plan.from + number * (plan.file + plan.gap);
            let path = format!("{}/{:07}.mp4", plan.stream, number + 1);
            let bytes = self.write(&plan.folder.join(&path), from, plan.file);
            let entry = json!({"open": {"sequence": number + 1, "path": path, "from": from * 1_000_000,
                "to": (from + plan.file) * 1_000_000, "bytes": bytes, "codecs": "avc1.42c00d", "run": 1,
                "media": number * plan.file * SECOND, "ended": "cut", "protected": false}});
            let day = jiff::Timestamp::from_second(from).unwrap().strftime("%Y-%m-%d").to_string();
            match days.last_mut() {
                Some((known, text)) if *known == day => *text += &format!("{entry}\n"),
                _ => days.push((day, format!("{entry}\n"))),
            }
        }
        for (day, text) in days {
            fs::write(index.join(format!("{day}.idx")), text).unwrap();
        }
    }

    /// One file; its length.
    fn write(&self, path: &Path, created: i64, seconds: i64) -> usize {
        let (mut writer, mut bytes) = FileWriter::new(&self.tracks, created.unsigned_abs());
        for turn in 0..seconds / self.seconds {
            let shift = turn * self.seconds * SECOND;
            let mut due = Time::from_nanos(shift + SECOND);
            for sample in &self.samples {
                let sample =
                    Sample { dts: sample.dts.shifted(shift), pts: sample.pts.shifted(shift), ..sample.clone() };
                if sample.dts >= due {
                    bytes.extend(writer.take());
                    due = due.shifted(SECOND);
                }
                writer.push(&sample);
            }
        }
        let finish = writer.finish();
        bytes.extend(finish.tail);
        let file = fs::File::create(path).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.write_all_at(&finish.patch.1, finish.patch.0).unwrap();
        bytes.len()
    }
}

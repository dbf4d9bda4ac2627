//! What GStreamer has, as a worker sees it.

use super::report::Finding;
use crate::{
    feed::worker::Worker,
    ipc::{FromWorker, TextFault, TextKind, ToWorker},
};
use std::time::Duration;

/// Time for a worker to answer; each trial of an encoder has its own, shorter limit.
const ANSWER: Duration = Duration::from_secs(60);

/// Elements that feeds and streams are made of, what for, and whether voyandz is of no use without it.
const ELEMENTS: &[(&str, &str, bool)] = &[
    ("appsink", "everything", true),
    ("parsebin", "files, pipes and commands", true),
    ("videoconvertscale", "sizes and colours of pictures", true),
    ("audioresample", "rates of sound", true),
    ("mpegtsmux", "MPEG-TS", true),
    ("matroskamux", "Matroska and WebM", true),
    ("h264parse", "H.264", true),
    ("aacparse", "AAC", true),
    ("jpegenc", "still pictures, Motion JPEG", true),
    ("pngenc", "still pictures as PNG", true),
    ("videotestsrc", "the demo", true),
    ("textoverlay", "texts in pictures", false),
    ("v4l2src", "capture cards and cameras", false),
    ("alsasrc", "sound cards", false),
    ("pulsesrc", "sound of a desktop", false),
    ("rtspsrc", "network cameras", false),
    ("souphttpsrc", "sources on the web", false),
    ("srtsrc", "SRT", false),
    ("decklinkvideosrc", "Blackmagic cards", false),
];

/// For each codec: its encoders, and whether one runs on special hardware. The first that works is enough.
const ENCODERS: &[(&str, &[(&str, bool)], &str)] = &[
    (
        "H.264",
        &[
            ("x264enc", false),
            ("openh264enc", false),
            ("vah264enc", true),
            ("vaapih264enc", true),
            ("nvh264enc", true),
            ("qsvh264enc", true),
            ("v4l2h264enc", true),
        ],
        VIDEO,
    ),
    (
        "H.265",
        &[("x265enc", false), ("vah265enc", true), ("vaapih265enc", true), ("nvh265enc", true), ("qsvh265enc", true)],
        VIDEO,
    ),
    ("VP8", &[("vp8enc", false)], VIDEO),
    ("VP9", &[("vp9enc", false), ("vavp9enc", true)], VIDEO),
    ("AV1", &[("av1enc", false), ("svtav1enc", false), ("vaav1enc", true), ("nvav1enc", true)], VIDEO),
    ("AAC", &[("avenc_aac", false), ("fdkaacenc", false), ("voaacenc", false)], AUDIO),
    ("Opus", &[("opusenc", false)], AUDIO),
    ("MP3", &[("lamemp3enc", false)], AUDIO),
    ("Vorbis", &[("vorbisenc", false)], AUDIO),
    ("FLAC", &[("flacenc", false)], AUDIO),
];
const VIDEO: &str = "videotestsrc num-buffers=3 ! video/x-raw,width=320,height=240,framerate=30/1 ! videoconvert ! ";
const AUDIO: &str = "audiotestsrc num-buffers=5 ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! ";

/// Which elements are there.
pub(super) async fn elements(worker: &mut Worker) -> Vec<Finding> {
    let names: Vec<&str> = ELEMENTS.iter().map(|(name, ..)| *name).collect();
    let Some(faults) = missing(worker, &names).await else { return vec![gone()] };
    let findings = ELEMENTS.iter().zip(faults).map(|((name, purpose, needed), fault)| match fault {
        None => Finding::good(name, purpose),
        Some(fault) if *needed => Finding::lacks(name, purpose, &fault),
        Some(fault) => Finding::absent(name, purpose, &fault),
    });
    findings.collect()
}

/// Which encoders are there, and whether they work: hardware is told by its driver only when it is used.
pub(super) async fn encoders(worker: &mut Worker) -> Vec<Finding> {
    let all =
        || ENCODERS.iter().flat_map(|(codec, encoders, source)| encoders.iter().map(move |it| (codec, it, source)));
    let names: Vec<&str> = all().map(|(_, (name, _), _)| *name).collect();
    let Some(faults) = missing(worker, &names).await else { return vec![gone()] };
    let texts = all().zip(&faults).filter(|(_, fault)| fault.is_none());
    let texts = texts.map(|((_, (name, _), source), _)| format!("{source}{name} ! fakesink")).collect();
    let tried = ask(worker, ToWorker::Try(texts), |answer| match answer {
        FromWorker::Tried(tried) => Some(tried),
        _ => None,
    });
    let Some(tried) = tried.await else { return vec![gone()] };
    let mut tried = tried.into_iter();
    let mut findings = Vec::new();
    for ((codec, (name, hardware), _), fault) in all().zip(faults) {
        let how = if *hardware { "in hardware" } else { "in software" };
        let what = format!("{codec} {how}");
        match (fault, *hardware) {
            // Few machines have any of them; where there is one, the others are no news.
            (Some(_), true) => {}
            (Some(fault), false) => findings.push(Finding::absent(name, &what, &fault)),
            (None, _) => findings.push(match tried.next().flatten() {
                None => Finding::good(name, &what),
                Some(fault) => Finding::absent(name, &what, &format!("does not work: {fault}")),
            }),
        }
    }
    findings
}

/// Why each of these elements is not there; `None` for those that are.
async fn missing(worker: &mut Worker, names: &[&str]) -> Option<Vec<Option<String>>> {
    // A sink leaves no pad free, which is no fault here.
    let texts = names.iter().map(|name| (TextKind::Element, (*name).to_owned())).collect();
    let faults = ask(worker, ToWorker::Check(texts), |answer| match answer {
        FromWorker::Checked(faults) => Some(faults),
        _ => None,
    });
    let faults = faults.await?;
    Some(faults.into_iter().map(|fault| fault.map(|TextFault { message, .. }| message)).collect())
}

async fn ask<T>(worker: &mut Worker, question: ToWorker, answer: impl Fn(FromWorker) -> Option<T>) -> Option<T> {
    worker.send(question);
    let answered = async {
        loop {
            if let Some(found) = answer(worker.event().await?) {
                return Some(found);
            }
        }
    };
    tokio::time::timeout(ANSWER, answered).await.ok().flatten()
}

fn gone() -> Finding {
    Finding::lacks("worker", "ended or hung while it was asked: see the messages above", "")
}

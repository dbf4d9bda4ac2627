//! What GStreamer has, as a worker sees it.

use super::report::Finding;
use crate::{
    config::ENCODERS,
    ipc::{FromWorker, TextFault, TextKind, ToWorker},
    source::worker::Worker,
};
use std::time::Duration;

/// Time for a worker to answer; each probe of an encoder has its own, shorter limit.
const ANSWER: Duration = Duration::from_secs(60);

/// Elements that feeds and streams are made of, what for, and whether voyandz is of no use without it.
const ELEMENTS: &[(&str, &str, bool)] = &[
    ("appsink", "everything", true),
    ("parsebin", "files, pipes and commands", true),
    ("videoconvertscale", "sizes and colours of video", true),
    ("audioresample", "sample rates of audio", true),
    ("mpegtsmux", "MPEG-TS", true),
    ("matroskamux", "Matroska and WebM", true),
    ("h264parse", "H.264", true),
    ("aacparse", "AAC", true),
    ("jpegenc", "stills, Motion JPEG", true),
    ("pngenc", "stills as PNG", true),
    ("webpenc", "stills as WebP", false),
    ("videotestsrc", "the demo", true),
    ("timeoverlay", "texts in video, as in the demo", false),
    ("v4l2src", "capture cards and cameras", false),
    ("alsasrc", "sound cards", false),
    ("pulsesrc", "audio of a desktop", false),
    ("rtspsrc", "network cameras", false),
    ("souphttpsrc", "sources on the web", false),
    ("srtsrc", "SRT", false),
    ("decklinkvideosrc", "Blackmagic cards", false),
];

/// An encoder: its element, its codec, whether it runs on special hardware.
type Encoder = (&'static str, &'static str, bool);

const PICTURES: &str = "videotestsrc num-buffers=3 ! video/x-raw,width=320,height=240,framerate=30/1 ! videoconvert ! ";

const OF_SOUND: &[Encoder] = &[
    ("avenc_aac", "aac", false),
    ("fdkaacenc", "aac", false),
    ("voaacenc", "aac", false),
    ("opusenc", "opus", false),
    ("lamemp3enc", "mp3", false),
    ("vorbisenc", "vorbis", false),
    ("flacenc", "flac", false),
];
const SOUND: &str = "audiotestsrc num-buffers=5 ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! ";

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

/// Which encoders are there, and whether they work: a driver reports whether the hardware works only when it is used.
pub(super) async fn encoders(worker: &mut Worker) -> Vec<Finding> {
    let pictures = ENCODERS.iter().map(|encoder| (encoder.name, encoder.codec(), encoder.is_hardware()));
    let sound = OF_SOUND.iter().map(|encoder| (*encoder, SOUND));
    let all: Vec<(Encoder, &str)> = pictures.map(|encoder| (encoder, PICTURES)).chain(sound).collect();
    let names: Vec<&str> = all.iter().map(|((name, ..), _)| *name).collect();
    let Some(faults) = missing(worker, &names).await else { return vec![gone()] };
    let present = all.iter().zip(&faults).filter(|(_, fault)| fault.is_none());
    let texts = present.map(|(((name, ..), source), _)| format!("{source}{name} ! fakesink")).collect();
    let tried = worker.ask(ToWorker::Try(texts), ANSWER, |answer| match answer {
        FromWorker::Tried(tried) => Some(tried),
        _ => None,
    });
    let Some(tried) = tried.await else { return vec![gone()] };
    let mut tried = tried.into_iter();
    let finding = |((name, codec, hardware), fault): (Encoder, Option<String>)| {
        let what = format!("{codec} in {}", if hardware { "hardware" } else { "software" });
        match fault {
            // Few machines have any of them; where there is one, the others are no news.
            Some(_) if hardware => None,
            Some(fault) => Some(Finding::absent(name, &what, &fault)),
            None => Some(match tried.next().flatten() {
                None => Finding::good(name, &what),
                Some(fault) => Finding::absent(name, &what, &format!("does not work: {fault}")),
            }),
        }
    };
    all.iter().map(|(encoder, _)| *encoder).zip(faults).filter_map(finding).collect()
}

/// Why each of these elements is not there; `None` for those that are.
async fn missing(worker: &mut Worker, names: &[&str]) -> Option<Vec<Option<String>>> {
    // A sink leaves no pad free, which is no error here.
    let texts = names.iter().map(|name| (TextKind::Element, (*name).to_owned())).collect();
    let faults = worker.ask(ToWorker::Check(texts), ANSWER, |answer| match answer {
        FromWorker::Checked(faults) => Some(faults),
        _ => None,
    });
    let faults = faults.await?;
    Some(faults.into_iter().map(|fault| fault.map(|TextFault { message, .. }| message)).collect())
}

fn gone() -> Finding {
    Finding::lacks("worker", "ended or hung while it was asked: see the messages above", "")
}

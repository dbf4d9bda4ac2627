//! What a stream is offered in, and the encodings that this is made of, with the field names of `/stat.json`.

use crate::engine::registry::StreamHandle;
use serde::Serialize;

/// A stream in one container.
#[derive(Debug, Serialize)]
pub struct Output {
    /// Its container.
    pub container: &'static str,
    url: String,
    /// Whether it is muxed now.
    pub active: bool,
    /// Who uses it now; unknown where the bytes of a feed pass through.
    pub users: Option<usize>,
    /// Bytes so far.
    pub bytes: u64,
    codecs: Option<String>,
}

/// An encoding of a stream.
#[derive(Debug, Serialize)]
pub struct Encoding {
    /// `main`, or the codec of the one track that it has.
    pub name: &'static str,
    /// The state of what makes it.
    pub state: &'static str,
    /// Whether it is made only for outputs that cannot carry the tracks of the stream.
    repair: bool,
    /// How many outputs are made of it now, of this stream and of others.
    pub outputs: usize,
    worker_pid: Option<u32>,
}

/// What a stream is offered in.
pub(super) fn outputs_of(stream: &StreamHandle) -> Vec<Output> {
    match stream.outputs.as_slice() {
        [] => vec![Output::of(stream)],
        outputs => outputs.iter().map(|output| Output::of(output)).collect(),
    }
}

/// The encodings of a stream with several outputs, the main one first.
pub(super) fn encodings_of(stream: &StreamHandle) -> Vec<Encoding> {
    // Where the bytes of a feed pass through, it is its other outputs that have encodings.
    let rendition = stream.outputs.iter().find_map(|output| Some((output, output.rendition.as_ref()?)));
    let Some((output, rendition)) = rendition else { return Vec::new() };
    let status = output.status.read();
    let main = Encoding {
        name: "main",
        state: status.state.word(),
        repair: false,
        outputs: rendition.entrances.muxed_outputs(),
        worker_pid: status.pid,
    };
    let others = rendition.alternatives.iter().filter(|one| one.source != 0).map(|one| {
        let status = one.status.read();
        Encoding {
            name: one.codec.name(),
            state: status.state.word(),
            repair: one.is_repair,
            outputs: one.entrances.muxed_outputs(),
            worker_pid: status.pid,
        }
    });
    [main].into_iter().chain(others).collect()
}

impl Output {
    fn of(stream: &StreamHandle) -> Self {
        let users = stream.output.as_ref().map(crate::stream::StreamOutput::users);
        Self {
            container: stream.fanout.container().unwrap_or(stream.config.container).name(),
            url: stream.config.path.encoded(),
            active: users.is_none_or(|users| users > 0),
            users,
            bytes: stream.fanout.reading().bytes,
            codecs: stream.fanout.codecs(),
        }
    }
}

//! Containers that are a sequence of frames, with a header in front at most: ADTS, MP3, FLAC, WAV and multipart JPEG.

mod muxer;
mod wav_header;

pub use muxer::Muxer;

//! The video encoders that the settings choose from.

use super::codec::VideoCodec;

/// A video encoder.
#[derive(Debug, PartialEq, Eq)]
pub struct Encoder {
    /// GStreamer's element.
    pub name: &'static str,
    pub(super) codec: VideoCodec,
    pub(super) family: Family,
}

/// What encodes, and so how it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// VA-API: Intel and AMD. What has `lp` in its name are the low-power circuits of Intel, the only ones of some.
    Va,
    /// NVENC: Nvidia.
    Nvenc,
    /// Quick Sync: Intel.
    QuickSync,
    /// What the kernel drives, as on single-board computers.
    V4l2,
    Software,
}

/// All of them; those of one codec in the order in which they are tried.
pub static ENCODERS: [Encoder; 27] = {
    use Family::{Nvenc, QuickSync, Software, V4l2, Va};
    use VideoCodec::{Av1, H264, H265, Mjpeg, Mpeg2, Vp8, Vp9};
    const fn encoder(name: &'static str, codec: VideoCodec, family: Family) -> Encoder {
        Encoder { name, codec, family }
    }
    [
        encoder("vah264enc", H264, Va),
        encoder("vah264lpenc", H264, Va),
        encoder("nvh264enc", H264, Nvenc),
        encoder("qsvh264enc", H264, QuickSync),
        encoder("v4l2h264enc", H264, V4l2),
        encoder("x264enc", H264, Software),
        encoder("openh264enc", H264, Software),
        encoder("vah265enc", H265, Va),
        encoder("vah265lpenc", H265, Va),
        encoder("nvh265enc", H265, Nvenc),
        encoder("qsvh265enc", H265, QuickSync),
        encoder("v4l2h265enc", H265, V4l2),
        encoder("x265enc", H265, Software),
        encoder("v4l2vp8enc", Vp8, V4l2),
        encoder("vp8enc", Vp8, Software),
        encoder("vavp9enc", Vp9, Va),
        encoder("vavp9lpenc", Vp9, Va),
        encoder("qsvvp9enc", Vp9, QuickSync),
        encoder("v4l2vp9enc", Vp9, V4l2),
        encoder("vp9enc", Vp9, Software),
        encoder("vaav1enc", Av1, Va),
        encoder("vaav1lpenc", Av1, Va),
        encoder("nvav1enc", Av1, Nvenc),
        encoder("qsvav1enc", Av1, QuickSync),
        encoder("av1enc", Av1, Software),
        encoder("mpeg2enc", Mpeg2, Software),
        encoder("jpegenc", Mjpeg, Software),
    ]
};

/// Those of a codec, in the order in which they are tried.
pub(super) fn of(codec: VideoCodec) -> impl Iterator<Item = &'static Encoder> {
    ENCODERS.iter().filter(move |encoder| encoder.codec == codec)
}

impl Encoder {
    /// Whether it is a circuit of its own, which the machine may have or not.
    pub fn is_hardware(&self) -> bool {
        self.family != Family::Software
    }

    /// Its codec, as the configuration calls it.
    pub fn codec(&self) -> &'static str {
        self.codec.name()
    }
}

//! Values with a unit, as they are written in the configuration.

use std::fmt;

/// Bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bitrate(pub(super) u32);

impl Bitrate {
    /// Reads `800k`, `2M`, `1.5M`, `2500000`, `800 kbit/s`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = ["bit/s", "bits/s", "bps", "bit"].iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
        let (number, factor) = if let Some(number) = text.trim_end().strip_suffix(['k', 'K']) {
            (number, 1e3)
        } else if let Some(number) = text.trim_end().strip_suffix('M') {
            (number, 1e6)
        } else {
            (text, 1.0)
        };
        let bits = (decimal(number.trim_end())? * factor).round();
        // The range makes the cast exact.
        (1.0..=4e9).contains(&bits).then_some(Self(bits as u32))
    }

    /// In whole kilobits per second, at least 1.
    pub(super) fn kilobits(self) -> u32 {
        (self.0 / 1000).max(1)
    }
}

/// Frames per second, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fps {
    /// Above 0.
    pub(super) numerator: u32,
    /// Above 0.
    pub(super) denominator: u32,
}

impl Fps {
    /// Highest rate that is accepted.
    const MAX: u32 = 1000;

    /// Reads `25`, `12.5`, `30000/1001`. A rate of NTSC may be rounded: `29.97` is `30000/1001`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fps = if let Some((numerator, denominator)) = text.split_once('/') {
            Self { numerator: numerator.trim().parse().ok()?, denominator: denominator.trim().parse().ok()? }
        } else {
            let rate = decimal(text)?;
            if !(0.001..=f64::from(Self::MAX)).contains(&rate) {
                return None;
            }
            let ntsc = [24_000, 30_000, 60_000, 120_000].into_iter();
            let ntsc = ntsc.map(|numerator| Self { numerator, denominator: 1001 });
            match ntsc.into_iter().find(|ntsc| (ntsc.per_second() - rate).abs() < 0.005) {
                Some(ntsc) => ntsc,
                None => Self { numerator: (rate * 1000.0).round() as u32, denominator: 1000 },
            }
        };
        let in_range = fps.numerator > 0 && fps.denominator > 0 && fps.per_second() <= f64::from(Self::MAX);
        in_range.then(|| fps.reduced())
    }

    fn per_second(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    fn reduced(self) -> Self {
        let (mut a, mut b) = (self.numerator, self.denominator);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self { numerator: self.numerator / a, denominator: self.denominator / a }
    }
}

impl fmt::Display for Fps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// Width and height of a frame in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    /// Reads `1280x720`. Both are even, because most formats keep colour at half the resolution.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (width, height) = text.trim().split_once('x')?;
        let side = |text: &str| whole(text).filter(|side| (16..=16_384).contains(side) && side % 2 == 0);
        Some(Self { width: side(width)?, height: side(height)? })
    }
}

/// Reads an amount of memory, `512M`, `1.5G`, `67108864`: a letter stands for a power of 1024, as the service manager has it.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = text.chars().last().and_then(|unit| "KMGT".find(unit));
    let (number, shift) = unit.map_or((text, 0), |power| (&text[..text.len() - 1], 10 * (power + 1)));
    if let Ok(whole) = number.parse::<u64>()
        && number.starts_with(|c: char| c.is_ascii_digit())
    {
        return whole.checked_mul(1 << shift);
    }
    let bytes = decimal(number)? * (1_u64 << shift) as f64;
    // Beyond that, not every whole number is there.
    (bytes < 2_f64.powi(53)).then_some(bytes as u64)
}

/// A number of decimal digits and nothing else.
pub(super) fn whole(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Digits with at most one point between them. No sign, exponent, infinity.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let fits = |c: char| c.is_ascii_digit() || c == '.';
    if text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(fits) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrates() {
        let check = |text: &str, expect: Option<u32>| assert_eq!(Bitrate::parse(text), expect.map(Bitrate), "{text}");
        check("2500000", Some(2_500_000));
        check("800k", Some(800_000));
        check("1.5M", Some(1_500_000));
        check("800 kbit", Some(800_000));
        check("2 Mbit/s", Some(2_000_000));
        check("96kbps", Some(96_000));
        for wrong in ["", "k", "-1", "0", "1e6", "800m", "fast", "inf", "9999999M", "1.2.3k"] {
            check(wrong, None);
        }
    }

    #[test]
    fn amounts_of_memory() {
        let check = |text: &str, expect: Option<u64>| assert_eq!(bytes(text), expect, "{text}");
        check("67108864", Some(64 << 20));
        check("512M", Some(512 << 20));
        check("1.5G", Some(1536 << 20));
        check("1T", Some(1 << 40));
        check("18446744073709551615", Some(u64::MAX));
        for wrong in ["", "M", "-1", "+1", "1m", "1 GB", "99999999T", "1e9", "0.5.5G", "1MiB", "é"] {
            check(wrong, None);
        }
    }

    #[test]
    fn frame_rates() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(Fps::parse(text).map(|fps| fps.to_string()).as_deref(), expect, "{text}");
        };
        check("25", Some("25/1"));
        check("12.5", Some("25/2"));
        check("29.97", Some("30000/1001"));
        check("23.976", Some("24000/1001"));
        check("30000/1001", Some("30000/1001"));
        check("50/2", Some("25/1"));
        for wrong in ["0", "0/1", "1/0", "-5", "25fps", "1/2/3", "100000", "NaN", "0.0001"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(Size::parse("1280x720"), Some(Size { width: 1280, height: 720 }));
        for wrong in ["1280", "1280x", "x720", "1281x720", "8x8", "1280X720", "+640x480", "99999x99999"] {
            assert_eq!(Size::parse(wrong), None, "{wrong}");
        }
    }
}

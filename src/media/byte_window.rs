//! Bytes that come in pieces of any size, for scanners that need to see them in one slice.

/// Keeps what a scanner has not used yet before what comes next.
#[derive(Debug, Default)]
pub(super) struct ByteWindow {
    held: Vec<u8>,
}

impl ByteWindow {
    /// Passes what was left over and then `bytes` to `scan`, which returns how many of them it is done with. Nothing is
    /// copied when nothing was left over.
    pub(super) fn push(&mut self, bytes: &[u8], scan: impl FnOnce(&[u8]) -> usize) {
        if self.held.is_empty() {
            let used = scan(bytes);
            self.held.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            self.held.extend_from_slice(bytes);
            let used = scan(&self.held).min(self.held.len());
            self.held.drain(..used);
        }
    }

    /// The same, step by step: `step` returns how many of the bytes before it are done with, `None` when it needs more.
    pub(super) fn push_steps(&mut self, bytes: &[u8], mut step: impl FnMut(&[u8]) -> Option<usize>) {
        self.push(bytes, |bytes| {
            let mut rest = bytes;
            while let Some(used) = step(rest) {
                rest = rest.get(used..).unwrap_or_default();
            }
            bytes.len() - rest.len()
        });
    }

    /// Number of bytes that are left over.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// What is left over at the end of the stream.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

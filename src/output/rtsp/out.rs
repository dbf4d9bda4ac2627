//! What waits to be written to a connection.

use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    time::{Duration, Instant},
};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Most pieces of one write.
const PIECES: usize = 32;
/// Pieces that a queue usually has room for.
const USUAL: usize = 32;

/// A queue of bytes.
#[derive(Debug)]
pub struct Out {
    queue: VecDeque<Bytes>,
    length: usize,
    /// Something was written that may be in a buffer.
    needs_flush: bool,
    /// When the connection last took something, or had nothing to take.
    progress: Instant,
}

impl Out {
    /// Nothing waits.
    pub fn new(now: Instant) -> Self {
        Self { queue: VecDeque::new(), length: 0, needs_flush: false, progress: now }
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: Bytes, now: Instant) {
        if !self.has_work() {
            self.progress = now;
        }
        self.length += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is something to be written or flushed.
    pub fn has_work(&self) -> bool {
        self.length > 0 || self.needs_flush
    }

    /// For so long the connection has taken nothing of what waits.
    pub fn stalled(&self, now: Instant) -> Duration {
        if self.has_work() { now.saturating_duration_since(self.progress) } else { Duration::ZERO }
    }

    /// What waits, for whoever writes it.
    pub fn into_pieces(self) -> VecDeque<Bytes> {
        self.queue
    }

    /// Writes some of it, or flushes when all is written; returns the number of bytes. Cancel-safe.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write<W: AsyncWrite + Unpin>(&mut self, to: &mut W) -> io::Result<usize> {
        if self.length == 0 {
            to.flush().await?;
            self.needs_flush = false;
            self.progress = Instant::now();
            return Ok(0);
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let used = slices.iter_mut().zip(&self.queue).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        let written = to.write_vectored(slices.get(..used).unwrap_or_default()).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.wrote(written);
        Ok(written)
    }

    fn wrote(&mut self, mut written: usize) {
        self.length -= written;
        self.needs_flush = true;
        self.progress = Instant::now();
        while let Some(piece) = self.queue.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.queue.pop_front();
        }
        self.queue.shrink_to(USUAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_pushed_is_written_in_order_whatever_the_connection_takes() {
        let start = Instant::now();
        let mut out = Out::new(start);
        let expect: Vec<u8> = (0..100u8).flat_map(|number| vec![number; 50]).collect();
        expect.chunks(50).for_each(|piece| out.push(Bytes::copy_from_slice(piece), start));
        assert!(out.has_work() && out.len() == 5000);
        assert!(out.stalled(start + Duration::from_secs(11)) > Duration::from_secs(10));
        let (mut near, mut far) = tokio::io::duplex(333);
        let read = tokio::spawn(async move {
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all).await.map(|_| all)
        });
        while out.has_work() {
            out.write(&mut near).await.unwrap();
        }
        assert_eq!(out.stalled(Instant::now() + Duration::from_secs(60)), Duration::ZERO);
        drop(near);
        assert_eq!(read.await.unwrap().unwrap(), expect);
    }
}

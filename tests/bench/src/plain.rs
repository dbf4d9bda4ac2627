//! What a few lines of warp would be: a channel, and a body that streams from it. Also a picture that never changes.

use bytes::Bytes;
use futures_util::stream::unfold;
use rustix::{pipe::fcntl_setpipe_size, stdio::stdin};
use std::{convert::Infallible, io::Read};
use tokio::sync::broadcast::{self, error::RecvError};
use warp::Filter;

/// Pieces that a slow client may be behind.
const KEPT: usize = 256;
/// Bytes of the picture: a small JPEG.
const PICTURE: usize = 20_000;

/// Serves standard input to its end.
pub fn run() -> anyhow::Result<()> {
    let (pieces, _) = broadcast::channel::<Bytes>(KEPT);
    let input = pieces.clone();
    let reading = std::thread::spawn(move || {
        let _ = fcntl_setpipe_size(stdin(), 1 << 20);
        let (mut source, mut buffer) = (std::io::stdin().lock(), vec![0; 1 << 20]);
        while let Ok(read @ 1..) = source.read(&mut buffer) {
            // Nobody may be there.
            let _ = input.send(Bytes::copy_from_slice(&buffer[..read]));
        }
    });
    tokio::runtime::Runtime::new()?.block_on(async move {
        let live = warp::path!("live").map(move || {
            let body = unfold(pieces.subscribe(), |mut pieces| async move {
                loop {
                    match pieces.recv().await {
                        Ok(piece) => return Some((Ok::<_, Infallible>(piece), pieces)),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    }
                }
            });
            warp::reply::stream(body)
        });
        let picture = Bytes::from(vec![0x55; PICTURE]);
        let still = warp::path!("still").map(move || picture.to_vec());
        let door = crate::server::bind()?;
        let served = warp::serve(live.or(still)).incoming(tokio::net::TcpListener::from_std(door)?);
        tokio::spawn(served.run());
        tokio::task::spawn_blocking(move || reading.join()).await?.ok();
        Ok(())
    })
}

//! What a few lines of warp would be: a channel, and a body that streams from it. Also a picture that never changes.
//!
//! Twice: with the warp and hyper of today, and with those of 2023, whose bodies cost more.

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use rustix::{pipe::fcntl_setpipe_size, stdio::stdin};
use std::{convert::Infallible, future::Future, io::Read};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, Sender, error::RecvError},
};
use warp::Filter;

/// Pieces that a slow client may be behind.
const KEPT: usize = 256;
/// Bytes of the picture: a small JPEG.
const PICTURE: usize = 20_000;

/// Serves standard input to its end.
pub fn run() -> anyhow::Result<()> {
    until_end_of_input(|pieces, door| async move {
        let live = warp::path!("live").map(move || warp::reply::stream(body(&pieces)));
        let picture = Bytes::from(vec![0x55; PICTURE]);
        let still = warp::path!("still").map(move || picture.to_vec());
        warp::serve(live.or(still)).incoming(door).run().await;
    })
}

/// As [`run`], with warp 0.3 and hyper 0.14.
#[cfg(feature = "warp03")]
pub fn run_old() -> anyhow::Result<()> {
    use warp03::{Filter, hyper::Body, reply::Response};
    until_end_of_input(|pieces, door| async move {
        let live = warp03::path!("live").map(move || Response::new(Body::wrap_stream(body(&pieces))));
        let connections = unfold(door, |door| async move {
            let accepted = door.accept().await.map(|(socket, _)| {
                let _ = socket.set_nodelay(true);
                socket
            });
            Some((accepted, door))
        });
        warp03::serve(live).run_incoming(connections).await;
    })
}

fn until_end_of_input<F: Future<Output = ()> + Send + 'static>(
    serve: impl FnOnce(Sender<Bytes>, TcpListener) -> F,
) -> anyhow::Result<()> {
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
        let door = TcpListener::from_std(crate::server::bind()?)?;
        tokio::spawn(serve(pieces, door));
        tokio::task::spawn_blocking(move || reading.join()).await?.ok();
        Ok(())
    })
}

/// All pieces from now on.
fn body(pieces: &Sender<Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    unfold(pieces.subscribe(), |mut pieces| async move {
        loop {
            match pieces.recv().await {
                Ok(piece) => return Some((Ok(piece), pieces)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

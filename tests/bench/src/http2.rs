//! Viewers over HTTP/2, each on a connection of its own.

use crate::crowd::Taken;
use h2::client;
use http::Request;
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;

/// A viewer's window: a few pictures.
const WINDOW: u32 = 1 << 20;

/// Watches `/live` to its end.
///
/// # Errors
/// When it is refused or cut off.
pub async fn watch(address: SocketAddr, taken: Arc<Taken>) -> anyhow::Result<()> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (requests, connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(socket)
        .await?;
    let answering = async {
        let request = Request::get(format!("http://{address}/live")).body(())?;
        let (answer, _) = requests.ready().await?.send_request(request, true)?;
        let mut body = answer.await?.into_body();
        let mut is_first = true;
        while let Some(data) = body.data().await {
            let length = data?.len();
            taken.add(length, &mut is_first);
            body.flow_control().release_capacity(length)?;
        }
        anyhow::Ok(())
    };
    let connection: h2::client::Connection<_, bytes::Bytes> = connection;
    tokio::select! {
        ended = connection => Ok(ended?),
        ended = answering => ended,
    }
}

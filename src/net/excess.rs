//! A connection for which there is no place: it is told so, and closed.

use super::places::Crowded;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::timeout,
};

/// Time to say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that is too many.
#[derive(Debug)]
pub struct Excess {
    /// The connection, and leave to speak with it; `None` when so many are spoken with already that it is closed at once.
    pub(super) spoken_with: Option<(TcpStream, OwnedSemaphorePermit)>,
    /// Why there is no place.
    pub why: Crowded,
}

impl Excess {
    /// Answers its request with 503 and closes it; takes a second at most.
    pub async fn turn_away(self) {
        let Some((mut socket, _leave)) = self.spoken_with else { return };
        let farewell = async {
            // A socket that is closed with something unread resets the connection, and its peer may never see the answer.
            let mut scratch = [0; 4096];
            let _ = socket.read(&mut scratch).await?;
            socket.write_all(answer(self.why).as_bytes()).await?;
            socket.shutdown().await?;
            while socket.read(&mut scratch).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
}

fn answer(why: Crowded) -> String {
    let body = format!("{why}\n");
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

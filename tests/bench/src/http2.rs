//! Viewers over HTTP/2, each on a connection of its own.

use crate::{server::Server, usage};
use anyhow::{Context, ensure};
use h2::client;
use http::Request;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpStream, runtime::Runtime, task::JoinSet, time::sleep};

/// A viewer's window: a few pictures.
const WINDOW: u32 = 1 << 20;

/// What came of it.
pub struct Outcome {
    /// Bytes that all viewers took together.
    pub bytes: u64,
    /// Time of the server on a processor.
    pub cpu: Duration,
    /// Memory that the server has more than before, in kB.
    pub resident: f64,
}

/// Has `viewers` watch `/live`, and measures for `window` when all of them have begun.
///
/// # Errors
/// When one of them is refused or cut off.
pub fn put(server: &mut Server, viewers: usize, window: Duration) -> anyhow::Result<Outcome> {
    let pid = server.pid();
    Runtime::new()?.block_on(async {
        let mut crowd = JoinSet::new();
        let (bytes, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let add = |crowd: &mut JoinSet<_>| drop(crowd.spawn(watch(server.address, bytes.clone(), begun.clone())));
        add(&mut crowd);
        while begun.load(Ordering::Relaxed) == 0 && crowd.try_join_next().is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        let memory = usage::resident(pid)?;
        (1..viewers).for_each(|_| add(&mut crowd));
        while begun.load(Ordering::Relaxed) < viewers as u64 && crowd.len() == viewers {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_secs(1)).await;
        let (cpu, before) = (usage::cpu(pid)?, bytes.load(Ordering::Relaxed));
        sleep(window).await;
        let (cpu, bytes) = (usage::cpu(pid)?.saturating_sub(cpu), bytes.load(Ordering::Relaxed) - before);
        if let Some(ended) = crowd.try_join_next() {
            ended?.context("a viewer over HTTP/2")?;
        }
        ensure!(crowd.len() == viewers, "a viewer over HTTP/2 ended");
        Ok(Outcome { bytes, cpu, resident: usage::resident(pid)? - memory })
    })
}

async fn watch(address: SocketAddr, bytes: Arc<AtomicU64>, begun: Arc<AtomicU64>) -> anyhow::Result<()> {
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
            begun.fetch_add(u64::from(std::mem::take(&mut is_first)), Ordering::Relaxed);
            bytes.fetch_add(length as u64, Ordering::Relaxed);
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

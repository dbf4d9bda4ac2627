//! The connection of one client, from its handshake to its end.

use super::{connection::Wire, context::Context, play, publish::Publishing};
use crate::{
    access::Peer,
    link::rtmp::wire::{command::Wanted, server::Event},
    net::Connection,
    output::http::session::{behind_proxy, certified, secure},
};
use std::{io, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a client may take to say what it wants.
const WANTED_WITHIN: Duration = Duration::from_secs(10);

/// Serves one connection to its end, or until `stop`.
pub(super) async fn serve(connection: Connection, context: Arc<Context>, stop: CancellationToken) {
    let Connection { mut socket, peer, permit } = connection;
    let Some(peer) = behind_proxy(&mut socket, peer, &context.gate).await else { return };
    let encryption = context.encryption.borrow().clone();
    let may_be_plain = encryption.as_ref().is_none_or(|(_, plain)| plain.permits(peer.ip()));
    let Some(transport) = secure(socket, encryption.map(|(tls, _)| tls), &context.stats).await else { return };
    if !transport.is_tls() && !may_be_plain {
        tracing::debug!(%peer, protocol = "rtmp", "connection closed: it must be encrypted, use rtmps://");
        return;
    }
    let proved = certified(&transport);
    let mut wire = Wire::new(transport);
    let wanted = tokio::select! {
        () = stop.cancelled() => return,
        wanted = timeout(WANTED_WITHIN, wire.wanted()) => wanted,
    };
    let Ok(Some(wanted)) = wanted else {
        tracing::debug!(%peer, protocol = "rtmp", "connection closed: no request");
        return;
    };
    let peer = &Peer { address: peer, proved };
    match wanted {
        Event::Publish(wanted) => publish(wire, &context, &wanted, peer, stop).await,
        Event::Play(wanted) => play::serve(wire, permit, &context, &wanted, peer).await,
        Event::Media(_) | Event::Ended => {}
    }
}

/// Why a publisher ends that leaves.
const CLIENT_LEFT: &str = "client left";
const NOT_RTMP: &str = "protocol error";

/// Serves a publisher to its end.
async fn publish(mut wire: Wire, context: &Context, wanted: &Wanted, peer: &Peer, stop: CancellationToken) {
    let mut publishing = match Publishing::begin(context, wanted, peer).await {
        Ok(publishing) => publishing,
        Err(refusal) => {
            let path = wanted.names().into_iter().next().unwrap_or_default();
            tracing::info!(peer = %peer.address, protocol = "rtmp", path, reason = %refusal, "publisher refused");
            return wire.refuse(refusal.code(), &refusal.to_string()).await;
        }
    };
    wire.server.accept_publish(&mut wire.out);
    loop {
        let has_ended = wire.events.contains(&Event::Ended);
        wire.events.drain(..).for_each(|event| publishing.take(&event));
        let sent = wire.flush().await;
        if has_ended || sent.is_err() {
            publishing.finish(if has_ended { "done" } else { CLIENT_LEFT });
            if has_ended {
                // Its end is several messages, and one that cannot send the last of them calls that a failure.
                wire.close().await;
            }
            return;
        }
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return publishing.finish("server stops"),
            reason = publishing.feeder.ended() => return wire.refuse("NetStream.Publish.Failed", reason).await,
            read = async {
                publishing.feeder.pace().await;
                wire.read().await
            } => read,
        };
        if let Err(error) = read {
            let is_wrong = error.kind() == io::ErrorKind::InvalidData;
            if is_wrong {
                tracing::debug!(peer = %peer.address, protocol = "rtmp", %error, "connection closed");
            }
            return publishing.finish(if is_wrong { NOT_RTMP } else { CLIENT_LEFT });
        }
    }
}

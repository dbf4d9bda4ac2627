//! The one way into the server: who asks is identified, and may or may not.

use super::{
    action::Action,
    credentials::{CredentialError, Presented},
    decide::{Decision, Identity, Refused},
    gate::{Access, Gate, Rejection},
    permission::Subject,
};
use std::net::{IpAddr, SocketAddr};

/// The client of a connection or request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address, after trusted proxies.
    pub address: SocketAddr,
    /// Who it is by its connection.
    pub proved: Option<Identity>,
}

impl Peer {
    /// What is known of it when it asks by a protocol, with the query of an address, and the name of its program.
    pub fn asking<'a>(&self, protocol: &'static str, query: &'a str, agent: Option<&'a str>) -> Asking<'a> {
        Asking { peer: self.address.ip(), proved: self.proved.clone(), protocol, query, agent }
    }
}

/// What an entrance knows of who asks, beside what that presents.
#[derive(Debug, Clone)]
pub struct Asking<'a> {
    /// The address of the client, after trusted proxies.
    pub peer: IpAddr,
    /// Who it is by its connection, which counts before all that is presented.
    pub proved: Option<Identity>,
    /// By which protocol it asks: `http`, `rtsp`, `rtmp`, `srt`, `webrtc`.
    pub protocol: &'static str,
    /// The query of its address, without the `?`.
    pub query: &'a str,
    /// The name of its program.
    pub agent: Option<&'a str>,
}

/// Why somebody is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// What was presented is not accepted.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Who asks may not.
    #[error("{0}")]
    Refused(Refused),
}

impl Gate {
    /// Identifies who asks, and decides about an action, where there is one to decide about. Counts what is refused. Cancel-safe.
    ///
    /// # Errors
    /// Why not.
    pub async fn admit(
        &self,
        presented: Result<Presented, CredentialError>,
        need: Option<(Action, Subject<'_>)>,
        asking: Asking<'_>,
    ) -> Result<Access, NotAdmitted> {
        let peer = asking.peer;
        let identity = match (&asking.proved, presented) {
            (Some(proved), _) => proved.clone(),
            (None, Ok(presented)) => match self.claim(&presented) {
                Some(claim) => claim.identity(),
                None => self.identify(presented, peer).await?,
            },
            (None, Err(error)) => return Err(self.malformed(error, peer).into()),
        };
        let access = Access::new(self.clone(), identity, peer);
        let Some(need) = need else { return Ok(access) };
        let found = match access.decide(need.0, need.1) {
            Decision::Allowed { .. } => return Ok(access),
            Decision::Refused(Refused::Unauthenticated) => match self.policy().policy().hook.clone() {
                Some(hook) => self.ask_hook(&hook, &access.identity, need, &asking).await,
                None => Err(NotAdmitted::Refused(Refused::Unauthenticated)),
            },
            Decision::Refused(why) => Err(NotAdmitted::Refused(why)),
        };
        match found {
            Ok(identity) => Ok(Access::new(self.clone(), identity, peer)),
            Err(denied) => {
                self.stats().refused(need.0);
                Err(denied)
            }
        }
    }
}

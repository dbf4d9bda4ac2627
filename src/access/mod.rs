//! Who may do what.
//!
//! [`decide()`] is the one decision, by the [`Policy`] of the configuration: pure, as are permissions, networks, links and
//! credentials. Every entrance of every protocol looks up what is asked for, and then asks the [`Gate`], which finds out who asks
//! and keeps the newest policy; [`Gate::admit`] is the one way in. A response that runs for longer has a [`Pass`], which ends when its permission does.

mod action;
mod address_rate;
mod admit;
mod answers;
mod asking_hook;
mod code;
mod credentials;
mod decide;
pub mod digest;
mod fetch;
mod forwarded;
mod gate;
mod hook;
mod jwt;
mod key_file;
mod key_pace;
mod key_service;
mod link;
mod network;
mod pass;
mod password;
mod permission;
mod policy;
mod refusals;
mod secret;
mod session;
mod stats;
mod terms;
mod verified;

pub use action::{Action, Role};
pub use address_rate::AddressRate;
pub use admit::{Asking, NotAdmitted, Peer};
pub use code::LASTS as CODE_LASTS;
pub use credentials::{Accepted, CredentialError, Presented, TOKEN_PREFIX, without_link};
pub use decide::{Decision, Identity, Refused, decide};
pub use fetch::{Fetch, Fetched};
pub use forwarded::client;
pub use gate::{Access, Gate, Rejection, token_digest};
pub use hook::{Answer as HookAnswer, HookForm, HookSource};
pub use jwt::{Jwt, JwtError, JwtRules, KeySet, KeySetError};
pub use key_file::{KeyFileError, read_keys};
pub use link::{Link, LinkError, MIN_KEY, PARAMETER as LINK_PARAMETER};
pub use network::{Network, NetworkError, any_contains};
pub use pass::{End, KICKED, Pass};
pub use password::{PasswordError, PasswordHash};
pub use permission::{Pattern, Permission, PermissionError, Permissions, Subject};
pub use policy::{Grant, IndexedPolicy, JwtSource, KeySource, Policy, Token, User};
pub use refusals::Refusals;
pub use secret::{MASK, Secret};
pub use session::{session_cookie, session_of};
pub use stats::AccessStats;
pub use terms::{LinkTerms, TermsError};

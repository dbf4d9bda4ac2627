//! Limits of every HTTP connection, whichever version it speaks.

use std::time::Duration;

/// How long a client may take to send the head of a request. An idle connection is closed after the same time.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Longest head of a request.
pub const MAX_HEAD: usize = 32 << 10;
/// Longest target of a request.
pub const MAX_TARGET: usize = 8 << 10;
/// Longest body of a request. It is not read; a client may send this much before it sees the response.
pub const MAX_BODY: u64 = 1 << 20;

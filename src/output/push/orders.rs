//! What people order of a push, or of a service that names targets: it stops, and starts again.

use crate::engine::push_status::{PushState, PushStatus};
use tokio_util::sync::CancellationToken;

/// Work that people stop and start.
pub(super) trait Ordered: Sync {
    /// Its state, which takes the orders.
    fn status(&self) -> &PushStatus;

    /// Works until `stop`.
    fn work(&self, stop: &CancellationToken) -> impl Future<Output = ()> + Send;
}

/// Works again and again until `stop`, but for the time that someone stops it. Each order ends the work of before.
pub(super) async fn obeying(ordered: &impl Ordered, stop: &CancellationToken) {
    let status = ordered.status();
    let mut orders = status.control().watch();
    while !stop.is_cancelled() {
        let is_held = orders.borrow_and_update().is_held;
        // Ends with an order, as with `stop`.
        let until = stop.child_token();
        let order = async {
            // The sender lives as long as the status.
            let _ = orders.changed().await;
            until.cancel();
        };
        if is_held {
            status.set(PushState::Stopped, None);
            stop.run_until_cancelled(order).await;
        } else {
            // What was begun ends as it should.
            let work = ordered.work(&until);
            tokio::pin!(work);
            tokio::select! {
                () = &mut work => {}
                () = order => work.await,
            }
        }
    }
}

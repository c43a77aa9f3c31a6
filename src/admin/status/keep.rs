//! Looks at the process each second, for as long as it is watched.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Status, gather};
use crate::admin::Admin;
use crate::clock;

/// Watches for as long as this future is polled.
pub(in crate::admin) async fn keep(admin: &Admin) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        admin.watch.0.add(&admin.metrics);
        let mut status = Status { now_s: clock::unix_seconds(), ..Status::default() };
        gather::conditions(admin, &mut status);
        admin.watch.0.date(&mut status);
    }
}

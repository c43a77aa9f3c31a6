//! The service manager (systemd): it is told what this process does, over the socket that
//! `NOTIFY_SOCKET` names (sd_notify(3)). Without that variable nothing is sent.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::task::JoinError;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connections::ConnectionTracker;
use super::workers::Runtimes;
use crate::register::Register;
use crate::seldom::Seldom;

/// How often the register is asked for its status, to be told.
const STATUS_PAUSE: Duration = Duration::from_secs(5);

/// The same during a quarantine, whose rest is told in seconds.
const COUNTDOWN_PAUSE: Duration = Duration::from_secs(1);

/// The service manager. Clones tell the same one.
#[derive(Debug, Clone)]
pub(crate) struct ServiceManager {
    /// Whether this process has taken over from another one, which the manager knows as the main
    /// process.
    upgraded: bool,
    /// Cancelled when another process serves in place of this one: that one tells from then on.
    handed_over: CancellationToken,
    /// Cancelled when this process accepts no more requests.
    stopping: CancellationToken,
    lost: Arc<Seldom>,
}

impl ServiceManager {
    pub(crate) fn new(upgraded: bool, handed_over: CancellationToken) -> Self {
        Self { upgraded, handed_over, stopping: CancellationToken::new(), lost: Arc::default() }
    }

    /// Begins to tell the status, and to feed the watchdog. `serving`: the runtimes in which
    /// clients are served, when they have started.
    pub(crate) fn begin(
        &self,
        background: &Runtime,
        register: Arc<dyn Register>,
        serving: impl Future<Output = Runtimes> + Send + 'static,
    ) {
        background.spawn(self.clone().tell_status(register));
        background.spawn(self.clone().feed_watchdog(serving));
    }

    /// Clients are served.
    pub(crate) fn ready(&self) {
        let mut states = vec![NotifyState::Ready];
        if self.upgraded {
            states.push(NotifyState::MainPid(std::process::id()));
        }
        self.tell(&states);
    }

    /// The configuration is being read again; [`Self::ready`] follows.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if self.handed_over.is_cancelled() {
            return;
        }
        if let Err(error) = sd_notify::notify(states)
            && let Some(left_out) = self.lost.due()
        {
            tracing::warn!(%error, left_out, "the service manager cannot be told (NOTIFY_SOCKET)");
        }
    }

    /// Tells the status while this process serves: whether writes wait for the register.
    async fn tell_status(self, register: Arc<dyn Register>) {
        if !is_there() {
            return;
        }
        while !self.stopping.is_cancelled() {
            let (text, pause) = match register.check().await {
                Ok(status) if status.quarantine.is_zero() => ("serving".to_owned(), STATUS_PAUSE),
                Ok(status) => (quarantined(status.quarantine), COUNTDOWN_PAUSE),
                Err(error) => (format!("serving reads only: {error}"), STATUS_PAUSE),
            };
            if !self.stopping.is_cancelled() {
                self.tell(&[NotifyState::Status(&text)]);
            }
            sleep(pause).await;
        }
    }

    /// Tells that this process ends, and how many requests are still under way.
    pub(crate) async fn tell_stopping(&self, connections: &ConnectionTracker) -> Infallible {
        self.stopping.cancel();
        loop {
            let status = draining(connections.requests());
            self.tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
            sleep(COUNTDOWN_PAUSE).await;
        }
    }

    /// Feeds the watchdog (`WatchdogSec=`) while the runtimes still run a new task: this one, and
    /// those in which clients are served. A process of which one stands still is restarted.
    async fn feed_watchdog(self, serving: impl Future<Output = Runtimes>) {
        let Some(limit) = watchdog(self.upgraded) else { return };
        let serving = serving.await;
        let mut rounds = interval(limit / 2);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let tasks: Vec<_> = serving.iter().map(|runtime| runtime.spawn(async {})).collect();
            let all_run = async {
                for task in tasks {
                    task.await?;
                }
                Ok::<_, JoinError>(())
            };
            if let Ok(Ok(())) = timeout(limit / 4, all_run).await {
                self.tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("a runtime stands still; the watchdog is not fed");
            }
        }
    }
}

fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// The time after which the manager ends a process that does not feed its watchdog. The variable
/// names the main process, and a process that takes over is to become that.
fn watchdog(upgraded: bool) -> Option<Duration> {
    let of_variable = || std::env::var("WATCHDOG_USEC").ok()?.parse().ok();
    let inherited = || of_variable().map(Duration::from_micros);
    let limit = if upgraded { inherited() } else { sd_notify::watchdog_enabled() };
    limit.filter(|limit| !limit.is_zero())
}

fn quarantined(quarantine: Duration) -> String {
    format!("serving reads only: quarantine {} s", quarantine.as_secs() + 1)
}

fn draining(requests: usize) -> String {
    let s = if requests == 1 { "" } else { "s" };
    format!("draining {requests} request{s}")
}

//! Clients that read, as the proxy's guarded reads do (`proxy/consistent_read.rs`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::process::Process;
use super::world::{Counter, Without, World};
use crate::backend::HeadRequest;
use crate::gate::Expected;
use crate::http1::fields::Fields;
use crate::s3::{Current, ObjectName};

/// Reads for ever. What it is shown must fit what was acknowledged and shown before.
pub(super) async fn run(world: Arc<World>) {
    loop {
        sleep(world.dice.up_to(Duration::from_millis(120))).await;
        let (key, process) = (world.dice.index(world.names.len()), world.some_process());
        let floor = world.history().floor(key);
        let (send, receive) = oneshot::channel();
        let (being, name) = (Arc::clone(&process.being), world.names[key].clone());
        let again = world.without != Without::SecondLook;
        let slow = if world.dice.falls(300) { Duration::from_millis(400) } else { Duration::ZERO };
        let slow = world.dice.up_to(slow);
        tokio::spawn(being.does(async move {
            let _ = send.send(read(&process, &name, slow, again).await);
        }));
        let Ok(Ok(Some(shown))) = timeout(Duration::from_secs(2), receive).await else { continue };
        world.count(Counter::GuardedRead);
        world.note(|| format!("a read of key {key} shows {shown:?}"));
        world.history().shows(key, floor, &shown);
    }
}

/// What the store shows, where that is guarded. Its answers take so long.
async fn read(
    process: &Process,
    name: &ObjectName,
    slow: Duration,
    looks_again: bool,
) -> Option<Current> {
    const ROUNDS: u32 = 6;
    for _ in 0..ROUNDS {
        let known = process.gate.expected(name).await;
        sleep(slow).await;
        let headers = Fields::new();
        let asked = HeadRequest { name, version_id: None, headers: &headers };
        let shown = process.gate.store.head(asked).await.ok()?.current;
        if is_this(&known, &shown) {
            return Some(shown);
        }
        let may_be_newer = matches!(known, Expected::Settled(_) | Expected::Unsettled { .. });
        if !looks_again && matches!(known, Expected::Settled(_)) {
            return Some(shown);
        }
        if known == Expected::Unknown {
            return None;
        }
        let known = process.gate.expected(name).await;
        if is_this(&known, &shown) || may_be_newer && matches!(known, Expected::Settled(_)) {
            return Some(shown);
        }
        sleep(Duration::from_millis(50)).await;
    }
    None
}

fn is_this(known: &Expected, shown: &Current) -> bool {
    match known {
        Expected::This(this) | Expected::Settled(Some(this)) => this == shown,
        Expected::Unsettled { before, .. } => before == shown,
        Expected::Settled(None) | Expected::Unknown => false,
    }
}

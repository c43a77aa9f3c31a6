//! A proxy's process: it may die at any point where it waits, and stand still for a time.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::super::fake::{Distant, Fate, Line, Step};
use super::store::Link;
use super::world::{LEASE, World};
use crate::gate::Gate;
use crate::register::RegisterError;

/// What a process is made of: its gate, and its life.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) gate: Gate,
    pub(super) being: Arc<Being>,
}

/// The life of a process.
#[derive(Debug)]
pub(super) struct Being {
    /// No two processes of a run have the same, a restarted one included.
    pub(super) number: usize,
    life: Mutex<Life>,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "any of them may be so beside the others")]
struct Life {
    dead: bool,
    frozen: bool,
    cut_off: bool,
    /// When the register last failed it.
    trouble: Option<Instant>,
    /// When it last stood still.
    thawed: Option<Instant>,
    /// The last reclaim was lost.
    reclaim_lost: bool,
    /// Wakes the tasks that have to look again when it dies or thaws.
    sleepers: BTreeMap<usize, Waker>,
    futures: usize,
}

impl Process {
    pub(super) fn start(world: &Arc<World>) -> Arc<Self> {
        let being = Arc::new(Being::new(world.next_process()));
        let road = Road { world: Arc::clone(world), being: Arc::clone(&being) };
        let register = Arc::new(Distant::new(Arc::clone(&world.register), road));
        let store = Arc::new(Link { world: Arc::clone(world), being: Arc::clone(&being) });
        let gate = Gate::new(register, store, world.settings());
        Arc::new(Self { gate, being })
    }
}

impl Being {
    fn new(number: usize) -> Self {
        let life = Life {
            dead: false,
            frozen: false,
            cut_off: false,
            trouble: None,
            thawed: None,
            reclaim_lost: false,
            sleepers: BTreeMap::new(),
            futures: 0,
        };
        Self { number, life: Mutex::new(life) }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap()
    }

    fn wake_all(&self) {
        let sleepers = std::mem::take(&mut self.life().sleepers);
        sleepers.into_values().for_each(Waker::wake);
    }

    pub(super) fn die(&self) {
        self.life().dead = true;
        self.wake_all();
    }

    pub(super) fn freeze(&self) {
        self.life().frozen = true;
    }

    pub(super) fn thaw(&self) {
        let mut life = self.life();
        life.frozen = false;
        life.thawed = Some(Instant::now());
        drop(life);
        self.wake_all();
    }

    pub(super) fn cut_off(&self, cut_off: bool) {
        self.life().cut_off = cut_off;
    }

    pub(super) fn is_well(&self) -> bool {
        let life = self.life();
        !life.dead && !life.frozen && !life.cut_off
    }

    /// Has it renewed all its leases lately? Then at least the margin of each is left.
    pub(super) fn is_rested(&self) -> bool {
        let life = self.life();
        let lately = |moment: Option<Instant>| moment.is_some_and(|it| it.elapsed() <= LEASE * 2);
        !lately(life.trouble) && !lately(life.thawed)
    }

    /// Something that this process does; `None` when it dies first, and then nothing of it is left.
    pub(super) fn does<F: Future>(self: &Arc<Self>, work: F) -> Work<F> {
        let index = {
            let mut life = self.life();
            life.futures += 1;
            life.futures
        };
        Work { being: Arc::clone(self), index, rest: Some(Box::pin(work)) }
    }

    /// Waits while the process stands still, and for ever once it is dead: for what it has started
    /// and does not wait for itself.
    async fn awake(self: &Arc<Self>) {
        if self.does(std::future::ready(())).await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

pub(super) struct Work<F> {
    being: Arc<Being>,
    index: usize,
    rest: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Work<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let being = Arc::clone(&self.being);
        let (dead, frozen) = {
            let mut life = being.life();
            life.sleepers.insert(self.index, context.waker().clone());
            (life.dead, life.frozen)
        };
        if dead {
            self.rest = None;
            return Poll::Ready(None);
        }
        if frozen {
            return Poll::Pending;
        }
        let polled = self.rest.as_mut().expect("not polled again").as_mut().poll(context);
        if polled.is_ready() {
            being.life().sleepers.remove(&self.index);
        }
        polled.map(Some)
    }
}

impl<F> Drop for Work<F> {
    fn drop(&mut self) {
        self.being.life().sleepers.remove(&self.index);
    }
}

/// A process's way to the register.
#[derive(Debug)]
pub(super) struct Road {
    world: Arc<World>,
    being: Arc<Being>,
}

/// How long an answer of the register is waited for.
const TIMEOUT: Duration = Duration::from_millis(120);

impl Road {
    async fn delay(&self) {
        let usual = Duration::from_millis(2);
        let slow = self.world.faults.register_slow;
        let longest = if self.world.rolls(slow) { TIMEOUT } else { usual };
        sleep(self.world.dice.up_to(longest)).await;
    }

    /// A step is about to fail.
    fn fails(&self, step: Step) {
        self.being.life().trouble = Some(Instant::now());
        if matches!(step, Step::Pin | Step::NoteUpload) {
            self.world.history().unnoted += 1;
        }
    }

    /// A process that loses its reclaims over and over is one that the register does not see: with
    /// a register that forgets, that is the double fault that is left over.
    fn may_lose(&self, step: Step) -> bool {
        let mut life = self.being.life();
        if step == Step::Reclaim && life.reclaim_lost {
            life.reclaim_lost = false;
            return false;
        }
        life.reclaim_lost = step == Step::Reclaim;
        drop(life);
        self.fails(step);
        true
    }
}

#[async_trait]
impl Line for Road {
    async fn there(&self, step: Step) -> Fate {
        let World { faults, dice, .. } = &*self.world;
        self.being.awake().await;
        self.delay().await;
        self.being.awake().await;
        if self.being.life().cut_off {
            self.fails(step);
            sleep(TIMEOUT).await;
            self.world.note(|| format!("p{}: {step:?} is cut off", self.being.number));
            return Fate::Lost("cut off");
        }
        if self.world.rolls(faults.register_lost) && self.may_lose(step) {
            self.world.note(|| format!("p{}: {step:?} is lost", self.being.number));
            sleep(TIMEOUT).await;
            return Fate::Lost("lost");
        }
        if self.world.rolls(faults.register_late) && self.may_lose(step) {
            sleep(TIMEOUT).await;
            let by = dice.up_to(LEASE * 2);
            self.world.note(|| format!("p{}: {step:?} comes {by:?} late", self.being.number));
            return Fate::Late(by);
        }
        Fate::Arrives
    }

    async fn back(&self, step: Step) -> Result<(), RegisterError> {
        if self.world.rolls(self.world.faults.register_lost) && self.may_lose(step) {
            self.world.note(|| format!("p{}: {step:?} is not answered", self.being.number));
            sleep(TIMEOUT).await;
            return Err(RegisterError::Unreachable("no answer".to_owned()));
        }
        self.delay().await;
        Ok(())
    }
}

//! A store that misbehaves on purpose: for tests, and for users who want to see what a store like
//! theirs does to them. What it did is counted, so that a test can demand that it happened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, StatusCode};
use s3s::{Body, HttpError, HttpRequest, HttpResponse, S3Error, S3ErrorCode};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::misses::Misses;
use super::parts::Misbehaviour;
use super::replicas::Replicas;
use crate::random;

/// The path of the counts. No bucket has this name.
const COUNTS: &str = "/-/chaos";
/// The largest body that is kept for later, in bytes.
const LATE_BYTES_MAX: usize = 64 << 20;

/// What serves requests where nothing goes wrong on purpose.
pub(super) trait Serves: Clone + Send + Sync + 'static {
    /// Answers a request.
    fn serve(
        &self,
        request: HttpRequest,
    ) -> impl Future<Output = Result<HttpResponse, HttpError>> + Send;
}

/// Decides by seeded dice what goes wrong, and counts it.
#[derive(Debug)]
pub(super) struct Chaos {
    wanted: Misbehaviour,
    lot: Mutex<Lot>,
    misses: Mutex<Misses>,
    counts: Counts,
}

/// What is drawn by lot.
#[derive(Debug)]
struct Lot {
    dice: u64,
    objects: Replicas<OBJECT_REPLICAS>,
    listings: Replicas<LISTING_REPLICAS>,
}

/// How many copies of the objects, and of the listing, there seem to be.
const OBJECT_REPLICAS: usize = 3;
const LISTING_REPLICAS: usize = 2;

#[derive(Debug, Default, Serialize)]
struct Counts {
    /// Reads that showed something else than what stood there.
    lagging_reads: AtomicU64,
    /// Listings that showed an earlier moment.
    lagging_listings: AtomicU64,
    /// Reads that were told once more that something is not there, as it had not been when it was asked
    /// for before.
    cached_misses: AtomicU64,
    /// Reads by the replica that served them.
    reads_by_replica: [AtomicU64; OBJECT_REPLICAS],
    /// Listings by the replica that served them.
    listings_by_replica: [AtomicU64; LISTING_REPLICAS],
    /// Requests that were answered 500 and not served.
    failed_before: AtomicU64,
    /// Requests that were served and answered 500.
    failed_after: AtomicU64,
    slowed: AtomicU64,
    /// Writes that landed after their connection was cut.
    late: AtomicU64,
    /// Writes, and entries of batches, whose conditions were ignored.
    ignored_conditions: AtomicU64,
    /// Writes that were dated by a clock that goes wrong.
    skewed_dates: AtomicU64,
}

/// What happens to a request.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Served,
    FailsBefore,
    FailsAfter,
    Late(Duration),
}

impl Chaos {
    pub(super) fn new(wanted: Misbehaviour) -> Self {
        let mut dice = wanted.seed;
        let objects = Replicas::new(|| thrown(&mut dice));
        let listings = Replicas::new(|| thrown(&mut dice));
        let lot = Mutex::new(Lot { dice, objects, listings });
        Self { wanted, lot, misses: Mutex::default(), counts: Counts::default() }
    }

    /// How far back reads look at most: of what stands there now, or of a version by its id.
    fn lag(&self, of_version: bool) -> Duration {
        self.wanted.lag_of_versions.filter(|_| of_version).unwrap_or(self.wanted.lag)
    }

    /// The replica that serves a read, and how far back it looks.
    pub(super) fn replica_of_a_read(&self, of_version: bool) -> (usize, Duration) {
        let mut lot = self.lot();
        let Lot { dice, objects, .. } = &mut *lot;
        let (replica, lag) = objects.serve(|| thrown(dice));
        self.counts.reads_by_replica[replica].fetch_add(1, Ordering::Relaxed);
        (replica, self.lag(of_version).mul_f64(lag))
    }

    /// How long ago a replica has shown that something was not there, if it says so again.
    pub(super) fn age_of_miss(
        &self,
        replica: usize,
        what: &str,
        of_version: bool,
    ) -> Option<Duration> {
        let misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses.age(replica, what, self.lag(of_version))
    }

    /// A replica that looked so far back has shown that something was not there.
    pub(super) fn missed(&self, replica: usize, what: String, ago: Duration) {
        let Some(moment) = Instant::now().checked_sub(ago) else { return };
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        misses.note(replica, what, moment, self.wanted.lag);
    }

    /// A miss was shown again.
    pub(super) fn miss_was_cached(&self) {
        self.counts.cached_misses.fetch_add(1, Ordering::Relaxed);
    }

    /// The conditions of so many writes were ignored.
    pub(super) fn conditions_ignored(&self, writes: usize) {
        self.counts.ignored_conditions.fetch_add(writes as u64, Ordering::Relaxed);
    }

    /// A write was dated by a clock that goes wrong.
    pub(super) fn date_skewed(&self) {
        self.counts.skewed_dates.fetch_add(1, Ordering::Relaxed);
    }

    /// How far back the replica looks that serves a listing.
    pub(super) fn ago_of_a_listing(&self) -> Duration {
        let mut lot = self.lot();
        let Lot { dice, listings, .. } = &mut *lot;
        let (replica, lag) = listings.serve(|| thrown(dice));
        self.counts.listings_by_replica[replica].fetch_add(1, Ordering::Relaxed);
        self.wanted.lag.mul_f64(lag)
    }

    /// A read showed something else than what stands there.
    pub(super) fn lagged(&self) {
        self.counts.lagging_reads.fetch_add(1, Ordering::Relaxed);
    }

    /// A listing showed an earlier moment.
    pub(super) fn listing_lagged(&self) {
        self.counts.lagging_listings.fetch_add(1, Ordering::Relaxed);
    }

    /// Serves a request, or not.
    pub(super) async fn serve(
        self: &Arc<Self>,
        entry: &impl Serves,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        if request.method() == Method::GET && request.uri().path() == COUNTS {
            return Ok(self.shown());
        }
        if !self.wanted.slow.is_zero() {
            self.counts.slowed.fetch_add(1, Ordering::Relaxed);
            sleep(self.wanted.slow.mul_f64(self.throw())).await;
        }
        match self.fate(&request) {
            Fate::Served => entry.serve(request).await,
            Fate::FailsBefore => {
                self.counts.failed_before.fetch_add(1, Ordering::Relaxed);
                failure()
            }
            Fate::FailsAfter => {
                let served = entry.serve(request).await;
                self.counts.failed_after.fetch_add(1, Ordering::Relaxed);
                drop(served);
                failure()
            }
            Fate::Late(by) => self.late(entry, request, by).await,
        }
    }

    /// Cuts the connection, and serves the request later.
    async fn late(
        self: &Arc<Self>,
        entry: &impl Serves,
        request: HttpRequest,
        by: Duration,
    ) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let gathered = body.try_fold(Vec::new(), async |mut whole: Vec<u8>, piece: Bytes| {
            whole.extend_from_slice(&piece);
            Ok(whole)
        });
        let body = gathered.await.map_err(HttpError::new)?;
        let (entry, request) = (entry.clone(), HttpRequest::from_parts(head, body.into()));
        let chaos = Arc::clone(self);
        tokio::spawn(async move {
            sleep(by).await;
            let served = entry.serve(request).await;
            if served.is_ok_and(|answer| answer.status().is_success()) {
                chaos.counts.late.fetch_add(1, Ordering::Relaxed);
            }
        });
        Err(HttpError::new("the connection is cut on purpose".into()))
    }

    fn fate<B>(&self, request: &Request<B>) -> Fate {
        if self.throw() < self.wanted.fail {
            return if self.throw() < 0.5 { Fate::FailsBefore } else { Fate::FailsAfter };
        }
        let may = !self.wanted.late.is_zero() && can_be_late(request);
        if may && self.throw() < self.wanted.late_share {
            return Fate::Late(self.wanted.late.mul_f64(self.throw()));
        }
        Fate::Served
    }

    fn throw(&self) -> f64 {
        thrown(&mut self.lot().dice)
    }

    fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> HttpResponse {
        let counts = serde_json::to_vec(&self.counts).unwrap_or_default();
        let mut response = HttpResponse::new(Body::from(counts));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// A number from 0 to 1.
fn thrown(dice: &mut u64) -> f64 {
    let thrown = random::next(dice) >> 32;
    f64::from(u32::try_from(thrown).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Whether it is a write whose body can be kept: a larger one is never late.
fn can_be_late<B>(request: &Request<B>) -> bool {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let bytes = length.map_or(Some(0), |length| length.parse().ok());
    let streams = request.headers().contains_key(TRANSFER_ENCODING);
    let writes = matches!(*request.method(), Method::PUT | Method::POST | Method::DELETE);
    writes && !streams && bytes.is_some_and(|bytes: usize| bytes <= LATE_BYTES_MAX)
}

fn failure() -> Result<HttpResponse, HttpError> {
    let mut error = S3Error::with_message(S3ErrorCode::InternalError, "It fails on purpose.");
    error.set_status_code(StatusCode::INTERNAL_SERVER_ERROR);
    error.to_http_response().map_err(|error| HttpError::new(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(wanted: Misbehaviour, method: &Method) -> Vec<Fate> {
        let chaos = Chaos::new(wanted);
        let request = Request::builder().method(method).body(()).unwrap();
        (0..1000).map(|_| chaos.fate(&request)).collect()
    }

    #[test]
    fn nothing_goes_wrong_that_is_not_wanted() {
        let fates = fates(Misbehaviour::default(), &Method::PUT);
        assert!(fates.iter().all(|fate| *fate == Fate::Served));
    }

    #[test]
    fn as_much_goes_wrong_as_is_wanted_and_the_same_for_the_same_seed() {
        let wanted = Misbehaviour {
            fail: 0.2,
            late: Duration::from_secs(2),
            late_share: 0.5,
            seed: 7,
            ..Misbehaviour::default()
        };
        let thrown = fates(wanted, &Method::PUT);
        let count = |is: fn(&Fate) -> bool| thrown.iter().filter(|fate| is(fate)).count();
        assert!((60..140).contains(&count(|fate| *fate == Fate::FailsBefore)));
        assert!((60..140).contains(&count(|fate| *fate == Fate::FailsAfter)));
        assert!((300..500).contains(&count(|fate| matches!(fate, Fate::Late(_)))));
        assert_eq!(thrown, fates(wanted, &Method::PUT));
        assert_ne!(thrown, fates(Misbehaviour { seed: 8, ..wanted }, &Method::PUT));
        let reads = fates(wanted, &Method::GET);
        assert!(!reads.iter().any(|fate| matches!(fate, Fate::Late(_))), "a read changes nothing");
    }
}

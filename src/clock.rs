//! The only reader of the wall clock. Other code gets the time as an argument, or measures with
//! `tokio::time::Instant`, which tests can stop.

/// Seconds since the Unix epoch; negative before it.
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_seconds() -> i64 {
    let now = std::time::SystemTime::now();
    match now.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

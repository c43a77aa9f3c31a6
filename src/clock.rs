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

/// Microseconds since the Unix epoch; 0 before it.
#[cfg(any(feature = "embedded", feature = "otel"))]
#[allow(clippy::disallowed_methods, reason = "this is the place")]
pub fn unix_microseconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

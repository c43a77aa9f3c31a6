//! What the probe at the start of the process found, as the status shows it.

use serde::Serialize;

/// What it found, when the store was asked. Sentences have no full stop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FoundAtStart {
    /// When it ended, in seconds since 1970.
    pub ended_s: i64,
    /// The nodes of the store that answered.
    pub asked: Vec<String>,
    /// Where the store does otherwise than it is configured to.
    pub contradictions: Vec<Found>,
    /// Why nodes were not asked.
    pub unasked: Vec<Found>,
    /// What had no clear answer.
    pub unclear: Vec<Found>,
    /// What could not be deleted again.
    pub left: Vec<String>,
}

/// One thing that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What it is.
    pub sentence: String,
    /// What to write instead, where something is to be written.
    pub remedy: Option<String>,
    /// The nodes of which it was seen; none where it is about all.
    pub nodes: Vec<String>,
}

//! Listings of versions (ListObjectVersions): pages of a store that lags, in which young keys are
//! corrected.

pub mod change;
pub mod merge;
pub mod page;
pub mod request;
pub mod row;

pub use change::{Change, VersionId, Written};
pub use merge::{Event, Lately, MergedVersions, VersionsOverlay, merge};
pub use page::VersionsPage;
pub use request::{Begin, Place, VersionsRequest};
pub use row::{Entry, Made, MadeVersion};

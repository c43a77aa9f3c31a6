//! The part of an object that a reader asks for: a range of bytes, a part by its number, or all of it.

use std::ops::Range;

use http::StatusCode;
use s3s::{S3Error, S3Result, s3_error};

use super::failure::with_elements;
use super::find::part_number;
use super::records::{Checksum, Object, Part};

/// The part of an object that a reader wants.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) range: Option<s3s::dto::Range>,
    pub(super) part_number: Option<i32>,
}

/// The part that is read.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) range: Range<u64>,
    /// Whether it was asked for as a part: also the whole object may be one.
    pub(super) asked: bool,
    pub(super) parts_count: Option<i32>,
    /// Its checksum, if it is known: that of the whole object, or of a part of one with a composite
    /// checksum (AWS: "Checking object integrity").
    pub(super) checksum: Option<Checksum>,
}

impl Wanted {
    pub(super) fn select(&self, object: &Object, parts: &[(u16, Part)]) -> S3Result<Selected> {
        match (&self.range, self.part_number) {
            (Some(_), Some(_)) => Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            )),
            // The last bytes of nothing are nothing, which is whole.
            (Some(s3s::dto::Range::Suffix { length: 1.. }), None) if object.size == 0 => {
                Ok(Selected::whole(object))
            }
            (Some(range), None) => {
                let range = range.check(object.size).map_err(|_| not_there(range, object.size))?;
                let checksum = of_all(object, &range);
                Ok(Selected { range, asked: true, parts_count: None, checksum })
            }
            (None, Some(number)) => part_of(object, parts, number),
            (None, None) => Ok(Selected::whole(object)),
        }
    }
}

/// The checksum of an object, if a range is all of it.
fn of_all(object: &Object, range: &Range<u64>) -> Option<Checksum> {
    object.checksum.clone().filter(|_| *range == (0..object.size))
}

/// AWS: InvalidRange, with what was asked for and what there is.
fn not_there(range: &s3s::dto::Range, size: u64) -> S3Error {
    let asked = match range {
        s3s::dto::Range::Int { first, last: Some(last) } => format!("bytes={first}-{last}"),
        s3s::dto::Range::Int { first, last: None } => format!("bytes={first}-"),
        s3s::dto::Range::Suffix { length } => format!("bytes=-{length}"),
    };
    let (error, size) = (s3_error!(InvalidRange), size.to_string());
    let elements = [("RangeRequested", asked.as_str()), ("ActualObjectSize", size.as_str())];
    with_elements(error, elements.into_iter())
}

/// AWS: GetObject, `partNumber`. An object that is not made of parts has one.
fn part_of(object: &Object, parts: &[(u16, Part)], number: i32) -> S3Result<Selected> {
    part_number(number)?;
    if parts.is_empty() && number == 1 {
        return Ok(Selected { asked: object.size > 0, ..Selected::whole(object) });
    }
    let mut start = 0;
    for (at, part) in parts {
        if i32::from(*at) == number {
            let parts_count = i32::try_from(parts.len()).ok();
            let is_composite = object.checksum.as_ref().is_some_and(Checksum::is_composite);
            let range = start..start + part.size;
            let checksum =
                if is_composite { part.checksum.clone() } else { of_all(object, &range) };
            return Ok(Selected { range, asked: true, parts_count, checksum });
        }
        start += part.size;
    }
    let mut error = S3Error::with_message(
        s3s::S3ErrorCode::Custom("InvalidPartNumber".into()),
        "The requested partnumber is not satisfiable",
    );
    error.set_status_code(StatusCode::RANGE_NOT_SATISFIABLE);
    Err(error)
}

impl Selected {
    fn whole(object: &Object) -> Self {
        let checksum = object.checksum.clone();
        Self { range: 0..object.size, asked: false, parts_count: None, checksum }
    }

    pub(super) fn content_range(&self, size: u64) -> Option<String> {
        let Range { start, end } = self.range;
        (self.asked && end > start).then(|| format!("bytes {start}-{}/{size}", end - 1))
    }
}

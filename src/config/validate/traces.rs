//! Checks of the traces: this build has them, and the collector can be asked.

use http::uri::PathAndQuery;

use super::super::reading::Reading;
use super::super::schema::Traces;
use crate::traces::{ABSENCE, settings};

/// Checks the table.
pub(super) fn all(reading: &mut Reading, traces: &Traces) {
    let is_written = |path: &String| path.starts_with("traces.");
    let Some(first) = reading.overlay.written.keys().find(|path| is_written(path)).cloned() else {
        return;
    };
    if let Some(absence) = ABSENCE {
        return reading.fault(&["traces"], format!("cannot be used: {absence}"));
    }
    let Some(endpoint) = &traces.endpoint else {
        let message = "has no effect without traces.endpoint";
        return reading.fault(&[&first, "traces.endpoint"], message);
    };
    if !traces.path.starts_with('/') || traces.path.parse::<PathAndQuery>().is_err() {
        let message = format!("\"{}\" is not a path such as \"/v1/traces\"", traces.path);
        reading.fault(&["traces.path"], message);
    }
    if let Some(headers) = &traces.headers
        && let Err(why) = settings::headers(headers.expose())
    {
        reading.fault(&["traces.headers"], why);
    }
    if !endpoint.https {
        if traces.ca_file.is_some() {
            let message = "is for https://, and traces.endpoint is http://";
            reading.fault(&["traces.ca_file", "traces.endpoint"], message);
        }
        return;
    }
    let files = traces.settings().map(|settings| settings.files).unwrap_or_default();
    if let Err(fault) = files.certificates() {
        reading.fault(&[&format!("traces.{}", fault.key)], fault.sentence);
    }
}

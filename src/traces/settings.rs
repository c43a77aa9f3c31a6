//! The settings of traces.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::tls::ClientFiles;

/// Where traces are sent, and which.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether the collector is reached by TLS.
    pub https: bool,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The two as a Host field has them.
    pub authority: String,
    /// The path that spans are posted to.
    pub path: String,
    /// Headers that are sent along. Their values are secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The name that the spans have for this service.
    pub service_name: String,
    /// The share of requests that are recorded, from 0 to 1, where the client has not decided it.
    pub sample_ratio: f64,
    /// How long one export may take, and all of them at the end of the process.
    pub timeout: Duration,
    /// The authorities to trust.
    pub files: ClientFiles,
}

/// Reads headers in the form of OpenTelemetry (`OTEL_EXPORTER_OTLP_HEADERS`): `name=value`, with
/// commas between them; a value may be percent-encoded. The error is a sentence without a value.
pub fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let given = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    given.map(header).collect()
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let form = || "is not in the form name=value,name=value".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(form)?;
    let name: HeaderName = name.trim().parse().map_err(|_| form())?;
    let value = percent_encoding::percent_decode_str(value.trim()).collect::<Vec<_>>();
    let mut value = HeaderValue::from_bytes(&value)
        .map_err(|_| format!("has a value for {name} that no header can carry"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_in_the_form_of_opentelemetry() {
        let read = headers("api-key=a=b, Authorization=Basic%20YQ==,").unwrap();
        let shown: Vec<_> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let wanted: [(&str, &[u8]); 2] = [("api-key", b"a=b"), ("authorization", b"Basic YQ==")];
        assert_eq!(shown, wanted);
        assert!(!format!("{read:?}").contains("YQ"), "it is a secret");
        assert_eq!(headers("").unwrap(), []);
        for wrong in ["api-key", "a b=c", "=x"] {
            assert!(headers(wrong).unwrap_err().contains("form"), "{wrong}");
        }
        let told = headers("a=hunter2%0d%0ab").unwrap_err();
        assert!(told.contains("for a") && !told.contains("hunter2"), "{told}");
    }
}

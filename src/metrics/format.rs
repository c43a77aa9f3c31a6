//! The format of a scrape, as the scraper asks for it.

/// The format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Messages of Protocol Buffers, each after its length.
    Protobuf,
}

impl Format {
    /// The format that a scraper prefers by this `Accept` header (RFC 9110 §12.5.1): the one with the
    /// greatest weight, of equals the first. A browser or `curl` names none, and gets Prometheus's
    /// text; so does who asks for anything else.
    pub fn accepted(accept: &str) -> Self {
        let mut best = (Self::Prometheus, 0);
        for range in accept.split(',') {
            if let Some((format, weight)) = asked(range)
                && weight > best.1
            {
                best = (format, weight);
            }
        }
        best.0
    }

    /// Its `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }
}

/// The format of a media range, and its weight in thousandths.
fn asked(range: &str) -> Option<(Format, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let (mut weight, mut proto, mut encoding) = (1000, "", "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = thousandths(value)?,
            "proto" => proto = value,
            "encoding" => encoding = value,
            _ => {}
        }
    }
    let format = match name.as_str() {
        "application/vnd.google.protobuf" => {
            let is_known = proto == "io.prometheus.client.MetricFamily" && encoding == "delimited";
            is_known.then_some(Format::Protobuf)?
        }
        "application/openmetrics-text" => Format::OpenMetrics,
        "text/plain" | "text/*" | "*/*" => Format::Prometheus,
        _ => return None,
    };
    Some((format, weight))
}

/// A weight (RFC 9110 §12.4.2): 0 to 1 with three decimals at most.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_format_that_it_prefers() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                        encoding=delimited";
        let open = "application/openmetrics-text;version=1.0.0";
        for (accept, format) in [
            // Prometheus without native histograms, and with them.
            (
                format!("{open};q=0.6,{open};q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.2"),
                Format::OpenMetrics,
            ),
            (format!("{protobuf};q=0.6,{open};q=0.5,text/plain;q=0.3,*/*;q=0.2"), Format::Protobuf),
            (format!("{open};q=0.5, {protobuf}; q=0.6"), Format::Protobuf),
            (format!("{protobuf};q=0.1,text/plain"), Format::Prometheus),
            (format!("{protobuf};q=0"), Format::Prometheus),
            (format!("{protobuf};q=0.5,{open};q=0.5"), Format::Protobuf),
            (format!("{protobuf};q=nonsense,{open};q=0.001"), Format::OpenMetrics),
            (protobuf.replace("delimited", "text"), Format::Prometheus),
            (protobuf.replace("MetricFamily", "Other"), Format::Prometheus),
            ("application/vnd.google.protobuf".to_owned(), Format::Prometheus),
            ("application/openmetrics-text".to_owned(), Format::OpenMetrics),
            ("*/*".to_owned(), Format::Prometheus),
            ("text/html".to_owned(), Format::Prometheus),
            (String::new(), Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(&accept), format, "{accept}");
        }
    }
}

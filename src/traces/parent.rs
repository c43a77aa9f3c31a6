//! The place of a request in a trace, as headers tell it (W3C: Trace Context). No IO.

use crate::http1::fields::Fields;

/// The headers of a trace, which mean nothing to the request itself (W3C: Trace Context).
pub const TRACE: [&str; 2] = ["traceparent", "tracestate"];

/// The trace that a request belongs to, by its `traceparent`: 32 hex digits (W3C: Trace Context,
/// "traceparent Header"). `None` where the header is not there, or is malformed.
pub fn trace_id(client: &Fields) -> Option<&str> {
    parts(client).map(|[trace, _, _]| trace)
}

/// The ids of the trace and the span, and the flags.
fn parts(client: &Fields) -> Option<[&str; 3]> {
    let mut given = client.get_all(TRACE[0]);
    let parent = given.next()?.to_str().ok().filter(|_| given.next().is_none())?;
    let mut parts = parent.split('-');
    let [version, trace, span, flags] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let is_hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_some = |text: &str| text.bytes().any(|c| c != b'0');
    let valid = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    // Later versions may have more parts; ff is none.
    let known = version != "ff" && (version != "00" || parts.next().is_none());
    (valid && known && is_some(trace) && is_some(span)).then_some([trace, span, flags])
}

#[cfg(feature = "otel")]
mod parsed {
    use super::{Fields, parts};

    /// The id of a trace.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct TraceId(pub [u8; 16]);

    /// The id of a span.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SpanId(pub [u8; 8]);

    /// A place in a trace.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Parent {
        /// The trace.
        pub trace: TraceId,
        /// The span.
        pub span: SpanId,
        /// [`SAMPLED`], and [`RANDOM`].
        pub flags: u8,
    }

    /// The flag of a trace that is recorded.
    pub const SAMPLED: u8 = 1;

    /// The flag of a trace whose id is random (W3C: Trace Context Level 2, "Random Trace ID Flag").
    pub const RANDOM: u8 = 2;

    impl Parent {
        /// The place that a client's headers name.
        pub fn of(client: &Fields) -> Option<Self> {
            let [trace, span, flags] = parts(client)?;
            let (mut of_trace, mut of_span, mut of_flags) = ([0; 16], [0; 8], [0; 1]);
            // They consist of hex digits, as many as fit.
            hex::decode_to_slice(trace, &mut of_trace).ok()?;
            hex::decode_to_slice(span, &mut of_span).ok()?;
            hex::decode_to_slice(flags, &mut of_flags).ok()?;
            // Flags that are not known here are not passed on (W3C: Trace Context, "Other Flags").
            let flags = of_flags[0] & (SAMPLED | RANDOM);
            Some(Self { trace: TraceId(of_trace), span: SpanId(of_span), flags })
        }

        /// The value of `traceparent`.
        pub fn header(&self) -> String {
            let (trace, span) = (hex::encode(self.trace.0), hex::encode(self.span.0));
            format!("00-{trace}-{span}-{:02x}", self.flags)
        }
    }

    impl TraceId {
        /// Whether a trace with this id is one of this share of all, from 0 to 1. The last seven
        /// bytes of a random id are random (W3C: Trace Context Level 2, "Randomness of trace-id"),
        /// so all who look at them with the same share decide alike.
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        pub fn is_of_share(self, share: f64) -> bool {
            let mut last = [0; 8];
            last[1..].copy_from_slice(&self.0[9..]);
            // As many of their 56 bits as a floating-point number has.
            ((u64::from_be_bytes(last) >> 3) as f64) < share * (1_u64 << 53) as f64
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_parent_is_read_and_written() {
            let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
            let read = |text: String| {
                Parent::of(&Fields::from_iter([(
                    http::HeaderName::from_static("traceparent"),
                    text.parse().unwrap(),
                )]))
            };
            let parent = read(format!("00-{trace}-{span}-01")).unwrap();
            assert_eq!((parent.trace.0[0], parent.span.0[7], parent.flags), (0x4b, 0xb7, SAMPLED));
            assert_eq!(parent.header(), format!("00-{trace}-{span}-01"));
            let later = read(format!("cc-{trace}-{span}-ff-more")).unwrap();
            assert_eq!(later.header(), format!("00-{trace}-{span}-03"), "what is known of it");
            assert_eq!(read(format!("00-{trace}-{span}")), None);
        }

        #[test]
        fn a_share_of_all_traces_is_taken_by_the_end_of_their_ids() {
            let id = |seventh_from_the_end: u8| {
                let mut id = [0xff; 16];
                id[9] = seventh_from_the_end;
                TraceId(id)
            };
            assert!(id(0x3f).is_of_share(0.25) && !id(0x40).is_of_share(0.25));
            assert!(id(0xff).is_of_share(1.0), "all");
            assert!(!TraceId([0; 16]).is_of_share(0.0), "none");
        }
    }
}

#[cfg(feature = "otel")]
pub use parsed::{Parent, RANDOM, SAMPLED, SpanId, TraceId};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_where_it_is_well_formed() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let with = |parent: &str| {
            let name = http::HeaderName::from_static("traceparent");
            Fields::from_iter([(name, parent.parse().unwrap())])
        };
        for good in [format!("00-{trace}-{span}-01"), format!("cc-{trace}-{span}-01-more")] {
            assert_eq!(trace_id(&with(&good)), Some(trace), "{good}");
        }
        let zeros = "0".repeat(32);
        for bad in [
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-{}-01", &zeros[..16]),
            format!("00-{}-{span}-01", trace.to_ascii_uppercase()),
            format!("00-{trace}é-{span}-01"),
            String::new(),
        ] {
            assert_eq!(trace_id(&with(&bad)), None, "{bad}");
        }
        let good = format!("00-{trace}-{span}-01");
        let mut twice = with(&good);
        twice.append("traceparent", good.parse().unwrap());
        assert_eq!(trace_id(&twice), None);
        assert_eq!(trace_id(&Fields::new()), None);
    }
}

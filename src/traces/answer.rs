//! What a collector answers: an `ExportTraceServiceResponse` (OTLP 1.x:
//! opentelemetry/proto/collector/trace/v1/trace_service.proto). No IO.

/// What a collector says of spans that it took.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// How many of them it refused.
    pub(super) refused: u64,
    /// Why; or what else it warns of.
    pub(super) why: String,
}

impl Taken {
    /// Reads an answer with a status of success. One that cannot be read says nothing: the status has
    /// said that the spans were taken.
    pub(super) fn read(answer: &[u8]) -> Self {
        let (mut taken, mut fields) = (Self::default(), Fields(answer));
        while let Some(field) = fields.next() {
            let (1, Value::Bytes(partial_success)) = field else { continue };
            let mut within = Fields(partial_success);
            while let Some(field) = within.next() {
                match field {
                    // An int64; no collector refuses fewer than none.
                    (1, Value::Number(refused)) => taken.refused = refused,
                    (2, Value::Bytes(why)) => taken.why = String::from_utf8_lossy(why).into_owned(),
                    _ => {}
                }
            }
        }
        taken
    }
}

/// The fields of a message (Protocol Buffers: Encoding, "Message Structure"), up to the first that
/// cannot be read.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a kind that no field has that is read here.
    Fixed,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.taken(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.taken(length)?)
            }
            5 => self.taken(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn taken(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Seven bits a byte, the lowest first; 64 bits at most.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.taken(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Message;

    fn answer(refused: u64, why: &str) -> Vec<u8> {
        let mut message = Message::default();
        message.fixed64(7, 9);
        message.fixed32(8, 9);
        message.message(1, |partial_success| {
            partial_success.uint(1, refused);
            partial_success.text(2, why);
        });
        message.into_bytes()
    }

    #[test]
    fn spans_that_were_refused_are_read_and_what_is_not_whole_says_nothing() {
        assert_eq!(Taken::read(b""), Taken::default());
        assert_eq!(Taken::read(&answer(0, "")), Taken::default());
        let some = Taken { refused: 300, why: "they are too old".to_owned() };
        let whole = answer(300, "they are too old");
        assert_eq!(Taken::read(&whole), some);
        for length in 0..whole.len() {
            assert_eq!(Taken::read(&whole[..length]), Taken::default(), "{length}");
        }
        // A number without an end, a length beyond the end, a group.
        for torn in [&[0xff; 12][..], &[0x0a, 0xff, 0xff, 0x03], &[0x0b]] {
            assert_eq!(Taken::read(torn), Taken::default());
        }
    }
}

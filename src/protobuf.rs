//! Messages of Protocol Buffers, written by hand: the few that are sent have few fields, and a code
//! generator would be a larger part than they are (docs/decisions/0083-native-histograms.md).

use std::fmt;

/// A message under construction. Fields with their default value are left out, as proto3 does.
#[derive(Default)]
pub struct Message(Vec<u8>);

/// How a field is coded (Protocol Buffers: Encoding, "Message Structure").
const VARINT: u32 = 0;
const I64: u32 = 1;
const LEN: u32 = 2;
const I32: u32 = 5;

impl Message {
    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number that is not negative: `uint32`, `uint64`, `bool`, an enum.
    pub fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, VARINT);
            self.varint(value);
        }
    }

    /// A text.
    pub fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.tag(field, LEN);
            self.varint(bytes.len() as u64);
            self.0.extend_from_slice(bytes);
        }
    }

    /// A message within this one; also an empty one is written.
    pub fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.tag(field, LEN);
        self.varint(inner.0.len() as u64);
        self.0.append(&mut inner.0);
    }

    /// A `fixed64`.
    pub fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, I64);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A `fixed32`.
    pub fn fixed32(&mut self, field: u32, value: u32) {
        if value != 0 {
            self.tag(field, I32);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A number in the scope of an `int64`, also 0: which of several fields a message has is a value
    /// of its own (`oneof`).
    pub fn int_of_one(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    /// The same for a text, also an empty one.
    pub fn text_of_one(&mut self, field: u32, text: &str) {
        self.tag(field, LEN);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A number that may be negative: `sint32`, `sint64`; also 0, as an item of a list.
    pub fn sint(&mut self, field: u32, value: i64) {
        self.tag(field, VARINT);
        // Zigzag: 0, -1, 1, -2 are 0, 1, 2, 3.
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A `double`, also 0.
    pub fn double(&mut self, field: u32, value: f64) {
        self.tag(field, I64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A message after its length, outside of any other one.
    pub fn delimited(&mut self, message: &Self) {
        self.varint(message.0.len() as u64);
        self.0.extend_from_slice(&message.0);
    }

    fn tag(&mut self, field: u32, coding: u32) {
        self.varint(u64::from(field << 3 | coding));
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of "Protocol Buffers: Encoding".
    #[test]
    fn messages_are_written_as_others_read_them() {
        let written = |fill: fn(&mut Message)| {
            let mut message = Message::default();
            fill(&mut message);
            hex::encode(message.into_bytes())
        };
        assert_eq!(written(|message| message.uint(1, 150)), "089601");
        assert_eq!(written(|message| message.text(2, "testing")), "120774657374696e67");
        assert_eq!(written(|message| message.message(3, |it| it.uint(1, 150))), "1a03089601");
        assert_eq!(written(|message| message.sint(1, -2)), "0803");
        assert_eq!(written(|message| message.sint(1, 0)), "0800");
        assert_eq!(written(|message| message.sint(1, i64::MIN)), "08ffffffffffffffffff01");
        assert_eq!(written(|message| message.double(1, 1.0)), "09000000000000f03f");
        assert_eq!(written(|message| message.fixed32(1, 1)), "0d01000000");
        assert_eq!(written(|message| message.uint(16, u64::MAX)), "8001ffffffffffffffffff01");
        assert_eq!(written(|message| message.uint(1, 0)), "", "the default");
        let mut outer = Message::default();
        let mut inner = Message::default();
        inner.uint(1, 150);
        outer.delimited(&inner);
        assert_eq!(hex::encode(outer.into_bytes()), "03089601");
    }
}

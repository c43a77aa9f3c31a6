//! A stream of bytes whose length is known, as `s3s` wants it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};

/// A stream and how many bytes are left of it.
pub(super) struct Sized<S> {
    stream: Pin<Box<S>>,
    left: u64,
}

impl<S> Sized<S> {
    pub(super) fn new(stream: Pin<Box<S>>, length: u64) -> Self {
        Self { stream, left: length }
    }
}

impl<S: Stream<Item = io::Result<Bytes>>> Stream for Sized<S> {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.left -= piece.len() as u64;
        }
        polled.map_err(Into::into)
    }
}

impl<S: Stream<Item = io::Result<Bytes>>> ByteStream for Sized<S> {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.left)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

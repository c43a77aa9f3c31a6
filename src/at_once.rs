//! Writing bytes that lie in several places by one call of the kernel, where the connection can.

use std::io;

use bytes::Buf;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::http1::body::Framed;

/// Content up to this size is joined with what frames it, where the connection cannot write both at
/// once: as much as a record of TLS holds.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// Writes content with what frames it, and flushes.
pub(crate) async fn write_at_once(
    stream: &mut (impl AsyncWrite + Unpin),
    Framed { before, content, behind }: Framed<'_>,
) -> io::Result<()> {
    if stream.is_write_vectored() {
        let mut whole = Buf::chain(Buf::chain(before, content), behind);
        while whole.has_remaining() {
            if stream.write_buf(&mut whole).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
    } else if !before.is_empty() && content.len() <= JOINED_BYTES_MAX {
        stream.write_all(&[before, content, behind].concat()).await?;
    } else {
        for part in [before, content, behind] {
            stream.write_all(part).await?;
        }
    }
    stream.flush().await
}

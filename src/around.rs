//! A wrapper of a connection that looks at the bytes read; all other calls go to the connection
//! itself.

/// Makes a type a connection of Pingora: implements everything but `AsyncRead`. The type needs
/// `stream(&self) -> Option<&Stream>` and `stream_mut(&mut self) -> io::Result<&mut Stream>`.
macro_rules! around_a_stream {
    ($type:ty) => {
        impl tokio::io::AsyncWrite for $type {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(self.stream_mut()?).poll_write(cx, buf)
            }

            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(self.stream_mut()?).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(self.stream_mut()?).poll_shutdown(cx)
            }

            fn poll_write_vectored(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(self.stream_mut()?).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream().is_some_and(tokio::io::AsyncWrite::is_write_vectored)
            }
        }

        #[async_trait::async_trait]
        impl pingora::protocols::Shutdown for $type {
            async fn shutdown(&mut self) {
                if let Ok(stream) = self.stream_mut() {
                    pingora::protocols::Shutdown::shutdown(stream.as_mut()).await;
                }
            }
        }

        impl pingora::protocols::UniqueID for $type {
            fn id(&self) -> pingora::protocols::UniqueIDType {
                self.stream().map_or(0, |stream| stream.id())
            }
        }

        impl pingora::protocols::Ssl for $type {
            fn get_ssl_digest(&self) -> Option<std::sync::Arc<pingora::protocols::tls::SslDigest>> {
                self.stream()?.get_ssl_digest()
            }

            fn selected_alpn_proto(&self) -> Option<pingora::protocols::ALPN> {
                self.stream()?.selected_alpn_proto()
            }
        }

        impl pingora::protocols::Peek for $type {}

        impl pingora::protocols::GetTimingDigest for $type {
            fn get_timing_digest(&self) -> Vec<Option<pingora::protocols::TimingDigest>> {
                self.stream().map(|stream| stream.get_timing_digest()).unwrap_or_default()
            }
        }

        impl pingora::protocols::GetProxyDigest for $type {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::raw_connect::ProxyDigest>> {
                self.stream()?.get_proxy_digest()
            }
        }

        impl pingora::protocols::GetSocketDigest for $type {
            fn get_socket_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::SocketDigest>> {
                self.stream()?.get_socket_digest()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("stream", &self.stream())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use around_a_stream;

//! The live proxy: the state that new requests are served with. A reload of the configuration
//! replaces it as a whole. A request takes it once, when it begins, and keeps it until its end: so
//! no request is judged by two configurations.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::state::Proxy;

/// The proxy that serves the next request. Clones are the same one.
#[derive(Debug, Clone)]
pub struct LiveProxy(Arc<ArcSwap<Proxy>>);

impl LiveProxy {
    /// Begins with this state.
    pub fn new(proxy: Proxy) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(proxy)))
    }

    /// The present state.
    pub fn current(&self) -> Arc<Proxy> {
        self.0.load_full()
    }

    /// From now on requests are served with this state; those under way keep theirs.
    pub fn replace(&self, proxy: Proxy) {
        self.0.store(Arc::new(proxy));
    }
}

//! The proxy takes a new configuration: its credential is tried at the store, then a new state
//! serves the next request.

use async_trait::async_trait;

use super::lasting::Lasting;
use super::live::LiveProxy;
use crate::config::{Config, Fault};
use crate::reload::{Prepared, Reconfigure};

/// The proxy, as a part of the process that can be reconfigured.
#[derive(Debug)]
pub struct Reconfigurable {
    lasting: Lasting,
    live: LiveProxy,
}

impl Reconfigurable {
    /// `live` is replaced by states made of `lasting`.
    pub fn new(lasting: Lasting, live: LiveProxy) -> Self {
        Self { lasting, live }
    }
}

#[async_trait]
impl Reconfigure for Reconfigurable {
    async fn prepare(&self, config: &Config) -> Result<Prepared, Fault> {
        let store = self.lasting.store();
        store.try_credential(&config.backend).await.map_err(|why| Fault {
            path: "backend.access_key_id".to_owned(),
            message: format!("the credential was tried at the store: {why}"),
        })?;
        let proxy = self.lasting.proxy(config);
        let (store, live, backend) = (store.clone(), self.live.clone(), config.backend.clone());
        Ok(Box::new(move || {
            store.sign_with(&backend);
            live.replace(proxy);
        }))
    }
}

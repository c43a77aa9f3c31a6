//! The choice of a certificate by the name that a client asks for (SNI).

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of a server, in their order.
#[derive(Debug)]
pub(super) struct ByName(Vec<Choice>);

/// A certificate, and the names that it is shown for.
#[derive(Debug)]
pub(super) struct Choice {
    /// In lower case. A name may begin with `*.`, which stands for one label.
    pub(super) names: Vec<String>,
    pub(super) certified: Arc<CertifiedKey>,
}

impl ByName {
    pub(super) fn new(all: Vec<Choice>) -> Self {
        Self(all)
    }

    /// Those with the name that was asked for, the exact ones first; then the first of all, for a
    /// client that asks for another name, or for none.
    fn in_order(&self, asked: Option<&str>) -> impl Iterator<Item = &Choice> {
        let asked = asked.map(str::to_ascii_lowercase);
        let any = asked.as_deref().and_then(|name| name.split_once('.'));
        let any = any.map(|(_, parent)| format!("*.{parent}"));
        let with = |name: Option<String>| {
            self.0
                .iter()
                .filter(move |choice| name.as_ref().is_some_and(|n| choice.names.contains(n)))
        };
        with(asked).chain(with(any)).chain(self.0.first())
    }
}

impl ResolvesServerCert for ByName {
    /// The first whose key the client can verify: beside a certificate for new clients there may be
    /// one for old ones, with the same names and a key of another kind.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let mut all = self.in_order(hello.server_name());
        let fits = all.find(|choice| choice.certified.key.choose_scheme(schemes).is_some());
        fits.map(|choice| Arc::clone(&choice.certified))
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::sign::any_supported_type;

    use super::*;
    use crate::tls::pem::private_key;

    fn choice(names: &[&str]) -> Choice {
        let key = private_key(include_bytes!("../../tests/data/tls/server.key")).unwrap();
        let key = any_supported_type(&key).unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Choice { names, certified: Arc::new(CertifiedKey::new(vec![], key)) }
    }

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_the_first_serves_all_others() {
        let all =
            [choice(&["a.test", "b.test"]), choice(&["*.test", "*.s3.test"]), choice(&["c.test"])];
        let all = ByName::new(all.into());
        for (asked, chosen) in [
            (Some("b.test"), 0),
            (Some("B.TEST"), 0),
            (Some("c.test"), 2),
            (Some("d.test"), 1),
            (Some("bucket.s3.test"), 1),
            (Some("a.bucket.s3.test"), 0),
            (Some("test"), 0),
            (Some("other.example"), 0),
            (None, 0),
        ] {
            let first = all.in_order(asked).next().unwrap();
            assert!(std::ptr::eq(first, &raw const all.0[chosen]), "{asked:?}: {:?}", first.names);
        }
    }
}

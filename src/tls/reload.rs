//! The reload of all certificates of this process: on demand, and by reading the files from time to
//! time. (Kubernetes replaces files by a link, which no watch of a file sees.)

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{CertificateInfo, FileFault};
use crate::clock;

/// A part of this process that uses certificates, and can read its files again.
pub trait Reload: Send + Sync {
    /// The section of the configuration that names the files.
    fn section(&self) -> &'static str;

    /// Reads the files again. Whether anything has changed.
    ///
    /// # Errors
    /// The first file that cannot be used; then nothing changes.
    fn reload(&self) -> Result<bool, FileFault>;

    /// The certificates that are shown to others.
    fn certificates(&self) -> Vec<CertificateInfo>;
}

/// All certificates of this process.
pub struct Certificates {
    users: Vec<Arc<dyn Reload>>,
    /// What was logged, and has not changed since.
    said: Mutex<BTreeSet<String>>,
}

impl Certificates {
    /// Those of these parts. Warnings that are due now were given at the start.
    pub fn new(users: Vec<Arc<dyn Reload>>) -> Self {
        let certificates = Self { users, said: Mutex::default() };
        certificates.news(&[]);
        certificates
    }

    /// Reads all files again. Whether anything has changed. New connections use what has changed.
    ///
    /// # Errors
    /// A sentence for each part that goes on with what it has, because a file cannot be used.
    pub fn reload(&self) -> Result<bool, Vec<String>> {
        let (mut changed, mut faults) = (false, Vec::new());
        for user in &self.users {
            match user.reload() {
                Ok(has_changed) => changed |= has_changed,
                Err(fault) => faults.push(format!("{}.{fault}", user.section())),
            }
        }
        if changed {
            tracing::info!("certificates were read again, and some have changed");
        }
        if faults.is_empty() { Ok(changed) } else { Err(faults) }
    }

    /// The certificates that are shown to others.
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.users.iter().flat_map(|user| user.certificates()).collect()
    }

    /// Does that again and again, as long as this future is polled.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let this = Arc::clone(&self);
            // It does not panic.
            let _ = tokio::task::spawn_blocking(move || this.reload_and_tell()).await;
        }
    }

    /// Reloads. A fault, or a certificate that is about to expire, is logged when it is new.
    pub fn reload_and_tell(&self) {
        let faults = self.reload().err().unwrap_or_default();
        for sentence in self.news(&faults) {
            tracing::warn!("{sentence}");
        }
    }

    /// What is to be said now, and was not the last time.
    fn news(&self, faults: &[String]) -> Vec<String> {
        let now = clock::unix_seconds();
        let faults = faults
            .iter()
            .map(|fault| format!("{fault}. The certificates that were read before remain in use"));
        let certificates = self.certificates();
        let dates = certificates.iter().filter_map(|certificate| certificate.warning(now));
        let present: BTreeSet<_> = faults.chain(dates).collect();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = present.difference(&said).cloned().collect();
        *said = present;
        news
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sections: Vec<_> = self.users.iter().map(|user| user.section()).collect();
        f.debug_struct("Certificates").field("of", &sections).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Its answers, the last of them again and again.
    struct Part(Mutex<Vec<Result<bool, FileFault>>>, i64);

    impl Reload for Part {
        fn section(&self) -> &'static str {
            "part"
        }

        fn reload(&self) -> Result<bool, FileFault> {
            let mut answers = self.0.lock().unwrap();
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        }

        fn certificates(&self) -> Vec<CertificateInfo> {
            let (file, names) = (PathBuf::from("a.pem"), vec!["a.test".to_owned()]);
            vec![CertificateInfo { file, names, not_after: self.1 }]
        }
    }

    fn fault(sentence: &str) -> Result<bool, FileFault> {
        Err(FileFault { key: "cert_file", sentence: sentence.to_owned() })
    }

    #[test]
    fn a_fault_of_one_part_leaves_the_others_alone_and_is_told_once() {
        let far = clock::unix_seconds() + 1_000_000_000;
        let broken = Part(Mutex::new(vec![fault("x"), fault("x"), fault("y"), Ok(false)]), far);
        let well = Part(Mutex::new(vec![Ok(true)]), far);
        let all = Certificates::new(vec![Arc::new(broken), Arc::new(well)]);
        let heard = || all.news(&all.reload().err().unwrap_or_default());
        let first = heard();
        assert!(first[0].starts_with("part.cert_file: x. The certificates"), "{first:?}");
        assert!(heard().is_empty());
        assert!(heard()[0].starts_with("part.cert_file: y."));
        assert_eq!(all.reload(), Ok(true));
        assert!(heard().is_empty());
    }

    #[test]
    fn a_certificate_that_expires_soon_is_told_once() {
        let soon = clock::unix_seconds() + 1000;
        let part = Part(Mutex::new(vec![Ok(false)]), soon);
        let all = Certificates { users: vec![Arc::new(part)], said: Mutex::default() };
        let told = all.news(&[]);
        assert!(told[0].starts_with("the certificate in a.pem (a.test) expires on"), "{told:?}");
        assert!(all.news(&[]).is_empty());
    }
}

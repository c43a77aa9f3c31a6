//! The reload of all certificates of this process: on demand, and by reading the files from time to
//! time. (Kubernetes replaces files by a link, which no watch of a file sees.)

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{CertificateInfo, FileFault};
use crate::clock;
use crate::metrics::Metrics;
use crate::metrics::tls::CertificateUse;

/// A part of this process that uses certificates, and can read its files again.
pub trait Reload: Send + Sync {
    /// The side on which they are shown.
    fn used_for(&self) -> CertificateUse;

    /// Reads the files again. Whether anything has changed.
    ///
    /// # Errors
    /// The first file that cannot be used; then nothing changes.
    fn reload(&self) -> Result<bool, FileFault>;

    /// The certificates that are shown to others.
    fn certificates(&self) -> Vec<CertificateInfo>;
}

/// A certificate, and the side on which it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The side.
    pub used_for: CertificateUse,
    /// The certificate.
    pub certificate: CertificateInfo,
}

/// The section of the configuration that names the files of a side.
const fn section(used_for: CertificateUse) -> &'static str {
    match used_for {
        CertificateUse::Listener => "tls",
        CertificateUse::Store => "backend",
        CertificateUse::Redis => "register",
    }
}

/// All certificates of this process.
pub struct Certificates {
    users: Vec<Arc<dyn Reload>>,
    /// How often the files are read again.
    every: watch::Sender<Duration>,
    metrics: Arc<Metrics>,
    /// What was logged, and has not changed since.
    said: Mutex<BTreeSet<String>>,
    /// Those that were in use the last time.
    known: Mutex<Vec<InUse>>,
}

impl Certificates {
    /// Those of these parts, read again after each time `every`. Warnings that are due now were
    /// given at the start.
    pub fn new(users: Vec<Arc<dyn Reload>>, every: Duration, metrics: Arc<Metrics>) -> Self {
        let every = watch::Sender::new(every);
        let (said, known) = (Mutex::default(), Mutex::default());
        let certificates = Self { users, every, metrics, said, known };
        certificates.news(&[]);
        certificates.new_ones();
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
                Err(fault) => {
                    self.metrics.tls.reload_failures.count(user.used_for());
                    faults.push(format!("{}.{fault}", section(user.used_for())));
                }
            }
        }
        if changed {
            tracing::info!("certificates were read again, and some have changed");
        }
        if faults.is_empty() { Ok(changed) } else { Err(faults) }
    }

    /// The certificates that are shown to others.
    pub fn certificates(&self) -> Vec<InUse> {
        let of = |user: &Arc<dyn Reload>| {
            let used_for = user.used_for();
            user.certificates().into_iter().map(move |certificate| InUse { used_for, certificate })
        };
        self.users.iter().flat_map(of).collect()
    }

    /// Reads all files again from time to time, as long as this future is polled.
    pub async fn watch(self: Arc<Self>) {
        let mut every = self.every.subscribe();
        loop {
            let pause = *every.borrow_and_update();
            tokio::select! {
                biased;
                // The time begins anew.
                Ok(()) = every.changed() => continue,
                () = tokio::time::sleep(pause) => {}
            }
            let this = Arc::clone(&self);
            // It does not panic.
            let _ = tokio::task::spawn_blocking(move || this.reload_and_tell()).await;
        }
    }

    /// From now on the files are read again after this time.
    pub fn read_every(&self, pause: Duration) {
        self.every.send_if_modified(|every| std::mem::replace(every, pause) != pause);
    }

    /// Reloads. A certificate that came into use since the last time is logged, also if other
    /// settings have brought it; so is a fault, or a certificate that is about to expire, when it is
    /// new.
    pub fn reload_and_tell(&self) {
        let faults = self.reload().err().unwrap_or_default();
        for InUse { used_for, certificate } in self.new_ones() {
            let (side, file) = (used_for.as_str(), certificate.file.display());
            let (names, expires) = (certificate.names.join(", "), certificate.expires_on());
            tracing::info!(side, %file, names, expires, "new connections use a new certificate");
        }
        for sentence in self.news(&faults) {
            tracing::warn!("{sentence}");
        }
    }

    /// Those that are in use, and were not the last time.
    fn new_ones(&self) -> Vec<InUse> {
        let present = self.certificates();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = present.iter().filter(|own| !known.contains(own)).cloned().collect();
        *known = present;
        new
    }

    /// What is to be said now, and was not the last time.
    fn news(&self, faults: &[String]) -> Vec<String> {
        let now = clock::unix_seconds();
        let faults = faults
            .iter()
            .map(|fault| format!("{fault}. The certificates that were read before remain in use"));
        let certificates = self.certificates();
        let dates = certificates.iter().filter_map(|each| each.certificate.warning(now));
        let present: BTreeSet<_> = faults.chain(dates).collect();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = present.difference(&said).cloned().collect();
        *said = present;
        news
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sections: Vec<_> = self.users.iter().map(|user| section(user.used_for())).collect();
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
        fn used_for(&self) -> CertificateUse {
            CertificateUse::Store
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
        let metrics = Arc::new(Metrics::default());
        let users: Vec<Arc<dyn Reload>> = vec![Arc::new(broken), Arc::new(well)];
        let all = Certificates::new(users, Duration::from_secs(1), Arc::clone(&metrics));
        let heard = || all.news(&all.reload().err().unwrap_or_default());
        let first = heard();
        assert!(first[0].starts_with("backend.cert_file: x. The certificates"), "{first:?}");
        assert!(heard().is_empty());
        assert!(heard()[0].starts_with("backend.cert_file: y."));
        assert_eq!(all.reload(), Ok(true));
        assert!(heard().is_empty());
        let counted: Vec<_> = metrics.tls.reload_failures.counts().collect();
        assert_eq!(counted, [("listener", 0), ("store", 3), ("redis", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_files_are_read_again_after_each_pause_and_after_a_new_one() {
        let far = clock::unix_seconds() + 1_000_000_000;
        let part = Arc::new(Part(Mutex::new(vec![fault("x")]), far));
        let metrics = Arc::new(Metrics::default());
        let hour = Duration::from_hours(1);
        let all = Arc::new(Certificates::new(vec![part], hour, Arc::clone(&metrics)));
        let read = async |times| {
            while metrics.tls.reload_failures.counts().nth(1) != Some(("store", times)) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let began = tokio::time::Instant::now();
        let watched = tokio::spawn(Arc::clone(&all).watch());
        read(1).await;
        assert!(began.elapsed() >= hour);
        all.read_every(Duration::from_secs(10));
        let began = tokio::time::Instant::now();
        read(2).await;
        assert!(began.elapsed() < hour);
        watched.abort();
    }

    #[test]
    fn a_certificate_that_expires_soon_is_told_once() {
        let soon = clock::unix_seconds() + 1000;
        let part = Part(Mutex::new(vec![Ok(false)]), soon);
        let all = Certificates::new(Vec::new(), Duration::from_secs(1), Arc::default());
        let all = Certificates { users: vec![Arc::new(part)], ..all };
        assert_eq!(all.new_ones().len(), 1);
        assert!(all.new_ones().is_empty());
        let told = all.news(&[]);
        assert!(told[0].starts_with("the certificate in a.pem (a.test) expires on"), "{told:?}");
        assert!(all.news(&[]).is_empty());
    }
}

//! Checks of TLS: the files can be used, and nothing is set that has no effect.

use super::super::address::RegisterUrl;
use super::super::reading::Reading;
use super::super::schema::{Config, Register};
use crate::clock;
use crate::tls::{self, ClientAuth, ClientFiles};

/// Checks where clients connect, and the settings for TLS to them.
pub(super) fn to_clients(reading: &mut Reading, config: &Config) {
    addresses(reading, config);
    if config.tls.listen.is_empty() {
        let tls = &config.tls;
        for (path, is_set) in [
            ("tls.cert_file", tls.cert_file.is_some()),
            ("tls.key_file", tls.key_file.is_some()),
            ("tls.client_ca_file", tls.client_ca_file.is_some()),
            ("tls.client_auth", tls.client_auth != ClientAuth::Off),
        ] {
            if is_set {
                reading.fault(
                    &[path, "tls.listen"],
                    "has no effect while tls.listen names no address",
                );
            }
        }
        if !config.certificates.is_empty() {
            let message = "has no effect while tls.listen names no address";
            reading.fault(&["certificate #1", "tls.listen"], message);
        }
        return;
    }
    for (path, what) in [("tls.cert_file", "the certificate"), ("tls.key_file", "its key")] {
        reading
            .require(path, &format!("{what}, in PEM form, that clients at tls.listen are shown"));
    }
    let with_ca = config.tls.client_ca_file.is_some();
    if with_ca != (config.tls.client_auth != ClientAuth::Off) {
        reading.fault(&["tls.client_auth", "tls.client_ca_file"], CLIENT_AUTH);
    }
    certificates(reading, config);
}

/// Checks that there is an address, and that no two are the same.
fn addresses(reading: &mut Reading, config: &Config) {
    let all = config.addresses();
    if all.is_empty() {
        let message = "names no address, and tls.listen neither: no client could connect";
        reading.fault(&["listen", "tls.listen"], message);
    }
    if all.len() > ADDRESSES_MAX {
        let message = format!("and tls.listen name more than {ADDRESSES_MAX} addresses");
        reading.fault(&["listen", "tls.listen"], message);
    }
    let twice = |number: usize| all[number].port() != 0 && all[..number].contains(&all[number]);
    if let Some(number) = (0..all.len()).find(|number| twice(*number)) {
        let message = format!("{} is named twice in listen and tls.listen", all[number]);
        reading.fault(&["listen", "tls.listen"], message);
    }
}

/// Reads the files towards clients.
fn certificates(reading: &mut Reading, config: &Config) {
    let now = clock::unix_seconds();
    let Some(settings) = config.server_tls() else { return };
    for (number, files) in settings.certificates.iter().enumerate() {
        let table = if number == 0 { "tls".to_owned() } else { format!("certificate #{number}") };
        match files.check() {
            Ok(info) => reading.warnings.extend(info.warning(now)),
            Err(fault) => reading.fault(&[&format!("{table}.{}", fault.key)], fault.sentence),
        }
    }
    if let Some(Err(fault)) = settings.client_ca_file.as_ref().map(tls::check_client_ca_file) {
        reading.fault(&["tls.client_ca_file"], fault.sentence);
    }
}

/// As many sockets are handed over to a successor at once.
const ADDRESSES_MAX: usize = 32;

const CLIENT_AUTH: &str = "and tls.client_ca_file belong together: \"optional\" or \"required\" with \
                           the authorities of clients' certificates, or \"off\" without";

/// Checks the files for TLS to the store.
pub(super) fn to_store(reading: &mut Reading, config: &Config) {
    let files = config.backend.tls();
    let by_tls = config.backend.nodes().iter().any(|endpoint| endpoint.https);
    if by_tls
        || (reading.is_faulty(&["backend.url", "backend.urls"]) && files != ClientFiles::default())
    {
        used(reading, "backend", &files);
        return;
    }
    for path in ["backend.ca_file", "backend.client_cert_file", "backend.client_key_file"] {
        if reading.is_written(path) {
            let message = "has no meaning with an http:// store; leave it out, or write https://";
            reading.fault(&[path], message);
        }
    }
}

/// Checks the settings for TLS to Redis.
pub(super) fn to_redis(reading: &mut Reading, register: &Register) {
    if !matches!(register.url, RegisterUrl::Redis { tls: true, .. }) {
        for path in FOR_TLS_TO_REDIS {
            if reading.is_written(path) {
                let message = "is for TLS to Redis: write rediss:// (rediss+sentinel://, \
                               rediss+cluster://) in register.url, or leave it out";
                reading.fault(&[path, "register.url"], message);
            }
        }
        return;
    }
    if let Some(name) = register.server_name.as_deref().filter(|name| !tls::is_server_name(name)) {
        let message = format!("\"{name}\" is neither a host name nor an address");
        reading.fault(&["register.server_name"], message);
    }
    used(reading, "register", &register.tls().files);
}

const FOR_TLS_TO_REDIS: [&str; 4] = [
    "register.ca_file",
    "register.client_cert_file",
    "register.client_key_file",
    "register.server_name",
];

/// Reads the files that a section names.
fn used(reading: &mut Reading, section: &str, files: &ClientFiles) {
    match files.certificates() {
        Ok(shown) => {
            let now = clock::unix_seconds();
            reading.warnings.extend(shown.iter().filter_map(|shown| shown.warning(now)));
        }
        Err(fault) => {
            let path = format!("{section}.{}", fault.key);
            reading.fault(&[&path], fault.sentence);
        }
    }
}

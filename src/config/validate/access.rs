//! Validation of rights: clients, requests without a signature, rules.

use crate::config::access::{BucketPattern, Buckets, Client, Rule};
use crate::config::choices::{Consistency, RuleMode, Signatures};
use crate::config::keys::path;
use crate::config::reading::Reading;
use crate::config::schema::Config;
use crate::s3::configuration::reaching;

/// Checks that each list of buckets has at least one valid pattern.
pub(super) fn buckets(reading: &mut Reading, config: &Config) {
    for (table, buckets) in tables_with_buckets(config) {
        let at = path(&table, "buckets");
        if buckets.0.is_empty() {
            let what = match table.split(' ').next() {
                Some("client") => "this client could do nothing",
                Some("rule") => "this rule would be about nothing",
                _ => "nothing could be done",
            };
            reading.fault(&[&at], format!("is empty: {what}; \"*\" is all buckets"));
        }
        for pattern in buckets.0.iter().filter(|pattern| !pattern.can_be()) {
            let message = format!(
                "\"{pattern}\" is not a bucket's name, or its beginning with a \"*\" at the end"
            );
            reading.faults.push(&at, message);
        }
    }
}

/// The first matching rule decides a key. So a rule with the same settings for the same keys as an
/// earlier one is a fault, and a rule that never decides causes a warning.
pub(super) fn rules(reading: &mut Reading, config: &Config) {
    let mut earlier: Vec<(usize, &Rule)> = Vec::new();
    for (number, rule) in (1..).zip(&config.rules) {
        let table = format!("rule #{number}");
        let buckets = path(&table, "buckets");
        if !reading.is_faulty(&[&buckets, &path(&table, "prefix")]) {
            let twin = earlier.iter().find(|(_, known)| are_about_the_same(known, rule));
            if let Some((twin, _)) = twin {
                let message = format!("is about the same keys as rule #{twin}; keep one");
                reading.faults.push(buckets, message);
            } else if is_covered(&earlier, rule) {
                reading.warnings.push(format!(
                    "rule #{number} never decides: earlier rules are about all of its keys; the \
                     first that fits decides, so write the narrower one first"
                ));
            }
            earlier.push((number, rule));
        }
        if rule.mode == RuleMode::Pass && rule.require.is_some() {
            reading.warnings.push(format!(
                "rule #{number} passes writes and requires a condition: that one is sent is seen to, \
                 whether it holds is left to the store"
            ));
        }
        if rule.consistency == Consistency::Guarded {
            let consistency = path(&table, "consistency");
            if config.register.terms.lag.is_zero() && config.backend.strong_headers.is_empty() {
                reading.fault(&[&consistency, "register.lag", "backend.strong_headers"], NO_LAG);
            }
            if rule.mode == RuleMode::Pass {
                reading.fault(&[&consistency, &path(&table, "mode")], NOT_IN_THE_REGISTER);
            }
            if config.signatures == Signatures::Passthrough {
                reading.fault(&[&consistency, "signatures"], NOT_READ_FOR_THEM);
            }
        }
        let allowed = path(&table, "allow_configuration");
        let unknown = |name: &&String| !reaching().any(|known| known == *name);
        if let Some(name) = rule.allow_configuration.iter().find(unknown) {
            let all: Vec<_> = reaching().collect();
            let message = format!("\"{name}\" is none of {}", all.join(", "));
            reading.fault(&[&allowed], message);
        }
        if rule.require.is_none() && !rule.allow_configuration.is_empty() {
            reading.warnings.push(format!(
                "rule #{number} requires nothing, so its allow_configuration says nothing"
            ));
        }
    }
}

const NO_LAG: &str = "\"guarded\" is for a store that lags; say by how much with register.lag, or how it \
                      is asked to be consistent with backend.strong_headers";
const NOT_IN_THE_REGISTER: &str =
    "\"guarded\" needs mode \"guard\": of writes that pass the register knows nothing";
const NOT_READ_FOR_THEM: &str = "\"guarded\" needs signatures = \"resign\": a read that is sent on as its sender \
                                 signed it cannot be asked again";

fn are_about_the_same(a: &Rule, b: &Rule) -> bool {
    let all_in =
        |these: &Buckets, those: &Buckets| these.0.iter().all(|pattern| those.0.contains(pattern));
    a.prefix() == b.prefix() && all_in(&a.buckets, &b.buckets) && all_in(&b.buckets, &a.buckets)
}

/// Whether for each of its buckets an earlier rule covers all of its keys.
fn is_covered(earlier: &[(usize, &Rule)], rule: &Rule) -> bool {
    rule.buckets.0.iter().all(|pattern| {
        earlier.iter().any(|(_, known)| {
            rule.prefix().starts_with(known.prefix())
                && known.buckets.0.iter().any(|wider| wider.covers(pattern))
        })
    })
}

/// An access key comes before a `/` in the credential of a signature (AWS: Signature Version 4), so
/// it can contain no slash, comma or blank.
pub(super) fn access_key(reading: &mut Reading, path: &str, key: &str) {
    if !key.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '/' | ',')) {
        let message = "may hold visible ASCII characters only, and no \"/\" or \",\"";
        reading.fault(&[path], message);
    }
}

/// Checks that no access key occurs twice, and that no read-only client may configure buckets.
pub(super) fn clients(reading: &mut Reading, config: &Config) {
    for (index, client) in config.clients.iter().enumerate() {
        let table = format!("client #{}", index + 1);
        let Client { access_key_id, rights, .. } = client;
        let at = path(&table, "access_key_id");
        access_key(reading, &at, access_key_id);
        if config.clients[..index].iter().any(|known| known.access_key_id == *access_key_id) {
            let message = format!("{access_key_id} is the key of an earlier client");
            reading.fault(&[&at], message);
        }
        if client.previous_secret_access_key.as_ref() == Some(&client.secret_access_key) {
            reading.warnings.push(format!(
                "{}: it is the same as secret_access_key, so only one secret is accepted",
                path(&table, "previous_secret_access_key")
            ));
        }
        certificate_names(reading, config, &table, client);
        if rights.read_only && rights.configure {
            let message = "is for a client that may write, not read_only";
            reading.fault(&[&path(&table, "configure")], message);
        }
    }
    let (buckets, read_only) = ("anonymous.buckets", "anonymous.read_only");
    if reading.is_written(read_only) && !reading.is_written(buckets) {
        reading.fault(&[buckets], "is missing: the buckets open to all");
    }
    if config.anonymous.as_ref().is_some_and(|rights| !rights.read_only) {
        reading.warnings.push(format!(
            "{read_only} is false: every client that can reach this proxy may change and delete objects in {buckets}"
        ));
    }
    let open = config.anonymous.is_some() || config.signatures == Signatures::Passthrough;
    if reading.overlay.clients == 0 && config.embedded.is_none() && !open {
        reading.fault(&["client", buckets], NO_CLIENT);
    }
}

/// Checks that the names of a client's certificate can be proved at all.
fn certificate_names(reading: &mut Reading, config: &Config, table: &str, client: &Client) {
    let at = path(table, "certificate_names");
    let Some(names) = &client.certificate_names else { return };
    if names.is_empty() {
        reading.fault(&[&at], "is empty: leave it out, if this client needs no certificate");
    } else if config.tls.listen.is_empty() {
        let message = "needs TLS towards clients: without tls.listen no client can show a \
                       certificate, so each of its requests would be refused";
        reading.fault(&[&at, "tls.listen"], message);
    } else if config.tls.client_ca_file.is_none() {
        let message = "needs tls.client_ca_file, the authorities of clients' certificates, and \
                       tls.client_auth \"optional\" or \"required\"";
        reading.fault(&[&at, "tls.client_ca_file", "tls.client_auth"], message);
    }
}

/// With `signatures = "passthrough"` no settings here decide which clients are allowed.
pub(super) fn passthrough(reading: &mut Reading, config: &Config) {
    let is_written = |path: &&str| reading.is_written(path);
    let ours = ["anonymous.buckets", "region", "signature_v2"].into_iter().filter(is_written);
    let clients = Some("client").filter(|_| reading.overlay.clients > 0);
    for path in clients.into_iter().chain(ours).collect::<Vec<_>>() {
        reading.faults.push(path, FOR_RESIGN);
    }
    let added = [
        ("backend.write_ids", config.backend.write_ids),
        ("backend.strong_headers", !config.backend.strong_headers.is_empty()),
    ];
    for (path, _) in added.into_iter().filter(|(_, is_set)| *is_set) {
        let message = "contradicts signatures = \"passthrough\": nothing can be added to a request \
                       that its sender has signed";
        reading.fault(&[path], message);
    }
    if config.embedded.is_some() {
        let message = "\"passthrough\" contradicts --embedded: only this process knows the key of \
                       its store";
        reading.fault(&["signatures"], message);
    }
    reading.warnings.push(PASSTHROUGH.to_owned());
}

/// Warns of buckets whose names are reserved.
pub(super) fn reserved(reading: &mut Reading, config: &Config) {
    for (table, buckets) in tables_with_buckets(config) {
        not_reserved(reading, &path(&table, "buckets"), buckets, &config.backend.reserved);
    }
}

/// All tables that name buckets.
fn tables_with_buckets(config: &Config) -> Vec<(String, &Buckets)> {
    let clients = config.clients.iter().enumerate();
    let clients = clients.map(|(i, client)| (format!("client #{}", i + 1), &client.rights.buckets));
    let rules = config.rules.iter().enumerate();
    let rules = rules.map(|(i, rule)| (format!("rule #{}", i + 1), &rule.buckets));
    let anonymous = config.anonymous.iter().map(|of| ("anonymous".to_owned(), &of.buckets));
    clients.chain(rules).chain(anonymous).collect()
}

/// Warns about a bucket whose name is reserved: every request for it is refused.
fn not_reserved(reading: &mut Reading, path: &str, buckets: &Buckets, reserved: &[String]) {
    let named = buckets.0.iter().filter_map(|bucket| match bucket {
        BucketPattern::Name(name) => Some(name),
        BucketPattern::Prefix(_) => None,
    });
    for name in named.filter(|name| reserved.contains(&name.to_ascii_lowercase())) {
        reading.warnings.push(format!(
            "{path} names \"{name}\", which backend.reserved keeps from being used as a bucket; take it \
             off that list if the store serves nothing else under this name"
        ));
    }
}

const FOR_RESIGN: &str = "is for signatures = \"resign\"; with \"passthrough\" the store alone decides \
                          which clients are allowed: leave it out";
const PASSTHROUGH: &str = "signatures = \"passthrough\": every client that can reach this proxy learns \
                           whether a condition holds, before the store has checked its signature; let \
                           only clients reach it that may know which keys exist";
const NO_CLIENT: &str = "no client is configured, so every request would be refused; write a [[client]] with \
                         access_key_id and secret_access_key_file, or set IFMATCH_ACCESS_KEY_ID and \
                         IFMATCH_SECRET_ACCESS_KEY";

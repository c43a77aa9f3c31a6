//! Who may come: each `[[client]]`, the one that the environment describes, and whoever comes
//! unsigned.

use super::describe::Line;
use super::keys::client_path;
use super::reading::Reading;
use super::rules;
use super::secrets;
use super::settings::{BucketPattern, Client, Rights};

/// The clients numbered from 1 to `count`; the one from the environment, if any, is the last.
pub(super) fn read(reading: &mut Reading, count: usize, last_is_environment: bool) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    for number in 1..=count {
        let variables = last_is_environment && number == count;
        let Some(client) = read_one(reading, number, variables) else { continue };
        if clients.iter().any(|known| known.access_key_id == client.access_key_id) {
            let path = client_path(number, "access_key_id");
            let message = format!("{} is the key of an earlier client", client.access_key_id);
            reading.faults.push(path, message);
        }
        clients.push(client);
    }
    clients
}

fn read_one(reading: &mut Reading, number: usize, variables: bool) -> Option<Client> {
    let path = |name: &str| client_path(number, name);
    if variables && !reading.is_written(&path("access_key_id")) {
        let message = "is missing beside IFMATCH_SECRET_ACCESS_KEY: a client has both";
        reading.faults.push("IFMATCH_ACCESS_KEY_ID", message);
        return None;
    }
    let access_key_id = reading.required::<String>(&path("access_key_id"));
    rules::access_key(reading, &path("access_key_id"), access_key_id.as_deref());
    let stem = path("secret_access_key");
    let secret_access_key = secrets::read(reading, &stem);
    secrets::refuse_missing(reading, &stem, CLIENT_SECRET);
    let session_token = secrets::token(reading, &path("session_token"));
    let names = reading.value(&path("buckets"));
    let buckets = buckets(reading, &path("buckets"), names, "this client could do nothing");
    let read_only = reading.value(&path("read_only"));
    let configure = reading.value(&path("configure"));
    if read_only && configure {
        reading.faults.push(path("configure"), "is for a client that may write, not read_only");
    }
    Some(Client {
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token,
        rights: Rights { buckets, read_only, configure },
    })
}

/// `[anonymous]`; `None` where nobody may come unsigned, which is so unless buckets are named.
pub(super) fn anonymous(reading: &mut Reading) -> Option<Rights> {
    let (buckets_path, read_only_path) = ("anonymous.buckets", "anonymous.read_only");
    if !reading.is_written(buckets_path) {
        reading.lines.push(Line::unset(buckets_path, "nobody may come unsigned"));
        if reading.is_written(read_only_path) {
            reading.faults.push(buckets_path, "is missing: the buckets open to everybody");
        }
        return None;
    }
    let names = reading.optional(buckets_path)?;
    let buckets = buckets(reading, buckets_path, names, "nothing could be done");
    let read_only = reading.derived(read_only_path, true);
    if !read_only {
        reading.warnings.push(format!(
            "{read_only_path} is false: whoever reaches this proxy may change and delete what is \
             in {buckets_path}"
        ));
    }
    Some(Rights { buckets, read_only, configure: false })
}

/// Buckets by name or by how it begins. `if_empty` says what it would mean to name none.
pub(super) fn buckets(
    reading: &mut Reading,
    path: &str,
    names: Vec<String>,
    if_empty: &str,
) -> Vec<BucketPattern> {
    if names.is_empty() && !reading.faults.any_at(&[path]) {
        reading.faults.push(path, format!("is empty: {if_empty}; \"*\" is all buckets"));
    }
    let mut patterns = Vec::new();
    for text in names {
        let pattern = match text.strip_suffix('*') {
            Some(prefix) => BucketPattern::Prefix(prefix.to_owned()),
            None => BucketPattern::Name(text.clone()),
        };
        let (BucketPattern::Prefix(name) | BucketPattern::Name(name)) = &pattern;
        if name.contains(['*', '/']) || text.is_empty() {
            let message = format!(
                "\"{text}\" is not a bucket's name, or its beginning with a \"*\" at the end"
            );
            reading.faults.push(path, message);
        }
        patterns.push(pattern);
    }
    patterns
}

const CLIENT_SECRET: &str = "IFMATCH_ACCESS_KEY_ID and IFMATCH_SECRET_ACCESS_KEY for a client that \
                             is in no file";

//! Overrides from the environment: `IFMATCH_` and the key's path in upper case.

use super::faults::Faults;
use super::keys::{self, CLIENT_VARIABLES, COMMAND_LINE_VARIABLES, KEYS, PREFIX};
use super::layers::{Layer, Source, Written};
use super::values::Raw;

/// The variables of this process. What is not UTF-8 comes with replacement characters.
pub fn of_process() -> Vec<(String, String)> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

/// The settings among the variables. An empty variable counts as not set, as container tools
/// cannot leave one out. `clients` is how many the file has: the environment's client comes after
/// them. The second value says whether there is one.
pub(super) fn read(variables: &[(String, String)], clients: usize) -> (Layer, bool) {
    let mut layer = Layer::new();
    let mut client = false;
    for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
        let path = if let Some((_, key)) = CLIENT_VARIABLES.iter().find(|(known, _)| known == name)
        {
            client = true;
            keys::client_path(clients + 1, key)
        } else if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
            key.path.to_owned()
        } else {
            continue;
        };
        let source = Source::Environment(name.clone());
        layer.insert(path, Written { raw: Raw::Plain(value.clone()), source });
    }
    (layer, client)
}

/// Reports every variable with our prefix that means nothing, except those that a `_env` key
/// names as the place of a secret.
pub(super) fn refuse_unknown(
    variables: &[(String, String)],
    settings: &Layer,
    faults: &mut Faults,
) {
    let known: Vec<String> = KEYS
        .iter()
        .map(keys::Key::variable)
        .chain(CLIENT_VARIABLES.iter().map(|(name, _)| (*name).to_owned()))
        .chain(COMMAND_LINE_VARIABLES.iter().map(|name| (*name).to_owned()))
        .collect();
    let mut unknown: Vec<&str> = variables
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with(PREFIX) && !known.iter().any(|known| known == name))
        .filter(|name| !names_a_secret(settings, name))
        .collect();
    unknown.sort_unstable();
    for name in unknown {
        let nearest = keys::nearest(name, known.iter().map(String::as_str)).unwrap_or_default();
        faults.push(name, format!("there is no such setting; the nearest is {nearest}"));
    }
}

fn names_a_secret(settings: &Layer, name: &str) -> bool {
    settings.iter().filter(|(path, _)| path.ends_with("_env")).any(|(_, written)| {
        match &written.raw {
            Raw::Plain(text) | Raw::Toml(toml::Value::String(text)) => text == name,
            Raw::Toml(_) => false,
        }
    })
}

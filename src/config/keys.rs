//! Names of settings: the keys of each table, from the structs in `schema` and `access`, and the
//! environment variable for each.

use super::access::{Anonymous, Client, Rights, Rule};
use super::schema::{
    Admin, Backend, Body, Certificate, Config, EmbeddedStore, Limits, Log, Register, Tls, Traces,
};
use super::values::keys_of;
use crate::register::Terms;

/// The tables of the file in their order; the first is the file itself.
pub(super) const TABLES: [&str; 14] = [
    "",
    "tls",
    "backend",
    "register",
    "body",
    "limits",
    "embedded",
    "log",
    "admin",
    "traces",
    "anonymous",
    "client",
    "rule",
    "certificate",
];

/// The tables that may occur several times: `[[client]]`.
pub(super) const REPEATED: [&str; 3] = ["client", "rule", "certificate"];

/// Whether the file may have this table several times: `[[client]]`.
pub(super) fn is_repeated(table: &str) -> bool {
    REPEATED.contains(&table)
}

/// The keys whose values are secrets. The file names the place of the secret: in the same key with
/// `_file` or `_env`. Only the environment may contain the secret itself.
pub(super) const SECRETS: [&str; 7] = [
    "secret_access_key",
    "previous_secret_access_key",
    "session_token",
    "password",
    "sentinel_password",
    "token",
    "headers",
];

/// The fields of a table's structs.
pub(super) fn fields(table: &str) -> Vec<&'static str> {
    match table {
        "" => keys_of::<Config>().to_vec(),
        "tls" => keys_of::<Tls>().to_vec(),
        "certificate" => keys_of::<Certificate>().to_vec(),
        "backend" => keys_of::<Backend>().to_vec(),
        "register" => [keys_of::<Register>(), keys_of::<Terms>()].concat(),
        "body" => keys_of::<Body>().to_vec(),
        "limits" => keys_of::<Limits>().to_vec(),
        "embedded" => keys_of::<EmbeddedStore>().to_vec(),
        "log" => keys_of::<Log>().to_vec(),
        "admin" => keys_of::<Admin>().to_vec(),
        "traces" => keys_of::<Traces>().to_vec(),
        "anonymous" => keys_of::<Anonymous>().to_vec(),
        "client" => [keys_of::<Client>(), keys_of::<Rights>()].concat(),
        "rule" => keys_of::<Rule>().to_vec(),
        _ => Vec::new(),
    }
}

/// The keys that a table may have in the file.
pub(super) fn keys_in_file(table: &str) -> Vec<String> {
    let in_file = |field: &'static str| {
        if SECRETS.contains(&field) {
            vec![format!("{field}_file"), format!("{field}_env")]
        } else {
            vec![field.to_owned()]
        }
    };
    fields(table).into_iter().flat_map(in_file).collect()
}

/// The environment variables, each with its table and key. A client in the environment has only its
/// credential; its variables do not contain the table's name.
pub(super) fn variables() -> Vec<(String, &'static str, String)> {
    let mut all = Vec::new();
    for table in TABLES.into_iter().filter(|table| !["rule", "certificate"].contains(table)) {
        let secrets = fields(table).into_iter().filter(|field| SECRETS.contains(field));
        let keys = secrets.map(str::to_owned).chain(keys_in_file(table));
        for key in keys.filter(|key| table != "client" || is_of_a_credential(key)) {
            let path = if table == "client" { key.clone() } else { path(table, &key) };
            all.push((PREFIX.to_owned() + &path.to_uppercase().replace('.', "_"), table, key));
        }
    }
    all
}

fn is_of_a_credential(key: &str) -> bool {
    let mut fields = keys_of::<Client>().iter().filter(|field| **field != "certificate_names");
    fields.any(|field| key.starts_with(field))
}

/// The prefix of all variables of this program.
pub(super) const PREFIX: &str = "IFMATCH_";

/// The variable that the command line reads.
pub(super) const CONFIG_VARIABLE: &str = "IFMATCH_CONFIG";

/// The place of a fault where no file was named.
pub(super) const FILE_FLAG: &str = "--config";

/// What `ifmatch store` is told, in a shell in which other commands may be given too.
pub(super) const STORE_VARIABLES: [&str; 2] =
    ["IFMATCH_STORE_ACCESS_KEY_ID", "IFMATCH_STORE_SECRET_ACCESS_KEY"];

/// The path of a key.
pub(super) fn path(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// The three keys for one secret: the secret itself, a file, the name of a variable.
pub(super) fn secret_paths(stem: &str) -> [String; 3] {
    [stem.to_owned(), format!("{stem}_file"), format!("{stem}_env")]
}

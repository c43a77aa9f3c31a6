//! The JSON schema of the configuration file, for editors. It is generated from the types of the
//! sections, so that it cannot contradict them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::access::{Anonymous, Client, Rights, Rule};
use super::keys::SECRETS;
use super::schema::{
    Admin, Backend, Body, Certificate, Config, EmbeddedStore, Limits, Log, Register, Tls, Traces,
};
use crate::register::Terms;

/// The schema as JSON text, as in `config/ifmatch.schema.json`.
pub fn json_schema() -> String {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let mut generator = settings.into_generator();
    let mut root = properties::<Config>(&mut generator);
    let generator = &mut generator;
    for (table, properties) in [
        ("tls", properties::<Tls>(generator)),
        ("backend", properties::<Backend>(generator)),
        ("register", both::<Register, Terms>(generator)),
        ("body", properties::<Body>(generator)),
        ("limits", properties::<Limits>(generator)),
        ("embedded", properties::<EmbeddedStore>(generator)),
        ("log", properties::<Log>(generator)),
        ("admin", properties::<Admin>(generator)),
        ("traces", properties::<Traces>(generator)),
        ("anonymous", properties::<Anonymous>(generator)),
    ] {
        root.insert(table.to_owned(), object(&properties));
    }
    for (table, properties) in [
        ("client", both::<Client, Rights>(generator)),
        ("rule", properties::<Rule>(generator)),
        ("certificate", properties::<Certificate>(generator)),
    ] {
        root.insert(table.to_owned(), json!({ "type": "array", "items": object(&properties) }));
    }
    let mut schema = object(&root);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("ifmatch.toml");
    format!("{schema:#}\n")
}

fn object(properties: &Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn both<A: JsonSchema, B: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut all = properties::<A>(generator);
    all.extend(properties::<B>(generator));
    all
}

/// The keys of a section's struct. For a secret the file has keys that name its place. Defaults are
/// left to `config/ifmatch.toml`: those that follow from other values are not constants.
fn properties<T: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let schema = Value::from(T::json_schema(generator));
    let Value::Object(fields) = schema["properties"].clone() else { return Map::new() };
    let mut properties = Map::new();
    for (key, mut field) in fields {
        if SECRETS.contains(&key.as_str()) {
            let what = field["description"].as_str().unwrap_or_default();
            for (end, place) in [("file", "file"), ("env", "environment variable")] {
                let description = format!("{what} The name of the {place} that holds it.");
                let place = json!({ "type": "string", "description": description });
                properties.insert(format!("{key}_{end}"), place);
            }
        } else {
            tidy(&mut field);
            properties.insert(key, field);
        }
    }
    properties
}

/// Removes defaults, and `null`, which TOML does not have.
fn tidy(field: &mut Value) {
    let Some(field) = field.as_object_mut() else { return };
    field.remove("default");
    if let Some(Value::Array(types)) = field.get_mut("type") {
        types.retain(|name| name != "null");
    }
    if let Some(Value::Array(forms)) = field.get_mut("anyOf") {
        forms.retain(|form| form["type"] != "null");
    }
}

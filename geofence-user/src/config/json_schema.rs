//! The JSON Schema of a configuration file, made from the declarations that read the keys.
//!
//! A schema knows names, types, words and ranges. What a spelling means, the reader of the key alone decides.

use serde_json::{Map, Value, json};

use super::key_doc::{KeyDoc, Kind, Shape};
use super::parse::DEFAULT;
use super::schema::{KEYS, TABLES};

/// The schema, as an object of JSON Schema 2020-12.
#[must_use]
pub fn json_schema() -> Value {
    let defaults: Map<String, Value> = toml::from_str(DEFAULT).unwrap_or_default();
    let mut properties = Map::new();
    for key in KEYS.iter().map(|key| &key.doc) {
        let mut schema = of_key(key);
        if let Some(default) = defaults.get(key.name) {
            schema.insert("default".to_owned(), default.clone());
        }
        if let Some(former) = key.former_name {
            let mut schema = schema.clone();
            schema.insert("deprecated".to_owned(), json!(true));
            properties.insert(former.to_owned(), schema.into());
        }
        properties.insert(key.name.to_owned(), schema.into());
    }
    for table in TABLES.iter() {
        let schema = json!({
            "type": "array",
            "description": table.meaning(),
            "items": of_table(&table.keys()),
        });
        properties.insert(table.name().to_owned(), schema);
    }
    let mut schema = object(properties);
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".to_owned(), json!("configuration of geofence"));
    schema.into()
}

/// The schema of an entry of a table.
fn of_table(keys: &[&KeyDoc]) -> Value {
    let properties = keys
        .iter()
        .map(|key| (key.name.to_owned(), of_key(key).into()));
    let mut schema = object(properties.collect());
    let required = keys.iter().filter(|key| key.is_required);
    let required: Vec<_> = required.map(|key| key.name).collect();
    schema.insert("required".to_owned(), json!(required));
    schema.into()
}

/// The schema of a table with these keys and no others.
fn object(properties: Map<String, Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if properties.contains_key("allow-only") {
        schema.insert(
            "not".to_owned(),
            json!({ "required": ["block", "allow-only"] }),
        );
    }
    schema.insert("properties".to_owned(), properties.into());
    schema
}

/// The schema of a key's value.
fn of_key(key: &KeyDoc) -> Map<String, Value> {
    let mut schema = Map::new();
    let mut set = |name: &str, value| schema.insert(name.to_owned(), value);
    let mut form = None;
    match &key.kind {
        Kind::Word(words) => {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            set("enum", json!(words));
        }
        Kind::Text(text) => {
            set("type", json!("string"));
            form = Some(*text);
        }
        Kind::List(text) => {
            set("type", json!("array"));
            set("items", json!({ "type": "string" }));
            set("uniqueItems", json!(true));
            form = Some(*text);
        }
        Kind::Number(range) => {
            set("type", json!("integer"));
            set("minimum", json!(range.start()));
            set("maximum", json!(range.end()));
        }
        Kind::Switch => {
            set("type", json!("boolean"));
        }
        Kind::Inline(text, shape) => {
            for (name, value) in of_shape(*shape) {
                set(&name, value);
            }
            form = Some(*text);
        }
    }
    let description = match form {
        Some(form) => format!("{} Takes {form}.", key.meaning),
        None => key.meaning.to_owned(),
    };
    set("description", json!(description));
    schema
}

/// The schema of an inline table.
fn of_shape(shape: Shape) -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let secret = json!({
        "type": "object",
        "properties": { "credential": text, "file": text },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    });
    let schema = match shape {
        Shape::Secret => secret,
        Shape::Secrets => json!({ "type": "object", "additionalProperties": secret }),
        Shape::Login => json!({
            "type": "object",
            "properties": { "user": text, "password": secret },
            "additionalProperties": false,
            "required": ["user", "password"],
        }),
    };
    if let Value::Object(schema) = schema {
        schema
    } else {
        Map::new()
    }
}

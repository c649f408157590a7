//! The JSON Schema: what the readers accept, it accepts, and it refuses what it can see.

use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;

use crate::config::{DEFAULT, examples, json_schema};

fn validator() -> Validator {
    jsonschema::draft202012::new(&json_schema()).unwrap()
}

/// What the schema says against a TOML text.
fn faults(validator: &Validator, text: &str) -> Vec<String> {
    let value: Value = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let faults = validator.iter_errors(&value);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

/// The blocks of a Markdown text that are TOML.
fn toml_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match &mut block {
            None if line == "```toml" => block = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(block.take()),
            Some(text) => *text += &format!("{line}\n"),
        }
    }
    blocks
}

#[test]
fn the_shipped_file_and_every_block_of_the_documentation_fit_the_schema() {
    let validator = validator();
    assert_eq!(faults(&validator, DEFAULT), [""; 0]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let mut blocks = 0;
    for path in docs.chain([root.join("README.md")]) {
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        for block in toml_blocks(&std::fs::read_to_string(&path).unwrap()) {
            let faults = faults(&validator, &block);
            assert_eq!(faults, [""; 0], "{}:\n{block}", path.display());
            blocks += 1;
        }
    }
    assert!(blocks > 10, "only {blocks} blocks were found");
}

#[test]
fn every_key_is_in_the_schema_with_its_example() {
    let schema = json_schema();
    for example in examples() {
        // A key that excludes another is commented out.
        let line = example.line.trim_start_matches("# ");
        let value: Value = toml::from_str(line).unwrap();
        let keys = match example.table {
            None => &schema["properties"],
            Some(table) => &schema["properties"][table]["items"]["properties"],
        };
        let key = &keys[example.key];
        assert!(key.is_object(), "{example:?}");
        let validator = jsonschema::draft202012::new(key).unwrap();
        assert!(validator.is_valid(&value[example.key]), "{example:?}");
    }
}

#[test]
fn wrong_types_words_numbers_and_names_are_refused() {
    let validator = validator();
    for text in [
        "mode = \"drop\"",
        "mode = 1",
        "interfaces = \"eth0\"",
        "interfaces = [\"eth0\", \"eth0\"]",
        "rate-limit = -1",
        "rate-limit = 1000001",
        "mta-sts = \"yes\"",
        "blocks = [\"RU\"]",
        "block = [\"RU\"]\nallow-only = [\"DE\"]",
        "[[tenant]]\nprefixes = [\"192.0.2.0/24\"]",
        "[[list]]\nname = \"one\"\nurls = \"https://lists.example/\"",
        "[tenant]\nname = \"one\"",
    ] {
        assert!(!faults(&validator, text).is_empty(), "{text}");
    }
    assert_eq!(faults(&validator, "pressure = 200"), [""; 0]);
}

//! The definitions that are checked in are those of the types, and the examples and the rights fit them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use geofence_controller::crds;
use serde_json::{Value, json};

const DEFINITIONS: &str = "fleet/crds.yaml";

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/kubernetes")
        .join(path)
}

fn documents(path: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file(path)).with_context(|| path.to_owned())?;
    serde_saphyr::from_multiple(&text).with_context(|| path.to_owned())
}

/// The schema of a kind, where what it does not name is refused.
fn schema(kind: &str) -> Result<Value> {
    let all = crds::all();
    let found = all.iter().find(|one| one.spec.names.kind == kind);
    let version = found.and_then(|one| one.spec.versions.first());
    let schema = version.and_then(|one| one.schema.as_ref());
    let schema = schema.with_context(|| format!("no schema of {kind}"))?;
    let mut schema = serde_json::to_value(&schema.open_api_v3_schema)?;
    close(&mut schema);
    let metadata = json!({"type": "object"});
    for (key, value) in [
        ("metadata", metadata),
        ("apiVersion", json!({"type": "string"})),
        ("kind", json!({"type": "string"})),
    ] {
        schema["properties"][key] = value;
    }
    Ok(schema)
}

/// A cluster drops what a schema does not name, so a typing error in an example would go unnoticed.
fn close(schema: &mut Value) {
    let properties = schema.get_mut("properties");
    if let Some(properties) = properties.and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        schema["additionalProperties"] = json!(false);
    } else if schema.get("items").is_some() {
        close(&mut schema["items"]);
    }
}

fn errors(object: &Value) -> Result<Vec<String>> {
    let kind = object["kind"].as_str().context("no kind")?;
    let schema = schema(kind)?;
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_owned())?;
    Ok(validator
        .iter_errors(object)
        .map(|error| error.to_string())
        .collect())
}

#[test]
fn definitions_are_those_of_the_types() -> Result<()> {
    let expected = crds::yaml()?;
    if std::env::var_os("GEOFENCE_BLESS").is_some() {
        fs::write(file(DEFINITIONS), &expected)?;
    }
    let found = fs::read_to_string(file(DEFINITIONS))?;
    ensure!(
        found == expected,
        "{DEFINITIONS} is not what `geofence-controller crds` prints; GEOFENCE_BLESS=1 writes it anew:\n{expected}"
    );
    Ok(())
}

#[test]
fn definitions_have_columns_a_status_and_conditions_as_a_map() -> Result<()> {
    for document in documents(DEFINITIONS)? {
        let name = document["metadata"]["name"].as_str().context("no name")?;
        ensure!(name.ends_with(".geofence.internal"), "{name}");
        assert_eq!(document["spec"]["scope"], "Cluster", "{name}");
        let version = &document["spec"]["versions"][0];
        assert_eq!(version["subresources"]["status"], json!({}), "{name}");
        let columns = version["additionalPrinterColumns"].as_array();
        let columns: Vec<_> = columns
            .into_iter()
            .flatten()
            .map(|one| &one["name"])
            .collect();
        ensure!(columns.contains(&&json!("Ready")), "{name}: {columns:?}");
        let status = &version["schema"]["openAPIV3Schema"]["properties"]["status"];
        let conditions = &status["properties"]["conditions"];
        assert_eq!(
            conditions["x-kubernetes-list-map-keys"],
            json!(["type"]),
            "{name}"
        );
        ensure!(
            !status["properties"]["observedGeneration"].is_null(),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn examples_fit_the_definitions_and_errors_in_them_are_noticed() -> Result<()> {
    let mut kinds = BTreeSet::new();
    for name in ["exception", "list", "policy"] {
        for example in documents(&format!("fleet-example/{name}.yaml"))? {
            let found = errors(&example)?;
            ensure!(found.is_empty(), "{name}: {found:?}");
            kinds.insert(example["kind"].to_string());
            let mut wrong = example.clone();
            wrong["spec"]["reson"] = json!("a typing error");
            ensure!(
                !errors(&wrong)?.is_empty(),
                "{name}: an unknown key is accepted"
            );
            let mut wrong = example;
            wrong["spec"]["reason"] = json!("two\nlines");
            ensure!(
                !errors(&wrong)?.is_empty(),
                "{name}: two lines are accepted"
            );
        }
    }
    assert_eq!(kinds.len(), 3);
    let example = documents("fleet-example/exception.yaml")?;
    for (key, value) in [
        ("from", json!([])),
        ("ports", json!(["https"])),
        ("protocols", json!(["http"])),
        ("expires", json!("soon")),
        ("until", json!("tomorrow")),
        ("owner", json!("")),
    ] {
        let mut wrong = example[0].clone();
        wrong["spec"][key] = value;
        ensure!(!errors(&wrong)?.is_empty(), "{key}: {wrong} is accepted");
    }
    Ok(())
}

#[test]
fn examples_are_valid_to_nodes() -> Result<()> {
    let policy = documents("fleet-example/policy.yaml")?;
    let text = policy[0]["spec"]["text"].as_str().context("no text")?;
    geofence_user::config::Config::parse(text, "geofence.toml")?;
    Ok(())
}

#[test]
fn controller_may_do_what_it_needs_and_no_more() -> Result<()> {
    let documents = documents("fleet/rbac.yaml")?;
    let rules = |kind: &str| -> Vec<Value> {
        let roles = documents.iter().filter(|one| one["kind"] == kind);
        let rules = roles.filter_map(|one| one["rules"].as_array());
        rules.flatten().cloned().collect()
    };
    let plurals: Vec<_> = crds::all().map(|one| one.spec.names.plural).to_vec();
    let statuses: Vec<_> = plurals.iter().map(|one| format!("{one}/status")).collect();
    let group = ["geofence.internal"];
    assert_eq!(
        rules("ClusterRole"),
        [
            json!({"apiGroups": group, "resources": plurals, "verbs": ["list", "watch", "patch"]}),
            json!({"apiGroups": group, "resources": statuses, "verbs": ["patch"]}),
        ]
    );
    assert_eq!(
        rules("Role"),
        [json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]})]
    );
    Ok(())
}

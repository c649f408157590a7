//! The manifests for Kubernetes: the chart renders to the files of the kustomize base, and both are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use geofence_tests::daemon::binary;
use geofence_tests::python;
use serde_json::Value;

/// Renders a chart with values as JSON, by the library of Helm, and lints it; prints the files as JSON.
const RENDER: &str = r#"
import json, sys, helm_python
findings = [m for m in helm_python.lint(sys.argv[1])["messages"] if m["severity"] > 1]
assert not findings, findings
with helm_python.Chart.load(sys.argv[1]) as chart:
    print(json.dumps(chart.render(json.loads(sys.argv[2]), name="geofence", namespace="geofence")))
"#;

/// Turns documents of YAML into a list as JSON.
const AS_JSON: &str =
    "import json, sys, yaml\nprint(json.dumps([d for d in yaml.safe_load_all(sys.stdin) if d]))";

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(path)
}

/// Runs a command on this input, which must succeed, and returns what it printed.
fn output(command: &mut Command, input: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("input");
    std::fs::write(&path, input)?;
    command.stdin(Stdio::from(std::fs::File::open(path)?));
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What the templates of the chart become with these values, by name; nothing if Helm's library is not installed.
fn render(values: &Value) -> Result<Option<BTreeMap<String, String>>> {
    let Some(mut python) = python::tool("python") else {
        return Ok(None);
    };
    python
        .args(["-c", RENDER])
        .arg(file("helm/geofence"))
        .arg(values.to_string());
    let rendered: BTreeMap<String, String> = serde_json::from_str(&output(&mut python, "")?)?;
    let files = rendered.into_iter().filter_map(|(path, text)| {
        let name = Path::new(&path).file_name()?.to_str()?.to_owned();
        let text = text.trim();
        (name.ends_with(".yaml") && !text.is_empty()).then(|| (name, format!("{text}\n")))
    });
    Ok(Some(files.collect()))
}

fn documents(yaml: &str) -> Result<Vec<Value>> {
    let mut python = python::tool("python").context("python was there before")?;
    Ok(serde_json::from_str(&output(
        python.args(["-c", AS_JSON]),
        yaml,
    )?)?)
}

/// What kubectl makes of a directory with a kustomization; nothing if it is not installed.
fn kustomize(directory: &str) -> Result<Option<String>> {
    let Some(mut kubectl) = python::tool("kubectl") else {
        return Ok(None);
    };
    Ok(Some(output(
        kubectl.arg("kustomize").arg(file(directory)),
        "",
    )?))
}

/// Compares a document with the schemas of Kubernetes, which know no kind of an operator. Those of ours are compared
/// with their own schemas, where these are made.
fn ensure_valid(yaml: &str) -> Result<()> {
    let Some(mut validate) = python::tool("kubernetes-validate") else {
        return Ok(());
    };
    let mut documents = documents(yaml)?;
    documents.retain(|document| {
        let kind = document["kind"].as_str().unwrap_or_default();
        kind != "PodMonitor" && !kind.starts_with("Geofence")
    });
    ensure!(!documents.is_empty(), "no document in {yaml}");
    let directory = tempfile::tempdir()?;
    validate.args(["--strict", "--quiet"]);
    for (at, document) in documents.iter().enumerate() {
        let path = directory.path().join(format!("{at}.yaml"));
        std::fs::write(&path, document.to_string())?;
        validate.arg(path);
    }
    output(&mut validate, "").map(drop)
}

fn kinds(documents: &[Value]) -> BTreeSet<&str> {
    documents
        .iter()
        .filter_map(|document| document["kind"].as_str())
        .collect()
}

#[test]
fn chart_renders_to_the_files_that_are_checked_in() -> Result<()> {
    let monitored = serde_json::json!({"podMonitor": {"enabled": true}});
    let (Some(base), Some(monitored)) = (render(&serde_json::json!({}))?, render(&monitored)?)
    else {
        return Ok(());
    };
    let monitor = monitored.get("podmonitor.yaml").context("no PodMonitor")?;
    ensure!(
        !base.contains_key("podmonitor.yaml"),
        "a PodMonitor by default"
    );
    let mut files: Vec<(PathBuf, &String)> = base
        .iter()
        .map(|(name, text)| (file("kubernetes/base").join(name), text))
        .collect();
    files.push((file("kubernetes/podmonitor/podmonitor.yaml"), monitor));
    for (path, text) in files {
        if std::env::var_os("GEOFENCE_BLESS").is_some() {
            std::fs::write(&path, text)?;
        }
        let found = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(
            found == *text,
            "{} is not what the chart renders; GEOFENCE_BLESS=1 writes it anew:\n{text}",
            path.display()
        );
    }
    let listed = std::fs::read_to_string(file("kubernetes/base/kustomization.yaml"))?;
    for name in base.keys() {
        ensure!(
            listed.contains(&format!("- {name}\n")),
            "{name} is not in the kustomization"
        );
    }
    Ok(())
}

#[test]
fn manifests_are_valid() -> Result<()> {
    let every_value = serde_json::json!({
        "podMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "sshSessions": true,
        "seLinuxOptions": {"type": "spc_t"},
        "imagePullSecrets": [{"name": "registry"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "edge", "operator": "Exists"}]}
        ]}}},
    });
    if let Some(files) = render(&every_value)? {
        let text = files.into_values().collect::<Vec<_>>().join("---\n");
        ensure_valid(&text)?;
        let documents = documents(&text)?;
        let set = documents
            .iter()
            .find(|document| document["kind"] == "DaemonSet");
        let pod = &set.context("no DaemonSet")?["spec"]["template"]["spec"];
        assert_eq!(pod["hostPID"], true);
        let container = &pod["containers"][0]["securityContext"];
        let added = container["capabilities"]["add"]
            .as_array()
            .context("no list")?;
        ensure!(added.contains(&"SYS_PTRACE".into()), "{container}");
        assert_eq!(container["seLinuxOptions"]["type"], "spc_t");
    }
    if let Some(base) = kustomize("kubernetes/base")? {
        ensure_valid(&base)?;
        let documents = documents(&base)?;
        let all = [
            "ConfigMap",
            "DaemonSet",
            "Namespace",
            "PriorityClass",
            "ServiceAccount",
        ];
        assert_eq!(kinds(&documents), BTreeSet::from(all));
    }
    if let Some(example) = kustomize("kubernetes/example")? {
        ensure_valid(&example)?;
        ensure!(
            example.contains("image: registry.example/net/geofence:0.1.0"),
            "{example}"
        );
        ensure!(example.contains("interfaces = [\"ens5\"]"), "{example}");
        ensure!(
            kinds(&documents(&example)?).contains("PodMonitor"),
            "{example}"
        );
    }
    Ok(())
}

#[test]
fn controller_of_a_fleet_is_confined_and_its_manifests_are_valid() -> Result<()> {
    let Some(example) = kustomize("kubernetes/fleet-example")? else {
        return Ok(());
    };
    ensure_valid(&example)?;
    let documents = documents(&example)?;
    let all = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Deployment",
        "GeofenceException",
        "GeofenceList",
        "GeofencePolicy",
        "Namespace",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ];
    assert_eq!(kinds(&documents), BTreeSet::from(all));
    let deployment = documents.iter().find(|one| one["kind"] == "Deployment");
    let spec = &deployment.context("no Deployment")?["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["strategy"]["type"], "Recreate");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["enableServiceLinks"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let container = &pod["containers"][0];
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("registry.example/net/geofence-controller:{version}");
    assert_eq!(container["image"], image);
    let context = &container["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(
        context["capabilities"],
        serde_json::json!({"drop": ["ALL"]})
    );
    Ok(())
}

/// The configurations that the manifests and the cloud-init snippet contain.
fn configurations() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in [
        "kubernetes/base/configmap.yaml",
        "kubernetes/example/configmap.yaml",
        "cloud-init/user-data.yml",
    ] {
        let text = std::fs::read_to_string(file(path))?;
        for document in documents(&text)? {
            let written = document["write_files"][0]["content"].as_str();
            let config = document["data"]["geofence.toml"].as_str().or(written);
            found.push(
                config
                    .with_context(|| format!("{path} has no configuration"))?
                    .to_owned(),
            );
        }
    }
    Ok(found)
}

#[test]
fn configurations_in_manifests_are_valid() -> Result<()> {
    if python::tool("python").is_none() {
        return Ok(());
    }
    let configurations = configurations()?;
    assert_eq!(configurations.len(), 3);
    for config in configurations {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("geofence.toml");
        std::fs::write(&path, &config)?;
        let mut check = Command::new(binary()?);
        let said = output(check.args(["check", "--config"]).arg(&path), "")?;
        ensure!(said.contains("mode         monitor"), "{said}");
    }
    Ok(())
}

#[test]
fn playbook_is_valid() -> Result<()> {
    let Some(mut ansible) = python::tool("ansible-playbook") else {
        return Ok(());
    };
    ansible.args(["--syntax-check", "--inventory", "edge,", "playbook.yml"]);
    ansible
        .current_dir(file("ansible"))
        .env("LC_ALL", "C.UTF-8");
    output(&mut ansible, "").map(drop)
}

#[test]
fn an_invalid_manifest_is_noticed() -> Result<()> {
    if python::tool("kubernetes-validate").is_none() {
        return Ok(());
    }
    let base = std::fs::read_to_string(file("kubernetes/base/daemonset.yaml"))?;
    for (from, to) in [
        ("hostNetwork: true", "hostNetwork: often"),
        ("updateStrategy:", "upgradeStrategy:"),
    ] {
        ensure!(base.contains(from), "no {from}");
        ensure!(
            ensure_valid(&base.replace(from, to)).is_err(),
            "{to} is accepted"
        );
    }
    Ok(())
}

#[test]
fn versions_of_chart_and_image_are_those_of_the_workspace() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart = std::fs::read_to_string(file("helm/geofence/Chart.yaml"))?;
    for key in ["version", "appVersion"] {
        let line = format!("{key}: {version}");
        ensure!(
            chart.lines().any(|found| found == line),
            "no `{line}` in\n{chart}"
        );
    }
    let example = std::fs::read_to_string(file("kubernetes/example/kustomization.yaml"))?;
    ensure!(
        example.contains(&format!("newTag: {version}\n")),
        "{example}"
    );
    Ok(())
}

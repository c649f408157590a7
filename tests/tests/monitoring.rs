//! The files for Prometheus and Grafana: they are valid, and name no metric that docs/metrics.md does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::dashboard::Dashboard;
use geofence_tests::privilege;
use serde_json::Value;

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text(path: &str) -> Result<String> {
    std::fs::read_to_string(file(path)).with_context(|| path.to_owned())
}

/// Runs promtool where the rules are; nothing if it is not installed.
fn promtool(words: &[&str]) -> Result<Option<(bool, String)>> {
    let tool = Command::new("promtool")
        .args(words)
        .current_dir(file("deploy/prometheus"))
        .output();
    let Ok(output) = tool else {
        privilege::skip(&format!("promtool {words:?}"), "promtool is not installed");
        return Ok(None);
    };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok(Some((output.status.success(), said)))
}

#[test]
fn alert_rules_are_valid_and_fire_for_their_trouble_only() -> Result<()> {
    for words in [
        ["check", "rules", "geofence.rules.yml"],
        ["test", "rules", "geofence.rules.test.yml"],
    ] {
        if let Some((ok, said)) = promtool(&words)? {
            ensure!(ok, "promtool {words:?}: {said}");
        }
    }
    Ok(())
}

/// The parts of the rules file that the next tests look at: a name and its lines.
fn alerts() -> Result<BTreeMap<String, String>> {
    let text = text("deploy/prometheus/geofence.rules.yml")?;
    let alerts = text.split("- alert: ").skip(1);
    let named = alerts.filter_map(|alert| alert.split_once('\n'));
    Ok(named
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect())
}

#[test]
fn each_alert_says_what_happened_what_it_means_and_what_to_do() -> Result<()> {
    let alerts = alerts()?;
    ensure!(alerts.len() >= 10, "{alerts:?}");
    let tests = text("deploy/prometheus/geofence.rules.test.yml")?;
    for (name, lines) in &alerts {
        for key in ["severity:", "summary:", "description:", "action:"] {
            ensure!(lines.contains(key), "{name} has no {key}");
        }
        ensure!(
            tests.contains(&format!("alertname=\"{name}\"")),
            "no test has {name} firing"
        );
    }
    Ok(())
}

/// The dashboards: of nodes, and of a fleet.
const DASHBOARDS: [&str; 2] = [
    "deploy/grafana/geofence.json",
    "deploy/grafana/geofence-fleet.json",
];

#[test]
fn dashboards_fit_the_model_of_grafana() -> Result<()> {
    let files = std::fs::read_dir(file("deploy/grafana"))?.count();
    ensure!(files == DASHBOARDS.len(), "{files} dashboards");
    let mut known = BTreeSet::new();
    for path in DASHBOARDS {
        let model: Value = serde_json::from_str(&text(path)?)?;
        fits(&model).with_context(|| path.to_owned())?;
        ensure!(known.insert(model["uid"].to_string()), "two have one uid");
        let is_node = path == DASHBOARDS[0];
        let mut panels = model["panels"].as_array().into_iter().flatten();
        ensure!(
            !is_node || panels.any(|panel| panel["type"] == "geomap"),
            "no map of the world"
        );
    }
    Ok(())
}

/// Checks a dashboard.
fn fits(model: &Value) -> Result<()> {
    let number = |value: &Value, key: &str| {
        let number = value[key].as_u64();
        number.with_context(|| format!("{key} is no number in {value}"))
    };
    ensure!(number(model, "schemaVersion")? >= 39, "an old schema");
    for key in ["uid", "title", "timezone", "refresh"] {
        ensure!(model[key].is_string(), "{key} is missing");
    }
    let variables = model["templating"]["list"]
        .as_array()
        .context("variables")?;
    ensure!(
        variables
            .iter()
            .any(|one| one["type"] == "datasource" && one["query"] == "prometheus"),
        "no variable chooses the data source"
    );
    let panels = model["panels"].as_array().context("panels")?;
    let mut ids = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for panel in panels {
        let title = panel["title"].as_str().context("a panel without a title")?;
        let kind = panel["type"].as_str().context("a panel without a type")?;
        ensure!(
            ids.insert(number(panel, "id")?),
            "{title} has the id of another"
        );
        let place = &panel["gridPos"];
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| number(place, key));
        let (x, y, w, h) = (x?, y?, w?, h?);
        ensure!(w > 0 && h > 0 && x + w <= 24, "{title} is not on the grid");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                anyhow::bail!("{title} covers {other}");
            }
        }
        if kind == "row" {
            continue;
        }
        ensure!(
            panel["description"].is_string(),
            "{title} has no description"
        );
        ensure!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title} has no unit"
        );
        ensure!(
            panel["datasource"]["uid"] == "${datasource}",
            "{title} has a data source of its own"
        );
        let targets = panel["targets"].as_array().context("targets")?;
        let mut references = BTreeSet::new();
        ensure!(!targets.is_empty(), "{title} asks nothing");
        for target in targets {
            let reference = target["refId"].as_str().context("refId")?;
            ensure!(
                references.insert(reference),
                "{title} has {reference} twice"
            );
            ensure!(
                target["expr"].as_str().is_some_and(|expr| !expr.is_empty()),
                "{title} has an empty query"
            );
        }
    }
    Ok(())
}

/// The names of metrics in a text: words of a kind that no other word is.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !is_part(c));
    words
        .filter(|word| word.starts_with("geofence_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn rules_and_dashboard_name_documented_metrics_only() -> Result<()> {
    // The agent of a fleet has metrics of its own, and a page.
    let pages = text("docs/metrics.md")? + &text("docs/fleet.md")?;
    let documented = metrics_in(&pages);
    let mut used: BTreeSet<String> = BTreeSet::new();
    let rules = text("deploy/prometheus/geofence.rules.yml")?;
    let lines = rules.lines().filter(|line| !line.contains("description:"));
    used.extend(lines.flat_map(metrics_in).map(str::to_owned));
    for path in DASHBOARDS {
        for query in Dashboard::read(&file(path))?.queries {
            used.extend(metrics_in(&query.expr).into_iter().map(str::to_owned));
        }
    }
    ensure!(used.len() > 20, "{used:?}");
    for name in &used {
        ensure!(
            documented.contains(name.as_str()),
            "{name} is in neither docs/metrics.md nor docs/fleet.md"
        );
    }
    Ok(())
}

#[test]
fn rules_and_dashboard_use_no_former_name() -> Result<()> {
    let page = text("docs/metrics.md")?;
    let (_, former) = page.split_once("## Former names").context("former names")?;
    let rows = former.lines().filter(|line| line.starts_with("| `"));
    let former: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    ensure!(!former.is_empty());
    let mut all = text("deploy/prometheus/geofence.rules.yml")?;
    for path in DASHBOARDS {
        all += &text(path)?;
    }
    for name in former {
        ensure!(!metrics_in(&all).contains(name), "{name}");
    }
    Ok(())
}

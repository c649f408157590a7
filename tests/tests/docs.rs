//! Every command that the documentation prints is run, and prints what the documentation says.
//!
//! Numbers, times and widths differ from day to day, so they are compared as `N` and as one blank. What is not run is
//! in one table, with the reason.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::doc_text::{is_same, plain, words};
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::crosses;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, Site};

#[path = "docs/prose.rs"]
mod prose;
#[path = "docs/watched.rs"]
mod watched;

const PAGES: [&str; 28] = [
    "README.md",
    "docs/ansible.md",
    "docs/clouds.md",
    "docs/comparison.md",
    "docs/configuration.md",
    "docs/devices.md",
    "docs/events.md",
    "docs/exceptions.md",
    "docs/faq.md",
    "docs/fleet-kubernetes.md",
    "docs/fleet.md",
    "docs/flows.md",
    "docs/frames.md",
    "docs/geoip-limits.md",
    "docs/geoip.md",
    "docs/getting-started.md",
    "docs/kubernetes.md",
    "docs/labs.md",
    "docs/lifecycle.md",
    "docs/lists.md",
    "docs/metrics.md",
    "docs/monitoring.md",
    "docs/operations.md",
    "docs/origins.md",
    "docs/packages.md",
    "docs/performance.md",
    "docs/privilege.md",
    "docs/troubleshooting.md",
];

/// Commands that are not run, by how they begin, and why.
const NOT_RUN: [(&str, &str); 4] = [
    (
        "geofence doctor eth0",
        "it is about the network card of a machine",
    ),
    (
        "geofence init",
        "it asks about a machine; a suite of its own runs it",
    ),
    (
        "geofence run",
        "it runs until it is stopped; the suites of the daemon run it",
    ),
    (
        "geofence top",
        "it shows traffic until a key ends it; the suite of reports runs it",
    ),
];

/// Commands that are run by tests of their own, beside traffic or with data of their own.
const WATCHED: [&str; 5] = [
    "geofence report",
    "geofence events --follow",
    "geofence capture",
    "geofence update drop",
    "geofence explain 46.254.93.1",
];

/// A command of the documentation, and what it is said to print.
#[derive(Debug)]
struct Step {
    page: &'static str,
    words: Vec<String>,
    printed: Vec<String>,
}

impl Step {
    fn line(&self) -> String {
        self.words.join(" ")
    }

    fn is_watched(&self) -> bool {
        let line = self.line();
        WATCHED.iter().any(|start| line.starts_with(start))
    }

    /// Why it is not run, if it is not.
    fn reason(&self) -> Option<&'static str> {
        let line = self.line();
        NOT_RUN
            .iter()
            .find(|(start, _)| line.starts_with(start))
            .map(|(_, why)| *why)
    }
}

fn page_text(page: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// The commands of geofence in the code blocks of a page.
fn steps(page: &'static str) -> Result<Vec<Step>> {
    let text = page_text(page)?;
    let mut steps: Vec<Step> = Vec::new();
    let mut kind = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(word) = line.strip_prefix("```") {
            kind = kind.is_none().then_some(word);
            steps.push(Step {
                page,
                words: Vec::new(),
                printed: Vec::new(),
            });
            continue;
        }
        if !matches!(kind, Some("console" | "text")) {
            continue;
        }
        let prompt = line.strip_prefix("# ").or_else(|| line.strip_prefix("$ "));
        if let Some(command) = prompt {
            let mut command = command
                .split("  #")
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned();
            while let Some(more) = command.strip_suffix('\\') {
                command = format!("{more} {}", lines.next().unwrap_or_default().trim());
            }
            let words = words(&command);
            steps.push(Step {
                page,
                words,
                printed: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            step.printed.push(line.to_owned());
        }
    }
    steps.retain(|step| step.words.first().is_some_and(|word| word == "geofence"));
    Ok(steps)
}

/// What a command printed here, under the names that the documentation uses.
fn compared<'a>(lines: impl Iterator<Item = &'a str>, site: &Site) -> Result<Vec<String>> {
    let config = site.word(CONFIG)?;
    let instance = site.edge.pair.edge.instance();
    let lines = lines.map(|line| {
        let line = line
            .replace(&config, CONFIG)
            .replace("/etc/geofence/geofence.toml", CONFIG);
        plain(&line.replace(instance, "geofence"))
    });
    // The embedded data ages, and old data causes a warning.
    let is_same =
        |line: &String| !line.is_empty() && !line.starts_with("warning: the GeoIP data is");
    Ok(lines.filter(is_same).collect())
}

/// Compares what came with what is printed, of which `[...]` stands for any lines.
fn ensure_same(step: &Step, came: &[String], site: &Site) -> Result<()> {
    let printed = compared(step.printed.iter().map(String::as_str), site)?;
    ensure!(
        is_same(came, &printed),
        "{}: `{}` prints\n{}\nand the page says\n{}",
        step.page,
        step.line(),
        came.join("\n"),
        printed.join("\n")
    );
    Ok(())
}

fn run(step: &Step, site: &Site, more: &[&str]) -> Result<()> {
    let words: Vec<&str> = step.words[1..].iter().map(String::as_str).collect();
    let answer = site.edge.ask(&[words.as_slice(), more].concat())?;
    let said = answer.stdout + &answer.stderr;
    if step.printed.is_empty() {
        ensure!(answer.code == Some(0), "{}: {said}", step.line());
        return Ok(());
    }
    ensure_same(step, &compared(said.lines(), site)?, site)
}

/// The steps of a page that are run.
fn to_run(page: &'static str) -> Result<Vec<Step>> {
    let mut steps = steps(page)?;
    steps.retain(|step| step.reason().is_none() && !step.is_watched());
    Ok(steps)
}

#[test]
fn every_command_of_the_documentation_is_run_or_has_a_reason() -> Result<()> {
    let mut seen = Vec::new();
    for page in PAGES {
        for step in steps(page)? {
            let is_run = [
                "README.md",
                "docs/getting-started.md",
                "docs/exceptions.md",
                "docs/origins.md",
                "docs/packages.md",
            ]
            .contains(&page);
            ensure!(
                is_run || step.is_watched() || step.reason().is_some(),
                "{page}: nothing runs `{}`",
                step.line()
            );
            seen.push(step.line());
        }
    }
    for start in NOT_RUN.map(|(start, _)| start).into_iter().chain(WATCHED) {
        ensure!(
            seen.iter().any(|line| line.starts_with(start)),
            "no page has `{start}` any more"
        );
    }
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for entry in std::fs::read_dir(docs)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_read = PAGES.contains(&format!("docs/{name}").as_str());
        let others = ["README.md", "SUMMARY.md", "glossary.md", "image-format.md"];
        ensure!(
            is_read || !name.ends_with(".md") || others.contains(&name.as_str()),
            "nothing reads docs/{name}"
        );
    }
    Ok(())
}

#[test]
fn commands_about_the_built_in_policy_print_what_the_pages_say() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let absent = site.word("absent.toml")?;
    for page in ["README.md", "docs/getting-started.md"] {
        for step in to_run(page)? {
            run(&step, &site, &["--default-config", &absent])?;
        }
    }
    for step in to_run("docs/packages.md")? {
        run(&step, &site, &[])?;
    }
    Ok(())
}

#[test]
fn commands_about_autonomous_systems_print_what_the_page_says() -> Result<()> {
    require_root!();
    let site = Site::new("deny = [\"AS24940\"]\nasn-database = \"asn.mmdb\"\n")?;
    let mut writer = Writer::new(Schema::Asn);
    writer.add_code("5.9.0.0/16".parse()?, "24940 Hetzner Online GmbH");
    site.write("asn.mmdb", writer.finish())?;
    let config = site.word(CONFIG)?;
    for step in to_run("docs/origins.md")? {
        run(&step, &site, &["--default-config", &config])?;
    }
    Ok(())
}

#[test]
fn commands_about_exceptions_print_what_the_page_says() -> Result<()> {
    require_root!();
    let site = Site::new(
        "block = [\"RU\"]\n\n[[tenant]]\nname = \"customer-17\"\nprefixes = [\"203.0.113.0/25\"]\n\n[[tenant]]\n\
         name = \"customer-18\"\nprefixes = [\"203.0.113.128/25\"]\n\n[[exception]]\nid = \"monitoring\"\n\
         from = [\"5.136.8.0/24\"]\nto = [\"customer-18\"]\nservices = [\"icmp\"]\nowner = \"noc\"\n\
         reason = \"monitoring\"\n",
    )?;
    let daemon = site.run(&[])?;
    for step in to_run("docs/exceptions.md")? {
        if step.line() == "geofence exception list" {
            // The page shows packets that have passed.
            let pair = &site.edge.pair;
            let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
            let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
            let [source, destination]: [IpAddr; 2] =
                ["5.136.0.77".parse()?, "203.0.113.10".parse()?];
            for port in [40_001, 40_002] {
                let frame = between(source, destination).tcp(port, 443).syn().build();
                ensure!(
                    crosses(&outside, &inside, &frame, PATIENCE)?,
                    "the exception lets nothing pass"
                );
            }
        }
        run(&step, &site, &[])?;
    }
    daemon.interrupt(PATIENCE).map(drop)
}

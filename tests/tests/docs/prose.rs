//! Commands that the pages name within their sentences: each is run beside a daemon, and says what it is named for.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use geofence_tests::list_server::{Body, publish, serve};
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, RUSSIAN, Site};

use super::{PAGES, page_text};

/// What is done about a command.
enum Named {
    /// It is run with these words, or its own; it exits with a code and says something.
    Run(&'static [&'static str], i32, &'static str),
    /// The same, by the configuration that it finds in the usual place.
    ByConfig(&'static [&'static str], i32, &'static str),
    /// It is not run, for a reason.
    Because(&'static str),
}

use Named::{Because, ByConfig, Run};

/// In the order in which they are run.
const NAMED: [(&str, Named); 51] = [
    ("geofence check", ByConfig(&[], 0, "policy: ")),
    ("geofence check --show", ByConfig(&[], 0, "block = ")),
    ("geofence check FILE", Run(&["check", "NEXT"], 0, "block")),
    (
        "geofence check new.toml",
        Run(&["check", "NEXT"], 0, "block"),
    ),
    ("geofence update", ByConfig(&[], 0, "drop: 1 entries")),
    (
        "geofence update [LIST...]",
        ByConfig(&["update", "drop"], 0, "drop: "),
    ),
    (
        "geofence update FILE",
        ByConfig(&["update", "country.mmdb"], 0, "unchanged"),
    ),
    (
        "geofence update FILE --force",
        ByConfig(&["update", "country.mmdb", "--force"], 0, "unchanged"),
    ),
    ("geofence reload", Run(&[], 0, "reloaded: image")),
    ("geofence reload --force", Run(&[], 0, "reloaded: image")),
    ("geofence list", ByConfig(&[], 0, "drop")),
    ("geofence status", Run(&[], 0, "edge0: protected")),
    (
        "geofence lookup",
        ByConfig(&["lookup", RUSSIAN], 0, "RU (Russia)"),
    ),
    (
        "geofence lookup ADDRESS",
        ByConfig(&["lookup", RUSSIAN], 0, "RU (Russia)"),
    ),
    (
        "geofence lookup IP",
        ByConfig(&["lookup", "5.9.0.1"], 0, "on the list drop"),
    ),
    (
        "geofence explain",
        ByConfig(&["explain", RUSSIAN], 1, "country_blocked"),
    ),
    (
        "geofence explain IP",
        ByConfig(&["explain", "5.9.0.1"], 1, "list drop"),
    ),
    (
        "geofence explain HOST --out --dst IP",
        ByConfig(
            &["explain", "192.0.2.1", "--out", "--dst", "5.9.0.1"],
            1,
            "list drop",
        ),
    ),
    (
        "geofence explain SOURCE --dport PORT --kernel",
        ByConfig(
            &["explain", RUSSIAN, "--dport", "22", "--kernel"],
            1,
            "country_blocked",
        ),
    ),
    ("geofence events", Run(&[], 0, "")),
    ("geofence flows", Run(&[], 0, "flows")),
    ("geofence report", Run(&[], 0, "geofence report: ")),
    (
        "geofence top",
        Run(&["top", "--once"], 0, "packets/s dropped"),
    ),
    ("geofence exception list", Run(&[], 0, "no exceptions")),
    ("geofence doctor", Run(&["doctor", "edge0"], 0, "edge0")),
    ("geofence doctor IF", Run(&["doctor", "edge0"], 0, "edge0")),
    (
        "geofence doctor eth0",
        Run(&["doctor", "edge0"], 0, "edge0"),
    ),
    ("geofence diff", Run(&["diff", "NEXT"], 1, "countries")),
    ("geofence diff FILE", Run(&["diff", "NEXT"], 1, "countries")),
    (
        "geofence diff new.toml",
        Run(&["diff", "NEXT"], 1, "countries"),
    ),
    ("geofence apply", Run(&["apply"], 0, "image")),
    ("geofence revert", Run(&[], 0, "image")),
    (
        "geofence apply --confirm-within 60s FILE",
        Run(&["apply", "--confirm-within", "60s", "NEXT"], 0, "image"),
    ),
    ("geofence confirm", Run(&[], 0, "image")),
    (
        "geofence apply --confirm-within 60s new.toml",
        Because("it is the one with FILE"),
    ),
    ("geofence schema", Run(&[], 0, "$schema")),
    (
        "geofence detach --interface eth0",
        Run(&["detach", "--interface", "edge0"], 0, "detached from"),
    ),
    (
        "geofence detach",
        Run(&["detach", "--interface", "edge0"], 0, "nothing to detach"),
    ),
    ("geofence detach --all", Run(&[], 0, "")),
    (
        "geofence ban",
        Because("it names a verb whose page has whole commands, which are run"),
    ),
    (
        "geofence exception add",
        Because("it names a verb whose page has whole commands"),
    ),
    (
        "geofence capture",
        Because("the suite of observation runs it"),
    ),
    (
        "geofence explain --pcap",
        Because("the laboratory of traffic runs it"),
    ),
    (
        "geofence explain --pcap out.pcapng",
        Because("the suite of observation runs it"),
    ),
    (
        "geofence events --follow",
        Because("it waits for traffic; this suite runs the block"),
    ),
    (
        "geofence init",
        Because("it asks about a machine; a suite of its own runs it"),
    ),
    ("geofence run", Because("the daemon of this test is one")),
    (
        "geofence run --strict",
        Because("the suite of services runs it"),
    ),
    (
        "geofence run --log-format json",
        Because("the suite of services runs it"),
    ),
    (
        "geofence status --instance geofence-lan",
        Because("it needs a second daemon"),
    ),
    ("geofence watch-sessions", Because("the daemon runs it")),
];

/// The commands in the sentences of a page.
fn named(page: &str) -> Result<Vec<String>> {
    let text = page_text(page)?;
    let mut is_block = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            prose.push_str(line.trim());
            prose.push(' ');
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    let commands = spans.filter(|span| span.starts_with("geofence "));
    Ok(commands.map(str::to_owned).collect())
}

#[test]
fn every_command_in_a_sentence_is_run_or_has_a_reason() -> Result<()> {
    let table: BTreeSet<String> = NAMED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut seen = BTreeSet::new();
    for page in PAGES {
        for command in named(page)? {
            ensure!(table.contains(&command), "{page}: nothing runs `{command}`");
            seen.insert(command);
        }
    }
    let gone: Vec<_> = table.difference(&seen).collect();
    ensure!(gone.is_empty(), "no page names {gone:?} any more");
    Ok(())
}

/// A machine with a list from a server, a database that is kept current, and another configuration.
fn site() -> Result<Site> {
    let site = Site::new("")?;
    let body = Body::default();
    let address = serve(&site.edge, Arc::clone(&body))?;
    publish(&body, "5.9.0.1\n");
    let mut writer = Writer::new(Schema::Flat);
    for (network, code) in [
        ("77.88.0.0/16", "RU"),
        ("84.0.0.0/8", "DE"),
        ("2a00::/32", "RU"),
        ("2003::/19", "DE"),
    ] {
        writer.add_code(network.parse()?, code);
    }
    site.write("vendor.mmdb", writer.finish())?;
    std::fs::copy(site.path("vendor.mmdb"), site.path("country.mmdb"))?;
    let policy = |blocked: &str| {
        format!(
            "block = [\"{blocked}\"]\ndatabases = [\"country.mmdb\"]\n\
             [[geoip-source]]\nfile = \"country.mmdb\"\nvendor = \"copy\"\nfrom = \"vendor.mmdb\"\n\
             [[list]]\nname = \"drop\"\nurl = \"http://{address}/drop\"\nformat = \"plain\"\ndirection = \"both\"\n"
        )
    };
    site.configure(&policy("RU"))?;
    site.write("next.toml", policy("DE"))?;
    Ok(site)
}

#[test]
fn commands_in_sentences_do_what_they_are_named_for() -> Result<()> {
    require_root!();
    let site = site()?;
    let daemon = site.run(&[])?;
    let [config, next] = [site.word(CONFIG)?, site.word("next.toml")?];
    for (name, command) in &NAMED {
        let (words, code, said, is_by_config) = match command {
            Run(words, code, said) => (words, code, said, false),
            ByConfig(words, code, said) => (words, code, said, true),
            Because(why) => {
                ensure!(why.contains(' '), "{name}: a reason is a sentence");
                continue;
            }
        };
        let mut words: Vec<&str> = if words.is_empty() {
            name.split(' ').skip(1).collect()
        } else {
            words.to_vec()
        };
        for word in words.iter_mut().filter(|word| **word == "NEXT") {
            *word = &next;
        }
        if is_by_config {
            words.extend(["--default-config", &config]);
        }
        let answer = site.edge.ask(&words)?;
        ensure!(
            answer.code == Some(*code) && (answer.stdout.clone() + &answer.stderr).contains(said),
            "{name}: {words:?}: {answer:?}"
        );
    }
    // The last one has taken the filter off.
    ensure!(site.edge.passes(RUSSIAN)?);
    drop(daemon);
    Ok(())
}

//! What other databases add, through the real kernel: rules that name autonomous systems, and cross-checks.

use anyhow::{Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::require_root;
use geofence_tests::site::Site;
use geofence_tests::wait::poll;

fn write_database(
    site: &Site,
    name: &str,
    schema: Schema,
    networks: &[(&str, &str)],
) -> Result<()> {
    let mut writer = Writer::new(schema);
    for (network, code) in networks {
        writer.add_code(network.parse()?, code);
    }
    site.write(name, writer.finish())
}

#[test]
fn rules_name_autonomous_systems() -> Result<()> {
    require_root!();
    /// Addresses of Germany, which is not blocked, and of Russia, which is.
    const DENIED: [&str; 2] = ["84.200.69.80", "2003:1000::80"];
    const FREE: &str = "84.200.70.40";
    const RUSSIAN: &str = "5.136.0.77";
    const BRANCH: &str = "5.136.1.77";
    let first: &[(&str, &str)] = &[
        ("84.200.69.0/24", "64500 Example Org"),
        ("2003:1000::/32", "64501 Example Org"),
        ("5.136.0.0/24", "64502 Allowed Ltd"),
        ("5.136.1.0/24", "64503 Branch"),
    ];
    let site = Site::new("")?;
    write_database(&site, "asn.mmdb", Schema::Asn, first)?;
    site.write(
        "geofence.toml",
        "asn-database = \"asn.mmdb\"\ndeny = [\"AS64500\", \"AS:example org\"]\n\
         [[exception]]\nid = \"branch\"\nfrom = [\"AS64503\"]\nto = [\"any\"]\nowner = \"a\"\nreason = \"b\"\n",
    )?;
    let _daemon = site.run(&[])?;
    for denied in DENIED {
        ensure!(!site.edge.passes(denied)?, "{denied} is denied");
    }
    ensure!(site.edge.passes(FREE)?, "only the system is denied");
    ensure!(!site.edge.passes(RUSSIAN)?, "a country is blocked");
    ensure!(site.edge.passes(BRANCH)?, "an exception names the system");

    let explained = site.json(&["explain", DENIED[0]])?;
    ensure!(explained["reason"] == "denied", "{explained}");
    ensure!(explained["systems"][0]["number"] == 64_500, "{explained}");
    let (code, said) = site.ask(&["explain", DENIED[0]])?;
    ensure!(
        code == Some(1) && said.contains("deny AS64500 (Example Org): 84.200.69.0/24"),
        "{said}"
    );
    let (code, said) = site.ask(&["explain", BRANCH, "--kernel", "--dport", "22"])?;
    ensure!(code == Some(0), "{said}");
    let (_, said) = site.ask(&["lookup", DENIED[1]])?;
    ensure!(
        said.contains("AS64501 (Example Org), 2003:1000::/32"),
        "{said}"
    );

    // Another file and another rule, noticed by the daemon itself.
    let second: &[(&str, &str)] = &[("84.200.70.0/24", "64500 Example Org")];
    site.write(
        "geofence.toml",
        "asn-database = \"asn.mmdb\"\ndeny = [\"AS64500\"]\nallow = [\"AS64502\"]\n",
    )?;
    site.wait_passes(RUSSIAN, true)?;
    ensure!(site.edge.passes(DENIED[1])?, "the rule is gone");
    ensure!(!site.edge.passes(BRANCH)?, "the exception is gone");
    write_database(
        &site,
        "asn.mmdb",
        Schema::AsnText,
        &[first, second].concat(),
    )?;
    site.wait_passes(FREE, false)?;

    // The sanity check rejects a file that has lost most of its networks, though all that is named is in it.
    let less: &[(&str, &str)] = &[
        ("84.200.69.0/25", "64500 Example Org"),
        ("5.136.0.0/25", "64502 Allowed Ltd"),
    ];
    write_database(&site, "asn.mmdb", Schema::Asn, less)?;
    let failures = "geofence_reload_failures_total{reason=\"guard\"}";
    let failed = poll(PATIENCE, || {
        Ok((site.edge.metric(failures)? > 0.0).then_some(()))
    })?;
    ensure!(
        failed.is_some(),
        "the sanity check accepts a file that has shrunk"
    );
    ensure!(!site.edge.passes(FREE)?, "the policy in use stays in place");

    // A file without the system changes nothing.
    write_database(&site, "asn.mmdb", Schema::Asn, second)?;
    let failures = "geofence_reload_failures_total{reason=\"database\"}";
    let failed = poll(PATIENCE, || {
        Ok((site.edge.metric(failures)? > 0.0).then_some(()))
    })?;
    ensure!(failed.is_some(), "the reload does not fail");
    ensure!(
        site.edge.passes(RUSSIAN)?,
        "the policy in use stays in place"
    );
    let (code, said) = site.ask(&["check"])?;
    ensure!(
        code == Some(2) && said.contains("geofence.toml:3:10: AS64502 has no network in"),
        "{said}"
    );
    Ok(())
}

#[test]
fn second_database_counts_as_the_cross_check_rule_says() -> Result<()> {
    require_root!();
    /// By the embedded database these are German and Russian; the second says otherwise of the first two of each.
    const GERMAN: [&str; 3] = ["84.200.69.80", "2003:1000::80", "84.200.70.40"];
    const RUSSIAN: [&str; 3] = ["5.136.0.77", "2001:3b40::77", "5.136.1.77"];
    let site = Site::new("")?;
    let networks = [
        ("84.200.69.0/24", "CN"),
        ("2003:1000::/48", "CN"),
        ("5.136.0.0/24", "DE"),
        ("2001:3b40::/48", "DE"),
    ];
    write_database(&site, "second.mmdb", Schema::Flat, &networks)?;
    let config = |agreement: &str| {
        let text = format!("second-opinion = [\"second.mmdb\"]\nagreement = \"{agreement}\"\n");
        site.write("geofence.toml", text)
    };
    // Whose packets pass, of the Germans and the Russians, in that order.
    let passes = || -> Result<Vec<bool>> {
        let all = GERMAN.iter().chain(&RUSSIAN);
        all.map(|address| site.edge.passes(address)).collect()
    };
    config("any")?;
    let _daemon = site.run(&[])?;
    let seen = passes()?;
    ensure!(
        seen == [false, false, true, false, false, false],
        "any: {seen:?}"
    );
    let counted = "geofence_packets_total{interface=\"edge0\",country=\"CN\",action=\"drop\",\
                   reason=\"country_blocked\"}";
    ensure!(
        site.edge.metric(counted)? == 2.0,
        "counted as who is blocked"
    );
    for (series, expected) in [
        ("addresses{family=\"ipv4\",blocked_by=\"first\"}", 256.0),
        ("addresses{family=\"ipv4\",blocked_by=\"second\"}", 256.0),
        ("prefixes{family=\"ipv6\",blocked_by=\"first\"}", 1.0),
        (
            "addresses{family=\"ipv6\",blocked_by=\"second\"}",
            80_f64.exp2(),
        ),
    ] {
        let found = site
            .edge
            .metric(&format!("geofence_database_disagreement_{series}"))?;
        ensure!(
            (found - expected).abs() < 1.0,
            "{series}: {found} instead of {expected}"
        );
    }
    let said = site.ask(&["explain", GERMAN[0]])?.1;
    let opinions =
        "DE (Germany) by the first database, CN (China) by the second; cross-check is \"any\"";
    ensure!(said.contains(opinions), "{said}");
    let looked_up = site.json(&["lookup", RUSSIAN[0]])?;
    ensure!(looked_up["country"] == "RU", "{looked_up}");
    ensure!(looked_up["opinions"]["second"] == "DE", "{looked_up}");
    ensure!(
        looked_up["records"].as_array().map(Vec::len) == Some(2),
        "{looked_up}"
    );

    config("all")?;
    site.wait_passes(RUSSIAN[0], true)?;
    let seen = passes()?;
    ensure!(
        seen == [true, true, true, true, true, false],
        "all: {seen:?}"
    );
    let checked = site.json(&["check"])?;
    let differs = &checked["second_opinion"]["disagreement"];
    ensure!(
        differs["first_alone"]["v4"]["addresses"] == 256,
        "{checked}"
    );
    let (_, said) = site.ask(&["check"])?;
    ensure!(
        said.contains("blocked by the first alone: 256 IPv4 addresses (1 prefixes), 1 IPv6 /48 sites (1 prefixes)"),
        "{said}"
    );

    // Where the second database says the same, there is nothing to agree about.
    write_database(
        &site,
        "second.mmdb",
        Schema::Nested,
        &[("5.136.0.0/23", "RU")],
    )?;
    site.wait_passes(RUSSIAN[0], false)?;
    Ok(())
}

//! `geofence doctor` on real interfaces: what it says and what it leaves alone.

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::link::veth;
use geofence_tests::namespace::Namespace;
use geofence_tests::require_root;
use serde_json::Value;

/// The exit code, and what was said of the one interface asked about.
fn examined(namespace: &Namespace, words: &[&str]) -> Result<(Option<i32>, Value)> {
    let mut command = geofence(namespace)?;
    let output = command.args(["doctor", "--json"]).args(words).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_str(&stdout).with_context(|| format!("{stdout}{said}"))?;
    Ok((output.status.code(), report["interfaces"][0].clone()))
}

#[test]
fn doctor_describes_and_probes_an_interface_and_leaves_it_unchanged() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let interface = pair.edge_interface.as_str();
    let (_, veth) = examined(&edge, &[interface])?;
    assert_eq!(
        (&veth["driver"], &veth["mtu"], &veth["mode"]),
        (&"veth".into(), &1500.into(), &"native".into())
    );
    assert_eq!(veth["findings"], Value::Array(vec![]), "{veth}");

    let (_, probed) = examined(&edge, &[interface, "--probe"])?;
    assert_eq!(probed["probed"]["Ok"], "native", "{probed}");
    let links = edge.run(&["ip", "-details", "link"])?;
    ensure!(!links.contains("xdp"), "a program was left behind: {links}");

    let (code, lo) = examined(&edge, &["lo", "--probe"])?;
    assert_eq!((code, &lo["mode"]), (Some(1), &"generic".into()));
    let refusal = lo["probed"]["Err"].as_str().context("no refusal")?;
    ensure!(
        refusal.contains("native") && refusal.contains("xdp-mode = \"auto\""),
        "{refusal}"
    );
    Ok(())
}

#[test]
fn doctor_recognises_its_own_filter_and_names_a_missing_interface() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let interface = pair.edge_interface.as_str();
    let mut daemon = Daemon::run(&edge, &["--interface", interface, "--listen", LISTEN], &[])?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    let (code, veth) = examined(&edge, &[interface])?;
    assert_ne!(code, Some(2), "{veth}");
    assert_eq!(veth["program_mode"], "native");
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;

    let output = geofence(&edge)?.args(["doctor", "absent0"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    ensure!(
        said.contains("\"absent0\" does not exist") && said.contains(interface),
        "{said}"
    );
    Ok(())
}

#[test]
fn doctor_names_missing_capabilities() -> Result<()> {
    require_root!();
    let edge = Namespace::new()?;
    let output = edge
        .command("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", "--"])
        .arg(geofence_tests::daemon::binary()?)
        .args(["doctor", "lo"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    ensure!(
        said.contains("AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN"),
        "{said}"
    );
    Ok(())
}

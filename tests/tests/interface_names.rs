//! Alternative names of an interface, also those longer than a first name may be, are understood like its first name.

use anyhow::{Result, ensure};
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::require_root;
use geofence_tests::site::RUSSIAN;

const LONG: &str = "uplink-of-the-first-provider";

#[test]
fn interface_is_found_by_an_alternative_name_wherever_one_is_understood() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    edge.pair.edge.run(&[
        "ip",
        "link",
        "property",
        "add",
        "dev",
        edge.interface(),
        "altname",
        LONG,
    ])?;
    let place = tempfile::tempdir()?;
    let file = place.path().join("geofence.toml");
    std::fs::write(
        &file,
        format!("block = [\"RU\"]\ninterfaces = [\"{LONG}\", \"absent0\"]\n"),
    )?;
    let file = file.display().to_string();
    let checked = edge.ask(&["check", &file])?;
    ensure!(
        checked
            .stdout
            .contains("there is no interface absent0 here")
            && !checked.stdout.contains(&format!("interface {LONG}")),
        "{checked:?}"
    );
    // A name server counts if it listens on an address of the interface.
    let own = edge.pair.edge_address_for(RUSSIAN.parse()?);
    let server = edge
        .pair
        .edge
        .enter(|| std::net::UdpSocket::bind((own, 53)))??;
    let daemon = edge.run(&["--config", &file, "--interface", LONG])?;
    ensure!(!edge.passes(RUSSIAN)?, "it is not filtered");
    let status = edge.ask(&["status"])?;
    ensure!(
        status.code == Some(0)
            && status.stdout.contains(&format!("{LONG}: protected"))
            && status.stdout.contains(&format!("listens on {own}:53")),
        "{status:?}"
    );
    let doctor = edge.ask(&["doctor", LONG])?;
    ensure!(!doctor.stderr.contains("does not exist"), "{doctor:?}");
    // `inner-interfaces` understands them as well.
    let inner = format!("interfaces = [\"{LONG}\"]\ninner-interfaces = [\"{LONG}\"]\n");
    std::fs::write(&file, format!("block = [\"RU\"]\n{inner}"))?;
    let checked = edge.ask(&["check", &file])?;
    ensure!(
        !checked.stdout.contains("there is no interface"),
        "{checked:?}"
    );
    ensure!(edge.ask(&["reload"])?.code == Some(0));
    let status = edge.ask(&["status"])?.stdout;
    ensure!(status.contains(" mode, inner"), "{status}");
    ensure!(
        edge.detach(&["--interface", LONG])?
            .starts_with("detached from")
    );
    drop(server);
    daemon.interrupt(PATIENCE).map(drop)
}

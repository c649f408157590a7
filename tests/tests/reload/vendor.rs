//! A database of another vendor in place of what filters.

use anyhow::{Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::require_root;
use nix::sys::signal::Signal;

use super::data::{blocking, data, provide};
use super::{reload, site};

#[test]
fn database_of_another_vendor_is_taken_up_or_refused_with_the_line_that_accepts_it() -> Result<()> {
    require_root!();
    let site = site()?;
    let mut daemon = site.run(&[])?;
    let vendor = |prefix: &str| {
        let mut writer = Writer::new(Schema::Nested);
        writer.database_type = "Other-Country".to_owned();
        for (network, code) in [
            (prefix, "RU"),
            ("2a02:6b8::/32", "RU"),
            ("84.200.0.0/16", "DE"),
            ("2a01:4f8::/32", "DE"),
            ("8.8.0.0/16", "US"),
            ("2001:4860::/32", "US"),
        ] {
            writer.add_code(network.parse().expect("a network"), code);
        }
        writer.finish()
    };
    // Half of a country is damage between two releases, and usual between two vendors.
    provide(&site, &vendor("77.88.0.0/17"))?;
    ensure!(reload(&site, &[])?.code == Some(0));
    provide(&site, &data())?;
    ensure!(reload(&site, &[])?.code == Some(0));
    provide(&site, &vendor("77.88.0.0/18"))?;
    let answer = reload(&site, &[])?;
    const LINE: &str = "accept-database-types = [\"Other-Country\"]";
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("75 %") && answer.stderr.contains(LINE),
        "{answer:?}"
    );
    site.configure(&format!("{}{LINE}\n", blocking("RU")))?;
    let answer = reload(&site, &[])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    // The vendor is known after a restart as well.
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    provide(&site, &data())?;
    let daemon = site.run(&[])?;
    let status = site.edge.ask(&["status", "--json"])?.json()?;
    ensure!(status["shortfalls"] == serde_json::json!([]), "{status}");
    daemon.interrupt(PATIENCE).map(drop)
}

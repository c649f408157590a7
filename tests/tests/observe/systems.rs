//! Autonomous systems in events: those that the daemon shows, and those that it sends on.

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::require_root;
use geofence_tests::site::Site;
use geofence_tests::wait::poll;
use serde_json::Value;

use super::{BLOCKING, CHINESE, RUSSIAN, Seen, events};

#[test]
fn events_name_the_system_of_the_source() -> Result<()> {
    require_root!();
    let site = Site::new(&format!(
        "{BLOCKING}asn-database = \"asn.mmdb\"\nevent-file = \"events.json\"\n"
    ))?;
    let mut writer = Writer::new(Schema::Asn);
    writer.add_code("77.88.8.0/24".parse()?, "64500 Example Org");
    site.write("asn.mmdb", writer.finish())?;
    let mut seen = Seen::of(site)?;
    let follower = seen.follow(&[])?;
    seen.send(RUSSIAN, 22, 1)?;
    seen.send(CHINESE, 22, 1)?;
    let both = |events: &[Value]| {
        let of = |source: &str| events.iter().find(|one| one["src"] == source).cloned();
        of(RUSSIAN).zip(of(CHINESE))
    };
    let shown = poll(PATIENCE, || Ok(both(&events(&follower)?)))?;
    let (known, other) = shown.with_context(|| format!("{:?}", events(&follower)))?;
    ensure!(
        known["as_number"] == 64_500 && known["as_name"] == "Example Org",
        "{known}"
    );
    ensure!(other["as_number"].is_null(), "{other}");
    let said = seen.site.edge.ask(&["events"])?.stdout;
    ensure!(
        said.contains("country RU, AS64500 (Example Org), edge0, "),
        "{said}"
    );
    let path = seen.site.path("events.json");
    let delivered = poll(PATIENCE, || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Ok(text.contains("\"as_name\":\"Example Org\"").then_some(()))
    })?;
    delivered.context("the file does not name the system")
}

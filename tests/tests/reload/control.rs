//! Asking the daemon by its socket: what it answers, and to whom.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::binary as binary_under_test;
use geofence_tests::edge::PATIENCE;
use geofence_tests::require_root;

use super::{SUCCEEDED, reload, site};

#[test]
fn status_answers_with_and_without_a_daemon() -> Result<()> {
    require_root!();
    let site = site()?;
    let status = |code: i32| -> Result<serde_json::Value> {
        let answer = site.edge.ask(&["status", "--json"])?;
        assert_eq!(answer.code, Some(code), "{answer:?}");
        answer.json()
    };
    let object = status(1)?;
    ensure!(
        object["process"].is_null() && object["interfaces"] == serde_json::json!([]),
        "{object}"
    );
    let daemon = site.run(&[])?;
    let object = status(0)?;
    assert_eq!(object["process"], daemon.id(), "{object}");
    assert_eq!(object["interfaces"][0]["interface"], site.edge.interface());
    assert_eq!(object["interfaces"][0]["protected"], true);
    assert_eq!(object["interfaces"][0]["mode"], "native");
    let said = site.edge.ask(&["status"])?.stdout;
    ensure!(said.contains("edge0: protected, native mode"), "{said}");
    daemon.kill(PATIENCE)?;
    let object = status(1)?;
    ensure!(object["process"].is_null(), "{object}");
    assert_eq!(object["interfaces"][0]["protected"], true, "{object}");
    let said = site.edge.ask(&["status"])?.stdout;
    ensure!(
        said.contains("not running; the filter stays attached"),
        "{said}"
    );
    let answer = reload(&site, &[])?;
    ensure!(
        answer.code == Some(2) && answer.stderr.contains("`geofence run` starts one"),
        "{answer:?}"
    );
    site.edge.detach(&["--all"])?;
    assert_eq!(status(1)?["interfaces"], serde_json::json!([]));
    Ok(())
}

#[test]
fn control_socket_accepts_only_root_whatever_its_mode() -> Result<()> {
    require_root!();
    let site = site()?;
    let mut daemon = site.run(&[])?;
    let socket = site.edge.socket();
    let directory = socket.parent().context("its directory")?;
    let mode = std::fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let binary = site.path("geofence");
    std::fs::copy(binary_under_test()?, &binary)?;
    let ask = || -> Result<String> {
        let output = site
            .edge
            .pair
            .edge
            .command("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&binary)
            .arg("status")
            .output()?;
        assert_eq!(output.status.code(), Some(2));
        Ok(String::from_utf8(output.stderr)?)
    };
    std::fs::set_permissions(site.directory.path(), Permissions::from_mode(0o755))?;
    let said = ask()?;
    ensure!(said.contains("belongs to root"), "{said}");
    // An operator opens the socket to every user.
    for (path, mode) in [(directory, 0o755), (socket.as_path(), 0o666)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    let said = ask()?;
    ensure!(said.contains("geofence has not answered"), "{said}");
    daemon.wait_line("user 65534 may not control geofence", PATIENCE)?;
    assert_eq!(site.edge.metric(SUCCEEDED)?, 0.0);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

//! Who gets an answer from the HTTP listener, and in which form: health checks, compression, names, users and TLS.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::privilege::missing_programs;
use geofence_tests::site::Site;
use geofence_tests::wait::poll;
use geofence_tests::{http, require_root, web};
use serde_json::Value;

/// A bcrypt hash of "sesame", with the least cost that there is.
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
/// `alice:sesame` and `alice:wrong` in Base64.
const RIGHT: &str = "Basic YWxpY2U6c2VzYW1l";
const WRONG: &str = "Basic YWxpY2U6d3Jvbmc=";

fn get(edge: &Edge, path: &str, headers: &[(&str, &str)]) -> Result<http::Response> {
    let address: SocketAddr = LISTEN.parse()?;
    http::get(&edge.pair.edge, address, path, headers)
}

#[test]
fn a_bare_interface_is_not_ready_and_stays_alive() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    for path in ["/livez", "/-/healthy", "/readyz", "/-/ready"] {
        ensure!(edge.get(path)?.status == 200, "{path}");
    }
    edge.pair
        .edge
        .run(&["ip", "link", "del", edge.interface()])?;
    for path in ["/livez", "/-/healthy"] {
        ensure!(edge.get(path)?.status == 200, "{path}");
    }
    for path in ["/readyz", "/-/ready"] {
        let answer = edge.get(path)?;
        let body: Value = serde_json::from_str(&answer.body)?;
        ensure!(answer.status == 503, "{path}: {answer:?}");
        let missing = body["missing"][0].as_str().unwrap_or_default();
        ensure!(missing == "edge0 is not protected: gone", "{body}");
    }
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn answers_are_compressed_for_clients_that_accept_gzip() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    let plain = get(&edge, "/metrics", &[])?;
    ensure!(plain.header("content-encoding").is_none(), "{plain:?}");
    // A client of HTTP/1.0 gets no chunks, so the body behind the headers is the compressed text.
    let script = "exec 3<>/dev/tcp/127.0.0.1/10317; \
                  printf 'GET /metrics HTTP/1.0\\r\\nhost: localhost\\r\\naccept-encoding: gzip\\r\\n\\r\\n' >&3; \
                  LC_ALL=C sed '1,/^\\r$/d' <&3 | gunzip --stdout";
    let said = edge.pair.edge.run(&["bash", "-c", script])?;
    ensure!(said.contains("\ngeofence_build_info{"), "{said}");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn requests_to_names_of_other_machines_are_refused() -> Result<()> {
    require_root!();
    let site = Site::new(&format!(
        "listen = \"{LISTEN}\"\nlisten-names = [\"edge1.example\"]\n"
    ))?;
    let daemon = site.run(&[])?;
    let status = |host: &str| -> Result<String> {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/10317; printf 'GET /metrics HTTP/1.1\\r\\nhost: {host}\\r\\n\\r\\n' >&3; \
             head -1 <&3"
        );
        site.edge.pair.edge.run(&["bash", "-c", &script])
    };
    for own in ["127.0.0.1:10317", "localhost:10317", "edge1.example:10317"] {
        ensure!(status(own)?.contains(" 200 "), "{own}");
    }
    ensure!(status("rebind.attacker.example:10317")?.contains(" 421 "));
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn only_users_of_the_web_configuration_read_the_metrics() -> Result<()> {
    require_root!();
    let site = Site::new(&format!(
        "listen = \"{LISTEN}\"\nweb-config = \"web.yml\"\n"
    ))?;
    // Without the file nothing is served, and the filter is in place.
    let config = site.word("geofence.toml")?;
    let arguments = ["--config", &config, "--interface", site.edge.interface()];
    let mut daemon = geofence_tests::daemon::Daemon::run(&site.edge.pair.edge, &arguments, &[])?;
    daemon.wait_line("NO METRICS", PATIENCE)?;
    ensure!(
        get(&site.edge, "/metrics", &[]).is_err(),
        "it is served without its users"
    );
    ensure!(
        !site.edge.passes("77.88.8.8")?,
        "the filter is not in place"
    );
    site.write(
        "web.yml",
        format!("basic_auth_users:\n  alice: \"{HASH}\"\n"),
    )?;
    daemon.wait_line("the metrics address is bound", PATIENCE)?;
    for (headers, expected) in [
        (vec![], 401),
        (vec![("authorization", WRONG)], 401),
        (vec![("authorization", RIGHT)], 200),
    ] {
        let answer = get(&site.edge, "/metrics", &headers)?;
        ensure!(answer.status == expected, "{headers:?}: {answer:?}");
    }
    // A change of the file takes effect, and a broken file changes nothing.
    site.write("web.yml", "basic_auth_users: {alice: nothing}\n")?;
    ensure!(get(&site.edge, "/metrics", &[])?.status == 401);
    site.write("web.yml", "basic_auth_users: {}\n")?;
    ensure!(get(&site.edge, "/metrics", &[])?.status == 200);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

/// What `openssl s_client` receives for a request over TLS.
fn over_tls(site: &Site, more: &[&str]) -> Result<String> {
    let mut client = site
        .edge
        .pair
        .edge
        .command("openssl")
        .args([
            "s_client",
            "-connect",
            LISTEN,
            "-quiet",
            "-verify_return_error",
        ])
        .args([
            "-verify_ip",
            "127.0.0.1",
            "-CAfile",
            &site.word("cert.pem")?,
        ])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = client.stdin.take().context("a pipe")?;
    // A client that was refused may have ended already; what it said is judged.
    let _ = input.write_all(b"GET /metrics HTTP/1.1\r\nhost: anything.example\r\n\r\n");
    let output = client.wait_with_output()?;
    drop(input);
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_web_configuration_turns_the_listener_to_tls() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    let site = Site::new(&format!(
        "listen = \"{LISTEN}\"\nweb-config = \"web.yml\"\n"
    ))?;
    web::certificate(&site.path("cert.pem"), &site.path("key.pem"))?;
    let tls = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";
    site.write("web.yml", format!("{tls}  min_version: TLS13\n"))?;
    let config = site.word("geofence.toml")?;
    let arguments = ["--config", &config, "--interface", site.edge.interface()];
    let mut daemon = geofence_tests::daemon::Daemon::run(&site.edge.pair.edge, &arguments, &[])?;
    daemon.wait_line(
        "ready: metrics on https://127.0.0.1:10317/metrics",
        PATIENCE,
    )?;
    let said = over_tls(&site, &[])?;
    ensure!(
        said.contains("200 OK") && said.contains("geofence_build_info"),
        "{said}"
    );
    let said = over_tls(&site, &["-tls1_2"])?;
    ensure!(!said.contains("200 OK"), "TLS 1.2 is spoken: {said}");
    ensure!(
        get(&site.edge, "/metrics", &[]).is_err(),
        "it answers without TLS"
    );
    let shown = site.edge.ask(&["status"])?.stdout;
    ensure!(shown.contains("https://127.0.0.1:10317/metrics"), "{shown}");
    // From now on clients need a certificate.
    site.write(
        "web.yml",
        format!(
            "{tls}  client_ca_file: cert.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
        ),
    )?;
    let refused = poll(PATIENCE, || {
        Ok((!over_tls(&site, &[])?.contains("200 OK")).then_some(()))
    })?;
    refused.context("a client without a certificate is served")?;
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

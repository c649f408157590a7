//! What keeps the data current, through the real kernel: overrides of countries, databases that are fetched, and
//! servers that want a secret.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::geofence;
use geofence_tests::edge::PATIENCE;
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::privilege::missing_programs;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, GERMAN, RUSSIAN, Site};
use geofence_tests::wait::poll;
use geofence_tests::web;

/// The seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A time this much later, as a configuration writes it.
fn later(time: Duration) -> Result<String> {
    let output = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"])
        .arg(format!("@{}", now() + time.as_secs()))
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn override_decides_until_it_expires() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let daemon = site.run(&[])?;
    site.wait_both([false, true])?;
    let corrected = |until: &str| {
        format!(
            "[[geo-override]]\nprefix = \"77.88.8.0/24\"\ncountry = \"DE\"\nreason = \"ticket 4711\"\n{until}\
             [[geo-override]]\nprefix = \"84.200.69.80\"\ncountry = \"RU\"\nreason = \"rented there\"\n"
        )
    };
    site.configure(&corrected(""))?;
    site.wait_both([true, false])?;
    let series = "geofence_geo_overrides";
    // The kernel filters by the new image before the daemon counts.
    let counted = |count| {
        let seen = || Ok((site.edge.metric(series)? == count).then_some(()));
        poll(PATIENCE, seen)?.with_context(|| format!("{count} are not in force"))
    };
    counted(2.0)?;
    let said = "country DE by your geo-override 77.88.8.0/24 (ticket 4711); the database says RU";
    for verb in ["lookup", "explain"] {
        let (_, text) = site.ask(&[verb, RUSSIAN])?;
        ensure!(text.contains(said), "{verb}: {text}");
        let json = site.json(&[verb, RUSSIAN])?;
        ensure!(json["overrides"][0]["database"] == "RU", "{verb}: {json}");
        // What the running filter says, by the configuration of its daemon.
        let answer = site.edge.ask(&[verb, RUSSIAN])?;
        ensure!(answer.stdout.contains(said), "{verb}: {answer:?}");
    }
    let (code, text) = site.ask(&["explain", GERMAN])?;
    ensure!(
        code == Some(1) && text.contains("country_blocked") && text.contains("says DE"),
        "{code:?} {text}"
    );
    let (_, text) = site.ask(&["check"])?;
    ensure!(text.contains("77.88.8.0/24 is DE (ticket 4711)"), "{text}");

    let until = later(Duration::from_secs(5))?;
    site.configure(&corrected(&format!("until = \"{until}\"\n")))?;
    site.wait_both([false, false])?;
    counted(1.0)?;
    let (_, text) = site.ask(&["check"])?;
    ensure!(
        text.contains("geo-override 77.88.8.0/24 (DE) expired at"),
        "{text}"
    );
    let (_, text) = site.ask(&["lookup", RUSSIAN])?;
    ensure!(!text.contains("by your geo-override"), "{text}");
    drop(daemon);
    Ok(())
}

const SECRET: &str = "hunter2-hunter2";

/// A database in which the German network has this country.
fn database(german: &str) -> Result<Vec<u8>> {
    let mut writer = Writer::new(Schema::Flat);
    for (network, code) in [
        ("77.88.0.0/16", "RU"),
        ("5.0.0.0/16", "RU"),
        // The writer lets a later prefix cover an earlier one.
        ("84.0.0.0/8", "DE"),
        ("84.200.69.0/24", german),
        ("2a00::/32", "RU"),
        ("2003::/19", "DE"),
    ] {
        writer.add_code(network.parse()?, code);
    }
    Ok(writer.finish())
}

/// Writes the secret where only root may read it, and returns the path.
fn secret(site: &Site) -> Result<String> {
    site.write("secret", format!("{SECRET}\n"))?;
    std::fs::set_permissions(site.path("secret"), Permissions::from_mode(0o600))?;
    site.word("secret")
}

#[test]
fn fetched_database_filters_and_a_bad_one_changes_nothing() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let answers = Arc::new(Mutex::new((web::answer("200 OK", "", b""), String::new())));
    let shared = Arc::clone(&answers);
    let address = web::serve(&site.edge.pair.edge, move |head| {
        let mut shared = shared.lock().expect("no thread panics with it");
        head.clone_into(&mut shared.1);
        shared.0.clone()
    })?;
    let publish = |status: &str, headers: &str, body: &[u8]| {
        let mut shared = answers.lock().expect("no thread panics with it");
        shared.0 = web::answer(status, headers, body);
    };
    let key = secret(&site)?;
    site.write("country.mmdb", database("DE")?)?;
    site.configure(&format!(
        "block = [\"RU\"]\ndatabases = [\"country.mmdb\"]\n\
         [[geoip-source]]\nfile = \"country.mmdb\"\nvendor = \"url\"\nurl = \"http://{address}/c.mmdb\"\n\
         bearer = {{ file = \"{key}\" }}\n"
    ))?;
    let mut daemon = site.run(&["--force"])?;
    site.wait_both([false, true])?;
    ensure_updated(&site, true)?;

    publish("200 OK", "ETag: \"1\"\r\n", &database("RU")?);
    let (code, said) = site.ask(&["update"])?;
    ensure!(
        code == Some(0) && said.contains("country.mmdb: built "),
        "{said}"
    );
    let head = answers.lock().expect("no thread panics with it").1.clone();
    ensure!(
        head.to_lowercase()
            .contains(&format!("authorization: bearer {SECRET}")),
        "the token is sent: {head}"
    );
    // The running geofence notices the new file.
    site.wait_both([false, false])
        .with_context(|| daemon.stderr())?;
    publish("304 Not Modified", "", b"");
    let (code, said) = site.ask(&["update"])?;
    ensure!(
        code == Some(0) && said.contains("country.mmdb: unchanged"),
        "{said}"
    );

    let mut without_russia = Writer::new(Schema::Flat);
    without_russia.add_code("84.0.0.0/8".parse()?, "DE");
    without_russia.add_code("2003::/19".parse()?, "DE");
    let whole = database("DE")?;
    for (status, headers, body, why) in [
        ("200 OK", "", b"<html>log in</html>".to_vec(), "a web page"),
        ("200 OK", "", whole[..whole.len() / 2].to_vec(), "cut short"),
        (
            "200 OK",
            "",
            without_russia.finish(),
            "it has no prefix of Russia (RU)",
        ),
        ("200 OK", "", Vec::new(), "is empty"),
        (
            "302 Found",
            "Location: file:///etc/passwd\r\n",
            Vec::new(),
            "not followed",
        ),
        (
            "401 Unauthorized",
            "",
            SECRET.into(),
            "does not accept the credential",
        ),
        (
            "429 Too Many Requests",
            "Retry-After: 3600\r\n",
            Vec::new(),
            "answers 429",
        ),
    ] {
        publish(status, headers, &body);
        let (code, said) = site.ask(&["update", "country.mmdb"])?;
        ensure!(
            code == Some(1) && said.contains(why),
            "{why}: {code:?} {said}"
        );
        ensure!(said.contains("the file in use stays"), "{said}");
        // Advice is given where it helps.
        ensure!(
            said.contains("--force") == why.starts_with("it has no prefix"),
            "{said}"
        );
        ensure!(!said.contains(SECRET), "{said}");
    }
    ensure!(site.passes()? == [false, false], "the data in use stays");
    // Every face reports it, as it reports a list.
    ensure_updated(&site, false)?;
    daemon.wait_line("the last update of", PATIENCE)?;
    ensure!(
        !site.path("country.mmdb.new").exists(),
        "what was staged is gone"
    );

    let file = site.word("country.mmdb")?;
    let updates = |what: &str| {
        site.edge.metric(&format!(
            "geofence_database_update_{what}{{file=\"{file}\"}}"
        ))
    };
    ensure!(updates("failing")? == 1.0, "the last update failed");
    let times =
        ["success", "failure", "retry"].map(|what| updates(&format!("{what}_timestamp_seconds")));
    let [success, failure, retry] = times;
    let (success, failure, retry) = (success?, failure?, retry?);
    ensure!(
        success > 0.0 && success <= failure && failure + 3000.0 < retry,
        "{success} {failure} {retry}"
    );

    // The timer names nothing, and leaves the server alone.
    publish("200 OK", "", &whole);
    let (code, said) = site.ask(&["update"])?;
    ensure!(
        code == Some(0) && said.contains("asks to wait until"),
        "{said}"
    );
    let (code, said) = site.ask(&["update", "country.mmdb"])?;
    ensure!(code == Some(0), "{said}");
    site.wait_both([false, true])?;
    ensure!(updates("failing")? == 0.0, "the last update succeeded");
    ensure!(
        updates("retry_timestamp_seconds")? == 0.0,
        "the next one asks the server"
    );
    ensure!(
        updates("failure_timestamp_seconds")? == failure,
        "one failed before"
    );
    ensure_updated(&site, true)?;
    daemon.wait_line("country.mmdb is up to date again", PATIENCE)?;
    Ok(())
}

/// Checks that status, health and metrics say whether the last update of the database failed.
fn ensure_updated(site: &Site, is_good: bool) -> Result<()> {
    let status = site.edge.ask(&["status"])?;
    let health = site.edge.get("/healthz")?;
    let metrics = site.edge.get("/metrics")?.body;
    let said = format!(
        "the last update of {} failed, and the file before it stays in use",
        site.word("country.mmdb")?
    );
    let degraded = format!("DEGRADED   database_update: {said}");
    ensure!(
        status.code == Some(i32::from(!is_good)) && status.stdout.contains(&degraded) != is_good,
        "{status:?}"
    );
    let word = if is_good { "ok" } else { "degraded" };
    ensure!(
        health.status == 200
            && health.body.contains(&format!("\"status\":\"{word}\""))
            && health.body.contains(&said) != is_good,
        "{health:?}"
    );
    for series in [
        "geofence_degraded",
        "geofence_shortfalls{part=\"database_update\"}",
    ] {
        let line = format!("{series} {}\n", u8::from(!is_good));
        ensure!(metrics.contains(&line), "no {line} in {metrics}");
    }
    Ok(())
}

#[test]
fn secret_is_sent_over_tls_and_shown_nowhere() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    let site = Site::new("")?;
    let (certificate, key) = (site.path("cert.pem"), site.path("key.pem"));
    web::certificate(&certificate, &key)?;
    let address = web::serve_tls(&site.edge.pair.edge, &certificate, &key, |head| {
        let sent = head
            .to_lowercase()
            .contains(&format!("x-api-key: {SECRET}\r\n"));
        if sent {
            let decision = "{\"scope\":\"Ip\",\"type\":\"ban\",\"value\":\"84.200.69.80\",\"duration\":\"4h\"}";
            let body = format!("{{\"new\":[{decision}],\"deleted\":null}}");
            web::answer("200 OK", "", body.as_bytes())
        } else {
            web::answer("403 Forbidden", "", b"access forbidden")
        }
    })?;
    let secret = secret(&site)?;
    site.configure(&format!(
        "[[list]]\nname = \"decisions\"\nurl = \"https://{address}\"\napi = \"crowdsec\"\nformat = \"crowdsec\"\n\
         header = {{ X-Api-Key = {{ file = \"{secret}\" }} }}\n"
    ))?;
    let daemon = site.run(&[])?;
    site.wait_both([false, true])?;
    let config = site.word(CONFIG)?;
    let ask = |words: &[&str], trusted: bool| -> Result<(Option<i32>, String)> {
        let mut command = geofence(&site.edge.pair.edge)?;
        command.args(words);
        if trusted {
            command.env("SSL_CERT_FILE", &certificate);
        }
        let output = command.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    };
    let (code, said) = ask(&["update", "--config", &config], false)?;
    ensure!(
        code == Some(1) && said.to_lowercase().contains("certificate"),
        "a certificate that no authority signed: {code:?} {said}"
    );
    let (code, said) = ask(&["update", "--config", &config], true)?;
    ensure!(
        code == Some(0) && said.contains("decisions: 1 entries"),
        "{code:?} {said}"
    );
    site.wait_passes(GERMAN, false)?;
    for words in [
        &["update", "--config", &config][..],
        &["update", "--config", &config, "--json"],
        &["list", "--config", &config],
        &["list", "--config", &config, "--json"],
        &["check", "--config", &config],
        &["check", "--config", &config, "--show"],
        &["check", "--config", &config, "--json"],
        &["diff", "--over", "0", &config],
        &["diff", "--over", "0", &config, "--json"],
        &["lookup", "--config", &config, GERMAN],
        &["explain", "--config", &config, GERMAN],
        &["status"],
        &["status", "--json"],
        &["update", "--config", &config, "unheard-of"],
    ] {
        let (_, said) = ask(words, true)?;
        ensure!(
            !said.is_empty() && !said.contains(SECRET),
            "{words:?}: {said}"
        );
    }
    let metrics = site.edge.get("/metrics")?.body;
    ensure!(!metrics.contains(SECRET), "{metrics}");
    // A secret that stands in the configuration itself is refused without being shown.
    let clear = format!(
        "[[list]]\nname = \"a\"\nurl = \"https://lists.example\"\nformat = \"plain\"\n\
         bearer = \"{SECRET}\"\n"
    );
    site.write("clear.toml", clear)?;
    let clear = site.word("clear.toml")?;
    let (code, said) = ask(&["check", &clear], true)?;
    ensure!(
        code == Some(2)
            && said.contains("clear.toml:1:")
            && said.contains("where the secret is kept"),
        "{code:?} {said}"
    );
    ensure!(!said.contains(SECRET), "{said}");
    let ended = daemon.interrupt(PATIENCE)?;
    let said = ended.stdout + &ended.stderr;
    ensure!(!said.contains(SECRET), "{said}");
    Ok(())
}

#[test]
fn secret_at_a_wrong_place_is_shown_nowhere() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let daemon = site.run(&[])?;
    site.wait_both([false, true])?;
    let config = site.word(CONFIG)?;
    let ask = |words: &[&str], expected: &str| -> Result<()> {
        let output = geofence(&site.edge.pair.edge)?.args(words).output()?;
        let said = String::from_utf8([output.stdout, output.stderr].concat())?;
        ensure!(
            said.contains(expected) && !said.contains(SECRET),
            "{words:?}: {said}"
        );
        Ok(())
    };

    // In a URL, it is of use; no server answers at this one.
    let list = format!(
        "[[list]]\nname = \"a\"\nurl = \"https://us:{SECRET}@127.0.0.1:9/x?token={SECRET}\"\nformat = \"plain\"\n"
    );
    site.configure(&list)?;
    for (words, expected) in [
        (&["reload"][..], ""),
        (
            &["update", "--config", &config],
            "https://***@127.0.0.1:9/x?token=***",
        ),
        (&["update", "--config", &config, "--json"], "token=***"),
        (&["list", "--config", &config], "token=***"),
        (&["list", "--config", &config, "--json"], "token=***"),
        (&["check", "--config", &config], ""),
        (&["check", "--config", &config, "--show"], "token=***"),
        (&["check", "--config", &config, "--json"], "token=***"),
        (&["status"], "a was never fetched"),
        (&["status", "--json"], "token=***"),
    ] {
        ask(words, expected)?;
    }

    // Below a wrong key, the configuration is refused.
    site.configure(&format!("{list}x-api-key = \"{SECRET}\" # {SECRET}\n"))?;
    let shown = "x-api-key = \"***\" # ***";
    for words in [
        &["reload"][..],
        &["check", &config],
        &["check", "--json", &config],
        &["check", "--show", "--config", &config],
        &["diff", "--over", "0", &config],
        &["diff", "--over", "0", "--json", &config],
        &["apply", "--confirm-within", "60s", &config],
        &["list", "--config", &config],
        &["explain", "--config", &config, GERMAN],
        &["run", "--config", &config, "--interface", "lo"],
        &["status"],
    ] {
        ask(words, shown)?;
    }
    ask(&["status", "--json"], "x-api-key")?;
    for path in ["/", "/healthz", "/metrics"] {
        let body = site.edge.get(path)?.body;
        ensure!(!body.contains(SECRET), "{path}: {body}");
    }
    let ended = daemon.interrupt(PATIENCE)?;
    let said = ended.stdout + &ended.stderr;
    ensure!(said.contains(shown) && !said.contains(SECRET), "{said}");
    Ok(())
}

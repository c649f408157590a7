//! Another policy or other data in place of what filters, or a reason why not.

use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use geofence_tests::edge::{Answer, PATIENCE};
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, GERMAN, Site};
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;

#[path = "reload/conf_d.rs"]
mod conf_d;
#[path = "reload/control.rs"]
mod control;
#[path = "reload/data.rs"]
mod data;
#[path = "reload/vendor.rs"]
mod vendor;

use data::{blocking, data, provide, swapped, writer};

/// A machine whose geofence has a configuration and a database in files.
fn site() -> Result<Site> {
    let site = Site::new(&blocking("RU"))?;
    provide(&site, &data())?;
    Ok(site)
}

fn reload(site: &Site, words: &[&str]) -> Result<Answer> {
    site.edge.ask(&[&["reload"], words].concat())
}

/// Waits until a counter of the metrics has a value.
fn wait_metric(site: &Site, series: &str, value: f64) -> Result<()> {
    let mut last = 0.0;
    let seen = poll(PATIENCE, || {
        last = site.edge.metric(series)?;
        Ok((last == value).then_some(()))
    })?;
    seen.with_context(|| format!("{series} is {last}, not {value}"))
}

fn health_of(site: &Site) -> Result<(u16, serde_json::Value)> {
    let response = site.edge.get("/healthz")?;
    Ok((response.status, serde_json::from_str(&response.body)?))
}

/// How long a changed file must stay as it is until the daemon reloads by itself: from one look to the next.
const REST: Duration = Duration::from_secs(1);

/// Checks that one reload was counted since `before`. Where the test was not quick enough, so that the daemon may have
/// noticed the file first, there may be two.
fn ensure_counted_once(site: &Site, series: &str, before: f64, since: Instant) -> Result<f64> {
    let most = if since.elapsed() < REST { 1.0 } else { 2.0 };
    let counted = site.edge.metric(series)? - before;
    ensure!(
        counted >= 1.0 && counted <= most,
        "expected {series} to grow by 1 to {most}, but it grew by {counted}"
    );
    Ok(before + counted)
}

const SUCCEEDED: &str = "geofence_reloads_total{result=\"ok\"}";
const FAILED: &str = "geofence_reloads_total{result=\"failed\"}";

fn failed(reason: &str) -> String {
    format!("geofence_reload_failures_total{{reason=\"{reason}\"}}")
}

#[test]
fn reload_by_command_signal_or_changed_file_changes_the_policy() -> Result<()> {
    require_root!();
    let site = site()?;
    let mut daemon = site.run(&[])?;
    let program = site.edge.program(site.edge.interface())?;
    assert_eq!(site.passes()?, [false, true]);

    // By itself, when the configuration changes.
    site.configure(&blocking("DE"))?;
    wait_metric(&site, SUCCEEDED, 1.0)?;
    assert_eq!(site.passes()?, [true, false]);
    // And when a database does.
    provide(&site, &swapped())?;
    wait_metric(&site, SUCCEEDED, 2.0)?;
    assert_eq!(site.passes()?, [false, true]);

    // When asked to. What is asked for is not done again because the file has changed.
    let begun = Instant::now();
    site.configure(&blocking("RU"))?;
    let answer = reload(&site, &["--json"])?;
    let succeeded = ensure_counted_once(&site, SUCCEEDED, 2.0, begun)?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.json()?["ok"], true);
    assert_eq!(site.passes()?, [true, false]);
    daemon.signal(Signal::SIGHUP)?;
    wait_metric(&site, SUCCEEDED, succeeded + 1.0)?;
    assert_eq!(site.passes()?, [true, false]);

    assert_eq!(site.edge.metric(FAILED)?, 0.0);
    let replaced = site.edge.program(site.edge.interface())?;
    assert_eq!(replaced, program, "a reload changes no program");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn reloads_keep_no_memory() -> Result<()> {
    require_root!();
    /// Compiling the world takes some seventy MiB more than is needed afterwards.
    const KEPT_MAX: u64 = 8 << 20;
    let site = Site::new("block = [\"RU\"]\n")?;
    let daemon = site.run(&[])?;
    let before = daemon.resident()?;
    for _ in 0..3 {
        let answer = reload(&site, &[])?;
        ensure!(answer.code == Some(0), "{answer:?}");
    }
    let mut kept = 0;
    let given_back = poll(PATIENCE, || {
        kept = daemon.resident()?.saturating_sub(before);
        Ok((kept < KEPT_MAX).then_some(()))
    })?;
    ensure!(
        given_back.is_some(),
        "expected less than {KEPT_MAX} bytes more than {before}, but {kept} are kept"
    );
    Ok(())
}

/// With exceptions, the daemon keeps the database it has decoded. It must never outlive its file.
#[test]
fn runtime_exception_uses_the_current_database() -> Result<()> {
    require_root!();
    let site = site()?;
    // What was written a moment ago is not kept: it might be written to again within one tick of the clock.
    let provide = |data: &[u8]| -> Result<()> {
        provide(&site, data)?;
        let file = File::options()
            .write(true)
            .open(site.path("countries.mmdb"))?;
        Ok(file.set_modified(SystemTime::now() - Duration::from_secs(60))?)
    };
    provide(&data())?;
    let daemon = site.run(&[])?;
    let grant = |id: &str| {
        let who = ["--from", "8.8.8.8", "--to", "any"];
        let why = ["--owner", "noc", "--reason", "probes"];
        let words = [&["exception", "add", id], &who[..], &why[..]].concat();
        site.edge.ask(&words)
    };
    for id in ["x-1", "x-2"] {
        let answer = grant(id)?;
        assert_eq!(answer.code, Some(0), "{answer:?}");
        assert_eq!(site.passes()?, [false, true]);
    }

    provide(&swapped())?;
    let answer = grant("x-3")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(site.passes()?, [true, false]);

    // It is doubted, too.
    let mut lost = Writer::new(Schema::Nested);
    lost.add_code("8.8.0.0/16".parse()?, "US");
    for (data, cause) in [
        (lost.finish(), "RU"),
        (b"nothing".to_vec(), "countries.mmdb"),
    ] {
        provide(&data)?;
        let answer = grant("x-4")?;
        assert_ne!(answer.code, Some(0), "{answer:?}");
        assert!(answer.stderr.contains(cause), "{answer:?}");
        assert_eq!(site.passes()?, [true, false]);
    }
    provide(&swapped())?;
    let answer = grant("x-4")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(site.passes()?, [true, false]);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn failed_reload_changes_nothing_and_is_reported_everywhere() -> Result<()> {
    require_root!();
    let site = site()?;
    let mut daemon = site.run(&[])?;
    assert_eq!(health_of(&site)?.1["status"], "ok");
    let good = std::fs::read_to_string(site.path("geofence.toml"))?;
    let half = data();
    let half = &half[..half.len() / 2];
    let mut older = writer();
    older.build_epoch -= 86_400;
    let mut other = writer();
    other.add_code("84.200.0.0/16".parse()?, "US");
    other.add_code("77.88.0.0/16".parse()?, "DE");
    other.add_code("2a02:6b8::/32".parse()?, "DE");
    let (older, without) = (older.finish(), other.finish());
    /// A file with something wrong, the reason that counts it, and what is said of it.
    type Case<'a> = (&'a str, &'a [u8], &'a str, &'a str);
    let cases: [Case<'_>; 9] = [
        (
            CONFIG,
            b"blokc = [\"RU\"]\n",
            "configuration",
            "did you mean `block`",
        ),
        (CONFIG, b"block = [\"UK\"]\n", "configuration", "1:10"),
        (
            CONFIG,
            b"lookup = \"lpm-trie\"\n",
            "restart_needed",
            "lookup cannot change while geofence runs, so the new configuration was rejected as a whole. To use it, \
             restart geofence with `kill ",
        ),
        ("countries.mmdb", b"", "database", "countries.mmdb"),
        (
            "countries.mmdb",
            b"<!doctype html><title>Not found</title>",
            "database",
            "countries.mmdb",
        ),
        ("countries.mmdb", half, "database", "countries.mmdb"),
        ("countries.mmdb", &older, "guard", "before the data in use"),
        ("countries.mmdb", &without, "guard", "Russia"),
        (
            CONFIG,
            b"block = [\"US\"]\ndatabases = [\"absent.mmdb\"]\n",
            "database",
            "absent.mmdb",
        ),
    ];
    for (at, (name, content, reason, said)) in cases.into_iter().enumerate() {
        let what = format!("{name} {reason} {said}");
        let before = site.edge.metric(&failed(reason))?;
        let begun = Instant::now();
        std::fs::write(site.path(name), content)?;
        // Half of them are asked for, and half are noticed by themselves.
        let is_asked = at % 2 == 0;
        let text = if is_asked {
            let answer = reload(&site, &[])?;
            ensure_counted_once(&site, &failed(reason), before, begun)?;
            assert_eq!(answer.code, Some(1), "{what}: {answer:?}");
            answer.stderr
        } else {
            wait_metric(&site, &failed(reason), before + 1.0)?;
            // What is counted is not yet said.
            daemon.wait_line(said, PATIENCE)?
        };
        ensure!(text.contains(said), "{what}: {text}");
        assert_eq!(site.passes()?, [false, true], "{what}");
        assert_eq!(
            site.edge.metric("geofence_degraded")?,
            1.0,
            "{what}: {}",
            daemon.stderr()
        );
        let (code, health) = health_of(&site)?;
        assert_eq!(
            (code, &health["status"]),
            (200, &"degraded".into()),
            "{what}"
        );
        assert_eq!(health["trouble"]["cause"], reason, "{what}");
        let text = health["trouble"]["text"].as_str().unwrap_or_default();
        ensure!(text.contains(said), "{what}: {text}");
        let succeeded = site.edge.metric(SUCCEEDED)?;
        let begun = Instant::now();
        if name == CONFIG {
            site.configure(&good)?;
        } else {
            provide(&site, &data())?;
        }
        if is_asked {
            assert_eq!(reload(&site, &[])?.code, Some(0), "{what}");
            ensure_counted_once(&site, SUCCEEDED, succeeded, begun)?;
        } else {
            wait_metric(&site, SUCCEEDED, succeeded + 1.0)?;
        }
        assert_eq!(health_of(&site)?.1["status"], "ok", "{what}");
    }
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn force_accepts_data_that_the_sanity_check_rejects() -> Result<()> {
    require_root!();
    let site = site()?;
    let daemon = site.run(&[])?;
    let mut vanished = writer();
    vanished.add_code("77.88.0.0/16".parse()?, "US");
    vanished.add_code("2a02:6b8::/32".parse()?, "US");
    provide(&site, &vanished.finish())?;
    let answer = reload(&site, &["--json"])?;
    let object = answer.json()?;
    assert_eq!((answer.code, &object["ok"]), (Some(1), &false.into()));
    assert_eq!(object["cause"], "guard", "{object}");
    assert_eq!(site.passes()?, [false, true]);
    let answer = reload(&site, &["--force"])?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(site.passes()?, [true, true]);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn last_good_image_filters_after_a_boot_without_a_database() -> Result<()> {
    require_root!();
    let site = site()?;
    let daemon = site.run(&[])?;
    // What filters now came with a reload, so that is what must be kept.
    site.configure(&blocking("DE"))?;
    assert_eq!(reload(&site, &[])?.code, Some(0));
    daemon.kill(PATIENCE)?;
    // A boot: nothing is left in the kernel or in /run, and the database did not come up.
    site.edge.detach(&["--all"])?;
    std::fs::remove_dir_all(site.edge.socket().parent().context("its directory")?)?;
    std::fs::remove_file(site.path("countries.mmdb"))?;
    assert_eq!(site.passes()?, [true, true]);

    let mut daemon = site.run(&[])?;
    daemon.wait_line("FILTERING BY THE LAST GOOD IMAGE", PATIENCE)?;
    assert_eq!(site.passes()?, [true, false]);
    let (_, health) = health_of(&site)?;
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["trouble"]["cause"], "database", "{health}");
    let status = site.edge.ask(&["status"])?;
    assert_eq!(status.code, Some(1), "{status:?}");
    ensure!(status.stdout.contains("DEGRADED"), "{status:?}");
    // The database comes back, and the daemon notices it by itself.
    provide(&site, &data())?;
    wait_metric(&site, SUCCEEDED, 1.0)?;
    assert_eq!(health_of(&site)?.1["status"], "ok");
    assert_eq!(site.passes()?, [true, false]);
    daemon.kill(PATIENCE)?;

    // Without a last good image the configured data is all there is for a strict start.
    site.edge.detach(&["--all"])?;
    std::fs::remove_dir_all(site.edge.state())?;
    std::fs::remove_file(site.path("countries.mmdb"))?;
    let config = site.path("geofence.toml");
    let words = ["run", "--strict", "--interface", site.edge.interface()];
    let words = [
        &words[..],
        &["--config", config.to_str().context("a path")?],
    ]
    .concat();
    let answer = site.edge.ask(&words)?;
    ensure!(
        answer.code == Some(2) && answer.stderr.contains("countries.mmdb"),
        "{answer:?}"
    );
    Ok(())
}

#[test]
fn reload_that_cuts_off_the_gateway_is_refused_and_names_it() -> Result<()> {
    require_root!();
    let site = site()?;
    let gateway: IpAddr = GERMAN.parse()?;
    site.edge.pair.claim(gateway)?;
    let words = [
        "ip",
        "route",
        "add",
        "default",
        "via",
        GERMAN,
        "onlink",
        "dev",
        site.edge.interface(),
    ];
    site.edge.pair.edge.run(&words)?;
    let daemon = site.run(&[])?;
    let config = "block = [\"DE\"]\ndatabases = [\"countries.mmdb\"]\nreplies = \"mail\"\n";
    let begun = Instant::now();
    site.configure(config)?;
    let answer = reload(&site, &[])?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("the gateway 84.200.69.80"),
        "{answer:?}"
    );
    ensure_counted_once(&site, &failed("access"), 0.0, begun)?;
    assert_eq!(site.passes()?, [false, true]);
    let answer = reload(&site, &["--force"])?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(site.passes()?, [true, false]);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn file_that_is_still_being_written_is_not_loaded() -> Result<()> {
    require_root!();
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        let site = site()?;
        let daemon = site.run(&[])?;
        // As a slow download would: for some looks of the daemon there is more each time, and never all of it.
        let data = swapped();
        let mut file = std::fs::File::create(site.path("countries.mmdb"))?;
        let (mut last, mut pause) = (Instant::now(), Duration::ZERO);
        for part in data.chunks(data.len().div_ceil(20)) {
            file.write_all(part)?;
            pause = pause.max(last.elapsed());
            last = Instant::now();
            poll(Duration::from_millis(150), || Ok(None::<()>))?;
        }
        // A file that rested for so long, as this machine is busy, may rightly be taken for whole.
        if pause >= REST {
            continue;
        }
        wait_metric(&site, SUCCEEDED, 1.0)?;
        assert_eq!(
            site.edge.metric(FAILED)?,
            0.0,
            "no part of the file may be tried"
        );
        assert_eq!(site.passes()?, [true, false]);
        daemon.interrupt(PATIENCE)?;
        return Ok(());
    }
    bail!("this machine is too busy: a file could not be written without a pause of {REST:?}")
}

//! The daemon has no privilege once the filter is in place, and still does all that it is there for.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::site::{GERMAN, RUSSIAN, Site};
use geofence_tests::wait::poll;
use geofence_tests::{call, require_root};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn blocking(country: &str) -> String {
    format!("block = [\"{country}\"]\n")
}

fn privilege_of(site: &Site) -> Result<Value> {
    let status = site.edge.ask(&["status", "--json"])?.json()?;
    Ok(status["privilege"].clone())
}

/// The values of a key in the status of every thread of a process.
fn of_all_threads(process: u32, key: &str) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = thread?.path().join("status");
        let status = match fs::read_to_string(&path) {
            // The thread has ended meanwhile.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    || error.raw_os_error() == Some(Errno::ESRCH as i32) =>
            {
                continue;
            }
            status => status?,
        };
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        values.push(
            line.with_context(|| format!("no {key} in {}", path.display()))?
                .to_owned(),
        );
    }
    values.sort();
    values.dedup();
    Ok(values)
}

fn ensure_powerless(process: u32) -> Result<()> {
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
        let values = of_all_threads(process, set)?;
        ensure!(values == ["0000000000000000"], "{set} {values:?}");
    }
    for (key, value) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let values = of_all_threads(process, key)?;
        ensure!(values == [value], "{key} {values:?}");
    }
    Ok(())
}

#[test]
fn daemon_without_privilege_does_all_its_work() -> Result<()> {
    require_root!();
    let site = Site::new(&blocking("RU"))?;
    let edge = &site.edge;
    let namespace = &edge.pair.edge;
    let make = || {
        let words = "ip link add other0 type veth peer name other1";
        namespace.run(&words.split(' ').collect::<Vec<_>>())
    };
    make()?;
    let interfaces = ["--interface", "edge0", "--interface", "other0"];
    let mut daemon = site.run(&interfaces)?;
    daemon.wait_line(
        "privilege: no capability, no new privileges, system calls filtered",
        PATIENCE,
    )?;
    ensure_powerless(daemon.id())?;
    assert_eq!(site.passes()?, [false, true]);

    // Another policy, by command and by itself.
    site.configure(&blocking("DE"))?;
    site.done(&["reload"])?;
    assert_eq!(site.passes()?, [true, false]);
    ensure_powerless(daemon.id())?;
    site.configure(&blocking("RU"))?;
    site.wait_both([false, true])
        .context("a changed file changes nothing")?;

    // A trial that is confirmed takes the configuration's place.
    site.write("next.toml", blocking("DE"))?;
    let next = site.word("next.toml")?;
    site.done(&["apply", "--confirm-within", "10m", &next])?;
    assert_eq!(site.passes()?, [true, false]);
    site.done(&["confirm"])?;
    assert_eq!(
        fs::read_to_string(site.path("geofence.toml"))?,
        "block = [\"DE\"]\n"
    );

    // An exception lets a source in, and is recorded.
    site.done(&[
        "exception",
        "add",
        "one",
        "--from",
        GERMAN,
        "--to",
        "any",
        "--expires",
        "1h",
        "--owner",
        "noc",
        "--reason",
        "test",
    ])?;
    assert_eq!(site.passes()?, [true, true]);
    site.done(&["exception", "remove", "one"])?;
    assert_eq!(site.passes()?, [true, false]);

    // An interface goes and comes back.
    namespace.run(&["ip", "link", "del", "other0"])?;
    make()?;
    let back = poll(PATIENCE, || edge.program("other0"))?;
    ensure!(
        back.is_some() && back == edge.program("edge0")?,
        "{}",
        daemon.stderr()
    );
    ensure_powerless(daemon.id())?;
    let privilege = privilege_of(&site)?;
    assert_eq!(privilege["capabilities"], serde_json::json!([]));
    assert_eq!(privilege["kept"], serde_json::json!([]));
    for key in ["no_new_privileges", "system_calls_filtered"] {
        ensure!(privilege[key] == true, "{privilege}");
    }
    let said = site.done(&["status"])?.stdout;
    ensure!(
        said.contains("privilege  no capability, no new privileges, system calls filtered"),
        "{said}"
    );

    // The next daemon takes over, and Ctrl-C takes the filter along.
    daemon.signal(Signal::SIGTERM)?;
    let ended = daemon.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(site.passes()?, [true, false]);
    let mut daemon = site.run(&interfaces)?;
    daemon.wait_line("taken over from an earlier geofence", PATIENCE)?;
    let ended = daemon.interrupt(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(
        (edge.program("edge0")?, edge.program("other0")?),
        (None, None)
    );
    ensure!(!edge.pins().exists());
    Ok(())
}

#[test]
fn configuration_of_another_user_is_read() -> Result<()> {
    require_root!();
    const OTHER_USER: Option<u32> = Some(65_534);
    let site = Site::new(&blocking("RU"))?;
    let close = || {
        let path = site.path("geofence.toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        chown(&path, OTHER_USER, OTHER_USER)
    };
    close()?;
    let daemon = site.run(&[])?;
    assert_eq!(of_all_threads(daemon.id(), "CapPrm")?, ["0000000000000004"]);
    let privilege = privilege_of(&site)?;
    assert_eq!(
        privilege["capabilities"],
        serde_json::json!(["CAP_DAC_READ_SEARCH"])
    );
    let reason = privilege["kept"][0]["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("geofence.toml"), "{privilege}");
    site.configure(&blocking("DE"))?;
    close()?;
    site.done(&["reload"])?;
    assert_eq!(site.passes()?, [true, false]);
    Ok(())
}

/// A process that looks like a server's, and has one of its connections.
fn server(site: &Site, title: &str, connection: TcpStream) -> Result<Child> {
    let program = site.path("sshd");
    if !program.exists() {
        let sleep = Command::new("which").arg("sleep").output()?;
        fs::copy(String::from_utf8(sleep.stdout)?.trim(), &program)?;
    }
    let connection: OwnedFd = connection.into();
    let mut command = Command::new(program);
    command
        .arg0(title)
        .arg("600")
        .stdin(Stdio::from(connection));
    Ok(command.spawn()?)
}

/// Ends a process that was started here when it goes out of scope.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn logged_in_session_is_kept_and_a_mere_connection_prevents_no_reload() -> Result<()> {
    require_root!();
    let site = Site::new(&blocking("RU"))?;
    site.configure(&blocking("CN"))?;
    let from: IpAddr = RUSSIAN.parse()?;
    site.edge.pair.claim(from)?;
    let here = SocketAddr::new(site.edge.pair.edge_address_for(from), 22);
    let listener = site.edge.pair.edge.enter(|| TcpListener::bind(here))??;
    let mut daemon = site.run(&[])?;
    let watcher = privilege_of(&site)?["session_watcher"]
        .as_i64()
        .context("a watcher")?;
    let watcher_id = u32::try_from(watcher)?;
    // CAP_SYS_PTRACE, and nothing else: soon after its start, which the daemon does not wait for.
    let mut of_watcher = Vec::new();
    poll(PATIENCE, || {
        of_watcher = ["CapPrm", "Seccomp"]
            .map(|name| of_all_threads(watcher_id, name))
            .into_iter()
            .collect::<Result<_>>()?;
        Ok((of_watcher == [["0000000000080000"], ["2"]]).then_some(()))
    })?
    .with_context(|| format!("the helper has {of_watcher:?}"))?;
    let connect = || -> Result<(TcpStream, TcpStream)> {
        let caller = call::tcp(&site.edge.pair.peer, from, here, PATIENCE)?.context("no answer")?;
        Ok((caller, listener.accept()?.0))
    };

    let (_caller, connection) = connect()?;
    let stranger = Ending(server(&site, "sshd: [accepted]", connection)?);
    site.configure(&blocking("RU"))?;
    let seen = poll(PATIENCE, || {
        Ok((site.passes()? == [false, true]).then_some(()))
    })?;
    ensure!(
        seen.is_some(),
        "a client that only connects keeps a policy from being activated\n{}",
        daemon.stderr()
    );

    site.configure(&blocking("CN"))?;
    site.done(&["reload"])?;
    let (_caller, connection) = connect()?;
    let user = Ending(server(&site, "sshd: alice@pts/0", connection)?);
    site.configure(&blocking("RU"))?;
    daemon.wait_line("the SSH session from 77.88.8.8 to port 22", PATIENCE)?;
    assert_eq!(site.passes()?, [true, true]);
    drop(user);

    // Without the helper, a client that is only connected counts as well: rather a refusal too many than a lockout.
    kill(Pid::from_raw(i32::try_from(watcher)?), Signal::SIGKILL)?;
    let refused = site.edge.ask(&["reload"])?;
    ensure!(refused.code == Some(1), "{refused:?}");
    daemon.wait_line("every connection to port 22 counts", PATIENCE)?;
    drop(stranger);
    Ok(())
}

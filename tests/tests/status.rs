//! `geofence status` on one screen, and what the log says at the start and at the end.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::geofence;
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::journal::Journal;
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::terminal::Terminal;
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;

#[test]
fn status_shows_the_policy_in_words_rates_and_what_needs_attention() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    let outside = PacketSocket::open(&edge.pair.peer, &edge.pair.peer_interface)?;
    let own = edge.pair.edge_addresses()[0];
    let frame = between("77.88.8.8".parse()?, own).tcp(40_000, 22).syn();
    let frame = frame.build();
    let shown = poll(PATIENCE, || {
        outside.send_many(&vec![frame.clone(); 50])?;
        let answer = edge.ask(&["status"])?;
        let shows_rates = answer.stdout.contains("\ncountries  RU ");
        Ok(shows_rates.then_some(answer))
    })?;
    let answer = shown.context("no rates")?;
    ensure!(answer.code == Some(0), "{answer:?}");
    for part in [
        "enforce mode: packets from BY, CN, KP, RU, UA are dropped; mail passes\n",
        "\nnow        ",
        "\nreasons    country_blocked ",
        "edge0: protected, native mode\n",
        "\nattention  ",
        "; the requested policy became active at ",
    ] {
        ensure!(answer.stdout.contains(part), "{part}{}", answer.stdout);
    }
    let json = edge.ask(&["status", "--json"])?.json()?;
    for key in [
        "policy",
        "rates",
        "attention",
        "mode",
        "interfaces",
        "reloads",
        "shortfalls",
    ] {
        ensure!(!json[key].is_null(), "{key} is missing in {json}");
    }
    edge.pair
        .edge
        .run(&["ip", "link", "del", edge.interface()])?;
    let answer = edge.ask(&["status"])?;
    ensure!(answer.code == Some(1), "{answer:?}");
    ensure!(
        answer
            .stdout
            .contains("\nATTENTION  edge0 is not protected\n"),
        "{}",
        answer.stdout
    );
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn the_log_says_at_start_and_end_what_is_blocked_in_which_mode_and_where() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let policy =
        "enforce mode: packets from BY, CN, KP, RU, UA are dropped; mail passes; attached to edge0";
    let mut daemon = edge.run(&[])?;
    let ready = daemon.wait_line("ready: metrics on ", PATIENCE)?;
    ensure!(ready.contains(policy), "{ready}");
    daemon.signal(Signal::SIGTERM)?;
    let said = daemon.wait(PATIENCE)?.stderr;
    let end = said.lines().find(|line| line.contains("terminated: "));
    ensure!(end.is_some_and(|line| line.contains(policy)), "{said}");
    Ok(())
}

#[test]
fn an_error_of_several_lines_is_one_entry_of_the_journal() -> Result<()> {
    require_root!();
    let journal = Journal::new()?;
    let place = tempfile::tempdir()?;
    let broken = place.path().join("geofence.toml");
    std::fs::write(&broken, "block = [\"UK\"]\ninterfaces = [\"edge0\"]\n")?;
    let words = journal.words();
    let ended = Command::new(&words[0])
        .args(&words[1..])
        .arg(geofence_tests::daemon::binary()?)
        .args(["run", "--config"])
        .arg(&broken)
        .stderr(Stdio::piped())
        .output()?;
    ensure!(ended.status.code() == Some(78), "{ended:?}");
    ensure!(ended.stderr.is_empty(), "{ended:?}");
    let entries = journal.entries()?;
    let about = entries
        .iter()
        .filter(|entry| entry["MESSAGE"].contains("is not a country"));
    let about: Vec<_> = about.collect();
    ensure!(about.len() == 1, "{entries:?}");
    // The line of the file and the advice are in the same entry, of the priority of an error.
    for part in ["block = [\"UK\"]", "did you mean \"GB\""] {
        ensure!(
            about[0]["MESSAGE"].contains(part),
            "{part} is not in {:?}",
            about[0]
        );
    }
    ensure!(about[0]["PRIORITY"] == "3", "{:?}", about[0]);
    Ok(())
}

#[test]
fn command_that_waits_says_so_on_a_terminal_and_not_in_a_pipe() -> Result<()> {
    require_root!();
    let edge = Namespace::new()?;
    // A daemon that takes its time.
    let directory = Path::new("/run").join(edge.instance());
    std::fs::create_dir_all(&directory)?;
    let socket = UnixListener::bind(directory.join("control.sock"))?;
    let piped = geofence(&edge)?
        .arg("reload")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut asked = vec![socket.accept()?.0];
    let mut terminal = Terminal::new()?;
    let mut command = edge.command("setsid");
    command.arg(geofence_tests::daemon::binary()?).arg("reload");
    terminal.run(command)?;
    asked.push(socket.accept()?.0);
    terminal.wait_for("word of the wait", PATIENCE, |screen| {
        let text = screen.contents();
        let since = text.split("geofence reload is at work, ").nth(1);
        since.is_some_and(|since| {
            let rest = since.trim_start_matches(|letter: char| letter.is_ascii_digit());
            rest.len() < since.len() && rest.starts_with('s')
        })
    })?;
    for mut client in asked {
        client.write_all(b"{\"ok\":false,\"cause\":\"state\",\"error\":\"another day\"}\n")?;
    }
    terminal.wait_for("answer alone", PATIENCE, |screen| {
        let text = screen.contents();
        text.contains("another day") && !text.contains("is at work")
    })?;
    let ended = piped.wait_with_output()?;
    let said = String::from_utf8([ended.stdout, ended.stderr].concat())?;
    ensure!(
        said.contains("another day") && !said.contains("is at work"),
        "{said}"
    );
    terminal.wait(PATIENCE)?;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

//! Names and paths that would steer a terminal are printed escaped by every command and by the log.

use anyhow::{Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};

/// Clears the screen, and turns what follows around.
const STEERING: &str = "own\u{1b}[2J\u{202e}txt\u{9b}";

/// A configuration whose paths and words steer.
fn config() -> String {
    let name = r"own\u001b[2J\u202etxt\u009b";
    format!(
        "block = [\"RU\"]\n\n[[exception]]\nid = \"x\"\nfrom = [\"192.0.2.7\"]\nto = [\"any\"]\nowner = \"o\u{202e}\"\n\
         reason = \"r\u{202e}\"\nuntil = \"2035-01-01\"\n\n[[list]]\nname = \"own\"\nfile = \"{name}\"\n\
         format = \"plain\"\naction = \"block\"\n"
    )
}

fn ensure_escaped(what: &str, said: &str, expected: Option<&str>) -> Result<()> {
    let steers = ['\u{1b}', '\u{202e}', '\u{9b}'];
    ensure!(!said.contains(steers), "{what} steers: {said:?}");
    if let Some(expected) = expected {
        ensure!(said.contains(expected), "{what}: {said:?}");
    }
    Ok(())
}

#[test]
fn names_that_steer_a_terminal_are_escaped_by_every_command_and_the_log() -> Result<()> {
    require_root!();
    const ESCAPED: &str = r"own\u001b[2J\u202etxt\u009b";
    let site = Site::new(&config())?;
    std::fs::write(site.path(STEERING), "198.51.100.9\n")?;
    let mut daemon = site.run(&[])?;
    // What a command prints is escaped, and of these the name is part of what it prints.
    let file = site.word("geofence.toml")?;
    let mut commands: Vec<(Vec<&str>, Option<&str>)> = vec![
        (vec!["list"], Some(ESCAPED)),
        (vec!["list", "--json"], None),
        (vec!["check", &file], None),
        (vec!["check", "--show", &file], Some(ESCAPED)),
        (vec!["check", "--json", &file], None),
        (vec!["diff", &file], None),
        (vec!["status"], None),
        (vec!["exception", "list"], Some(r"o\u202e")),
        (vec!["exception", "list", "--json"], Some(r"o\u202e")),
        (vec!["exception", "show", "x"], Some(r"r\u202e")),
        (vec!["explain", RUSSIAN], None),
        (vec!["lookup", RUSSIAN, "--config", &file], None),
    ];
    // A list that is rejected, and a configuration with an error, name the file and the word.
    std::fs::write(site.path(STEERING), "198.51.100.9\n0.0.0.0/0\n")?;
    commands.extend([
        (vec!["reload"], Some(ESCAPED)),
        (vec!["status"], Some(ESCAPED)),
        (vec!["status", "--json"], Some(r"u202e")),
        (vec!["list"], Some(ESCAPED)),
        (vec!["update", "own"], Some(ESCAPED)),
    ]);
    for (words, expected) in &commands {
        let answer = site.edge.ask(words)?;
        ensure_escaped(
            &words.join(" "),
            &(answer.stdout + &answer.stderr),
            *expected,
        )?;
    }
    daemon.wait_line(ESCAPED, PATIENCE)?;
    site.configure(&format!("block = [\"{STEERING}\"]\n"))?;
    for words in [
        vec!["check", &file],
        vec!["reload"],
        vec!["diff", &file],
        vec!["status"],
    ] {
        let answer = site.edge.ask(&words)?;
        ensure_escaped(&words.join(" "), &(answer.stdout + &answer.stderr), None)?;
    }
    for path in ["/healthz", "/"] {
        ensure_escaped(path, &site.edge.get(path)?.body, None)?;
    }
    ensure_escaped("the log", &daemon.stderr(), None)?;
    daemon.interrupt(PATIENCE)?;
    site.configure(&config())?;
    let daemon = site.run(&["--log-format", "json"])?;
    let log = daemon.interrupt(PATIENCE)?.stderr;
    ensure_escaped("the log as JSON", &log, Some(r"u202e"))
}

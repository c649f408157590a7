//! Pictures for the documentation: the page, `geofence top` and the maps of the dashboard, under traffic.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;
use vt100::Screen;

use super::laboratory::{Lab, queries, row};
use super::traffic::Traffic;
use super::{map, screen};
use crate::bpf::Flood;
use crate::browser::Browser;
use crate::daemon::binary;
use crate::edge::{Edge, LISTEN, PATIENCE};
use crate::frames::between;
use crate::lab::report::Row;
use crate::terminal::Terminal;

/// For how many seconds `geofence top` measures; its sparklines are that long.
const MEASURED: u32 = 24;
/// How often a second the networks send.
const PARTS: u32 = 4;
/// Networks that send more or less each time, and how many frames a second about.
const SENDERS: [([u8; 4], u32); 10] = [
    ([36, 128, 0, 0], 9_000),
    ([5, 136, 0, 0], 4_000),
    ([178, 92, 0, 0], 700),
    ([178, 120, 0, 0], 250),
    ([53, 0, 0, 0], 2_500),
    ([8, 8, 0, 0], 1_500),
    ([90, 0, 0, 0], 900),
    ([126, 0, 0, 0], 600),
    ([86, 128, 0, 0], 400),
    ([200, 160, 0, 0], 300),
];
/// What an ordinary instance is called. Those of the laboratory have a name of their own, which pictures do not show.
const INSTANCE: &str = "geofence";

/// Writes the pictures into this folder.
pub(super) fn take(lab: &Lab, folder: &Path) -> Result<Row> {
    let begun = Instant::now();
    let top = top(&lab.site.edge)?;
    // Lists, tenants and exceptions as well. It would not get through beside what was sent before.
    let traffic = Traffic::start(&lab.site.edge)?;
    let taken = take_all(lab, &top, folder);
    traffic.stop()?;
    let names = taken?;
    Ok(Row {
        seen: names.join(", "),
        ok: true,
        took: begun.elapsed(),
        ..row(7, "pictures for the documentation", "a file each", begun)
    })
}

fn take_all(lab: &Lab, top: &Screen, folder: &Path) -> Result<Vec<&'static str>> {
    let edge = &lab.site.edge;
    let mut browser = Browser::start(&edge.pair.edge)?;
    let mut names = Vec::new();
    let mut keep = |name: &'static str, browser: &mut Browser| -> Result<()> {
        let path = folder.join(name);
        fs::write(&path, browser.screenshot()?).with_context(|| path.display().to_string())?;
        names.push(name);
        Ok(())
    };
    let show = |browser: &mut Browser, name: &str, text: String| -> Result<()> {
        let path = lab.site.path(name);
        fs::write(&path, text)?;
        browser.open(&format!("file://{}", path.display()))
    };

    let own_name = edge.pair.edge.instance();
    browser.look([960, 560], true)?;
    let top = screen::html(top).replace(own_name, INSTANCE);
    show(&mut browser, "top.html", top)?;
    keep("top.png", &mut browser)?;

    let page = format!("http://{LISTEN}/");
    for (name, size, is_dark) in [
        ("page.png", [1280, 985], false),
        ("page-phone.png", [390, 844], true),
    ] {
        browser.look(size, is_dark)?;
        browser.open(&page)?;
        browser.wait_until("document.getElementById('live').textContent.startsWith('Live')")?;
        browser.evaluate(&format!(
            "document.querySelector('h1').textContent = '{INSTANCE}'"
        ))?;
        keep(name, &mut browser)?;
    }

    let maps = map::draw(&edge.pair.edge, &queries()?)?;
    browser.look([1000, 1000 * maps.height / maps.width], false)?;
    show(&mut browser, "maps.svg", maps.svg)?;
    keep("dashboard-maps.png", &mut browser)?;
    Ok(names)
}

/// What the screen of `geofence top` shows after a while.
fn top(edge: &Edge) -> Result<Screen> {
    let mut terminal = Terminal::new()?;
    // A session of its own, so that the terminal on which the laboratory runs is out of reach.
    let mut command = edge.pair.edge.command("setsid");
    command.arg(binary()?).arg("top");
    terminal.run(command)?;
    terminal.wait_for("table", PATIENCE, |screen| {
        screen.contents().contains("packets/s dropped")
    })?;
    let begun = Instant::now();
    for part in 1..=MEASURED * PARTS {
        let second = part / PARTS;
        for ((source, frames), number) in SENDERS.into_iter().zip(1..) {
            // Between a half and the double of it, and not the same for any two.
            let share = 8 + (second * second * number * 7 + second * 13) % 25;
            send(edge, source, frames * share / 16 / PARTS)?;
        }
        let due = begun + Duration::from_secs(1) / PARTS * part;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let screen = terminal.screen();
    terminal.press("q")?;
    terminal.wait(PATIENCE)?;
    Ok(screen)
}

/// Sends openings of connections from a network.
fn send(edge: &Edge, source: [u8; 4], frames: u32) -> Result<()> {
    let pair = &edge.pair;
    let opening = between(IpAddr::from(source), pair.edge_addresses()[0]).tcp(40_000, 22);
    pair.peer.enter(|| {
        let index = if_nametoindex(pair.peer_interface.as_str())?;
        Flood::new(opening.syn(), index)?.send(frames)
    })?
}

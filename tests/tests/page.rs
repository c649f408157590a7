//! The page at the root of the metrics address: what it says, how it escapes what comes from files, and that a browser
//! shows it whole, lets a country be clicked and a packet be explained, and has nothing to complain of.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::browser::{self, Browser};
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};
use geofence_tests::wait::poll;
use geofence_user::model::units::UnixSeconds;
use serde_json::Value;

/// How many clients follow the figures at once.
const FOLLOWERS_MAX: usize = 16;

/// A policy with everything that the page has a table for, and names that would be markup.
const POLICY: &str = r#"
listen = "127.0.0.1:10317"

[[tenant]]
name = "customer-17"
prefixes = ["192.0.2.9/32"]

[[exception]]
id = "partner"
from = ["77.88.8.1"]
to = ["any"]
owner = "<b>noc</b>"
reason = "<script>alert(1)</script>"
until = "+2d"

[[list]]
name = "findings"
file = "findings.txt"
format = "plain"
action = "block"
direction = "in"
"#;

/// A machine with this policy, whose exception ends two days from now.
fn site() -> Result<Site> {
    let until = UnixSeconds::now().plus(Duration::from_secs(2 * 86_400));
    let site = Site::new(&POLICY.replace("+2d", &until.date()))?;
    site.write("findings.txt", "84.200.69.81\n")?;
    Ok(site)
}

/// Sends connection attempts, so many from each address.
fn send(edge: &Edge, sources: &[(&str, usize)]) -> Result<()> {
    let pair = &edge.pair;
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    for (source, times) in sources {
        let source: IpAddr = source.parse()?;
        let frame = between(source, pair.edge_address_for(source))
            .tcp(40_000, 22)
            .syn();
        outside.send_many(&vec![frame.build(); *times])?;
    }
    Ok(())
}

fn page(edge: &Edge, path: &str) -> Result<String> {
    let answer = edge.get(path)?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(answer.body)
}

fn ensure_has(page: &str, expected: &[&str]) -> Result<()> {
    for text in expected {
        ensure!(page.contains(text), "the page lacks {text}:\n{page}");
    }
    Ok(())
}

#[test]
fn the_page_says_what_the_filter_does_without_a_script() -> Result<()> {
    require_root!();
    let site = site()?;
    let edge = &site.edge;
    let daemon = site.run(&[])?;
    send(
        edge,
        &[(RUSSIAN, 120), ("84.200.69.80", 3), ("84.200.69.81", 2)],
    )?;
    let counted = poll(PATIENCE, || {
        Ok(page(edge, "/")?
            .contains("data-row=\"RU drop country_blocked\"")
            .then_some(()))
    })?;
    counted.context("the packets are not on the page")?;
    let answer = edge.get("/")?;
    let policy = answer.header("content-security-policy").unwrap_or_default();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
    ] {
        ensure!(policy.contains(part), "{policy}");
    }
    ensure!(!policy.contains("unsafe"), "{policy}");
    let whole = answer.body;
    ensure_has(
        &whole,
        &[
            "Enforcing",
            "Enforce mode: packets from BY, CN, KP, RU, UA are dropped; mail passes.",
            "1 exception about to expire",
            "<th scope=\"row\">edge0</th><td class=\"good\">protected</td>",
            "<th scope=\"row\">findings</th>",
            "<th scope=\"row\">customer-17</th>",
            "&#60;b&#62;noc&#60;/b&#62;",
            "https://db-ip.com",
            "Russia (blocked): 120 dropped, 0 passed",
        ],
    )?;
    for markup in ["<b>noc", "<script>alert", "style=", "http://", "onclick"] {
        ensure!(
            !whole.contains(markup),
            "the page contains {markup}:\n{whole}"
        );
    }
    // A country, and the packets that passed.
    let russia = page(edge, "/?country=RU&map=passed")?;
    ensure_has(
        &russia,
        &[
            "Packets from Russia by reason",
            "RU is <strong>blocked</strong>",
            "Packets passed by country",
        ],
    )?;
    ensure!(!russia.contains("data-row=\"DE"), "{russia}");
    // A packet. What is entered comes back escaped.
    let dropped = page(edge, "/?from=77.88.8.8&to_port=22")?;
    ensure_has(
        &dropped,
        &[
            "is dropped: country_blocked, country RU (Russia)",
            "geofence explain 77.88.8.8",
        ],
    )?;
    ensure_has(
        &page(edge, "/?from=77.88.8.8&to_port=25")?,
        &["passes: mail"],
    )?;
    ensure_has(
        &page(edge, "/?from=84.200.69.81")?,
        &["is dropped: denied", "on the list findings"],
    )?;
    let wrong = page(edge, "/?from=%3Cscript%3E")?;
    ensure_has(
        &wrong,
        &[
            "role=\"alert\"",
            "&#60;script&#62;” is not a valid source address",
        ],
    )?;
    for (path, kind) in [
        ("style.css", "text/css"),
        ("script.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let answer = edge.get(&format!("/page/{path}"))?;
        let found = answer.header("content-type").unwrap_or_default();
        ensure!(
            answer.status == 200 && found.starts_with(kind),
            "{path}: {answer:?}"
        );
    }
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn users_of_the_web_configuration_alone_see_the_page_and_its_figures() -> Result<()> {
    require_root!();
    let site = Site::new(&format!(
        "listen = \"{LISTEN}\"\nweb-config = \"web.yml\"\n"
    ))?;
    let hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
    site.write(
        "web.yml",
        format!("basic_auth_users:\n  alice: \"{hash}\"\n"),
    )?;
    let config = site.word("geofence.toml")?;
    let arguments = ["--config", &config, "--interface", site.edge.interface()];
    let mut daemon = geofence_tests::daemon::Daemon::run(&site.edge.pair.edge, &arguments, &[])?;
    daemon.wait_line("ready: metrics on", PATIENCE)?;
    for path in ["/", "/?from=77.88.8.8", "/page/live", "/page/style.css"] {
        ensure!(site.edge.get(path)?.status == 401, "{path}");
    }
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

/// A client that follows the figures and reads nothing, or nothing but the head of the answer.
fn follow(edge: &Edge) -> Result<(TcpStream, String)> {
    let mut client = edge.pair.edge.enter(|| TcpStream::connect(LISTEN))??;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"GET /page/live HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut head = [0; 12];
    client.read_exact(&mut head)?;
    Ok((client, String::from_utf8_lossy(&head).into_owned()))
}

#[test]
fn clients_that_follow_the_figures_have_a_bound_and_hold_nothing_up() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    let mut followers = Vec::new();
    for number in 0..FOLLOWERS_MAX {
        let (client, head) = follow(&edge)?;
        ensure!(head == "HTTP/1.1 200", "client {number}: {head}");
        followers.push(client);
    }
    let (_, head) = follow(&edge)?;
    ensure!(head == "HTTP/1.1 503", "one more: {head}");
    // None of them reads on. Scrapes and the page are answered all the same.
    for path in ["/metrics", "/", "/healthz"] {
        ensure!(edge.get(path)?.status == 200, "{path}");
    }
    // One that reads gets the figures as JSON, and the stream ends by itself.
    let client = followers.first_mut().context("a client")?;
    let mut said = String::new();
    client.read_to_string(&mut said)?;
    let data = said.lines().find_map(|line| line.strip_prefix("data: "));
    let figures: Value = serde_json::from_str(data.with_context(|| said.clone())?)?;
    ensure!(figures["figures"]["blocked"] == "0", "{figures}");
    ensure!(
        said.ends_with("0\r\n\r\n"),
        "the stream was cut off: {said}"
    );
    drop(followers);
    let free = poll(PATIENCE, || {
        Ok((follow(&edge)?.1 == "HTTP/1.1 200").then_some(()))
    })?;
    free.context("no place becomes free")?;
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

/// Where an element is in the window, at these shares of its width and height.
fn place(browser: &mut Browser, selector: &str, [x, y]: [f64; 2]) -> Result<[f64; 2]> {
    let expression = format!(
        "(() => {{ const one = document.querySelector('{selector}'); one.scrollIntoView({{ block: 'center' }}); \
         const box = one.getBoundingClientRect(); \
         return [box.x + box.width * {x}, box.y + box.height * {y}]; }})()"
    );
    let place = browser.evaluate(&expression)?;
    let at = |axis: usize| {
        place[axis]
            .as_f64()
            .with_context(|| format!("{selector}: {place}"))
    };
    Ok([at(0)?, at(1)?])
}

/// Keeps a picture beside the other results of tests, for a reader.
fn keep(name: &str, picture: &[u8]) -> Result<()> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&directory)?;
    Ok(fs::write(directory.join(name), picture)?)
}

#[test]
fn a_browser_shows_the_page_without_a_complaint() -> Result<()> {
    require_root!(browser::missing());
    let site = site()?;
    let edge = &site.edge;
    let daemon = site.run(&[])?;
    let sources = [
        (RUSSIAN, 12_000),
        ("114.114.114.114", 45_000),
        ("175.45.176.1", 40),
        ("91.198.36.14", 800),
        ("93.84.112.1", 150),
        ("84.200.69.80", 900),
        ("8.8.8.8", 20_000),
        ("200.160.2.3", 120),
        ("210.130.1.1", 2500),
        ("212.27.40.240", 600),
        ("212.58.244.20", 300),
        ("1.1.1.1", 60),
        ("196.25.1.1", 70),
        ("84.200.69.81", 25),
    ];
    send(edge, &sources)?;
    let mut browser = Browser::start(&edge.pair.edge)?;
    let url = format!("http://{LISTEN}/");
    browser.look([1280, 1000], false)?;
    browser.open(&url)?;
    browser.wait_until("document.getElementById('live').textContent.startsWith('Live')")?;
    keep("light.png", &browser.screenshot()?)?;
    // The figures are live: packets that come now are on the page without loading it again.
    let shown =
        "document.querySelector('[data-row=\"RU drop country_blocked\"]').cells[3].textContent";
    let before = browser.evaluate(shown)?;
    send(edge, &[(RUSSIAN, 500)])?;
    browser.wait_until(&format!("{shown} !== {before}"))?;
    browser
        .wait_until("document.querySelector('path[data-country=RU]').classList.contains('d3')")?;
    // A click on Russia, which is a wide country.
    let russia = place(&mut browser, "path[data-country=RU]", [0.55, 0.55])?;
    browser.click(russia)?;
    let heading = browser.evaluate("document.getElementById('packets-title').textContent")?;
    ensure!(heading == "Packets from Russia by reason", "{heading}");
    // The box, by keyboard alone: text, and Enter.
    browser.evaluate("document.getElementById('from').focus(); document.getElementById('from').value = '77.88.8.8'")?;
    browser.submit()?;
    let verdict = browser.evaluate("document.querySelector('.verdict').textContent")?;
    ensure!(
        verdict == "It is dropped: country_blocked, country RU (Russia)",
        "{verdict}"
    );
    // The first stop of the Tab key leads past the header.
    browser.open(&url)?;
    browser.press("Tab", 9)?;
    let first = browser.evaluate("document.activeElement.className")?;
    ensure!(first == "skip", "{first}");
    let stops =
        browser.evaluate("document.querySelectorAll('svg a:not([tabindex=\"-1\"])').length")?;
    ensure!(stops == 0, "{stops} countries of the map stop the Tab key");
    // On a phone, and dark.
    browser.look([390, 844], true)?;
    browser.open(&url)?;
    let width = browser.evaluate("document.documentElement.scrollWidth")?;
    ensure!(width == 390, "the page is {width} wide on a phone");
    let back = browser.evaluate("getComputedStyle(document.body).backgroundColor")?;
    ensure!(back == "rgb(17, 22, 28)", "{back}");
    keep("phone.png", &browser.screenshot()?)?;
    browser.look([1280, 1000], true)?;
    browser.open(&format!("{url}?from=77.88.8.8&to_port=22#explain"))?;
    browser.wait_until("document.getElementById('live').textContent.startsWith('Live')")?;
    keep("dark.png", &browser.screenshot()?)?;
    // A change of the state is announced.
    browser.open(&url)?;
    site.done(&["reload"])?;
    browser.wait_until("!document.getElementById('changed').hidden")?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    // The policy of the page refuses what it should, and the browser says so: the check above can fail.
    browser.evaluate("document.body.setAttribute('style', 'color: red')")?;
    let seen = poll(Duration::from_secs(20), || {
        Ok((!browser.complaints()?.is_empty()).then_some(()))
    })?;
    seen.context("a style that the policy refuses is not reported")?;
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

//! A headless Chromium inside a namespace, asked over a pipe in the DevTools protocol.
//!
//! It has a tab that is loaded, asked, clicked and photographed. What the page puts on the console as an error, scripts
//! that fail and everything that the Content-Security-Policy refuses is collected.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::privilege::missing_programs;

/// The programs that can be it, the first of which is Debian's package as well.
const PROGRAMS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// How long a page or an answer may take; the first start of a browser takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The package that this machine lacks, if it has no browser.
#[must_use]
pub fn missing() -> Option<&'static str> {
    program().is_none().then_some(PROGRAMS[0])
}

/// The browser that this machine has.
fn program() -> Option<&'static str> {
    let is_here = |program: &&str| missing_programs(&[(program, "")]).is_empty();
    PROGRAMS.into_iter().find(is_here)
}

/// A browser with one tab.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    session: Option<String>,
    next: u64,
    /// Messages that were no answers.
    events: Vec<Value>,
    // Holds the pipes and the profile until the browser has ended.
    _directory: TempDir,
}

impl Browser {
    /// Starts a browser.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let program = program().context("no Chromium is installed")?;
        let directory = tempfile::tempdir()?;
        let [commands, answers] = ["commands", "answers"].map(|name| directory.path().join(name));
        let profile = format!("--user-data-dir={}", directory.path().display());
        // The browser reads descriptor 3 and writes descriptor 4.
        let script = "exec \"$0\" \"$@\" 3<\"$COMMANDS\" 4>\"$ANSWERS\"";
        let (to, from) = (pipe(&commands)?, pipe(&answers)?);
        let child = namespace
            .command("sh")
            .args(["-c", script, program, "--headless"])
            // A test runs as root, which Chromium's sandbox does not take. It opens our own page only.
            .args(["--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--remote-debugging-pipe", &profile, "about:blank"])
            .env("COMMANDS", &commands)
            .env("ANSWERS", &answers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let mut browser = Self {
            child,
            commands: to,
            messages: read(from),
            session: None,
            next: 0,
            events: Vec::new(),
            _directory: directory,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach)?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Audits"] {
            browser.ask(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Loads a page and waits until it is there.
    pub fn open(&mut self, url: &str) -> Result<()> {
        self.events.retain(|event| event["method"] != LOADED);
        let answer = self.ask("Page.navigate", json!({ "url": url }))?;
        ensure!(answer["errorText"].is_null(), "{url}: {answer}");
        self.wait_loaded().with_context(|| url.to_owned())
    }

    /// Evaluates an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let question = json!({ "expression": expression, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", question)?;
        ensure!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true.
    pub fn wait_until(&mut self, expression: &str) -> Result<()> {
        let begun = Instant::now();
        while self.evaluate(expression)? != true {
            ensure!(
                begun.elapsed() < PATIENCE,
                "{expression} does not become true"
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Clicks with the mouse at a point of the page's window, and waits for the page that follows.
    pub fn click(&mut self, [x, y]: [f64; 2]) -> Result<()> {
        self.events.retain(|event| event["method"] != LOADED);
        for kind in ["mousePressed", "mouseReleased"] {
            let click = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", click)?;
        }
        self.wait_loaded().context("a click")
    }

    /// Sends the form that has the focus with the Enter key, and waits for the page that follows.
    pub fn submit(&mut self) -> Result<()> {
        self.events.retain(|event| event["method"] != LOADED);
        self.press("Enter", 13)?;
        self.wait_loaded().context("the Enter key")
    }

    /// Presses a key that has this name and code.
    pub fn press(&mut self, key: &str, code: u32) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let text = if key == "Enter" { "\r" } else { "" };
            let press = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.ask("Input.dispatchKeyEvent", press)?;
        }
        Ok(())
    }

    /// Waits until a page is loaded.
    pub fn wait_loaded(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !self.events.iter().any(|event| event["method"] == LOADED) {
            self.receive(begun)?;
        }
        Ok(())
    }

    /// Gives the window this size, and the page dark or light colours.
    pub fn look(&mut self, [width, height]: [u32; 2], is_dark: bool) -> Result<()> {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.ask("Emulation.setDeviceMetricsOverride", size)?;
        let scheme = if is_dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.ask(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        )?;
        Ok(())
    }

    /// What the window shows, as a PNG.
    pub fn screenshot(&mut self) -> Result<Vec<u8>> {
        let answer = self.ask("Page.captureScreenshot", json!({ "format": "png" }))?;
        let data = answer["data"].as_str().context("no picture")?;
        Ok(BASE64_STANDARD.decode(data)?)
    }

    /// Everything that the page did wrong up to now: errors on the console, scripts that failed, and what its policy
    /// refused.
    pub fn complaints(&mut self) -> Result<Vec<String>> {
        // An answer comes after everything that was reported before.
        self.evaluate("0")?;
        let of = |event: &Value| {
            let parameters = &event["params"];
            let is_wrong = match event["method"].as_str()? {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => parameters["type"] == "error",
                "Log.entryAdded" => parameters["entry"]["level"] == "error",
                "Audits.issueAdded" => parameters["issue"]["code"] == "ContentSecurityPolicyIssue",
                _ => false,
            };
            is_wrong.then(|| parameters.to_string())
        };
        Ok(self.events.iter().filter_map(of).collect())
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.next += 1;
        let id = self.next;
        let mut question = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            question["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&question)?;
        bytes.push(0);
        self.commands.write_all(&bytes)?;
        let begun = Instant::now();
        loop {
            if let Some(answer) = self.receive(begun)?
                && answer["id"] == id
            {
                ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].clone());
            }
        }
    }

    /// The next answer; an event is kept.
    fn receive(&mut self, begun: Instant) -> Result<Option<Value>> {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        let Ok(message) = self.messages.recv_timeout(left) else {
            bail!("the browser has said nothing for {PATIENCE:?}, or has ended");
        };
        if message["id"].is_null() {
            self.events.push(message);
            return Ok(None);
        }
        Ok(Some(message))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LOADED: &str = "Page.loadEventFired";

/// Makes a pipe with a name, open at both ends, so that neither side waits for the other to open it.
fn pipe(path: &Path) -> Result<File> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok(OpenOptions::new().read(true).write(true).open(path)?)
}

/// Reads messages, each of which ends in a zero byte, on a thread of its own.
fn read(from: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut bytes = Vec::new();
            match from.read_until(0, &mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            bytes.pop();
            let Ok(message) = serde_json::from_slice(&bytes) else {
                return;
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

//! `geofence capture`: writes frames with their verdicts to a file, which tcpdump cannot do for what XDP drops.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use geofence_common::frame::Link;
use geofence_common::observe::SNAP_MAX;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::conditions::ConditionArgs;
use super::options::InstanceArgs;
use super::outcome::Outcome;
use super::runtime;
use crate::daemon::CaptureRequest;
use crate::explain::pcapng::{CaptureFile, CapturedPacket};
use crate::model::duration;
use crate::model::text::grouped;
use crate::os::instance::Instance;
use crate::serve::control::{Answer, Request, ask};

/// Write frames that the filter drops or passes to a pcapng file, each with its verdict as a comment
///
/// The comment names action, reason and country, and tenant, exception and list where there are any. tcpdump does not
/// see what is dropped in the driver. The capture ends after --count frames, after the time of --for, or with Ctrl-C;
/// the file is complete in each case. Wireshark, tshark and `geofence explain --pcap` read it. The file contains packet
/// data: restrict who may read it.
///
/// In monitor mode, dropped frames are those that enforce mode would drop.
#[derive(Args, Debug)]
pub struct Arguments {
    /// File to write; it must not exist yet
    #[arg(long, short, value_name = "FILE")]
    write: PathBuf,
    /// Frames that are dropped (the default)
    #[arg(long, conflicts_with_all = ["passes", "all"])]
    drops: bool,
    /// Frames that pass
    #[arg(long, conflicts_with = "all")]
    passes: bool,
    /// Frames that are dropped, and those that pass
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    conditions: ConditionArgs,
    /// End after this many frames
    #[arg(long, value_name = "N", default_value_t = 1000)]
    count: u64,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", default_value = "60s")]
    time: String,
    /// At most this many frames a second; others are counted
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rate: u32,
    /// Keep this many bytes of each frame
    #[arg(long, value_name = "BYTES", default_value_t = SNAP_MAX as u32)]
    snap: u32,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// What was captured.
#[derive(Default)]
struct Captured {
    written: u64,
    matched: u64,
    is_interrupted: bool,
}

impl Arguments {
    fn request(&self) -> anyhow::Result<CaptureRequest> {
        let mut conditions = self.conditions.conditions()?;
        if !self.all {
            conditions.action = Some(if self.passes { "pass" } else { "drop" }.to_owned());
        }
        conditions
            .compile(|_| Some(0))
            .map_err(|error| anyhow!("{error}"))?;
        let time = duration::parse(&self.time);
        let time = time.filter(|time| !time.is_zero()).with_context(|| {
            format!(
                "{:?} is not a duration; write it as 90s, 10m or 1h",
                self.time
            )
        })?;
        Ok(CaptureRequest {
            conditions,
            count: self.count,
            seconds: time.as_secs().max(1),
            rate: self.rate,
            snap: self.snap,
        })
    }
}

pub(super) fn capture(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.instance.instance()?;
    let request = arguments.request()?;
    let is_interrupted = interruption()?;
    let count = request.count;
    let session = match ask(&instance, &Request::Capture(request))? {
        Answer::Done(answer) => answer["session"].as_u64().unwrap_or_default() as u32,
        Answer::Refused { error, .. } => bail!("{error}"),
    };
    let path = arguments.write.display();
    let file = File::create_new(&arguments.write)
        .with_context(|| format!("cannot create {path}"))
        .inspect_err(|_| {
            let _ = ask(&instance, &Request::Captured { session, end: true });
        })?;
    let file = CaptureFile::begin(BufWriter::new(file), arguments.snap);
    let file = file.with_context(|| format!("cannot write {path}"))?;
    let captured = fetch(&instance, session, &is_interrupted, count, file)
        .with_context(|| format!("cannot write {path}"))?;
    let left_out = captured.matched.saturating_sub(captured.written);
    if arguments.json {
        let object = json!({
            "ok": true,
            "file": arguments.write,
            "frames": captured.written,
            "matched": captured.matched,
            "left_out": left_out,
            "interrupted": captured.is_interrupted,
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(
            out,
            "{} frames written to {path}",
            grouped(captured.written)
        )?;
        if left_out != 0 {
            writeln!(
                out,
                "{} more matched and were left out: more than --rate or --count allows, or faster than they could be \
                 written",
                grouped(left_out)
            )?;
        }
    }
    Ok(Outcome::Yes)
}

/// Whether a signal has asked to end.
fn interruption() -> anyhow::Result<Arc<AtomicBool>> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_interrupted);
    let runtime = runtime::new()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    drop(entered);
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        flag.store(true, Ordering::Relaxed);
    });
    Ok(is_interrupted)
}

/// Writes the frames of a capture until it is over.
fn fetch<W: Write>(
    instance: &Instance,
    session: u32,
    is_interrupted: &AtomicBool,
    count: u64,
    mut file: CaptureFile<W>,
) -> anyhow::Result<Captured> {
    let bar = bar(count);
    let mut captured = Captured::default();
    // The file is one even if no frame comes and this process is killed.
    file.flush()?;
    loop {
        let end = is_interrupted.load(Ordering::Relaxed);
        captured.is_interrupted |= end;
        let answer = match ask(instance, &Request::Captured { session, end }) {
            Ok(Answer::Done(answer)) => answer,
            Ok(Answer::Refused { error, .. }) => {
                file.flush()?;
                bail!("{error}; {} frames were written", captured.written);
            }
            Err(error) => {
                file.flush()?;
                return Err(error.into());
            }
        };
        for frame in answer["frames"].as_array().into_iter().flatten() {
            write(&mut file, frame)?;
            captured.written += 1;
        }
        captured.matched = answer["matched"].as_u64().unwrap_or_default();
        bar.set_position(captured.written);
        file.flush()?;
        if answer["is_over"] == true {
            bar.finish_and_clear();
            return Ok(captured);
        }
    }
}

fn write<W: Write>(file: &mut CaptureFile<W>, frame: &Value) -> anyhow::Result<()> {
    let text = |key: &str| frame[key].as_str().unwrap_or_default();
    let data = STANDARD
        .decode(text("data"))
        .context("reading a frame that the daemon sent")?;
    file.write(&CapturedPacket {
        interface: text("interface"),
        link: if text("link") == "ip" {
            Link::Ip
        } else {
            Link::Ethernet
        },
        time: Duration::from_nanos(frame["time_ns"].as_u64().unwrap_or_default()),
        length: frame["length"].as_u64().unwrap_or_default() as u32,
        data: &data,
        comment: &comment(frame),
    })?;
    Ok(())
}

/// The verdict about a frame on one line, such as `geofence: drop country_blocked RU`.
fn comment(frame: &Value) -> String {
    let text = |key: &str| frame[key].as_str().unwrap_or("unknown");
    let mut comment = format!(
        "geofence: {} {} {}",
        text("action"),
        text("reason"),
        text("country")
    );
    for key in ["tenant", "exception", "list"] {
        if let Some(name) = frame[key].as_str() {
            comment.push_str(&format!(", {key} {name}"));
        }
    }
    comment
}

fn bar(count: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{pos}/{len} frames {wide_bar} {elapsed}");
    let bar = ProgressBar::new(count);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_names_the_verdict_and_what_it_rests_on() {
        let frame = json!({ "action": "drop", "reason": "country_blocked", "country": "RU", "tenant": null });
        assert_eq!(comment(&frame), "geofence: drop country_blocked RU");
        let frame = json!({
            "action": "pass", "reason": "exception", "country": "CN", "tenant": "a", "exception": "b",
        });
        assert_eq!(
            comment(&frame),
            "geofence: pass exception CN, tenant a, exception b"
        );
    }
}

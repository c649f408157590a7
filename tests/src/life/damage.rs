//! What no operator should offer a filter: databases that are damaged, configurations that are broken.

use std::time::{Duration, Instant};

use crate::mmdb_writer::{Schema, Writer};
use anyhow::{Context as _, Result, ensure};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::found::Found;
use super::site::{SIDES, Site};
use crate::edge::Answer;

/// How long a reload may take that meets a damaged file, without the time that the daemon waited for a core: the daemon
/// must not search such a file for long.
const HANG: Duration = Duration::from_secs(5);

/// Offers databases, each damaged otherwise: every reload is refused or changes no verdict, and none takes long.
pub(super) fn databases(site: &mut Site, times: u32) -> Result<Found> {
    let whole = database();
    let mut random = SmallRng::seed_from_u64(11);
    let (mut refused, mut taken, mut slowest) = (0, 0, Duration::ZERO);
    // The small database first: against the world's, the guard would refuse every one unread.
    let configuration = format!(
        "block = [\"CN\", \"{}\"]\ndatabases = [\"countries.mmdb\"]\n",
        SIDES[site.side]
    );
    std::fs::write(site.path("countries.mmdb"), &whole)?;
    std::fs::write(site.path("geofence.toml"), configuration)?;
    let first_of_all = site.edge.ask(&["reload", "--json", "--force"])?;
    ensure!(first_of_all.code == Some(0), "{first_of_all:?}");
    let mut wrong = Vec::new();
    for number in 0..times {
        let new = site.path("countries.new");
        std::fs::write(&new, damaged(&whole, number, &mut random))?;
        std::fs::rename(&new, site.path("countries.mmdb"))?;
        let (begun, before) = (Instant::now(), site.waited()?);
        let answer = site.reload()?;
        let took = begun.elapsed();
        slowest = slowest.max(took.saturating_sub(site.waited()?.since(&before)));
        match answer.code {
            Some(0) => taken += 1,
            Some(1) => refused += 1,
            _ => wrong.push(answer),
        }
    }
    site.configure()?;
    let after = site.edge.ask(&["reload", "--json", "--force"])?;
    let mut found = Found::note(format!(
        "{refused} refused, {taken} harmless, slowest {:.1} s",
        slowest.as_secs_f64()
    ));
    found.expect(wrong.is_empty(), || {
        format!("expected exit code 0 or 1, but {}", first(&wrong))
    });
    found.expect(slowest < HANG, || {
        format!("expected every answer within {HANG:?}, but one took {slowest:.1?}")
    });
    found.expect(after.code == Some(0), || {
        format!("expected a reload of the whole database, but {after:?}")
    });
    found.expect(refused > 0, || {
        format!("expected that some of {times} are refused, but none was")
    });
    Ok(found)
}

fn first(wrong: &[Answer]) -> String {
    wrong.first().map_or(String::new(), |answer| {
        format!("{} ended otherwise, the first with {answer:?}", wrong.len())
    })
}

/// A database in which the flood and the sentinels are where they are in the world.
pub(super) fn database() -> Vec<u8> {
    let mut writer = Writer::new(Schema::Nested);
    for (network, code) in [
        ("1.80.0.0/16", "CN"),
        ("77.88.0.0/16", "RU"),
        ("84.200.0.0/16", "DE"),
        ("8.8.0.0/16", "US"),
        ("2408:8000::/20", "CN"),
        ("2a02:6b8::/32", "RU"),
        ("2a01:4f8::/32", "DE"),
        ("2001:4860::/32", "US"),
    ] {
        if let Ok(network) = network.parse() {
            writer.add_code(network, code);
        }
    }
    writer.finish()
}

fn damaged(whole: &[u8], number: u32, random: &mut SmallRng) -> Vec<u8> {
    let mut data = whole.to_vec();
    match number % 8 {
        0 => data.truncate(random.random_range(0..data.len())),
        1 => {
            for _ in 0..random.random_range(1..=64) {
                let at = random.random_range(0..data.len());
                data[at] ^= 1 << random.random_range(0..8);
            }
        }
        2 => data = b"<!DOCTYPE html><html><body>403 Forbidden</body></html>".to_vec(),
        3 => data.splice(0..0, [0x1f, 0x8b, 8, 0]).for_each(drop),
        4 => data.clear(),
        // Records of the tree that point at the tree's own start, for ever.
        5 => {
            let to = data.len() / 2;
            data[..to].fill(0);
        }
        6 => data.fill(0xff),
        _ => {
            let at = random.random_range(0..data.len());
            let noise: [u8; 32] = random.random();
            data.splice(at..at, noise).for_each(drop);
        }
    }
    data
}

/// Offers configurations that are wrong in one place each: `check` names the line, and the filter stays.
pub(super) fn configurations(site: &mut Site, times: u32) -> Result<Found> {
    const WRONG: [&str; 10] = [
        "block = [\"XX\"]",
        "block = [\"RU\"",
        "blokc = [\"RU\"]",
        "mode = \"enforced\"",
        "management = [\"10.0.0.0/33\"]",
        "listen = \"nowhere\"",
        "block = \"RU\"",
        "services = [\"tcp/0\"]",
        "mail = 25",
        "capacity-mib = -1",
    ];
    let mut wrong = Vec::new();
    for number in 0..times {
        let mut text = "# nothing\n".repeat(number as usize);
        text += WRONG[number as usize % WRONG.len()];
        text += "\n";
        let path = site.path("geofence.toml");
        std::fs::write(&path, text)?;
        let path = path.to_str().context("a path")?;
        let checked = site.edge.ask(&["check", "--config", path])?;
        let place = format!("geofence.toml:{}:", number + 1);
        let said = format!("{}{}", checked.stderr, checked.stdout);
        if checked.code != Some(2) || !said.contains(&place) {
            wrong.push(format!(
                "expected exit code 2 and {place} from check, but {checked:?}"
            ));
        }
        let reloaded = site.reload()?;
        if reloaded.code != Some(1) {
            wrong.push(format!(
                "expected exit code 1 from reload, but {reloaded:?}"
            ));
        }
    }
    site.configure()?;
    let after = site.reload()?;
    let mut found = Found::note("each named by line".to_owned());
    found.faults = wrong;
    found.expect(after.code == Some(0), || {
        format!("expected a reload of the configuration from before, but {after:?}")
    });
    Ok(found)
}

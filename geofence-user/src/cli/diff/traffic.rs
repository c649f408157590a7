//! The traffic that would be treated differently, from the metrics of a running filter.

use std::fmt;
use std::time::{Duration, Instant};

use super::table::{align_numbers, table, tenants, treatments};
use crate::checks::diff::{Affected, CountersError, Diff, affected, counters};
use crate::cli::waiting;
use crate::model::countries;
use crate::model::text::grouped;

/// The traffic that would be treated differently, or why it is not known.
pub(super) struct Traffic {
    url: String,
    pub(super) affected: Result<Vec<Affected>, CountersError>,
}

impl Traffic {
    /// Reads the counters at this URL, and again after some seconds unless those are zero.
    pub(super) fn watch(diff: &Diff, url: String, seconds: u16) -> Self {
        let affected = counters(&url).and_then(|first| {
            if seconds == 0 {
                return Ok(affected(diff, &first, None));
            }
            let start = Instant::now();
            waiting::say(format!("geofence diff watches traffic for {seconds} s"));
            std::thread::sleep(Duration::from_secs(seconds.into()));
            let later = counters(&url)?;
            let elapsed = start.elapsed().as_secs_f64();
            Ok(affected(diff, &first, Some((&later, elapsed))))
        });
        Self { url, affected }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        let affected = match &self.affected {
            Err(error) => return writeln!(f, "\nTraffic: not known. {error}"),
            Ok(affected) => affected,
        };
        if affected.is_empty() {
            return writeln!(
                f,
                "\nTraffic: none that {url} has counted would be treated differently"
            );
        }
        let mut table = table(&[
            "country",
            "",
            "tenants",
            "change",
            "packets/s now",
            "packets since start",
        ]);
        for one in affected {
            let rate = one
                .per_second
                .map_or("-".to_owned(), |rate| format!("{rate:.1}"));
            table.add_row([
                one.country.clone(),
                countries::name_of(&one.country),
                tenants(&one.tenants),
                treatments(one.before, one.after, one.whole),
                rate,
                grouped(one.packets),
            ]);
        }
        align_numbers(&mut table, 4);
        writeln!(
            f,
            "\nTraffic at {url} that would be treated differently (\"in part\": only some of these packets, because \
             counters of countries have no addresses, ports or tenants):\n{}",
            table.trim_fmt()
        )
    }
}

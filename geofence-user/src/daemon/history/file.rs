//! The history as a file of the state directory: JSON, with rows as lists so that it stays small.

use geofence_common::action::{Action, Reason};
use geofence_common::country::Country;
use geofence_common::maps::Counter;
use serde::{Deserialize, Serialize};

use super::rows::Row;
use super::rows_since::History;
use crate::daemon::recent_counts::Counts;
use crate::model::units::UnixSeconds;

/// A file of another version is dropped.
const VERSION: u32 = 1;

/// Name, action, reason, packets, bytes.
type Entry = (String, String, String, u64, u64);

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    boot: u32,
    last: Option<Last>,
    minutes: Vec<Rows>,
    hours: Vec<Rows>,
}

/// The last reading of the counters.
#[derive(Serialize, Deserialize)]
struct Last {
    time: UnixSeconds,
    /// By interface.
    interfaces: Vec<(String, Vec<Entry>)>,
    tenants: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Rows {
    start: UnixSeconds,
    end: UnixSeconds,
    countries: Vec<Entry>,
    tenants: Vec<Entry>,
}

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryFileError {
    #[error("it is not JSON of a history: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is of version {0}, and this geofence reads version {VERSION}")]
    Version(u32),
    #[error("it names the action, reason or country {0:?}, which does not exist")]
    Name(String),
}

impl History {
    /// The bytes of the file.
    ///
    /// # Errors
    /// When they cannot be written as JSON.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let last = self.last.as_ref().map(|(time, counts)| Last {
            time: *time,
            interfaces: counts
                .interfaces
                .iter()
                .map(|(name, counted)| {
                    let entries = counted.iter().map(|((country, action, reason), counter)| {
                        entry(country.name(), (*action, *reason), *counter)
                    });
                    (name.clone(), entries.collect())
                })
                .collect(),
            tenants: counts
                .tenants
                .iter()
                .flat_map(|(name, counters)| {
                    counters
                        .iter()
                        .map(|(key, counter)| entry(name, *key, *counter))
                })
                .collect(),
        });
        serde_json::to_vec(&File {
            version: VERSION,
            boot: self.boot,
            last,
            minutes: self.minutes.iter().map(rows).collect(),
            hours: self.hours.iter().map(rows).collect(),
        })
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// Why they are no history.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, HistoryFileError> {
        let file: File = serde_json::from_slice(bytes)?;
        if file.version != VERSION {
            return Err(HistoryFileError::Version(file.version));
        }
        let read = |rows: Vec<Rows>| rows.into_iter().map(row).collect::<Result<_, _>>();
        Ok(Self {
            boot: file.boot,
            last: file.last.map(counts).transpose()?,
            minutes: read(file.minutes)?,
            hours: read(file.hours)?,
        })
    }
}

fn entry(name: &str, (action, reason): (Action, Reason), counter: Counter) -> Entry {
    let (action, reason) = (action.name().to_owned(), reason.name().to_owned());
    (
        name.to_owned(),
        action,
        reason,
        counter.packets,
        counter.bytes,
    )
}

fn rows(row: &Row) -> Rows {
    let entries = |counted: &super::rows::ByCountry| {
        let entries = counted.iter();
        entries
            .map(|((name, action, reason), counter)| entry(name, (*action, *reason), *counter))
            .collect()
    };
    Rows {
        start: row.start,
        end: row.end,
        countries: entries(&row.countries),
        tenants: entries(&row.tenants),
    }
}

/// The name, the key and the counter of an entry.
fn read(entry: Entry) -> Result<(String, (Action, Reason), Counter), HistoryFileError> {
    let (name, action, reason, packets, bytes) = entry;
    let actions = [Action::Pass, Action::Drop];
    let Some(action) = actions.into_iter().find(|one| one.name() == action) else {
        return Err(HistoryFileError::Name(action));
    };
    let Some(reason) = Reason::ALL.iter().find(|one| one.name() == reason) else {
        return Err(HistoryFileError::Name(reason));
    };
    Ok((name, (action, *reason), Counter { packets, bytes }))
}

fn row(rows: Rows) -> Result<Row, HistoryFileError> {
    let entries = |entries: Vec<Entry>| {
        entries
            .into_iter()
            .map(|entry| {
                let (name, (action, reason), counter) = read(entry)?;
                Ok(((name, action, reason), counter))
            })
            .collect::<Result<_, HistoryFileError>>()
    };
    Ok(Row {
        start: rows.start,
        end: rows.end,
        countries: entries(rows.countries)?,
        tenants: entries(rows.tenants)?,
    })
}

fn counts(last: Last) -> Result<(UnixSeconds, Counts), HistoryFileError> {
    let mut counts = Counts::default();
    for (interface, entries) in last.interfaces {
        let counted = counts.interfaces.entry(interface).or_default();
        for entry in entries {
            let (name, (action, reason), counter) = read(entry)?;
            let country = country(&name).ok_or(HistoryFileError::Name(name))?;
            counted.insert((country, action, reason), counter);
        }
    }
    for entry in last.tenants {
        let (name, key, counter) = read(entry)?;
        counts.tenants.entry(name).or_default().insert(key, counter);
    }
    Ok((last.time, counts))
}

fn country(name: &str) -> Option<Country> {
    let others = [Country::NONE, Country::UNKNOWN, Country::SPECIAL];
    let found = others.into_iter().find(|one| one.name() == name);
    found.or_else(|| Country::from_code(name.as_bytes().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::rows_since::tests::{counts, minutes};
    use super::*;

    #[test]
    fn a_history_goes_on_where_its_file_ends() {
        let history = minutes(90);
        let bytes = history.to_bytes().unwrap();
        let mut read = History::from_bytes(&bytes).unwrap();
        assert_eq!(read.minutes, history.minutes);
        assert_eq!(read.hours, history.hours);
        // What was counted while no daemon ran is in the next row.
        read.add(UnixSeconds(60 * 100), 7, counts(1190));
        let since = read.since(UnixSeconds(0));
        let packets: u64 = since.countries.values().map(|one| one.packets).sum();
        assert_eq!(packets, 190);
    }

    #[test]
    fn what_is_no_history_is_named() {
        for (text, expected) in [
            ("", "it is not JSON of a history"),
            ("{}", "it is not JSON of a history"),
            (
                r#"{"version":2,"boot":1,"last":null,"minutes":[],"hours":[]}"#,
                "it is of version 2",
            ),
            (
                r#"{"version":1,"boot":1,"last":null,"minutes":[{"start":0,"end":60,"countries":
                [["RU","drop","bored",1,60]],"tenants":[]}],"hours":[]}"#,
                "\"bored\"",
            ),
        ] {
            let error = History::from_bytes(text.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

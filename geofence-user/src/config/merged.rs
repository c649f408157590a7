//! A configuration file with the files of `conf.d` beside it, as they are read and as one text.
//!
//! What a file sets comes from the last text that sets it; entries of tables come from all texts.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::configuration::Config;
use super::error::ConfigErrors;
use super::load;
use super::sources::Sources;
use super::{parse, toml_text};
use crate::model::geoip_source::GeoipOrigin;
use crate::model::list::Source;

/// The directory beside a configuration file whose files are merged over it.
const DIRECTORY: &str = "conf.d";

/// The texts of a configuration.
#[derive(Clone, Debug)]
pub struct ConfigText {
    sources: Sources,
}

/// The files that are merged over a configuration file: `conf.d/*.toml` in its directory, in the order of their names.
#[must_use]
pub fn drop_ins(file: &Path) -> Vec<PathBuf> {
    let directory = file.parent().unwrap_or(Path::new("")).join(DIRECTORY);
    let Ok(entries) = std::fs::read_dir(&directory) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        // A file that starts with a dot belongs to an editor.
        .filter(|path| {
            let name = path.file_name().unwrap_or_default();
            !name.as_encoded_bytes().starts_with(b".")
        })
        .collect();
    paths.sort();
    paths
}

impl Config {
    /// Reads a configuration file, with the files of `conf.d` beside it merged over it. Relative paths in all of them
    /// start at the directory of the configuration file.
    ///
    /// # Errors
    /// As for `parse`, and when a file cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let mut config = ConfigText::read(path)?.config()?;
        if let Some(directory) = path.parent() {
            let databases = config.databases.iter_mut();
            let databases = databases.chain(&mut config.cross_check_databases);
            for database in databases
                .chain(&mut config.asn_database)
                .chain(&mut config.web_config)
                .chain(&mut config.events.file)
                .chain(&mut config.events.syslog_ca)
            {
                *database = directory.join(&*database);
            }
            for source in &mut config.geoip_sources {
                source.file = directory.join(&source.file);
                if let GeoipOrigin::File(path) = &mut source.origin {
                    *path = directory.join(&*path);
                }
            }
            for list in &mut config.lists {
                if let Source::File(path) = &mut list.source {
                    *path = directory.join(&*path);
                }
            }
        }
        Ok(config)
    }
}

impl ConfigText {
    /// Reads a configuration file and the files of `conf.d` beside it.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn read(file: &Path) -> Result<Self, ConfigErrors> {
        let mut sources = Sources::default();
        let directory = file.parent().unwrap_or(Path::new("")).join(DIRECTORY);
        let mut result = load::directory(&directory, &directory.display().to_string());
        for path in std::iter::once(file.to_owned()).chain(drop_ins(file)) {
            let name = path.display().to_string();
            match load::text(&path, &name) {
                Ok(text) => sources.push(&name, &text),
                Err(errors) => result = ConfigErrors::both(result, Err(errors)),
            }
        }
        result.map(|()| Self { sources })
    }

    /// The configuration that the texts amount to; relative paths in it are not resolved.
    ///
    /// # Errors
    /// All that is wrong with the texts.
    pub fn config(&self) -> Result<Config, ConfigErrors> {
        Config::default().read(&self.sources)
    }

    /// One text with what the texts set, each key behind a comment that names its file and line.
    ///
    /// # Errors
    /// When a text is not TOML.
    pub fn merged(&self) -> Result<String, ConfigErrors> {
        let mut text = String::new();
        toml_text::read(&self.sources, parse::same, |table, sources, _| {
            let (tables, keys): (Vec<_>, Vec<_>) = table
                .iter()
                .map(|(name, value)| (name.span(), name.get_ref().as_ref(), value))
                .partition(|(_, _, value)| entries(value.get_ref()).is_some());
            for (span, name, value) in in_order(keys) {
                write_key(&mut text, sources, (span, name), value.span());
            }
            for (span, name, value) in in_order(tables) {
                for entry in entries(value.get_ref()).unwrap_or_default() {
                    let keys = entry
                        .iter()
                        .map(|(key, value)| (key.span(), key.get_ref().as_ref(), value));
                    let keys = in_order(keys.collect());
                    let place = keys.first().map_or(&span, |(span, ..)| span);
                    // Writing to a string cannot fail, here and below.
                    _ = write!(text, "\n# {}\n[[{name}]]\n", sources.place(place.start));
                    for (_, key, value) in keys {
                        _ = writeln!(text, "{key} = {}", sources.slice(&value.span()));
                    }
                }
            }
        })?;
        Ok(text)
    }
}

type Member<'a> = (Range<usize>, &'a str, &'a toml::Spanned<DeValue<'a>>);

fn in_order(mut members: Vec<Member<'_>>) -> Vec<Member<'_>> {
    members.sort_by_key(|(span, ..)| span.start);
    members
}

/// The entries of a table of which there may be several.
fn entries<'a>(value: &'a DeValue<'a>) -> Option<Vec<&'a DeTable<'a>>> {
    let entries = value.as_array()?.iter();
    let tables: Vec<_> = entries
        .filter_map(|entry| entry.get_ref().as_table())
        .collect();
    (!tables.is_empty()).then_some(tables)
}

fn write_key(
    text: &mut String,
    sources: &Sources,
    (span, name): (Range<usize>, &str),
    value: Range<usize>,
) {
    let (place, value) = (sources.place(span.start), sources.slice(&value));
    _ = writeln!(text, "# {place}\n{name} = {value}");
}

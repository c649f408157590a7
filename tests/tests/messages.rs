//! What the pages about trouble quote from the program is in its source: messages, and the drivers with their lines. So
//! is the table of encapsulations that are not read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use geofence_common::action::Reason;
use geofence_common::wire::ethernet::unjudged;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// The source of the command, without tests, as messages appear in it: a line that a string continues on the next is
/// one line.
fn source() -> Result<String> {
    let mut source = String::new();
    collect(&root().join("geofence-user/src"), &mut source)?;
    let mut joined = String::new();
    for line in source.lines() {
        match line.strip_suffix('\\') {
            Some(line) => joined.push_str(line.trim_start()),
            None => {
                joined.push_str(line.trim_start());
                joined.push('\n');
            }
        }
    }
    Ok(joined)
}

fn collect(directory: &Path, source: &mut String) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            collect(&path, source)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            source.push_str(text);
            source.push('\n');
        }
    }
    Ok(())
}

/// The parts of a quoted message that are always the same.
fn parts(message: &str) -> Vec<&str> {
    let parts = message.split('…').map(str::trim);
    parts
        .filter(|part| part.chars().any(char::is_alphabetic))
        .collect()
}

/// What the items of a page quote at their beginning.
fn quoted(page: &str) -> Vec<&str> {
    let items = page.lines().filter_map(|line| line.strip_prefix("- `"));
    items.filter_map(|item| item.strip_suffix('`')).collect()
}

#[test]
fn each_quoted_message_is_in_the_source() -> Result<()> {
    let (page, source) = (read("docs/troubleshooting.md")?, source()?);
    let messages = quoted(&page);
    ensure!(messages.len() >= 20, "only {} messages", messages.len());
    for message in messages {
        let parts = parts(message);
        ensure!(
            !parts.is_empty(),
            "nothing of {message:?} is always the same"
        );
        for part in parts {
            ensure!(source.contains(part), "no message says {part:?} any more");
        }
    }
    Ok(())
}

#[test]
fn a_message_that_no_source_has_is_noticed() -> Result<()> {
    let source = source()?;
    for part in parts("interface … already runs the XDP programme …") {
        let is_there = source.contains(part);
        assert_eq!(is_there, part == "interface", "{part}");
    }
    Ok(())
}

#[test]
fn each_exit_code_of_run_has_a_section() -> Result<()> {
    let (page, codes) = (
        read("docs/troubleshooting.md")?,
        read("geofence-user/src/cli/exit_code.rs")?,
    );
    let mut seen = 0;
    for line in codes
        .lines()
        .filter(|line| line.contains("const ") && line.contains(": u8 = "))
    {
        let code = line
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .trim_end_matches(';');
        ensure!(
            page.contains(&format!("## Exit code {code}:")),
            "no section about {code}"
        );
        seen += 1;
    }
    assert_eq!(seen, 4);
    Ok(())
}

#[test]
fn each_driver_of_the_page_about_clouds_is_one_that_doctor_knows() -> Result<()> {
    let page = read("docs/clouds.md")?;
    let known = read("geofence-user/src/checks/driver_errors.rs")?;
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    ensure!(rows.len() >= 10, "{rows:?}");
    for row in rows {
        let first = row.split('|').nth(1).unwrap_or_default();
        for driver in first.split('`').skip(1).step_by(2) {
            ensure!(
                known.contains(&format!("\"{driver}\"")),
                "doctor does not know {driver}"
            );
        }
    }
    let (shown, plain) = ("3,498", "3498");
    ensure!(
        page.contains(shown) && known.contains(plain),
        "{shown} is not the limit"
    );
    Ok(())
}

#[test]
fn the_table_of_encapsulations_names_each_type_that_is_not_read() -> Result<()> {
    let page = read("docs/frames.md")?;
    let (_, table) = page
        .split_once("| EtherType | encapsulation |")
        .context("no table")?;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    let numbers = first.flat_map(|cell| cell.split(','));
    let named = numbers
        .map(|number| {
            let digits = number.trim().strip_prefix("0x").context("no number")?;
            Ok(u16::from_str_radix(digits, 16)?)
        })
        .collect::<Result<BTreeSet<u16>>>()?;
    let is_encapsulated = |number: &u16| unjudged(*number) == Reason::Encapsulated;
    let known: BTreeSet<u16> = (0..=u16::MAX).filter(is_encapsulated).collect();
    ensure!(
        named == known,
        "the page has {named:x?}, the code {known:x?}"
    );
    Ok(())
}

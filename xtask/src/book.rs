//! `cargo xtask book`: the documentation as a book of HTML, made by mdBook, every link of it checked.
//!
//! The pages link to files of the repository as well. The book has copies of those, so that it is whole wherever it is
//! put.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::tidy::links;
use crate::{process, setup, workspace};

/// Pages outside of docs that are chapters as well, with their titles.
const CHAPTERS: [(&str, &str); 6] = [
    ("README.md", "The project"),
    ("ARCHITECTURE.md", "Architecture"),
    ("CONTRIBUTING.md", "Contributing"),
    ("SECURITY.md", "Security"),
    ("CHANGELOG.md", "Changelog"),
    ("geofence-user/data/README.md", "The embedded database"),
];

/// Where the copies of other files are.
const FILES: &str = "repository";

/// Builds the book and prints where it begins.
pub(crate) fn run() -> Result<ExitCode> {
    setup::book::install()?;
    let place = workspace::scratch("book")?;
    std::fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
    prepare(&place.join("src"))?;
    let docs = workspace::root().join("docs");
    std::fs::copy(docs.join("book.toml"), place.join("src/book.toml"))?;
    process::capture(
        process::command("mdbook")
            .arg("build")
            .arg(place.join("src")),
    )?;
    let book = place.join("src/book");
    let broken = broken_links(&book)?;
    if !broken.is_empty() {
        bail!(
            "the book has links that lead nowhere:\n  {}",
            broken.join("\n  ")
        );
    }
    process::answer(&book.join("index.html").display().to_string());
    Ok(ExitCode::SUCCESS)
}

/// Copies the pages, with links to other files changed, and those files.
fn prepare(source: &Path) -> Result<()> {
    let root = workspace::root();
    std::fs::create_dir_all(source).with_context(|| format!("creating {}", source.display()))?;
    let mut copied = BTreeSet::new();
    let mut pages: Vec<(String, String)> = Vec::new();
    for entry in std::fs::read_dir(root.join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        pages.push((format!("docs/{name}"), name));
    }
    for (page, _) in CHAPTERS {
        pages.push((page.to_owned(), chapter(page)));
    }
    for (page, name) in pages {
        let from = root.join(&page);
        if !name.ends_with(".md") {
            if from.is_file() {
                std::fs::copy(&from, source.join(&name))?;
            }
            continue;
        }
        let text = std::fs::read_to_string(&from).with_context(|| format!("reading {page}"))?;
        // The links of the summary are chapters already.
        let is_summary = name == "SUMMARY.md";
        let mut text = if is_summary {
            text
        } else {
            rewritten(&page, &text, &mut copied)
        };
        if is_summary {
            text.push_str("\n# The repository\n\n");
            for (page, title) in CHAPTERS {
                text.push_str(&format!("- [{title}]({})\n", chapter(page)));
            }
        }
        std::fs::write(source.join(&name), text).with_context(|| format!("writing {name}"))?;
    }
    for path in copied {
        copy(&root.join(&path), &source.join(FILES).join(&path))?;
    }
    Ok(())
}

/// What such a page is called in the book, where another page has the name README.md.
fn chapter(page: &str) -> String {
    format!("repository-{}", page.to_lowercase().replace('/', "-"))
}

/// A page whose links lead to chapters or to copies; what has to be copied is noted.
fn rewritten(page: &str, text: &str, copied: &mut BTreeSet<String>) -> String {
    let mut targets = BTreeMap::new();
    for (_, target) in links::links(text) {
        let (file, anchor) = target
            .split_once('#')
            .map_or((target, None), |(file, anchor)| (file, Some(anchor)));
        let Some(path) = links::resolve(page, file) else {
            continue;
        };
        let place = if file.is_empty() {
            continue;
        } else if CHAPTERS.iter().any(|(chapter, _)| *chapter == path) {
            chapter(&path)
        } else if let Some(own) = path.strip_prefix("docs/").filter(|own| !own.contains('/')) {
            // mdBook makes the index of this one.
            own.replace("README.md", "index.html")
        } else {
            copied.insert(path.clone());
            let is_directory = workspace::root().join(&path).is_dir();
            format!(
                "{FILES}/{path}{}",
                if is_directory { "/index.html" } else { "" }
            )
        };
        let anchor = anchor
            .map(|anchor| format!("#{anchor}"))
            .unwrap_or_default();
        targets.insert(format!("]({target})"), format!("]({place}{anchor})"));
    }
    targets
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(&from, &to))
}

/// Copies a file, or a directory with a page that lists it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        let parent = to.parent().context("a file has a directory")?;
        std::fs::create_dir_all(parent)?;
        // A page of Markdown is no chapter here: it is shown as it is.
        std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        copy(&from.join(&name), &to.join(&name))?;
        let is_directory = from.join(&name).is_dir();
        names.insert(if is_directory {
            format!("{name}/index.html")
        } else {
            name
        });
    }
    let items = names
        .iter()
        .map(|name| format!("<li><a href=\"{name}\">{name}</a></li>\n"));
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<ul>\n{}</ul>\n",
        items.collect::<String>()
    );
    std::fs::write(to.join("index.html"), page)
        .with_context(|| format!("writing in {}", to.display()))
}

/// The local links of a book that lead to no file, or to no place in it.
fn broken_links(book: &Path) -> Result<Vec<String>> {
    let mut pages = Vec::new();
    collect(book, &mut pages)?;
    let mut texts = BTreeMap::new();
    for page in pages {
        let text = std::fs::read_to_string(&page)
            .with_context(|| format!("reading {}", page.display()))?;
        texts.insert(page, text);
    }
    let mut broken = BTreeSet::new();
    for (page, text) in &texts {
        // What is printed is every page in one, with links of its own.
        if page.ends_with("print.html") || page.ends_with("404.html") || page.ends_with("toc.html")
        {
            continue;
        }
        for link in attribute(text, "href") {
            if link.contains(':') || link.starts_with("//") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let directory = page.parent().context("a page has a directory")?;
            let target = if file.is_empty() {
                page.clone()
            } else {
                normal(&directory.join(file))
            };
            let has_anchor = anchor.is_empty()
                || texts
                    .get(&target)
                    .is_none_or(|text| attribute(text, "id").any(|id| id == anchor));
            if !target.exists() || !has_anchor {
                broken.insert(format!(
                    "{}: {link}",
                    page.strip_prefix(book).unwrap_or(page).display()
                ));
            }
        }
    }
    Ok(broken.into_iter().collect())
}

fn collect(directory: &Path, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|end| end == "html") {
            pages.push(path);
        }
    }
    Ok(())
}

/// The values of an attribute in a page.
fn attribute<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!(" {name}=\"");
    let parts: Vec<&str> = page.split(begin.as_str()).skip(1).collect();
    parts
        .into_iter()
        .filter_map(|rest| rest.split_once('"').map(|(value, _)| value))
}

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part @ (Component::Prefix(_) | Component::RootDir | Component::Normal(_)) => {
                out.push(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_chapters_and_copies() {
        let mut copied = BTreeSet::new();
        let text = "[a](flows.md#x) [b](../README.md#y) [c](../deploy/geofence.toml) [d](#z) [e](https://example.org)";
        let expected = "[a](flows.md#x) [b](repository-readme.md#y) [c](repository/deploy/geofence.toml) [d](#z) \
                        [e](https://example.org)";
        assert_eq!(rewritten("docs/a.md", text, &mut copied), expected);
        assert_eq!(copied, BTreeSet::from(["deploy/geofence.toml".to_owned()]));
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let book = workspace::scratch(&format!("book-test-{}", std::process::id())).unwrap();
        let page = "<h1 id=\"one\"></h1><a href=\"b.html#two\"></a><a href=\"#one\"></a><a href=\"c.html\"></a>\
                    <a href=\"b.html#three\"></a>";
        std::fs::write(book.join("a.html"), page).unwrap();
        std::fs::write(book.join("b.html"), "<h1 id=\"two\"></h1>").unwrap();
        let broken = broken_links(&book).unwrap();
        std::fs::remove_dir_all(&book).unwrap();
        assert_eq!(broken, ["a.html: b.html#three", "a.html: c.html"]);
    }

    #[test]
    fn every_page_is_a_chapter() {
        let docs = workspace::root().join("docs");
        let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
        for entry in std::fs::read_dir(docs).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_chapter = summary.contains(&format!("({name})"));
            assert!(
                is_chapter || !name.ends_with(".md") || name == "SUMMARY.md",
                "{name} is no chapter"
            );
        }
    }
}

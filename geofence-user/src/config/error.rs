//! What is wrong with a configuration, and how it is shown: file, line, column, the text itself without what may be a
//! secret, the way out.
//!
//! A `Fault` knows its place in one source, a file or an option of the command line. All faults are kept and shown
//! together, so that a file is corrected in one go. Nothing here decides what is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::shown_text::ShownText;
use super::sources::{LineStarts, Sources};
use crate::model::server_url::hide_secrets;
use crate::model::text::printable;

/// What is wrong with one value, wherever it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One line that makes sense alone.
    pub title: String,
    /// A few words under the offending text.
    pub label: String,
    /// The way out.
    pub help: String,
}

impl Problem {
    pub(super) fn new(
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            title: title.into(),
            label: label.into(),
            help: help.into(),
        }
    }

    pub(super) fn at(self, span: Range<usize>) -> Fault {
        Fault {
            problem: self,
            span: Some(span),
            other: None,
        }
    }
}

/// A problem and its place.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    problem: Problem,
    span: Option<Range<usize>>,
    /// A second place that belongs to it, such as the first of two equal keys.
    other: Option<(Range<usize>, &'static str)>,
}

impl Fault {
    /// A fault of the whole source, such as a file that does not exist.
    pub(super) fn whole(problem: Problem) -> Self {
        Self {
            problem,
            span: None,
            other: None,
        }
    }

    pub(super) fn and(mut self, span: Range<usize>, label: &'static str) -> Self {
        self.other = Some((span, label));
        self
    }
}

/// A text and the faults found in it.
#[derive(Clone, Debug)]
struct Report {
    /// The path of the file, or the option.
    name: String,
    /// Without what may be a secret; the places of faults are counted in it.
    text: String,
    faults: Vec<Fault>,
}

/// Everything wrong with a configuration; never empty. Its `Display` is the whole message for the operator.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    reports: Vec<Report>,
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// The faults of one source, in the order of the text; nothing when there are none.
    pub(super) fn of(name: &str, text: &str, mut faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            return Ok(());
        }
        let shown = ShownText::of(text);
        for fault in &mut faults {
            let other = fault.other.as_mut().map(|(other, _)| other);
            for span in fault.span.as_mut().into_iter().chain(other) {
                *span = shown.place(&inside(text, span));
            }
        }
        faults.sort_by_key(|fault| fault.span.as_ref().map(|span| span.start));
        let report = Report {
            name: name.to_owned(),
            text: shown.text,
            faults,
        };
        Err(Self {
            reports: vec![report],
        })
    }

    /// The faults of several texts, by text; nothing when there are none.
    pub(super) fn of_sources(sources: &Sources, faults: Vec<Fault>) -> Result<(), Self> {
        let mut by_source: BTreeMap<usize, Vec<Fault>> = BTreeMap::new();
        for mut fault in faults {
            let at = fault.span.as_ref().map_or(0, |span| span.start);
            let number = sources.number_of(at);
            let Some(source) = sources.get(number) else {
                continue;
            };
            fault.span = fault.span.map(|span| source.local(&span));
            fault.other = match fault.other {
                Some((other, label)) if sources.number_of(other.start) != number => {
                    let place = sources.place(other.start);
                    fault.problem.label = format!("{}; {label}: {place}", fault.problem.label);
                    None
                }
                other => other.map(|(other, label)| (source.local(&other), label)),
            };
            by_source.entry(number).or_default().push(fault);
        }
        let mut result = Ok(());
        for (number, faults) in by_source {
            if let Some(source) = sources.get(number) {
                let one = Self::of(&source.name, &source.text, faults);
                result = Self::both(result, one);
            }
        }
        result
    }

    /// Both results' errors together, so that a file and the options beside it are reported at once.
    ///
    /// # Errors
    /// When either has any.
    pub fn both(one: Result<(), Self>, two: Result<(), Self>) -> Result<(), Self> {
        match (one, two) {
            (Err(mut one), Err(two)) => {
                one.reports.extend(two.reports);
                Err(one)
            }
            (one, two) => one.and(two),
        }
    }

    /// How many faults there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.reports.iter().map(|report| report.faults.len()).sum()
    }

    /// The faults as positions and words: source, line, column, offending text, problem.
    pub fn faults(&self) -> impl Iterator<Item = Located<'_>> {
        self.reports.iter().flat_map(|report| {
            let lines = LineStarts::of(&report.text);
            report.faults.iter().map(move |fault| {
                let span = fault.span.clone().unwrap_or(0..0);
                let (line, column) = lines.position(&report.text, span.start);
                Located {
                    source: &report.name,
                    line,
                    column,
                    text: &report.text[span],
                    problem: &fault.problem,
                }
            })
        })
    }

    /// The message, with terminal colours or without.
    #[must_use]
    pub fn render(&self, colours: bool) -> String {
        /// An operator corrects no more at a time, and a file of another kind has an error on each line.
        const SHOWN_MAX: usize = 50;
        let renderer = if colours {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let all = self
            .reports
            .iter()
            .flat_map(|report| report.faults.iter().map(move |fault| (report, fault)));
        let mut shown: Vec<_> = all
            .take(SHOWN_MAX)
            .map(|(report, fault)| renderer.render(&[report.group(fault)]))
            .collect();
        if self.count() > SHOWN_MAX {
            shown.push(format!("and {} more errors", self.count() - SHOWN_MAX));
        }
        shown.join("\n\n")
    }
}

/// A fault with its place worked out.
#[derive(Debug)]
pub struct Located<'a> {
    pub source: &'a str,
    pub line: usize,
    pub column: usize,
    pub text: &'a str,
    pub problem: &'a Problem,
}

impl Report {
    fn group<'a>(&'a self, fault: &'a Fault) -> Group<'a> {
        let problem = &fault.problem;
        let mut group = Level::ERROR
            .primary_title(problem.title.as_str())
            .elements(None::<Snippet<'_, annotate_snippets::Annotation<'_>>>);
        if let Some(span) = &fault.span {
            let mut snippet = Snippet::source(self.text.as_str())
                .path(self.name.as_str())
                .annotation(
                    AnnotationKind::Primary
                        .span(span.clone())
                        .label(problem.label.as_str()),
                );
            if let Some((other, label)) = &fault.other {
                let context = AnnotationKind::Context.span(other.clone());
                snippet = snippet.annotation(context.label(*label));
            }
            group = group.element(snippet);
        }
        group.element(Level::HELP.message(problem.help.as_str()))
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let text = self.render(colours);
        if !colours {
            return f.write_str(&printable(&text));
        }
        // What is left of this byte is of the colours: the renderer has replaced it in the texts.
        let parts: Vec<_> = text.split('\u{1b}').map(printable).collect();
        f.write_str(&parts.join("\u{1b}"))
    }
}

/// The span cut to the text and widened to whole characters: parsers may point behind the end or into a character.
fn inside(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    start..end
}

/// A text from outside as titles show it: empty ones visible, control characters spelled out, no secret of a URL.
pub(super) fn quoted(text: &str) -> String {
    if text.is_empty() {
        "an empty text".to_owned()
    } else {
        format!("`{}`", hide_secrets(text).escape_debug())
    }
}

//! The screen of a terminal as a page, for a browser to draw.

use vt100::{Cell, Color, Screen};

/// What a terminal of dark colours has for none, and for the sixteen that have a number.
const FORE: &str = "#d0d7de";
const BACK: &str = "#11161c";
const COLOURS: [&str; 16] = [
    "#484f58", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#d0d7de",
    "#6e7681", "#ffa198", "#7ee787", "#f2cc60", "#a5d6ff", "#e2c5ff", "#7ce7ef", "#ffffff",
];

/// How a cell looks.
#[derive(PartialEq, Eq)]
struct Style {
    fore: String,
    back: String,
    is_bold: bool,
    is_dim: bool,
    is_underlined: bool,
}

impl Style {
    fn of(cell: &Cell) -> Self {
        let (mut fore, mut back) = (colour(cell.fgcolor(), FORE), colour(cell.bgcolor(), BACK));
        if cell.inverse() {
            std::mem::swap(&mut fore, &mut back);
        }
        Self {
            fore,
            back,
            is_bold: cell.bold(),
            is_dim: cell.dim(),
            is_underlined: cell.underline(),
        }
    }

    fn css(&self) -> String {
        let mut css = format!("color:{};background:{}", self.fore, self.back);
        for (is_set, more) in [
            (self.is_bold, ";font-weight:bold"),
            (self.is_dim, ";opacity:.7"),
            (self.is_underlined, ";text-decoration:underline"),
        ] {
            if is_set {
                css.push_str(more);
            }
        }
        css
    }
}

fn colour(colour: Color, default: &str) -> String {
    match colour {
        Color::Default => default.to_owned(),
        Color::Idx(number) => {
            let named = COLOURS.get(usize::from(number));
            named.copied().unwrap_or(default).to_owned()
        }
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// The page: a line for each row, and a span for cells that look the same.
pub(super) fn html(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let mut html = format!(
        "<!doctype html><meta charset=utf-8><body style=\"margin:16px;background:{BACK}\">\
         <pre style=\"margin:0;font:14px/1.165 'DejaVu Sans Mono',monospace\">"
    );
    for row in 0..rows.get() {
        let mut span: Option<(Style, String)> = None;
        let cells = (0..columns.get()).filter_map(|column| screen.cell(row, column));
        for cell in cells.filter(|cell| !cell.is_wide_continuation()) {
            let style = Style::of(cell);
            let text = if cell.has_contents() {
                cell.contents()
            } else {
                " "
            };
            match &mut span {
                Some((before, gathered)) if *before == style => gathered.push_str(text),
                _ => {
                    close(&mut html, span.take());
                    span = Some((style, text.to_owned()));
                }
            }
        }
        close(&mut html, span);
        html.push('\n');
    }
    html + "</pre>"
}

fn close(html: &mut String, span: Option<(Style, String)>) {
    let Some((style, text)) = span else { return };
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    html.push_str(&format!("<span style=\"{}\">{text}</span>", style.css()));
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    #[test]
    fn cells_that_look_the_same_are_one_span() {
        let size = NonZeroU16::MIN;
        let mut parser = vt100::Parser::new(size, size.saturating_add(5), 0);
        parser.process(b"a<\x1b[31;1mbc\x1b[0;7md");
        let page = html(parser.screen());
        let plain = format!("<span style=\"color:{FORE};background:{BACK}\">");
        let red = format!(
            "<span style=\"color:{};background:{BACK};font-weight:bold\">",
            COLOURS[1]
        );
        let inverse = format!("<span style=\"color:{BACK};background:{FORE}\">");
        let row =
            format!("{plain}a&lt;</span>{red}bc</span>{inverse}d</span>{plain} </span>\n</pre>");
        assert!(page.ends_with(&row), "{page}");
    }
}

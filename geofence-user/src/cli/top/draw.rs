//! Draws the screen: totals, the table of a view, and the keys.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Cell, Clear, Paragraph, Row, Sparkline, Table, TableState, Tabs, Wrap,
};

use super::app::{App, Input, PAST_MAX, Sort};
use super::explain;
use super::rows::stopped;
use super::sample::View;
use crate::model::quantity::{bits, rate};

/// The steps of a sparkline within a cell.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The width of that cell.
const PAST_CELLS: usize = 20;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let [head, totals, tabs, table, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(4),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, app, head);
    draw_totals(frame, app, totals);
    let names = View::ALL.iter().zip(1..);
    let names = names.map(|(view, number)| format!("{number} {}", view.name()));
    let at = View::ALL.iter().position(|view| *view == app.view);
    let style = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Tabs::new(names).select(at).highlight_style(style), tabs);
    draw_table(frame, app, table);
    draw_foot(frame, app, foot);
    if app.input == Input::Explanation
        && let Some(name) = app.selected()
    {
        draw_explanation(frame, app, &name);
    }
}

fn draw_head(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let mode = if app.sample.is_monitor {
        " monitoring: nothing is dropped ".black().on_yellow()
    } else {
        " enforcing ".black().on_green()
    };
    let mut first = vec![app.instance.clone().bold(), " ".into(), mode];
    if app.is_paused {
        first.extend([" ".into(), " paused ".reversed()]);
    }
    let second = match &app.failure {
        Some(failure) => Line::from(failure.as_str()).red(),
        None => Line::from(app.sample.policy.as_str()).dim(),
    };
    frame.render_widget(Paragraph::new(vec![Line::from(first), second]), area);
}

fn draw_totals(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let [words, past] =
        Layout::horizontal([Constraint::Length(36), Constraint::Min(10)]).areas(area);
    let all = &app.rates.all;
    let line = |value: f64, what: &str, colour| {
        let value = Span::from(format!("{:>12}", rate(value))).fg(colour).bold();
        Line::from(vec![value, format!(" packets/s {what}").into()])
    };
    let lines = vec![
        Line::default(),
        line(all.blocked, stopped(&app.sample), Color::Red),
        line(all.passed, "passed", Color::Green),
        Line::from(format!("{:>12}", bits(all.bits))).dim(),
    ];
    frame.render_widget(Paragraph::new(lines), words);
    let width = usize::from(past.width);
    let shown: Vec<u64> = last(&app.past, width).collect();
    let title = format!(
        "{} over {} measurements",
        stopped(&app.sample),
        app.past.len()
    );
    let sparkline = Sparkline::default()
        .block(Block::new().title(title.dim()))
        .data(shown)
        .style(Style::new().red());
    frame.render_widget(sparkline, past);
}

fn draw_table(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let rows = app.rows();
    let selected = app.selected.min(rows.len().saturating_sub(1));
    let mark = |sort: Sort, name: &str| {
        if app.sort == sort {
            format!("{name} ▼")
        } else {
            name.to_owned()
        }
    };
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let head = Row::new(vec![
        Cell::from(mark(Sort::Name, app.view.one())),
        right(mark(Sort::Blocked, stopped(&app.sample))),
        right(mark(Sort::Passed, "passed")),
        right(mark(Sort::Bits, "bits")),
        Cell::from("packets/s before"),
    ])
    .style(Style::new().bold().underlined());
    let body = rows.iter().map(|row| {
        let blocked = Line::from(rate(row.rate.blocked)).right_aligned();
        let blocked = if row.rate.blocked > 0.0 {
            blocked.red()
        } else {
            blocked
        };
        Row::new(vec![
            Cell::from(row.name.to_owned()),
            Cell::from(blocked),
            right(rate(row.rate.passed)),
            right(bits(row.rate.bits)),
            Cell::from(row.past.map(spark).unwrap_or_default()).dim(),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(18),
        Constraint::Length(12),
        Constraint::Length(14),
        Constraint::Length(PAST_CELLS as u16),
    ];
    let table = Table::new(body, widths)
        .header(head)
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected((!rows.is_empty()).then_some(selected));
    frame.render_stateful_widget(table, area, &mut state);
}

fn draw_foot(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let line = match (app.input, app.filter.as_str()) {
        (Input::Filter, filter) => {
            Line::from(format!("filter: {filter}▏ (Enter keeps it, Esc clears it)"))
        }
        (_, "") => Line::from(
            "1-5 or Tab view · s sort · / filter · Enter explain · p pause · q quit".dim(),
        ),
        (_, filter) => Line::from(format!("filter: {filter} · / changes it · q quit")),
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_explanation(frame: &mut Frame<'_>, app: &App, name: &str) {
    let lines = explain::lines(app, name);
    let whole = frame.area();
    let width = whole.width.saturating_sub(4).min(76);
    // Sentences take two lines where the box is narrow.
    let height = (lines.len() as u16 + 5).min(whole.height);
    let area = Rect {
        x: whole.x + (whole.width - width) / 2,
        y: whole.y + (whole.height - height) / 2,
        width,
        height,
    };
    let title = format!(" {} {name} ", app.view.one());
    let block = Block::bordered()
        .title(title.bold())
        .title_bottom(" any key closes ".dim());
    let text: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    let text = Paragraph::new(text).wrap(Wrap { trim: false }).block(block);
    frame.render_widget(Clear, area);
    frame.render_widget(text, area);
}

/// The newest values, at most so many.
fn last(past: &VecDeque<u64>, max: usize) -> impl Iterator<Item = u64> + '_ {
    past.iter()
        .skip(past.len().saturating_sub(max.min(PAST_MAX)))
        .copied()
}

/// The newest values as characters.
fn spark(past: &VecDeque<u64>) -> String {
    let most = last(past, PAST_CELLS).max().unwrap_or(0).max(1);
    let steps = last(past, PAST_CELLS).map(|value| match value {
        0 => ' ',
        value => {
            let step = (value * STEPS.len() as u64).div_ceil(most) - 1;
            STEPS[(step as usize).min(STEPS.len() - 1)]
        }
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::super::sample::Sample;
    use super::super::sample::tests::answer;
    use super::*;

    fn screen(app: &App, width: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, 24)).unwrap();
        terminal.draw(|frame| draw(frame, app)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_screen_has_totals_rows_and_keys_at_any_width() {
        let mut app = App::new("geofence", Sample::read(&answer(0, 0, 0)));
        app.measure(Sample::read(&answer(1_000_000_000, 12_345, 20)));
        let said = screen(&app, 100);
        for expected in [
            "enforcing",
            "12,345 packets/s dropped",
            "RU",
            "q quit",
            "dropped ▼",
        ] {
            assert!(said.contains(expected), "{expected}\n{said}");
        }
        for width in [1, 20, 40, 300] {
            screen(&app, width);
        }
        app.press(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
        let said = screen(&app, 100);
        for expected in [
            "country RU",
            "Russia: blocked by the policy.",
            "country_blocked",
        ] {
            assert!(said.contains(expected), "{expected}\n{said}");
        }
        screen(&app, 3);
    }

    #[test]
    fn a_sparkline_reaches_from_nothing_to_the_most() {
        assert_eq!(spark(&VecDeque::from([0, 1, 4, 8])), " ▁▄█");
        assert_eq!(spark(&VecDeque::new()), "");
    }
}

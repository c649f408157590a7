//! What the screen shows, and what each key changes of it.

use std::collections::{BTreeMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rows::{Rate, Rates};
use super::sample::{Sample, View};
use crate::model::text::printable;

/// How many measurements a sparkline has.
pub(super) const PAST_MAX: usize = 60;
/// How many rows have a past; tenants may be many.
const ROWS_MAX: usize = 1000;

/// What happens after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    End,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Blocked,
    Passed,
    Bits,
    Name,
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Blocked => Self::Passed,
            Self::Passed => Self::Bits,
            Self::Bits => Self::Name,
            Self::Name => Self::Blocked,
        }
    }
}

/// Where keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Table,
    Filter,
    Explanation,
}

/// The state of the screen.
pub(super) struct App {
    pub(super) instance: String,
    pub(super) sample: Sample,
    pub(super) rates: Rates,
    pub(super) view: View,
    pub(super) sort: Sort,
    pub(super) input: Input,
    pub(super) filter: String,
    pub(super) selected: usize,
    pub(super) is_paused: bool,
    /// Why there is no new measurement.
    pub(super) failure: Option<String>,
    /// Dropped packets a second, the newest last.
    pub(super) past: VecDeque<u64>,
    /// All packets a second of each row.
    pub(super) past_of: BTreeMap<(View, String), VecDeque<u64>>,
}

/// A row of the table.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) rate: Rate,
    /// All packets since the filter was attached: the order of rows without traffic.
    packets: u64,
    pub(super) past: Option<&'a VecDeque<u64>>,
}

impl App {
    pub(super) fn new(instance: &str, sample: Sample) -> Self {
        Self {
            instance: instance.to_owned(),
            rates: Rates::between(&sample, &sample),
            sample,
            view: View::Countries,
            sort: Sort::Blocked,
            input: Input::Table,
            filter: String::new(),
            selected: 0,
            is_paused: false,
            failure: None,
            past: VecDeque::new(),
            past_of: BTreeMap::new(),
        }
    }

    /// Takes a new measurement.
    pub(super) fn measure(&mut self, sample: Sample) {
        self.failure = None;
        if self.is_paused {
            return;
        }
        self.rates = Rates::between(&self.sample, &sample);
        self.sample = sample;
        push(&mut self.past, self.rates.all.blocked);
        for (key, rate) in &self.rates.rows {
            let is_known = self.past_of.contains_key(key);
            if is_known || self.past_of.len() < ROWS_MAX && rate.packets() > 0.0 {
                push(self.past_of.entry(key.clone()).or_default(), rate.packets());
            }
        }
    }

    /// Says why there is no new measurement.
    pub(super) fn fail(&mut self, error: &anyhow::Error) {
        self.failure = Some(printable(&format!("{error:#}")));
    }

    /// The rows of the view, filtered and in order.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let filter = self.filter.to_lowercase();
        let rows = self.rates.rows.iter();
        let rows = rows.filter(|((view, name), _)| {
            *view == self.view && name.to_lowercase().contains(&filter)
        });
        let mut rows: Vec<_> = rows
            .map(|(key, rate)| Row {
                name: &key.1,
                rate: *rate,
                packets: self
                    .sample
                    .rows
                    .get(key)
                    .map_or(0, |count| count.blocked + count.passed),
                past: self.past_of.get(key),
            })
            .collect();
        let weight = |row: &Row<'_>| match self.sort {
            Sort::Blocked => row.rate.blocked,
            Sort::Passed => row.rate.passed,
            Sort::Bits => row.rate.bits,
            Sort::Name => 0.0,
        };
        rows.sort_by(|one, other| {
            let by_weight = weight(other).total_cmp(&weight(one));
            by_weight
                .then(other.rate.packets().total_cmp(&one.rate.packets()))
                .then(other.packets.cmp(&one.packets))
        });
        if self.sort == Sort::Name {
            rows.sort_by_key(|row| row.name);
        }
        rows
    }

    /// The name of the selected row.
    pub(super) fn selected(&self) -> Option<String> {
        let rows = self.rows();
        let at = self.selected.min(rows.len().saturating_sub(1));
        rows.get(at).map(|row| row.name.to_owned())
    }

    /// Follows a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Next::End;
        }
        match self.input {
            Input::Filter => self.press_in_filter(key.code),
            Input::Explanation => self.input = Input::Table,
            Input::Table => return self.press_in_table(key.code),
        }
        Next::GoOn
    }

    fn press_in_filter(&mut self, code: KeyCode) {
        if code == KeyCode::Enter {
            self.input = Input::Table;
        } else if code == KeyCode::Esc {
            self.filter.clear();
            self.input = Input::Table;
        } else if code == KeyCode::Backspace {
            self.filter.pop();
        } else if let KeyCode::Char(letter) = code
            && self.filter.len() < 40
        {
            self.filter.push(letter);
        }
        self.selected = 0;
    }

    fn press_in_table(&mut self, code: KeyCode) -> Next {
        let last = self.rows().len().saturating_sub(1);
        self.selected = self.selected.min(last);
        if matches!(code, KeyCode::Char('q') | KeyCode::Esc) {
            return Next::End;
        } else if matches!(code, KeyCode::Tab | KeyCode::Right) {
            self.turn(1);
        } else if matches!(code, KeyCode::BackTab | KeyCode::Left) {
            self.turn(View::ALL.len() - 1);
        } else if let KeyCode::Char(digit @ '1'..='5') = code {
            let at = digit as usize - '1' as usize;
            self.show(View::ALL[at]);
        } else if matches!(code, KeyCode::Down | KeyCode::Char('j')) {
            self.selected = (self.selected + 1).min(last);
        } else if matches!(code, KeyCode::Up | KeyCode::Char('k')) {
            self.selected = self.selected.saturating_sub(1);
        } else if code == KeyCode::Home {
            self.selected = 0;
        } else if code == KeyCode::End {
            self.selected = last;
        } else if code == KeyCode::Char('s') {
            self.sort = self.sort.next();
        } else if code == KeyCode::Char('p') {
            self.is_paused = !self.is_paused;
        } else if code == KeyCode::Char('/') {
            self.input = Input::Filter;
        } else if matches!(code, KeyCode::Enter | KeyCode::Char('e')) && self.selected().is_some() {
            self.input = Input::Explanation;
        }
        Next::GoOn
    }

    fn turn(&mut self, by: usize) {
        let at = View::ALL.iter().position(|view| *view == self.view);
        let at = (at.unwrap_or(0) + by) % View::ALL.len();
        self.show(View::ALL[at]);
    }

    fn show(&mut self, view: View) {
        self.view = view;
        self.selected = 0;
        self.filter.clear();
    }
}

fn push(past: &mut VecDeque<u64>, rate: f64) {
    if past.len() == PAST_MAX {
        past.pop_front();
    }
    // Less than a packet a second is still traffic.
    past.push_back(rate.ceil() as u64);
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::answer;
    use super::*;

    fn app() -> App {
        let mut app = App::new("geofence", Sample::read(&answer(0, 0, 0)));
        app.measure(Sample::read(&answer(1_000_000_000, 500, 20)));
        app
    }

    fn press(app: &mut App, code: KeyCode) -> Next {
        app.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn names(app: &App) -> Vec<&str> {
        app.rows().into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn keys_choose_views_sort_and_filter() {
        let mut app = app();
        assert_eq!(names(&app), ["RU", "DE"]);
        press(&mut app, KeyCode::Char('s'));
        assert_eq!(names(&app), ["DE", "RU"]);
        press(&mut app, KeyCode::Tab);
        assert_eq!(app.view, View::Reasons);
        for letter in "/blocked".chars() {
            press(&mut app, KeyCode::Char(letter));
        }
        assert_eq!(names(&app), ["country_blocked"]);
        press(&mut app, KeyCode::Enter);
        // The filter is closed, so this is a key of the table.
        press(&mut app, KeyCode::Char('5'));
        assert_eq!((app.view, names(&app)), (View::Lists, vec!["feodo"]));
        assert_eq!(press(&mut app, KeyCode::Char('q')), Next::End);
    }

    #[test]
    fn a_row_is_explained_until_the_next_key() {
        let mut app = app();
        press(&mut app, KeyCode::Enter);
        assert_eq!(app.input, Input::Explanation);
        assert_eq!(press(&mut app, KeyCode::Char('q')), Next::GoOn);
        assert_eq!(app.input, Input::Table);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.press(interrupt), Next::End);
    }

    #[test]
    fn the_past_has_a_bound_and_a_pause_keeps_it() {
        let mut app = app();
        for second in 2..200 {
            app.measure(Sample::read(&answer(
                second * 1_000_000_000,
                500 * second,
                20,
            )));
        }
        assert_eq!(app.past.len(), PAST_MAX);
        press(&mut app, KeyCode::Char('p'));
        let before = app.past.clone();
        app.measure(Sample::read(&answer(300_000_000_000, 1_000_000, 20)));
        assert_eq!(app.past, before);
    }
}

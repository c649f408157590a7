//! The plot: what it costs each filter to drop a frame on the same path.

use anyhow::{Context as _, Result};
use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea as _;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::{Color as _, IntoFont as _, RGBColor};

use crate::report::Table;

const SIZE: (u32, u32) = (900, 360);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0x8b);
const OTHERS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
/// How much of its row a bar fills, half above the middle and half below.
const BAR: f64 = 0.34;

/// Draws a table's first column as bars, one row each, with the quartiles as whiskers.
pub(crate) fn svg(table: &Table) -> Result<String> {
    let mut svg = String::new();
    draw(table, &mut svg).context("drawing the plot")?;
    Ok(svg)
}

fn draw(table: &Table, svg: &mut String) -> Result<()> {
    let bars: Vec<(&str, f64, (f64, f64))> = table
        .rows
        .iter()
        .filter_map(|(name, cells)| {
            let samples = &cells.first()?.as_ref()?.samples;
            Some((name.as_str(), samples.median(), samples.quartiles()))
        })
        .collect();
    let least = bars
        .iter()
        .map(|(_, median, _)| *median)
        .fold(f64::INFINITY, f64::min);
    let most = bars
        .iter()
        .map(|(_, _, (_, high))| *high)
        .fold(0.0, f64::max);
    let count = bars.len() as f64;

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    // A ground of its own, or dark pages would swallow the ink.
    area.fill(&RGBColor(0xff, 0xff, 0xff))?;
    let font = ("sans-serif", 15).into_font();
    let mut chart = ChartBuilder::on(&area)
        .caption(&table.title, ("sans-serif", 17).into_font().color(&INK))
        .margin(12)
        .margin_left(230)
        .x_label_area_size(44)
        .build_cartesian_2d(0.0..most * 1.22, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(RGBColor(0xff, 0xff, 0xff))
        .bold_line_style(RGBColor(0xe4, 0xe7, 0xeb))
        .axis_style(INK)
        .x_labels(8)
        .x_label_formatter(&|nanoseconds| format!("{nanoseconds:.0}"))
        .x_desc("nanoseconds a frame, sender included (median; whiskers are quartiles)")
        .label_style(font.color(&INK))
        .draw()?;
    for (at, (name, median, (low, high))) in bars.iter().enumerate() {
        let middle = count - at as f64 - 0.5;
        let colour = if name.starts_with("geofence") {
            OURS
        } else {
            OTHERS
        };
        chart.draw_series([Rectangle::new(
            [(0.0, middle - BAR), (*median, middle + BAR)],
            colour.filled(),
        )])?;
        chart.draw_series([PathElement::new(
            [(*low, middle), (*high, middle)],
            INK.stroke_width(2),
        )])?;
        let label = format!("{median:.0} ns, {:.1} x", median / least);
        let beside = high.max(*median) + most * 0.01;
        let place = chart.backend_coord(&(beside, middle + 0.17));
        area.draw(&Text::new(
            label,
            place,
            ("sans-serif", 15).into_font().color(&INK),
        ))?;
        let place = chart.backend_coord(&(0.0, middle + 0.17));
        area.draw(&Text::new(
            (*name).to_owned(),
            (20, place.1),
            ("sans-serif", 15).into_font().color(&INK),
        ))?;
    }
    area.present()?;
    Ok(())
}

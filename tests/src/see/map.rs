//! The dashboard's maps as a picture: its own queries, asked of Prometheus, on the shapes of the page's map.
//!
//! Grafana draws circles on tiles that it loads; this picture shows the data that those queries return.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::ask;
use crate::dashboard::Query;
use crate::namespace::Namespace;

/// The shapes: the view box, then a line for each country with its code and path.
const WORLD: &str = include_str!("../../../geofence-user/data/world/world.txt");
/// The range that the queries get: longer than the laboratory runs.
const RANGE: &str = "1h";
/// The panels that are maps, and the colours of few to many packets.
const MAPS: [(&str, [&str; 4]); 2] = [
    (
        "Dropped by country",
        ["#fbc4b4", "#f58a6c", "#dd4a33", "#9b1c1c"],
    ),
    (
        "Passed by country",
        ["#c6dcf5", "#86b6e8", "#3d83c9", "#164e8c"],
    ),
];
/// Each colour stands for so many packets and more.
const LEVELS: [(f64, &str); 4] = [
    (0.0, "1"),
    (1e3, "1,000"),
    (1e5, "100,000"),
    (1e6, "1 million"),
];
/// The height of a title in the units of the shapes.
const TITLE: u32 = 90;
const EMPTY: &str = "#e6e6e6";

/// A picture and its size in units of its own.
pub(super) struct Maps {
    pub(super) svg: String,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Asks the maps' queries, and draws what they return.
pub(super) fn draw(namespace: &Namespace, queries: &[Query]) -> Result<Maps> {
    let (view_box, shapes) = WORLD.split_once('\n').context("no shapes")?;
    let size: Vec<u32> = view_box
        .split(' ')
        .filter_map(|one| one.parse().ok())
        .collect();
    let [_, _, width, height] = size[..] else {
        anyhow::bail!("{view_box:?} is no view box");
    };
    let shapes: Vec<_> = shapes
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let each = height + TITLE;
    let whole = each * MAPS.len() as u32;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {whole}\" font-family=\"sans-serif\" \
         font-size=\"40\">\n<rect width=\"{width}\" height=\"{whole}\" fill=\"#fff\"/>\n<defs>\n"
    );
    for (code, path) in &shapes {
        writeln!(svg, "<path id=\"{code}\" d=\"{path}\"/>")?;
    }
    svg.push_str("</defs>\n");
    for ((panel, colours), number) in MAPS.into_iter().zip(0..) {
        let query = queries
            .iter()
            .find(|one| one.panel == panel && one.expr.contains("$__range"));
        let query = query.with_context(|| format!("the dashboard has no map {panel}"))?;
        let packets = counted(namespace, query)?;
        let top = each * number;
        writeln!(
            svg,
            "<text x=\"20\" y=\"{}\">{panel} (packets)</text>",
            top + TITLE * 2 / 3
        )?;
        for ((colour, (_, least)), place) in colours.iter().zip(LEVELS).zip(0_u32..) {
            let (x, y) = (width / 2 + place * 240, top + TITLE / 4);
            writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"40\" height=\"40\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\" \
                 font-size=\"32\">{least}+</text>",
                x + 50,
                y + 33
            )?;
        }
        writeln!(
            svg,
            "<g transform=\"translate(0 {})\" stroke=\"#fff\" stroke-width=\"1\">",
            top + TITLE
        )?;
        for (code, _) in &shapes {
            let colour = packets.get(*code).map_or(EMPTY, |packets| {
                let reached = LEVELS.iter().rposition(|(least, _)| packets >= least);
                colours[reached.unwrap_or(0)]
            });
            writeln!(svg, "<use href=\"#{code}\" fill=\"{colour}\"/>")?;
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    Ok(Maps {
        svg,
        width,
        height: whole,
    })
}

/// The packets that a query returns, by country.
fn counted(namespace: &Namespace, query: &Query) -> Result<BTreeMap<String, f64>> {
    let series = ask::query(namespace, &query.over(RANGE))?;
    let counts = series.iter().filter_map(|one| {
        let country = one["metric"]["country"].as_str()?.to_owned();
        Some((country, one["value"][1].as_str()?.parse().ok()?))
    });
    let counts: BTreeMap<String, f64> = counts.collect();
    ensure!(!counts.is_empty(), "{}: no data", query.panel);
    Ok(counts)
}

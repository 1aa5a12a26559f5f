//! Bars and lines as SVG. It knows nothing of scenarios.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Bar, Line};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 480;
const ROW: i32 = 34;
const TOP: i32 = 56;
/// Where bars begin, and how long the longest is.
const BARS_FROM: i32 = 300;
const BARS_LONG: f64 = 480.0;
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 96, 20),
    RGBColor(44, 140, 60),
    RGBColor(148, 80, 170),
    RGBColor(120, 90, 70),
    RGBColor(90, 90, 90),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

/// The library's errors hold the drawing and cannot leave it.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing: {error}")
}

pub fn bars(path: &Path, title: &str, bars: &[Bar]) -> Result<()> {
    let rows = i32::try_from(bars.len())?;
    let height = u32::try_from(TOP + rows * ROW + 16)?;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    text(&area, title, (16, 16), 20)?;
    let most = bars.iter().map(|bar| bar.value.max).fold(1.0, f64::max);
    let length = |value: f64| (value / most * BARS_LONG).round() as i32;
    for (i, bar) in bars.iter().enumerate() {
        let y = TOP + i32::try_from(i)? * ROW;
        text(&area, &bar.label, (16, y + 4), 15)?;
        let end = BARS_FROM + length(bar.value.median).max(1);
        let filled = colour(i).filled();
        let shape = Rectangle::new([(BARS_FROM, y), (end, y + ROW - 12)], filled);
        area.draw(&shape).map_err(failed)?;
        let middle = y + (ROW - 12) / 2;
        let whisker = vec![
            (BARS_FROM + length(bar.value.min), middle),
            (BARS_FROM + length(bar.value.max), middle),
        ];
        area.draw(&PathElement::new(whisker, BLACK.stroke_width(2)))
            .map_err(failed)?;
        let at = (BARS_FROM + length(bar.value.max) + 10, y + 4);
        text(&area, &bar.value.text(), at, 15)?;
    }
    area.present().map_err(failed)
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), size: i32) -> Result<()> {
    let style = (FONT, size).into_font().color(&BLACK);
    area.draw(&Text::new(text.to_owned(), at, style))
        .map_err(failed)
}

/// Points 0 to 4 of each line are p50 to max.
pub fn percentiles(path: &Path, title: &str, lines: &[Line]) -> Result<()> {
    const NAMES: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];
    let name = |x: &f64| {
        let near = x.round();
        let at = NAMES.get(near as usize).filter(|_| (x - near).abs() < 0.01);
        at.map_or(String::new(), |it| (*it).to_owned())
    };
    chart(path, title, ("", -0.2..4.2, NAMES.len()), &name, lines)
}

pub fn rates(path: &Path, title: &str, lines: &[Line]) -> Result<()> {
    let all = lines.iter().flat_map(|line| &line.points);
    let most = all.map(|(x, _)| *x).fold(1.0, f64::max);
    let name = |x: &f64| format!("{x:.0}");
    let axis = ("offered a second", 0.0..most * 1.05, 10);
    chart(path, title, axis, &name, lines)
}

/// Milliseconds upwards, each step ten times the one before.
fn chart(
    path: &Path,
    title: &str,
    (below, across, labels): (&str, std::ops::Range<f64>, usize),
    name: &dyn Fn(&f64) -> String,
    lines: &[Line],
) -> Result<()> {
    let values = || lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    let least = values().fold(f64::INFINITY, f64::min).clamp(0.01, 1e6);
    let most = values().fold(0.0, f64::max).max(least * 1.1);
    // Whole powers of ten, so that the axis has marks to read.
    let upwards = 10_f64.powf(least.log10().floor())..10_f64.powf(most.log10().ceil());
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(across, upwards.log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_labels(labels)
        .x_label_formatter(name)
        .x_desc(below)
        .y_desc("milliseconds")
        .y_label_formatter(&|y| format!("{y}"))
        .label_style((FONT, 15))
        .light_line_style(WHITE)
        .draw()
        .map_err(failed)?;
    for (i, line) in lines.iter().enumerate() {
        let style = colour(i).stroke_width(2);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))
            .map_err(failed)?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 24, y)], style));
        let dots = line
            .points
            .iter()
            .map(|at| Circle::new(*at, 3, colour(i).filled()));
        chart.draw_series(dots).map_err(failed)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font((FONT, 15))
        .draw()
        .map_err(failed)?;
    area.present().map_err(failed)
}

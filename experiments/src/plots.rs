//! Line charts, each as SVG and PNG.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::register_font;

/// With batch normalization, without, and more: blue, orange, green, purple and light blue that differ for the
/// colour-blind too (Okabe and Ito).
pub const WITH: RGBColor = RGBColor(0, 114, 178);
pub const WITHOUT: RGBColor = RGBColor(213, 94, 0);
pub const THIRD: RGBColor = RGBColor(0, 158, 115);
pub const FOURTH: RGBColor = RGBColor(204, 121, 167);
pub const FIFTH: RGBColor = RGBColor(86, 180, 233);

const FONT: &str = "sans-serif";

#[derive(Clone)]
pub struct Line {
    /// In the legend; empty for none.
    pub label: String,
    pub color: RGBColor,
    pub opacity: f64,
    pub width: u32,
    /// Whether each point has a dot: where there are few, and nothing is known between them.
    pub dots: bool,
    pub points: Vec<(f64, f64)>,
}

/// The area between two curves: x, lower, upper.
pub struct Band {
    pub color: RGBColor,
    pub points: Vec<(f64, f64, f64)>,
}

/// How an axis goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// Logarithmic, with powers of ten as labels.
    Decades,
    /// Logarithmic, with powers of two as labels.
    Doublings,
}

pub struct Panel {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub x_scale: Scale,
    pub y_scale: Scale,
    pub y_range: Range<f64>,
    pub legend: SeriesLabelPosition,
    pub bands: Vec<Band>,
    pub lines: Vec<Line>,
    /// Crosses: where a run had no result.
    pub crosses: Vec<(RGBColor, (f64, f64))>,
}

impl Panel {
    /// Linear axes, the legend in the lower right corner, and nothing in it yet.
    pub fn new(title: &str, [x_label, y_label]: [&str; 2], y_range: Range<f64>) -> Self {
        Self {
            title: title.into(),
            x_label: x_label.into(),
            y_label: y_label.into(),
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            y_range,
            legend: SeriesLabelPosition::LowerRight,
            bands: vec![],
            lines: vec![],
            crosses: vec![],
        }
    }

    fn x_range(&self) -> Range<f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let all = points.chain(self.crosses.iter().map(|(_, point)| point)).map(|point| point.0);
        let (low, high) = all.fold((f64::MAX, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
        match self.x_scale {
            Scale::Linear => 0.0..high,
            // A little more, so that rounding cannot take the first and the last label away.
            Scale::Decades | Scale::Doublings => low * 0.999..high * 1.001,
        }
    }
}

pub struct Picture {
    pub title: String,
    /// Side by side.
    pub panels: Vec<Panel>,
}

/// A line without dots.
pub fn line(label: &str, color: RGBColor, points: Vec<(f64, f64)>) -> Line {
    Line { label: label.into(), color, opacity: 1.0, width: 3, dots: false, points }
}

/// Points of values over steps.
pub fn points<'a>(steps: &'a [u32], values: &'a [f32]) -> impl Iterator<Item = (f64, f64)> + 'a {
    steps.iter().zip(values).map(|(&step, &value)| (step.into(), value.into()))
}

/// Powers of ten around all values.
pub fn decades(values: impl Iterator<Item = f32>) -> Range<f64> {
    let (low, high) =
        values.filter(|&v| v > 0.0).fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
    10f64.powf(f64::from(low).log10().floor())..10f64.powf(f64::from(high).log10().ceil())
}

/// Writes `name`.svg and `name`.png into `directory`.
pub fn save(directory: &Path, name: &str, picture: &Picture) -> Result<()> {
    // The font travels with the program: no system font is needed, and the pictures are the same everywhere.
    for (style, font) in
        [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())]
    {
        register_font(FONT, style, font).map_err(|_| anyhow!("the built-in font cannot be read"))?;
    }
    let size = (if picture.panels.len() > 1 { 1400 } else { 1000 }, 600);
    let svg = directory.join(format!("{name}.svg"));
    let png = directory.join(format!("{name}.png"));
    draw(SVGBackend::new(&svg, size).into_drawing_area(), picture)
        .map_err(|error| anyhow!("cannot write {}: {error}", svg.display()))?;
    draw(BitMapBackend::new(&png, size).into_drawing_area(), picture)
        .map_err(|error| anyhow!("cannot write {}: {error}", png.display()))
}

type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn draw<B: DrawingBackend>(root: DrawingArea<B, Shift>, picture: &Picture) -> Drawn<()>
where
    B::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    let body = root.margin(14, 4, 4, 12).titled(&picture.title, (FONT, 24, FontStyle::Bold))?;
    for (area, panel) in body.split_evenly((1, picture.panels.len())).iter().zip(&picture.panels) {
        let (x, y) = (panel.x_range(), panel.y_range.clone());
        let log = |scale, range: Range<f64>| {
            range.log_scale().base(if scale == Scale::Doublings { 2.0 } else { 10.0 })
        };
        match (panel.x_scale, panel.y_scale) {
            (Scale::Linear, Scale::Linear) => draw_panel(area, panel, x, y)?,
            (Scale::Linear, y_scale) => draw_panel(area, panel, x, log(y_scale, y))?,
            (x_scale, Scale::Linear) => draw_panel(area, panel, log(x_scale, x), y)?,
            (x_scale, y_scale) => draw_panel(area, panel, log(x_scale, x), log(y_scale, y))?,
        }
    }
    root.present()?;
    Ok(())
}

/// The label of a place on an axis.
fn label(scale: Scale, value: f64) -> String {
    match scale {
        Scale::Linear => format!("{}", (value * 1e6).round() / 1e6),
        Scale::Decades => power(value),
        Scale::Doublings => format!("{value:.0}"),
    }
}

/// 10 to a whole power, or nothing.
fn power(value: f64) -> String {
    let exponent = value.log10();
    if (exponent - exponent.round()).abs() > 1e-6 {
        return String::new();
    }
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let exponent = exponent.round() as i32;
    let sign = if exponent < 0 { "⁻" } else { "" };
    let number: String = exponent
        .unsigned_abs()
        .to_string()
        .chars()
        .filter_map(|digit| digit.to_digit(10))
        .map(|digit| digits[digit as usize])
        .collect();
    format!("10{sign}{number}")
}

fn draw_panel<B, X, Y>(area: &DrawingArea<B, Shift>, panel: &Panel, x_axis: X, y_axis: Y) -> Drawn<()>
where
    B: DrawingBackend,
    B::ErrorType: 'static,
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(50)
        .y_label_area_size(75)
        .build_cartesian_2d(x_axis, y_axis)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.6))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .x_labels(if panel.x_scale == Scale::Linear { 6 } else { 10 })
        .x_desc(&panel.x_label)
        .y_desc(&panel.y_label)
        .x_label_formatter(&|x| label(panel.x_scale, *x))
        .y_label_formatter(&|y| label(panel.y_scale, *y))
        .draw()?;
    for Band { color, points } in &panel.bands {
        let lower = points.iter().rev().map(|&(x, low, _)| (x, low));
        let outline: Vec<_> = points.iter().map(|&(x, _, high)| (x, high)).chain(lower).collect();
        chart.draw_series([Polygon::new(outline, color.mix(0.3).filled())])?;
    }
    for line in &panel.lines {
        let style = line.color.mix(line.opacity).stroke_width(line.width);
        let series = chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
        if !line.label.is_empty() {
            series.label(&line.label).legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        }
        let dots = line.points.iter().filter(|_| line.dots);
        chart.draw_series(dots.map(|&point| Circle::new(point, 4, style.filled())))?;
    }
    let crosses = panel.crosses.iter();
    chart.draw_series(crosses.map(|&(color, point)| Cross::new(point, 6, color.stroke_width(3))))?;
    if panel.lines.iter().any(|line| !line.label.is_empty()) {
        chart
            .configure_series_labels()
            .position(panel.legend.clone())
            .margin(14)
            .legend_area_size(32)
            .label_font((FONT, 16))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    Ok(())
}

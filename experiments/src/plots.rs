//! Line charts, each as SVG and PNG.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::register_font;

/// With batch normalization, without, and with noise after it: blue, orange and green that differ for the
/// colour-blind too (Okabe and Ito).
pub const WITH: RGBColor = RGBColor(0, 114, 178);
pub const WITHOUT: RGBColor = RGBColor(213, 94, 0);
pub const NOISY: RGBColor = RGBColor(0, 158, 115);

const FONT: &str = "sans-serif";

pub struct Line {
    /// In the legend; empty for none.
    pub label: String,
    pub color: RGBColor,
    pub opacity: f64,
    pub width: u32,
    pub points: Vec<(f64, f64)>,
}

/// The area between two curves: x, lower, upper.
pub struct Band {
    pub color: RGBColor,
    pub points: Vec<(f64, f64, f64)>,
}

pub struct Panel {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub y_range: Range<f64>,
    pub log_y: bool,
    pub legend: SeriesLabelPosition,
    pub bands: Vec<Band>,
    pub lines: Vec<Line>,
}

pub struct Picture {
    pub title: String,
    /// Side by side.
    pub panels: Vec<Panel>,
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
        if panel.log_y {
            draw_panel(area, panel, panel.y_range.clone().log_scale(), &|y| power(*y))?;
        } else {
            draw_panel(area, panel, panel.y_range.clone(), &|y| format!("{}", (y * 1e6).round() / 1e6))?;
        }
    }
    root.present()?;
    Ok(())
}

/// 10 to a whole power, or nothing: the labels of a logarithmic axis.
fn power(y: f64) -> String {
    let exponent = y.log10();
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

fn draw_panel<B, Y>(
    area: &DrawingArea<B, Shift>,
    panel: &Panel,
    y_axis: Y,
    y_format: &dyn Fn(&f64) -> String,
) -> Drawn<()>
where
    B: DrawingBackend,
    B::ErrorType: 'static,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
{
    let largest_x =
        panel.lines.iter().flat_map(|line| &line.points).fold(0.0, |x: f64, point| x.max(point.0));
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(50)
        .y_label_area_size(75)
        .build_cartesian_2d(0.0..largest_x, y_axis)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.6))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 17))
        .x_labels(6)
        .x_desc(&panel.x_label)
        .y_desc(&panel.y_label)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&y_format)
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
    }
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

//! A small curve of numbers over time, as SVG. Pure.

use maud::{Markup, html};

/// The size of the drawing; the page scales it.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;
/// What is left free above and below, so that the line is never cut.
const EDGE: f64 = 2.0;

/// A curve of `values`, the newest at the right, with room for `length` of them. It begins at 0. `words` say what it shows.
pub fn sparkline(values: &[u64], length: usize, words: &str) -> Markup {
    html! {
        svg.spark viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(words) {
            @if values.len() > 1 {
                @let points = points(values, length);
                polygon points=(format!("{} {points} {WIDTH:.0},{HEIGHT:.0}", first(&points))) {}
                polyline points=(points) {}
            }
        }
    }
}

fn points(values: &[u64], length: usize) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / (length.max(2) - 1) as f64;
    let begin = WIDTH - step * (values.len() - 1) as f64;
    let point = |(number, value): (usize, &u64)| {
        let high = *value as f64 / most * (HEIGHT - 2.0 * EDGE);
        format!("{:.1},{:.1}", begin + step * number as f64, HEIGHT - EDGE - high)
    };
    values.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

/// Below the first point, where the area begins.
fn first(points: &str) -> String {
    format!("{},{HEIGHT:.0}", points.split(',').next().unwrap_or("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_at_the_right_and_the_greatest_at_the_top() {
        assert_eq!(points(&[0, 5, 10], 3), "0.0,38.0 120.0,20.0 240.0,2.0");
        assert_eq!(points(&[1, 1], 121), "238.0,2.0 240.0,2.0");
        assert_eq!(points(&[0, 0], 2), "0.0,38.0 240.0,38.0");
        let drawn = sparkline(&[3, 4], 10, "a <curve>").into_string();
        assert!(drawn.contains("aria-label=\"a &lt;curve&gt;\"") && drawn.contains("<polyline"), "{drawn}");
        assert!(!sparkline(&[3], 10, "").into_string().contains("<polyline"));
    }
}

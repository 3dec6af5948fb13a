//! Rectangles and ellipses as polygons.

use super::polygon::Polygon;
use crate::error::Result;

/// Corners of an ellipse: a circle of 1,000 pixels across is met to a hundredth of a pixel.
const ELLIPSE_CORNERS: usize = 720;

impl Polygon {
    /// The rectangle between two opposite corners (column and row, in pixels), turned clockwise about its centre by
    /// `degrees`.
    ///
    /// # Errors
    /// Those of [`Polygon::new`].
    pub fn rectangle([x0, y0]: [f64; 2], [x1, y1]: [f64; 2], degrees: f64) -> Result<Self> {
        let centre = [(x0 + x1) / 2.0, (y0 + y1) / 2.0];
        let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
        if degrees == 0.0 { Self::new(corners) } else { Self::new(corners.map(|p| turned(p, centre, degrees))) }
    }

    /// The ellipse about `centre` with `radii` along columns and rows, in pixels, turned clockwise by `degrees`.
    ///
    /// # Errors
    /// Those of [`Polygon::new`].
    pub fn ellipse(centre: [f64; 2], radii: [f64; 2], degrees: f64) -> Result<Self> {
        Self::new((0..ELLIPSE_CORNERS).map(|i| {
            let (sin, cos) = (std::f64::consts::TAU * i as f64 / ELLIPSE_CORNERS as f64).sin_cos();
            turned([centre[0] + radii[0] * cos, centre[1] + radii[1] * sin], centre, degrees)
        }))
    }
}

/// Rows grow downwards, so that a positive angle turns clockwise, as drawing tools show it.
fn turned([x, y]: [f64; 2], [cx, cy]: [f64; 2], degrees: f64) -> [f64; 2] {
    let (sin, cos) = degrees.to_radians().sin_cos();
    [cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::Size;

    #[test]
    fn figures_cover_their_area() {
        let size = Size::new(100, 80);
        let area = |polygon: Result<Polygon>| polygon.unwrap().fill(size).area();
        assert_eq!(area(Polygon::rectangle([10.0, 10.0], [30.0, 15.0], 0.0)), 100);
        assert_eq!(area(Polygon::rectangle([30.0, 15.0], [10.0, 10.0], 0.0)), 100);
        let upright = Polygon::rectangle([10.0, 10.0], [30.0, 16.0], 90.0).unwrap().fill(size);
        assert_eq!(upright, Polygon::rectangle([17.0, 3.0], [23.0, 23.0], 0.0).unwrap().fill(size));
        let (circle, exact) =
            (area(Polygon::ellipse([50.0, 40.0], [20.0, 20.0], 0.0)) as f64, 400.0 * std::f64::consts::PI);
        assert!((circle - exact).abs() < 8.0, "{circle} {exact}");
        assert!(Polygon::ellipse([f64::NAN, 0.0], [1.0, 1.0], 0.0).is_err());
    }
}

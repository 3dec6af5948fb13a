//! The learning rate as a function of the step alone.

use serde::{Deserialize, Serialize};

/// Shape of the rate over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The same rate throughout.
    Constant,
    /// `(1 - step / steps) ^ power` (Liu, Rabinovich & Berg 2015; DeepLab).
    Poly,
}

/// Rate, shape and warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The shape.
    pub kind: ScheduleKind,
    /// The rate after warm-up.
    pub rate: f64,
    /// Exponent of the poly shape.
    pub power: f64,
    /// The rate grows linearly over this many steps.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub steps: u64,
}

/// The poly schedule never falls below this share of the rate, so that the last steps still learn.
const POLY_FLOOR: f64 = 0.01;

impl Schedule {
    /// The rate of `step`, counted from 0.
    pub fn rate_at(&self, step: u64) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let left = 1.0 - step as f64 / self.steps.max(1) as f64;
        let shape = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Poly => left.max(0.0).powf(self.power).max(POLY_FLOOR),
        };
        self.rate * warm * shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_the_formula() {
        let poly = Schedule { kind: ScheduleKind::Poly, rate: 2.0, power: 0.9, warmup_steps: 10, steps: 100 };
        let constant = Schedule { kind: ScheduleKind::Constant, warmup_steps: 0, ..poly };
        let cases = [
            ("warm-up", poly.rate_at(0), 0.2),
            ("half way", poly.rate_at(50), 2.0 * 0.5f64.powf(0.9)),
            ("end", poly.rate_at(100), 0.02),
            ("beyond the end", poly.rate_at(1000), 0.02),
            ("constant", constant.rate_at(0), 2.0),
            ("constant late", constant.rate_at(99), 2.0),
        ];
        for (what, found, expected) in cases {
            assert!((found - expected).abs() < 1e-12, "{what}: {found}, expected {expected}");
        }
    }
}

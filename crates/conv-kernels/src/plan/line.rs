//! Lines of the table, and the plan of a layer, for people to read.

use std::fmt;

/// A line of the table of methods.
#[derive(Debug, PartialEq, Eq)]
pub struct PlanLine {
    /// What is done, in a few words.
    pub name: &'static str,
    /// The layers it is for, as far as no line before this one is.
    pub when: &'static str,
    /// Why, in sentences: with the measurement that it rests on where there is one, in milliseconds with two threads of a Zen 4
    /// unless said otherwise.
    pub why: &'static str,
}

impl fmt::Display for PlanLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.name, self.why)
    }
}

/// How a pass of a layer is computed, and why: from [`Conv2d::plan`](crate::Conv2d::plan).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is multiplied: the definition's products, or those of a minimal filtering F(t, r).
    pub arithmetic: &'static PlanLine,
    /// In which order.
    pub loops: &'static PlanLine,
    /// In which precision.
    pub products: &'static PlanLine,
}

/// The names of all three, then the reasons of the first two.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { arithmetic, loops, products } = self;
        write!(f, "{}, {}, {}. {} {}", arithmetic.name, loops.name, products.name, arithmetic.why, loops.why)
    }
}

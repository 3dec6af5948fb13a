//! The questions that the table answers, in their order.

use super::layer::{Arithmetic, Layer, Pass, Resolved};
use super::line::Plan;
use super::table::{
    ARITHMETIC, DIRECT_FORWARD, DIRECT_GRADIENT, PREPARING, PRODUCTS, Row, WINOGRAD_FORWARD, WINOGRAD_GRADIENT,
};
use crate::simd::Precision;
use crate::winograd::Filter;
use crate::{direct, winograd};

/// How a forward pass or a data gradient is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// By the definition.
    Direct(direct::ForwardLoops),
    /// By minimal filtering.
    Winograd(Filter, winograd::ForwardLoops),
}

/// How a weight gradient is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeightGradient {
    /// By the definition.
    Direct(direct::GradientLoops),
    /// By minimal filtering.
    Winograd(Filter, winograd::GradientLoops),
}

/// The first line that fits, or the last one.
fn choose<Q, M>(rows: &'static [Row<Q, M>], question: &Q) -> &'static Row<Q, M> {
    rows.iter().find(|row| (row.fits)(question)).unwrap_or(&rows[rows.len() - 1])
}

/// The layer with its arithmetic and the precision of its products.
fn resolve(layer: &Layer) -> Resolved {
    let arithmetic = choose(ARITHMETIC, layer).method;
    let asked = Resolved { layer: *layer, arithmetic, products: Precision::F32 };
    Resolved { products: choose(PRODUCTS, &asked).method, ..asked }
}

/// How a forward pass, with which precision of the products, or a data gradient is computed.
pub(crate) fn forward(layer: &Layer) -> (Forward, Precision) {
    let resolved = resolve(layer);
    let forward = match resolved.arithmetic {
        Arithmetic::Definition => Forward::Direct(choose(DIRECT_FORWARD, &resolved).method),
        Arithmetic::Winograd(filter) => Forward::Winograd(filter, choose(WINOGRAD_FORWARD, &resolved).method),
    };
    (forward, resolved.products)
}

/// How a weight gradient is computed.
pub(crate) fn weight_gradient(layer: &Layer) -> WeightGradient {
    let resolved = resolve(layer);
    match resolved.arithmetic {
        Arithmetic::Definition => WeightGradient::Direct(choose(DIRECT_GRADIENT, &resolved).method),
        Arithmetic::Winograd(filter) => WeightGradient::Winograd(filter, choose(WINOGRAD_GRADIENT, &resolved).method),
    }
}

/// Whether a forward pass is faster with prepared weights.
pub(crate) fn gains_from_preparing(layer: &Layer) -> bool {
    choose(PREPARING, &resolve(layer)).method
}

impl Layer {
    /// What it multiplies, and the precision of forward products.
    pub(crate) fn arithmetic(&self) -> (Arithmetic, Precision) {
        let resolved = resolve(self);
        (resolved.arithmetic, resolved.products)
    }
}

/// The same, for people to read.
pub(crate) fn plan(layer: &Layer) -> Plan {
    let resolved = resolve(layer);
    let loops = match (resolved.arithmetic, layer.pass) {
        (Arithmetic::Definition, Pass::BackwardWeight) => &choose(DIRECT_GRADIENT, &resolved).line,
        (Arithmetic::Definition, _) => &choose(DIRECT_FORWARD, &resolved).line,
        (Arithmetic::Winograd(_), Pass::BackwardWeight) => &choose(WINOGRAD_GRADIENT, &resolved).line,
        (Arithmetic::Winograd(_), _) => &choose(WINOGRAD_FORWARD, &resolved).line,
    };
    let asked = Resolved { products: Precision::F32, ..resolved };
    Plan { arithmetic: &choose(ARITHMETIC, layer).line, loops, products: &choose(PRODUCTS, &asked).line }
}

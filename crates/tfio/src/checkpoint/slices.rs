//! Shapes, slices, and where a slice's values belong in the whole tensor.
//!
//! A partitioned variable is stored as rectangular slices, each in row-major order.
//! Source: `tensorflow/core/framework/tensor_slice.h`.

use super::fault::Fault;
use super::messages::{TensorShapeProto, TensorSliceProto};

/// `TensorShape::MaxDimensions()`.
const MAX_RANK: usize = 254;
/// Slices a tensor. Variables are partitioned over a few machines; checking that slices do not overlap is quadratic.
const MAX_SLICES: usize = 1024;

/// The dimensions of a tensor, checked: the number of elements, and the product of all but the empty dimensions, fit
/// the address space at eight bytes an element.
pub(super) fn checked_shape(name: &str, proto: Option<&TensorShapeProto>) -> Result<Vec<usize>, Fault> {
    let dims: Vec<i64> = proto.map(|shape| shape.dim.iter().map(|dim| dim.size).collect()).unwrap_or_default();
    if dims.len() > MAX_RANK {
        return Err(Fault::Rank { name: name.to_string(), found: dims.len(), limit: MAX_RANK });
    }
    let known = proto.is_none_or(|shape| !shape.unknown_rank);
    let shape: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let fits = |shape: &Vec<usize>| {
        let volume = shape.iter().try_fold(8usize, |volume, &dim| volume.checked_mul(dim.max(1)));
        volume.is_some_and(|bytes| bytes <= isize::MAX as usize)
    };
    shape.filter(|shape| known && fits(shape)).ok_or_else(|| Fault::Shape { name: name.to_string(), shape: dims })
}

/// The number of elements of a checked shape.
pub(super) fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Row-major strides of a checked shape, in elements.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// A rectangular part of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub starts: Vec<usize>,
    pub lengths: Vec<usize>,
}

impl Slice {
    /// The whole of a tensor.
    pub fn whole(shape: &[usize]) -> Self {
        Self { starts: vec![0; shape.len()], lengths: shape.to_vec() }
    }

    /// Resolves a slice's extents, where no length means the whole dimension; `None` if it leaves the tensor.
    pub fn resolve(proto: &TensorSliceProto, shape: &[usize]) -> Option<Self> {
        if proto.extent.len() != shape.len() {
            return None;
        }
        let mut slice = Self { starts: vec![], lengths: vec![] };
        for (extent, &dim) in proto.extent.iter().zip(shape) {
            let start = usize::try_from(extent.start).ok()?;
            let length = match extent.length {
                Some(length) => usize::try_from(length).ok()?,
                None if start == 0 => dim,
                None => return None,
            };
            if start.checked_add(length)? > dim {
                return None;
            }
            slice.starts.push(start);
            slice.lengths.push(length);
        }
        Some(slice)
    }

    pub fn elements(&self) -> usize {
        elements(&self.lengths)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let of = |slice: &Self, axis: usize| slice.starts[axis]..slice.starts[axis] + slice.lengths[axis];
        self.elements() > 0
            && other.elements() > 0
            && (0..self.starts.len()).all(|axis| {
                let (a, b) = (of(self, axis), of(other, axis));
                a.start < b.end && b.start < a.end
            })
    }
}

/// Resolves a tensor's slices and checks that they cover it exactly once.
pub(super) fn tiling(name: &str, shape: &[usize], protos: &[TensorSliceProto]) -> Result<Vec<Slice>, Fault> {
    let fault = |reason| Fault::Slices { name: name.to_string(), shape: shape.to_vec(), reason };
    if protos.len() > MAX_SLICES {
        return Err(fault("more than 1024 slices, which is not supported"));
    }
    let slices: Option<Vec<_>> = protos.iter().map(|proto| Slice::resolve(proto, shape)).collect();
    let slices = slices.ok_or_else(|| fault("a slice reaches beyond the tensor"))?;
    for (index, slice) in slices.iter().enumerate() {
        if slices[..index].iter().any(|earlier| earlier.overlaps(slice)) {
            return Err(fault("two slices overlap"));
        }
    }
    // Disjoint parts of a tensor have as many elements as the tensor exactly if nothing is left over.
    if slices.iter().map(Slice::elements).sum::<usize>() != elements(shape) {
        return Err(fault("the slices do not cover the tensor"));
    }
    Ok(slices)
}

/// Receives values and the row-major index in the whole tensor of the first; the others follow it.
pub(super) type Put<'p, T> = dyn FnMut(usize, &[T]) + 'p;

/// Sends the values of a slice, which arrive in order, to their places in the whole tensor.
pub(super) struct Placement<'p, T> {
    /// Values that are neighbours in the slice and in the tensor.
    run: usize,
    /// Length in the slice and stride in the tensor of each dimension outside a run.
    outer: Vec<(usize, usize)>,
    base: usize,
    arrived: usize,
    put: &'p mut Put<'p, T>,
}

impl<'p, T> Placement<'p, T> {
    pub fn new(slice: &Slice, shape: &[usize], put: &'p mut Put<'p, T>) -> Self {
        let strides = strides(shape);
        // A run covers the last dimension that is cut and the whole ones behind it.
        let cut = (0..shape.len()).rev().find(|&axis| slice.lengths[axis] != shape[axis]).unwrap_or(0);
        let run = elements(&slice.lengths[cut..]);
        let outer = slice.lengths[..cut].iter().copied().zip(strides.iter().copied()).collect();
        let base = slice.starts.iter().zip(&strides).map(|(start, stride)| start * stride).sum();
        Self { run, outer, base, arrived: 0, put }
    }

    /// Takes the slice's next values. The caller sees to it that no more arrive than the slice has.
    pub fn feed(&mut self, mut values: &[T]) {
        while !values.is_empty() {
            let within = self.arrived % self.run;
            let (now, later) = values.split_at(values.len().min(self.run - within));
            let mut index = self.base + within;
            let mut run_number = self.arrived / self.run;
            for &(length, stride) in self.outer.iter().rev() {
                index += run_number % length * stride;
                run_number /= length;
            }
            (self.put)(index, now);
            self.arrived += now.len();
            values = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Dim, Extent};
    use super::*;

    type Extents = [(i64, Option<i64>)];

    fn slice(extents: &Extents) -> TensorSliceProto {
        TensorSliceProto { extent: extents.iter().map(|&(start, length)| Extent { start, length }).collect() }
    }

    #[test]
    fn slices_land_where_plain_indexing_puts_them() {
        let shapes_and_slices: [(&[usize], &Extents); 6] = [
            (&[], &[]),
            (&[7], &[(2, Some(3))]),
            (&[3, 4], &[(0, None), (1, Some(2))]),
            (&[3, 4, 5], &[(1, Some(2)), (0, None), (0, None)]),
            (&[3, 4, 5], &[(1, Some(2)), (1, Some(3)), (2, Some(2))]),
            (&[2, 3, 4, 5], &[(0, None), (1, Some(1)), (0, None), (3, Some(1))]),
        ];
        let mut wrong = vec![];
        for (shape, extents) in shapes_and_slices {
            let slice = Slice::resolve(&slice(extents), shape).unwrap();
            // The slow twin: every element of the tensor whose coordinates lie in the slice, in order.
            let strides = strides(shape);
            let inside = |index: &usize| {
                (0..shape.len()).all(|axis| {
                    let coordinate = index / strides[axis] % shape[axis];
                    (slice.starts[axis]..slice.starts[axis] + slice.lengths[axis]).contains(&coordinate)
                })
            };
            let expected: Vec<usize> = (0..elements(shape)).filter(inside).collect();
            for chunk in [1, 4, 1000] {
                let mut found = vec![];
                let mut put = |index: usize, values: &[usize]| {
                    found.extend(values.iter().enumerate().map(|(offset, value)| (*value, index + offset)));
                };
                let mut placement = Placement::new(&slice, shape, &mut put);
                let numbers: Vec<usize> = (0..slice.elements()).collect();
                numbers.chunks(chunk).for_each(|values| placement.feed(values));
                if found != expected.iter().copied().enumerate().collect::<Vec<_>>() {
                    wrong.push((shape, extents, chunk, found));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn only_a_tiling_is_accepted() {
        let cases: [(&[TensorSliceProto], Option<&str>); 8] = [
            (&[slice(&[(0, None), (0, None)])], None),
            (&[slice(&[(0, Some(1)), (0, None)]), slice(&[(1, Some(3)), (0, None)])], None),
            (&[slice(&[(0, Some(1)), (0, None)])], Some("do not cover")),
            (&[], Some("do not cover")),
            (&[slice(&[(0, None), (0, Some(2))]), slice(&[(3, Some(1)), (1, Some(2))])], Some("overlap")),
            (&[slice(&[(2, Some(3)), (0, None)])], Some("beyond")),
            (&[slice(&[(0, None)])], Some("beyond")),
            (&[slice(&[(i64::MAX, Some(i64::MAX)), (-1, None)])], Some("beyond")),
        ];
        let wrong: Vec<_> = cases
            .iter()
            .map(|(slices, expected)| (tiling("t", &[4, 3], slices).err().map(|fault| fault.to_string()), expected))
            .filter(|(found, expected)| match (found, expected) {
                (Some(found), Some(expected)) => !found.contains(*expected),
                (found, expected) => found.is_some() || expected.is_some(),
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn absurd_shapes_are_refused() {
        let shape = |dims: &[i64]| TensorShapeProto {
            dim: dims.iter().map(|&size| Dim { size }).collect(),
            unknown_rank: false,
        };
        let refused: [&[i64]; 4] = [&[-1], &[1 << 31, 1 << 31], &[0, 1 << 40, 1 << 40], &[1; 255]];
        let accepted: Vec<_> = refused.iter().filter(|dims| checked_shape("t", Some(&shape(dims))).is_ok()).collect();
        assert!(accepted.is_empty(), "{accepted:?}");
        assert_eq!(checked_shape("t", Some(&shape(&[0, 3]))).unwrap(), [0, 3]);
        assert_eq!(checked_shape("t", None).unwrap(), [0usize; 0]);
    }
}

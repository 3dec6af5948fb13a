//! Tensors as views on storages: shape, strides and offset, checked before a byte is read.

use crate::dtype::DType;
use crate::error::TorchError;
use crate::limits::MAX_RANK;

/// A storage as the pickle names it. A view of old files is a storage that begins within another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Storage {
    pub key: String,
    pub dtype: DType,
    /// Elements of the storage in the file.
    pub elements: u64,
    /// First element of the view, and how many it has.
    pub view: (u64, u64),
}

/// A tensor as the pickle describes it; nothing is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// Index into the list of storages.
    pub storage: usize,
    pub offset: u64,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    /// Whether PyTorch negates the elements when it reads them (`torch.Tensor.is_neg`).
    pub negated: bool,
}

impl View {
    /// Number of elements, once [`View::check`] has passed.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// One more than the largest distance from the first element; 0 for an empty tensor.
    pub fn span(&self) -> usize {
        match self.elements() {
            0 => 0,
            _ => self.shape.iter().zip(&self.strides).map(|(&side, &stride)| (side - 1) * stride).sum::<usize>() + 1,
        }
    }

    /// Whether the elements follow one another in the storage.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&side, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if side != 1 && stride != expected {
                return false;
            }
            expected *= side;
        }
        true
    }

    /// Refuses views that reach beyond their storage or have two indices for one element, which also bounds what a
    /// tensor can take in memory by the size of the file.
    pub fn check(&self, name: &str, storage: &Storage) -> Result<(), TorchError> {
        let fault = |reason: String| TorchError::View {
            name: name.to_string(),
            shape: self.shape.clone(),
            strides: self.strides.clone(),
            offset: self.offset,
            reason,
        };
        let (_, available) = storage.view;
        let (rank, axes) = (self.shape.len(), self.strides.len());
        if rank != axes || rank > MAX_RANK {
            return Err(fault(format!("has {rank} axes and {axes} strides; expected as many, at most {MAX_RANK}")));
        }
        let product = self.shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        let elements = product.filter(|&elements| elements as u64 <= available);
        let Some(elements) = elements else {
            return Err(fault(format!("has more elements than its storage, which has {available}")));
        };
        if elements == 0 {
            return match self.offset <= available {
                true => Ok(()),
                false => Err(fault(format!("begins beyond its storage of {available} elements"))),
            };
        }
        // In the order of the strides, each axis must step over all that the smaller ones reach.
        let mut steps: Vec<(usize, usize)> =
            self.strides.iter().copied().zip(self.shape.iter().copied()).filter(|&(_, side)| side > 1).collect();
        steps.sort_unstable();
        let mut span = 1usize;
        for (stride, side) in steps {
            if stride < span {
                return Err(fault("overlaps itself".to_string()));
            }
            let reached = (side - 1).checked_mul(stride).and_then(|reach| reach.checked_add(span));
            span = reached.ok_or_else(|| fault("reaches beyond any storage".to_string()))?;
        }
        match self.offset.checked_add(span as u64) {
            Some(end) if end <= available => Ok(()),
            _ => Err(fault(format!("reaches beyond its storage of {available} elements"))),
        }
    }

    /// The elements in row-major order, given those from the first one on.
    pub fn gather(&self, values: &[f32]) -> Vec<f32> {
        let mut gathered = Vec::with_capacity(self.elements());
        let mut index = vec![0usize; self.shape.len()];
        let mut at = 0;
        while gathered.len() < self.elements() {
            gathered.push(values[at]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= index[axis] * self.strides[axis];
                index[axis] = 0;
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(elements: u64) -> Storage {
        Storage { key: "0".into(), dtype: DType::F32, elements, view: (0, elements) }
    }

    fn view(offset: u64, shape: &[usize], strides: &[usize]) -> View {
        View { storage: 0, offset, shape: shape.to_vec(), strides: strides.to_vec(), negated: false }
    }

    #[test]
    fn only_views_inside_their_storage_without_overlap_are_accepted() {
        let cases: [(View, Option<&str>); 13] = [
            (view(0, &[2, 3], &[3, 1]), None),
            (view(0, &[3, 2], &[1, 3]), None),
            (view(5, &[], &[]), None),
            (view(6, &[0, 9], &[9, 1]), None),
            (view(1, &[5], &[1]), None),
            (view(0, &[1, 6], &[usize::MAX, 1]), None),
            (view(0, &[2, 3], &[3]), Some("2 axes and 1 strides")),
            (view(0, &[7], &[1]), Some("more elements than its storage")),
            (view(0, &[usize::MAX, usize::MAX], &[1, 1]), Some("more elements than its storage")),
            (view(2, &[5], &[1]), Some("beyond its storage of 6")),
            (view(u64::MAX, &[5], &[1]), Some("beyond its storage of 6")),
            (view(0, &[2, 2], &[1, 1]), Some("overlaps itself")),
            (view(0, &[2], &[usize::MAX]), Some("beyond")),
        ];
        let mut wrong = vec![];
        for (view, expected) in cases {
            let found = view.check("t", &storage(6)).err().map(|fault| fault.to_string());
            let right = match (&found, expected) {
                (Some(found), Some(expected)) => found.contains(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            if !right {
                wrong.push((view, found));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(view(0, &[4], &[0]).check("t", &storage(6)).is_err());
    }

    #[test]
    fn a_strided_view_is_gathered_in_row_major_order() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let transposed = view(0, &[3, 4, 2], &[2, 6, 1]);
        assert!(!transposed.is_contiguous() && view(0, &[2, 3], &[3, 1]).is_contiguous());
        let expected: Vec<f32> =
            (0..3).flat_map(|a| (0..4).flat_map(move |b| (0..2).map(move |c| (2 * a + 6 * b + c) as f32))).collect();
        assert_eq!(transposed.gather(&values), expected);
        assert_eq!(transposed.span(), 24);
        assert_eq!(view(0, &[], &[]).gather(&values), [0.0]);
    }
}

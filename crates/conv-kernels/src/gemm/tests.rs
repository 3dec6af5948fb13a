use super::*;
use crate::reference::{close, noise};
use crate::simd::Isa;

/// Lays out a matrix for [`MatMul`], slowly: panels of `rows` rows, each `[depth, rows]`, the last one filled with zeros.
///
/// `at(i, d)` gives the values.
fn pack(m: usize, depth: usize, rows: usize, packed: &mut [f32], at: impl Fn(usize, usize) -> f32) {
    assert_eq!(packed.len(), packed_len(m, depth, rows), "packed length of {m} x {depth}");
    for (p, panel) in packed.chunks_exact_mut((depth * rows).max(1)).enumerate() {
        for (d, column) in panel.chunks_exact_mut(rows).enumerate() {
            for (r, value) in column.iter_mut().enumerate() {
                *value = if p * rows + r < m { at(p * rows + r, d) } else { 0.0 };
            }
        }
    }
}

/// Values in a packed `m x depth` matrix.
fn packed_len(m: usize, depth: usize, rows: usize) -> usize {
    m.next_multiple_of(rows) * depth
}

#[test]
fn products_agree_with_the_definition_on_every_instruction_set() {
    let mut wrong = Vec::new();
    for isa in Isa::available() {
        for (m, n, k) in [(1, 1, 1), (4, 24, 8), (5, 17, 3), (16, 56, 300), (33, 40, 64), (7, 100, 513), (300, 9, 300)]
        {
            let (a, b) = (noise(1, m * k), noise(2, n * k));
            let want: Vec<f64> = (0..m * n)
                .map(|ij| (0..k).map(|d| a[ij / n * k + d] as f64 * b[ij % n * k + d] as f64).sum::<f64>() + 1.0)
                .collect();

            let (rows, stride) = (isa.panel_rows(), n.next_multiple_of(16) + 16);
            let mut packed = vec![f32::NAN; packed_len(m, k, rows)];
            pack(m, k, rows, &mut packed, |i, d| a[i * k + d]);
            let mut bt = vec![0.0; k * stride];
            (0..k * n).for_each(|dj| bt[dj / n * stride + dj % n] = b[dj % n * k + dj / n]);
            let mut c = vec![1.0; m * stride];
            let (b, b_stride, c_stride) = (&bt[..], stride, stride);
            let half = k / 2;
            let product = |c: &mut [f32], from: usize, depth, b| {
                isa.run(MatMul {
                    rows: m,
                    columns: n,
                    depth,
                    a: &packed[from * rows..],
                    a_stride: k * rows,
                    a_step: rows,
                    a_group: ONE_GROUP,
                    b,
                    b_stride,
                    c,
                    c_stride,
                    accumulate: true,
                });
            };
            product(&mut c, 0, half, b);
            product(&mut c, half, k - half, &b[half * stride..]);
            let got: Vec<f32> = (0..m * n).map(|ij| c[ij / n * stride + ij % n]).collect();
            wrong.extend(close(&format!("{isa:?} MatMul {m} x {n} x {k}"), &got, &want, 1e-6));

            let depth = k.next_multiple_of(16);
            let padded = |x: &[f32], rows| {
                let mut out = vec![0.0; rows * depth];
                (0..rows * k).for_each(|i| out[i / k * depth + i % k] = x[i]);
                out
            };
            let (a, b) = (padded(&a, m), padded(&noise(2, n * k), n));
            let mut c = vec![1.0; m * n];
            isa.run(DotMul {
                rows: m,
                columns: n,
                depth,
                a: &a,
                a_stride: depth,
                b: &b,
                b_rows: &(0..n).map(|j| j * depth).collect::<Vec<_>>(),
                c: &mut c,
                c_stride: n,
            });
            wrong.extend(close(&format!("{isa:?} DotMul {m} x {n} x {k}"), &c, &want, 1e-6));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn matrices_of_every_size_are_transposed() {
    for isa in Isa::available() {
        for (rows, columns) in [(1, 1), (3, 2), (16, 4), (17, 7), (40, 30)] {
            let from = noise(1, rows * columns);
            let stride = rows.next_multiple_of(16);
            let mut to = vec![f32::NAN; columns * stride];
            isa.run(Transpose {
                rows,
                columns,
                from: &from,
                from_stride: columns,
                to: &mut to,
                to_stride: stride,
                ahead: 0,
            });
            let right = (0..rows * columns).all(|i| to[i % columns * stride + i / columns] == from[i]);
            assert!(right, "{isa:?} {rows} x {columns}");
        }
    }
}

#[test]
fn splits_are_even() {
    for (total, want) in [(0, vec![]), (1, vec![1]), (4, vec![2, 2]), (7, vec![3, 2, 2]), (16, vec![3, 3, 3, 3, 2, 2])]
    {
        let mut split = Split::new(total, 3);
        let runs: Vec<usize> = std::iter::from_fn(|| split.next()).map(|(_, count)| count).collect();
        assert_eq!(runs, want);
    }
}

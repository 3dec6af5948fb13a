//! Against the definition: every pair of pixels summed in f64, without a lattice. Measures the approximation, and fixes
//! signs, normalisations and the meaning of the standard deviations.

use densecrf::{BilateralKernel, Compatibility, DenseCrf, GaussianKernel, Normalization, Unary};

const WIDTH: usize = 24;
const HEIGHT: usize = 18;
const LABELS: usize = 3;
const N: usize = WIDTH * HEIGHT;

fn noise(i: usize) -> f64 {
    ((i * 7919 + 13) * 104_729 % 10_007) as f64 / 10_007.0
}

/// Three upright stripes with a little noise.
fn picture() -> Vec<u8> {
    (0..3 * N).map(|i| (40 + 80 * (i / 3 % WIDTH / 8) + (16.0 * noise(i)) as usize) as u8).collect()
}

/// Energies that favour the stripe's label, with noise of the same size.
fn energies() -> Vec<f32> {
    let energy = |i: usize| noise(i + 5000) * 2.0 + if i / N == i % N % WIDTH / 8 { 0.0 } else { 1.0 };
    (0..LABELS * N).map(|i| energy(i) as f32).collect()
}

/// exp(-|f_i - f_j|^2 / 2), including i = j as the lattice does, symmetrically normalised.
fn dense_kernel(features: &[Vec<f64>]) -> Vec<f64> {
    let pair = |i: usize| {
        let distance = |(a, b): (&f64, &f64)| (a - b) * (a - b);
        (-0.5 * features[i / N].iter().zip(&features[i % N]).map(distance).sum::<f64>()).exp()
    };
    let mut k: Vec<f64> = (0..N * N).map(pair).collect();
    let norm: Vec<f64> = k.chunks(N).map(|row| 1.0 / row.iter().sum::<f64>().sqrt()).collect();
    k.iter_mut().enumerate().for_each(|(i, v)| *v *= norm[i / N] * norm[i % N]);
    k
}

fn brute_force(kernels: &[(Vec<f64>, f64)], iterations: usize) -> Vec<f64> {
    let u = energies();
    let softmax = |t: &[f64]| -> Vec<f64> {
        let weight = |i: usize, l: usize| (t[l * N + i] - t[i]).exp();
        let p = |x: usize| weight(x % N, x / N) / (0..LABELS).map(|l| weight(x % N, l)).sum::<f64>();
        (0..LABELS * N).map(p).collect()
    };
    let scores: Vec<f64> = u.iter().map(|u| -f64::from(*u)).collect();
    let mut q = softmax(&scores);
    for _ in 0..iterations {
        let mut t = scores.clone();
        for (k, w) in kernels {
            for (x, t) in t.iter_mut().enumerate() {
                let row = &k[x % N * N..][..N];
                *t += w * row.iter().zip(&q[x / N * N..]).map(|(k, q)| k * q).sum::<f64>();
            }
        }
        q = softmax(&t);
    }
    q
}

fn crf() -> DenseCrf {
    DenseCrf::new(WIDTH, HEIGHT, LABELS).and_then(|c| c.unary(Unary::from_energies(&energies()))).expect("valid")
}

#[test]
fn marginals_are_close_to_the_sum_over_all_pairs() {
    let rgb = picture();
    let position = |i: usize, s: f64| vec![(i % WIDTH) as f64 / s, (i / WIDTH) as f64 / s];
    let smooth: Vec<_> = (0..N).map(|i| position(i, 3.0)).collect();
    let colour = |i: usize, c: usize| f64::from(rgb[3 * i + c]) / 13.0;
    let appearance: Vec<_> =
        (0..N).map(|i| position(i, 10.0).into_iter().chain((0..3).map(|c| colour(i, c))).collect::<Vec<_>>()).collect();
    let truth = brute_force(&[(dense_kernel(&smooth), 1.0), (dense_kernel(&appearance), 2.0)], 5);
    let ours = crf()
        .add_gaussian(GaussianKernel::new(3.0, 1.0))
        .and_then(|c| c.add_bilateral(BilateralKernel::new(10.0, 13.0, 2.0), &rgb))
        .and_then(|c| c.inference(5))
        .expect("valid");
    let best = |i: usize| (0..LABELS).fold(0, |b, l| if truth[l * N + i] > truth[b * N + i] { l } else { b });
    let agree = ours.map().iter().enumerate().filter(|(i, l)| best(*i) == usize::from(**l)).count();
    let difference = ours.to_chw().iter().zip(&truth).map(|(a, b)| (f64::from(*a) - b).abs()).sum::<f64>();
    let mean = difference / (LABELS * N) as f64;
    println!("{agree} of {N} labels agree, mean difference {mean:.5}");
    assert!(agree * 100 >= 97 * N, "{agree} of {N} labels agree");
    assert!(mean < 0.02, "{mean}");
}

#[test]
fn a_potts_weight_is_a_negative_diagonal_and_a_negative_matrix() {
    let infer = |compat: Compatibility| {
        let kernel = GaussianKernel { compat, ..GaussianKernel::default() };
        crf().add_gaussian(kernel).and_then(|c| c.inference(5)).expect("valid")
    };
    let potts = infer(Compatibility::Potts(3.0));
    assert_eq!(potts, infer(Compatibility::Diagonal(vec![-3.0; LABELS])));
    let identity = (0..LABELS * LABELS).map(|i| if i % (LABELS + 1) == 0 { -3.0 } else { 0.0 }).collect();
    assert_eq!(potts, infer(Compatibility::Matrix(identity)));
}

#[test]
fn normalising_afterwards_keeps_a_constant_constant() {
    // Equal energies everywhere: the message is the same at every pixel, so the marginals are too.
    let energies: Vec<f32> = (0..LABELS * N).map(|i| (i / N) as f32).collect();
    let kernel = GaussianKernel { normalization: Normalization::After, ..GaussianKernel::default() };
    let q = DenseCrf::new(WIDTH, HEIGHT, LABELS)
        .and_then(|c| c.unary(Unary::from_energies(&energies)))
        .and_then(|c| c.add_gaussian(kernel))
        .and_then(|c| c.inference(5))
        .expect("valid")
        .to_chw();
    for plane in q.chunks_exact(N) {
        assert!(plane.iter().all(|v| (v - plane[0]).abs() < 1e-5), "{plane:?}");
    }
}

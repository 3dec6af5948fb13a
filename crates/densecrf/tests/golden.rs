//! Marginals and energies against hashes of pydensecrf's, made by `reference/densecrf_golden.py` and
//! `reference/densecrf_softmax_golden.py`, which explain the inputs.

use densecrf::{BilateralKernel, Compatibility, DenseCrf, GaussianKernel, Mode, Normalization, Preset, Unary};

/// splitmix64 of seed * 2^32 + i.
fn draw(seed: u64, i: u64) -> u64 {
    let mut z = (seed << 32).wrapping_add(i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn fraction(seed: u64, i: usize) -> f32 {
    (draw(seed, i as u64) >> 40) as f32 * 2.0_f32.powi(-24)
}

fn digest(values: impl Iterator<Item = f32>) -> u64 {
    let term = |(i, v): (usize, f32)| (u64::from(v.to_bits()) + 1).wrapping_mul(draw(7, i as u64) | 1);
    values.enumerate().map(term).fold(0, u64::wrapping_add)
}

fn region(w: usize, h: usize, i: usize, modulus: usize) -> usize {
    (i % w / (w / 5 + 1) + 3 * (i / w / (h / 4 + 1))) % modulus
}

fn unary(w: usize, h: usize, c: usize, seed: u64) -> Vec<f32> {
    let energy = |i: usize| {
        let other = i / (w * h) != region(w, h, i % (w * h), c);
        fraction(seed, i) * 3.0 + if other { 1.5 } else { 0.0 }
    };
    (0..c * h * w).map(energy).collect()
}

fn picture(w: usize, h: usize, kind: &str, seed: u64) -> Vec<u8> {
    let value = |i: usize| {
        let noise = draw(seed + 1000, i as u64) >> 56;
        match kind {
            "noise" => noise as u8,
            "dark" => (noise % 4) as u8,
            "flat" => 128,
            _ => {
                let base = draw(seed + 2000, (region(w, h, i / 3, 20) * 3 + i % 3) as u64) >> 56;
                (base * 7 / 8 + noise % 16).min(255) as u8
            }
        }
    };
    (0..w * h * 3).map(value).collect()
}

fn compat(text: &str, c: usize, seed: u64) -> Compatibility {
    let values = |count| (0..count).map(|i| fraction(seed + 3000, i) * -6.0 + 1.0).collect();
    match text.split_at(1) {
        ("p", weight) => Compatibility::Potts(weight.parse().expect("a number")),
        ("d", _) => Compatibility::Diagonal(values(c)),
        _ => Compatibility::Matrix(values(c * c)),
    }
}

struct Case {
    name: String,
    iterations: usize,
    marginals: u64,
    crf: DenseCrf,
}

fn case(line: &str) -> Case {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |i: usize| words[i].parse::<usize>().expect("a number");
    let hash = |i: usize| u64::from_str_radix(words[i], 16).expect("a hash");
    let (w, h, c, seed) = (number(1), number(2), number(3), number(6) as u64);
    let (u, rgb) = (unary(w, h, c, seed), picture(w, h, words[5], seed));
    let inputs = digest(u.iter().copied()) ^ digest(rgb.iter().map(|&v| f32::from(v)));
    assert_eq!(inputs, hash(7), "{}: the inputs are not those of the script", words[0]);
    let mut crf = DenseCrf::new(w, h, c).and_then(|crf| crf.unary(Unary::from_energies(&u))).expect("a valid case");
    for kernel in words[9..].iter().filter(|k| **k != "-") {
        let part: Vec<&str> = kernel.split(':').collect();
        let s: Vec<f32> = part[1].split(',').map(|v| v.parse().expect("a number")).collect();
        let normalization = match part[3] {
            "s" => Normalization::Symmetric,
            "b" => Normalization::Before,
            "a" => Normalization::After,
            _ => Normalization::None,
        };
        let (sigma_x_px, sigma_y_px, compat) = (s[0], s[1], compat(part[2], c, seed));
        crf = if part[0] == "g" {
            crf.add_gaussian(GaussianKernel { sigma_x_px, sigma_y_px, compat, normalization })
        } else {
            let sigma_rgb = [s[2], s[3], s[4]];
            crf.add_bilateral(BilateralKernel { sigma_x_px, sigma_y_px, sigma_rgb, compat, normalization }, &rgb)
        }
        .expect("a valid kernel");
    }
    Case { name: words[0].to_owned(), iterations: number(4), marginals: hash(8), crf }
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/densecrf")
}

/// Runs every case that `select` picks (by its line) with each number of threads.
fn failures(select: impl Fn(&str) -> bool, threads: &[usize]) -> Vec<String> {
    let table = std::fs::read_to_string(folder().join("cases.txt")).expect("testdata/densecrf/cases.txt");
    let mut failures = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#') && select(line)) {
        for &threads in threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let Case { name, crf, iterations, marginals, .. } = pool.install(|| case(line));
            let q = pool.install(|| crf.inference(iterations)).expect("a valid case").to_chw();
            let stored = std::fs::read(folder().join(format!("{name}.f32"))).unwrap_or_default();
            for (i, b) in stored.chunks_exact(4).enumerate() {
                let expected = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                if expected.to_bits() != q[i].to_bits() {
                    failures.push(format!("{name} value {i}: {} instead of {expected}", q[i]));
                }
            }
            if digest(q.iter().copied()) != marginals {
                failures.push(format!("{name} on {threads} threads"));
            }
        }
    }
    failures
}

fn pixels(line: &str) -> usize {
    line.split(' ').skip(1).take(2).map(|v| v.parse::<usize>().expect("a number")).product()
}

#[test]
fn small_images_match_to_the_bit_for_any_number_of_threads() {
    let wrong = failures(|line| pixels(line) < 5000, &[1, 2, 3]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn large_images_match_to_the_bit() {
    let wrong = failures(|line| pixels(line) >= 5000, &[1, 2]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The script's `probabilities`, in its order of operations.
fn probabilities(pixels: usize, labels: usize, seed: u64) -> Vec<f32> {
    let fourth = |i: usize| {
        let square = fraction(seed, i) * fraction(seed, i);
        square * square
    };
    let mut p: Vec<f32> = (0..pixels * labels).map(fourth).collect();
    for pixel in 0..pixels {
        let total = (1..labels).fold(p[pixel], |total, label| total + p[label * pixels + pixel]);
        (0..labels).for_each(|label| p[label * pixels + pixel] /= total);
    }
    p
}

/// -ln as numpy has it, and the whole of `unary_from_softmax` and inference.
#[test]
fn probabilities_give_numpys_energies_and_pydensecrfs_marginals() {
    let table = std::fs::read_to_string(folder().join("softmax.txt")).expect("testdata/densecrf/softmax.txt");
    let mut wrong = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| words[i].parse::<usize>().expect("a number");
        let hash = |i: usize| u64::from_str_radix(words[i], 16).expect("a hash");
        if words[0] == "log" {
            let (first, step, count) = (hash(1) as u32, number(2) as u32, number(3));
            let p: Vec<f32> = (0..count as u32).map(|i| f32::from_bits(first + i * step)).collect();
            let energies = Unary::from_probabilities(&p, 0.0).to_energies(count, 1, 1).expect("valid");
            if digest(energies.iter().copied()) != hash(4) {
                wrong.push(line);
            }
            continue;
        }
        let (w, h, c, seed) = (number(2), number(3), number(4), number(7) as u64);
        let p = probabilities(w * h, c, seed);
        let unary = Unary::from_probabilities(&p, 1e-5);
        let energies = unary.to_energies(w, h, c).expect("valid");
        let q = DenseCrf::new(w, h, c)
            .and_then(|crf| crf.unary(unary))
            .and_then(|crf| crf.add_preset(Preset::paper(), &picture(w, h, words[6], seed)))
            .and_then(|crf| crf.inference(number(5)))
            .expect("valid")
            .to_chw();
        if [digest(energies.iter().copied()), digest(q.iter().copied())] != [hash(8), hash(9)] {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn fast_mode_stays_within_its_promise() {
    let table = std::fs::read_to_string(folder().join("cases.txt")).expect("testdata/densecrf/cases.txt");
    let mut wrong = Vec::new();
    let (mut pixels, mut changed) = (0, 0);
    for line in table.lines().filter(|line| line.starts_with("voc") || line.starts_with("labels")) {
        let infer = |mode| {
            let Case { crf, iterations, .. } = case(line);
            crf.mode(mode).inference(iterations).expect("a valid case")
        };
        let (exact, fast) = (infer(Mode::Exact), infer(Mode::Fast));
        let differ = |(a, b): (&f32, &f32)| (a - b).abs();
        let worst = exact.to_chw().iter().zip(&fast.to_chw()).map(differ).fold(0.0, f32::max);
        if worst > 1e-4 {
            wrong.push(format!("{line}: {worst}"));
        }
        pixels += exact.map().len();
        changed += exact.map().iter().zip(fast.map()).filter(|(a, b)| **a != *b).count();
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(changed * 10_000 <= pixels, "{changed} of {pixels} pixels changed their label");
}

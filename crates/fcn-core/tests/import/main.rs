//! Weights from elsewhere: the imported network's logits against PyTorch's for the same file, mismatches listed by name,
//! and damaged files. The golden files are those of `reference/import_golden.py`.

#![allow(clippy::unwrap_used)] // in a test a failure may be loud

mod wrapped;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use fcn_core::device::with_values;
use fcn_core::import::Convention;
use fcn_core::import::{ImportOptions, ImportReport, import};
use fcn_core::network::{Algorithm, Architecture, ModelMeta, Network, NetworkOptions};
use fcn_core::network::{Backbone, Geometry, TrunkMeta, TrunkShape, Variant};
use fcn_core::train::StartingWeights;
use fcn_core::weights::{self, Contents};
use fcn_core::weights::{NamedValues, TensorFile, Values, write_tensors};
use fcn_core::{ErrorKind, Result};
use segdata::image::preprocessing::Channels;
use segdata::image::preprocessing::Normaliser;
use segdata::labels::Classes;

// These repeat reference/import_golden.py.
const SHAPE: [usize; 2] = [40, 52];
const STRIDE: usize = 31;
const CHANNELS: [usize; 7] = [3, 4, 4, 4, 3, 3, 4];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/import").join(name)
}

fn photograph() -> Vec<u8> {
    (0..SHAPE[0] * SHAPE[1] * 3).map(|i| ((7 * i * i + 13 * i) % 251) as u8).collect()
}

fn exact() -> NetworkOptions {
    NetworkOptions { algorithm: Algorithm::Direct, ..NetworkOptions::default() }
}

fn logits(fcn: &Network) -> Vec<f32> {
    let planes = Normaliser::new(&fcn.meta.preprocessing).planes(&photograph());
    let input = Tensor::<4>::from_data(TensorData::new(planes, [1, 3, SHAPE[0], SHAPE[1]]), &Device::flex());
    with_values(&fcn.forward(input), <[f32]>::to_vec).unwrap()
}

/// An FCN-32s that hands on the channels of fc7, on the trunk in `file`.
fn trunk_alone(file: &Path) -> Network {
    let start = StartingWeights::open(file, file.parent().unwrap(), &mut |_| {}).unwrap();
    let channels = CHANNELS[6];
    let classes = Classes::named((0..channels).map(|id| id.to_string()));
    let mut fcn = Network::init(
        start.trunk().unwrap().with_head(Variant::Fcn32s, Geometry::Same, classes),
        &exact(),
        1,
        &Device::flex(),
    );
    let adopted = start.adopt(&mut fcn).unwrap();
    assert_eq!((adopted.fresh, adopted.unused), (vec!["score_fr".to_string()], vec![]));
    for parameter in fcn.parameters_mut() {
        if parameter.name == "score_fr.weight" {
            let unit = (0..channels * channels).map(|i| f32::from(u8::from(i % (channels + 1) == 0)));
            let unit = TensorData::new(unit.collect::<Vec<f32>>(), [channels * channels]);
            parameter.tensor = Tensor::from_data(unit, &Device::flex());
        }
    }
    fcn
}

fn imported(name: &str, out: &Path, convention: Option<Convention>) -> Result<ImportReport> {
    import(&golden(name), out, &ImportOptions { convention, ..ImportOptions::default() })
}

fn at_width(mut meta: ModelMeta, width: f32) -> ModelMeta {
    let Architecture::Fcn(spec) = &mut meta.architecture else { unreachable!("an FCN") };
    spec.width = width;
    meta
}

#[test]
fn every_source_gives_pytorch_s_logits() {
    let folder = tempfile::tempdir().unwrap();
    let expected = TensorFile::open(&golden("expected.safetensors")).unwrap();
    let torchvision = Some(Convention::Torchvision);
    // File, whose logits, convention where the file does not say it, variant, classes.
    let cases = [
        ("vgg16.pth", "vgg16.pth", torchvision, None, 0),
        ("vgg16-legacy.pth", "vgg16-legacy.pth", torchvision, None, 0),
        ("vgg16.safetensors", "vgg16.safetensors", torchvision, None, 0),
        ("vgg16_bn.pth", "vgg16_bn.pth", torchvision, None, 0),
        ("vgg_16.ckpt", "vgg_16.ckpt", None, None, 0),
        ("vgg_16_v2.ckpt", "vgg_16.ckpt", None, None, 0),
        ("vgg_16_v2.ckpt.index", "vgg_16.ckpt", None, None, 0),
        ("fcn32s.pth", "fcn32s.pth", None, Some(Variant::Fcn32s), 1),
        ("fcn16s.pth", "fcn16s.pth", None, Some(Variant::Fcn16s), 2),
        ("fcn8s.pth", "fcn8s.pth", None, Some(Variant::Fcn8s), 2),
        ("checkpoint.pth.tar", "checkpoint.pth.tar", None, Some(Variant::Fcn8s), 2),
    ];
    let mut wrong = vec![];
    for (name, whose, convention, variant, classes) in cases {
        let out = folder.path().join(format!("{name}.safetensors"));
        let report = match imported(name, &out, convention) {
            Ok(report) => report,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        let mut fcn = match variant {
            None => trunk_alone(&out),
            Some(_) => weights::load(&out, &Device::flex()).unwrap(),
        };
        fcn.options = exact();
        let found: Vec<f32> = logits(&fcn).into_iter().step_by(STRIDE).collect();
        let golden = expected.read(whose).unwrap();
        let largest = golden.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
        let worst = found.iter().zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
        println!("{name}: {worst:.1e} of {largest:.1}");
        let right = worst < 1e-4
            && found.len() == golden.len()
            && (report.variant, &report.channels[..]) == (variant, &CHANNELS[..])
            && report.classes.map_or(0, |names| names.len()) == classes;
        if !right {
            wrong.push(format!("{name}: {worst:e}, {:?} {:?}", report.variant, report.channels));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pytorch_unet_s_network_gives_pytorch_s_logits() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("unet.safetensors");
    let report = imported("unet.pth", &out, None).unwrap();
    assert_eq!(report.channels, [8, 8, 8, 8, 16]);
    assert_eq!(report.preprocessing, Convention::Unit.preprocessing());
    let left: Vec<&str> = report.left_out.iter().map(|left| left.name.as_str()).collect();
    assert!(
        left.contains(&"mask_values") && left.iter().all(|name| *name == "mask_values" || name.ends_with("tracked"))
    );
    let mut unet = weights::load(&out, &Device::flex()).unwrap();
    unet.options = exact();
    let planes = Normaliser::new(&unet.meta.preprocessing).planes(&photograph());
    let image = Tensor::<4>::from_data(TensorData::new(planes, [1, 3, SHAPE[0], SHAPE[1]]), &Device::flex());
    // Sides that 16 divides: for others Pytorch-UNet pads the enlarged maps, and ours the image.
    let logits = unet.forward(image.narrow(2, 0, 32).narrow(3, 0, 48));
    let found: Vec<f32> = with_values(&logits, <[f32]>::to_vec).unwrap().into_iter().step_by(STRIDE).collect();
    let expected = TensorFile::open(&golden("expected.safetensors")).unwrap().read("unet.pth").unwrap();
    let largest = expected.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
    assert!(worst < 1e-4 && found.len() == expected.len(), "{worst:e} of {largest}");
}

#[test]
fn the_report_names_what_was_taken_changed_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let change = |report: &ImportReport, to: &str| {
        let taken = report.taken.iter().find(|taken| taken.to == to).unwrap();
        format!("{} {}", taken.from, taken.change)
    };
    let left = |report: &ImportReport| report.left_out.iter().map(|left| left.name.clone()).collect::<Vec<_>>();

    let slim = imported("vgg_16.ckpt", &out, None).unwrap();
    assert_eq!(
        (slim.contents, slim.format, slim.preprocessing_from.as_str()),
        ("trunk", "TensorFlow V1 checkpoint", "vgg_16/mean_rgb")
    );
    assert_eq!(slim.preprocessing, Convention::TfSlim.preprocessing());
    assert_eq!(change(&slim, "fc6.weight"), "vgg_16/fc6/weights from height, width, in, out to out, in, height, width");
    let expected = [
        "global_step",
        "vgg_16/conv1/conv1_1/biases/Adam_1",
        "vgg_16/fc8/biases",
        "vgg_16/fc8/weights",
        "vgg_16/mean_rgb",
    ];
    assert_eq!(left(&slim), expected);

    let plain = imported("vgg16.pth", &out, Some(Convention::Caffe)).unwrap();
    assert_eq!(change(&plain, "fc6.weight"), "classifier.0.weight a matrix, read as a convolution");
    assert_eq!(left(&plain), ["classifier.6.weight", "classifier.6.bias"]);
    assert_eq!(plain.preprocessing.channels, Channels::Bgr);

    let norm = imported("vgg16_bn.pth", &out, Some(Convention::Torchvision)).unwrap();
    assert_eq!(norm.backbone, Some(Backbone::Vgg16Bn));
    assert_eq!(change(&norm, "conv1_1.norm.running_mean"), "features.1.running_mean less the convolution's bias");
    assert!(left(&norm).contains(&"features.41.num_batches_tracked".to_string()));
    let Contents::Trunk(trunk) = weights::read_contents(&out).unwrap() else { panic!("not a trunk") };
    assert!(trunk.trunk.plain_fc && trunk.parameters().iter().any(|spec| spec.name == "fc7.bias"));

    let at_once = imported("checkpoint.pth.tar", &out, None).unwrap();
    assert_eq!(change(&at_once, "score_pool3.weight"), "score_pool3.weight times 0.0001, the factor of its pool");
    assert_eq!(left(&at_once), ["epoch", "iteration", "arch", "optim_state_dict", "best_mean_iu"]);
    assert_eq!((at_once.geometry, at_once.preprocessing), (Some(Geometry::Caffe), Convention::Caffe.preprocessing()));
}

#[test]
fn an_input_convention_that_nothing_tells_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    for name in ["vgg16.pth", "vgg16_bn.pth", "vgg16.safetensors"] {
        let error = imported(name, &out, None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage, "{name}");
        assert!(error.hint.unwrap().contains("input_convention` torchvision|caffe"), "{name}");
        assert!(!out.exists());
    }
    // A published name says it.
    let named = folder.path().join("vgg16-397923af.pth");
    std::fs::copy(golden("vgg16.pth"), &named).unwrap();
    let report = import(&named, &out, &ImportOptions::default()).unwrap();
    assert_eq!(report.preprocessing, Convention::Torchvision.preprocessing());
    assert_eq!(import(&named, &named, &ImportOptions::default()).unwrap_err().kind, ErrorKind::Usage);
}

#[test]
fn torchvision_s_names_of_old_give_the_same_trunk() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("vgg16.safetensors"), folder.path().join("out.safetensors"));
    imported("vgg16.safetensors", &out, Some(Convention::CaffeVgg)).unwrap();
    let expected = contents(&out);
    let mut tensors = torchvision_tensors();
    for (name, ..) in &mut tensors {
        *name = name.replace("classifier.0", "classifier.1").replace("classifier.3", "classifier.4");
    }
    write(&path, &BTreeMap::new(), &tensors);
    let named = folder.path().join("vgg16-00b39a1b.safetensors");
    std::fs::rename(&path, &named).unwrap();
    let report = import(&named, &out, &ImportOptions::default()).unwrap();
    assert_eq!(report.names, "torchvision vgg16 of before 0.1.7");
    assert_eq!(report.preprocessing, Convention::CaffeVgg.preprocessing());
    assert!(contents(&out) == expected, "other values than under today's names");
}

#[test]
fn a_trunk_is_refused_where_a_network_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("vgg16.safetensors");
    imported("vgg_16.ckpt", &out, None).unwrap();
    for error in [weights::load(&out, &Device::flex()).unwrap_err(), weights::read_meta(&out).unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Weights);
        assert!(
            error.message.contains("trunk alone") && error.hint.unwrap().contains("`train init`"),
            "{}",
            error.message
        );
    }
}

/// Tensors of a narrow torchvision vgg16, to be spoiled.
fn torchvision_tensors() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let file = TensorFile::open(&golden("vgg16.safetensors")).unwrap();
    let table: Vec<(String, Vec<usize>)> = file.tensors().map(|(n, s)| (n.to_string(), s.to_vec())).collect();
    table.into_iter().map(|(name, shape)| (name.clone(), shape, file.read(&name).unwrap())).collect()
}

fn write(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let named =
        |(name, shape, values): &'_ (String, Vec<usize>, Vec<f32>)| (name.clone(), shape.clone(), values.clone());
    let owned: Vec<_> = tensors.iter().map(named).collect();
    let list = owned.iter().map(|(name, shape, values)| NamedValues {
        name: name.clone(),
        shape: shape.clone(),
        values: Values::Slice(values),
    });
    write_tensors(path, metadata, list.collect()).unwrap();
}

#[test]
fn what_does_not_fit_is_listed_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("vgg16.safetensors"), folder.path().join("out.safetensors"));
    let options = ImportOptions { convention: Some(Convention::Torchvision), ..ImportOptions::default() };
    type Change = fn(&mut Vec<(String, Vec<usize>, Vec<f32>)>);
    let cases: [(&str, Change, &[&str]); 6] = [
        ("missing", |t| t.retain(|(name, ..)| name != "features.5.bias"), &["features.5.bias: missing; expected [4]"]),
        (
            "unexpected",
            |t| t.push(("extra.weight".into(), vec![2], vec![0.0; 2])),
            &["extra.weight: [2] is not a part"],
        ),
        (
            "shape",
            |t| {
                let tensor = t.iter_mut().find(|(name, ..)| name == "features.2.weight").unwrap();
                tensor.1 = vec![3, 27];
            },
            &["features.2.weight: is [3, 27]; expected [3, 3, 3, 3]"],
        ),
        (
            "all at once",
            |t| {
                t.retain(|(name, ..)| name != "features.5.bias");
                t.push(("extra.weight".into(), vec![2], vec![0.0; 2]));
            },
            &["2 tensors do not fit", "features.5.bias: missing", "extra.weight"],
        ),
        (
            "nan",
            |t| t.iter_mut().filter(|(n, ..)| n == "features.10.weight").for_each(|t| t.2[1] = f32::NAN),
            &["features.10.weight: value 1 is NaN"],
        ),
        ("nothing", |t| t.iter_mut().for_each(|(name, ..)| *name = format!("x{name}")), &["none of the 32 tensors"]),
    ];
    let mut wrong = vec![];
    for (what, change, expected) in cases {
        let mut tensors = torchvision_tensors();
        tensors.sort_by_key(|(name, ..)| name.split('.').nth(1).and_then(|n| n.parse::<usize>().ok()));
        change(&mut tensors);
        write(&path, &BTreeMap::new(), &tensors);
        match import(&path, &out, &options) {
            Ok(_) => wrong.push(format!("{what}: accepted")),
            Err(e) => {
                let named = e.kind == ErrorKind::Weights && e.path.as_deref() == Some(&path);
                if !named || !expected.iter().all(|part| e.message.contains(part)) || out.exists() {
                    wrong.push(format!("{what}: {e:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn our_own_file_and_one_of_a_parallel_module_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("own.safetensors"), folder.path().join("out.safetensors"));
    let trunk = TrunkMeta {
        backbone: Backbone::Vgg16Bn,
        width: 0.125,
        trunk: TrunkShape { channels: Some([3, 4, 5, 6, 7, 8, 9]), plain_fc: false },
        preprocessing: Convention::CaffeVgg.preprocessing(),
    };
    let meta = trunk.with_head(Variant::Fcn8s, Geometry::Same, Classes::named(["a", "b", "c"]));
    let fcn = Network::init(meta.clone(), &exact(), 5, &Device::flex());
    weights::save(&path, &fcn).unwrap();
    let report = import(&path, &out, &ImportOptions::default()).unwrap();
    assert_eq!(report.preprocessing_from, "the file's metadata");
    let meta = at_width(meta, 3.0 / 64.0);
    assert_eq!(weights::read_meta(&out).unwrap(), meta);
    let same = |a: &Network, b: &Network| logits(a) == logits(b);
    let mut back = weights::load(&out, &Device::flex()).unwrap();
    back.options = exact();
    assert!(same(&fcn, &back));

    let file = TensorFile::open(&path).unwrap();
    let header = file.metadata().clone();
    let parallel: Vec<_> = meta
        .parameters()
        .into_iter()
        .map(|spec| (format!("module.{}", spec.name), spec.shape, file.read(&spec.name).unwrap()))
        .collect();
    write(&path, &header, &parallel);
    import(&path, &out, &ImportOptions::default()).unwrap();
    let mut back = weights::load(&out, &Device::flex()).unwrap();
    back.options = exact();
    assert!(same(&fcn, &back));
}

#[test]
fn classes_are_named_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let with = |names: &[&str]| {
        let classes = Some(Classes::named(names.iter().copied()));
        import(&golden("fcn8s.pth"), &out, &ImportOptions { classes, ..ImportOptions::default() })
    };
    assert_eq!(with(&["sky", "earth"]).unwrap().classes.unwrap(), ["sky", "earth"]);
    let error = with(&["sky", "earth", "sea"]).unwrap_err();
    assert!(error.kind == ErrorKind::Weights && error.message.contains("3 classes, the network's score layers 2"));
    let unnamed = imported("fcn8s.pth", &out, None).unwrap();
    assert_eq!(unnamed.classes.unwrap(), ["class 0", "class 1"]);
    assert!(unnamed.remarks.iter().any(|remark| remark.contains("`classes`")));
    let factors = import(&golden("fcn16s.pth"), &out, &ImportOptions { at_once: true, ..ImportOptions::default() });
    assert_eq!(factors.unwrap_err().kind, ErrorKind::Usage);
}

/// All values of a weights file.
fn contents(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let file = TensorFile::open(path).unwrap();
    let names: Vec<String> = file.tensors().map(|(name, _)| name.to_string()).collect();
    let bits = |values: Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
    names.into_iter().map(|name| (name.clone(), bits(file.read(&name).unwrap()))).collect()
}

#[test]
fn damaged_files_give_an_error_or_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let mut wrong = vec![];
    for name in ["vgg16.pth", "vgg16.safetensors", "vgg_16.ckpt", "fcn8s.pth", "checkpoint.pth.tar"] {
        let convention = Some(Convention::Torchvision);
        imported(name, &out, convention).unwrap();
        let sound = contents(&out);
        let file = std::fs::read(golden(name)).unwrap();
        // Without checksums nobody sees a flip in a value: that value alone may differ.
        let checksummed = matches!(name, "vgg16.pth" | "vgg_16.ckpt" | "fcn8s.pth");
        let path = folder.path().join(name);
        let mut check = |what: String, bytes: &[u8], may_differ: usize| {
            std::fs::write(&path, bytes).unwrap();
            let _ = std::fs::remove_file(&out);
            let options = ImportOptions { convention, ..ImportOptions::default() };
            let Ok(_) = import(&path, &out, &options) else {
                if out.exists() {
                    wrong.push(format!("{name} {what}: an error, and a file"));
                }
                return;
            };
            let found = contents(&out);
            let differing: usize = (found.iter())
                .map(|(name, values)| match sound.get(name) {
                    Some(expected) => values.iter().zip(expected).filter(|(a, b)| a != b).count(),
                    None => values.len(),
                })
                .sum();
            if differing > may_differ || found.len() != sound.len() {
                wrong.push(format!("{name} {what}: {differing} values differ"));
            }
        };
        for position in (0..file.len()).step_by(64) {
            check(format!("cut at {position}"), &file[..position], 0);
            for mask in [1, 0x80] {
                let mut bytes = file.clone();
                bytes[position] ^= mask;
                check(format!("byte {position} ^ {mask:#x}"), &bytes, if checksummed { 0 } else { 1 });
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[cfg(unix)]
fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let pipe = folder.path().join("pipe.pth");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success());
    for path in
        [Some(folder.path().to_path_buf()), Some("/dev/zero".into()), made.then_some(pipe)].into_iter().flatten()
    {
        let started = Instant::now();
        let error = import(&path, &out, &ImportOptions::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Weights, "{}: {error}", path.display());
        let start = StartingWeights::open(&path, folder.path(), &mut |_| {}).err().unwrap();
        assert_eq!(start.kind, ErrorKind::Weights, "{}: {start}", path.display());
        assert!(started.elapsed() < Duration::from_secs(1), "{}", path.display());
    }
}

#[test]
fn weights_to_start_from_are_converted_once_and_anew_when_the_source_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, run) = (folder.path().join("vgg_16.ckpt"), folder.path().join("run"));
    std::fs::copy(golden("vgg_16.ckpt"), &path).unwrap();
    let open = || {
        let mut said = vec![];
        let opened = StartingWeights::open(&path, &run, &mut |line| said.push(line)).unwrap();
        (opened.trunk(), said.join("\n"))
    };
    let kept = || {
        let names =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".safetensors")).collect();
        names.sort();
        names
    };
    let (trunk, said) = open();
    assert!(said.starts_with("imported ") && kept().len() == 1, "{said} {:?}", kept());
    let (again, said) = open();
    assert!(said.starts_with("starting from ") && kept().len() == 1 && again == trunk, "{said}");
    // A conversion that was damaged is made anew.
    std::fs::write(folder.path().join(&kept()[0]), b"cut off").unwrap();
    assert!(open().1.starts_with("imported "));
    std::fs::copy(golden("fcn8s.pth"), &path).unwrap();
    assert!(open().1.starts_with("imported ") && kept().len() == 2);

    let error = StartingWeights::open(&golden("vgg16.pth"), &run, &mut |_| {}).err().unwrap();
    assert!(error.hint.unwrap().contains("`import "));
}

#[test]
fn another_class_list_keeps_the_trunk_and_another_trunk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    let trunk = TrunkMeta {
        backbone: Backbone::Vgg16,
        width: 0.02,
        trunk: TrunkShape::default(),
        preprocessing: Convention::Caffe.preprocessing(),
    };
    let network = |variant, names: [&str; 2]| {
        let meta = trunk.with_head(variant, Geometry::Same, Classes::named(names));
        Network::init(meta, &exact(), 3, &Device::flex())
    };
    weights::save(&path, &network(Variant::Fcn16s, ["a", "b"])).unwrap();
    /// Variant, classes, layers that start anew, tensors that are not used.
    type Case = (Variant, [&'static str; 2], &'static [&'static str], &'static [&'static str]);
    let cases: [Case; 4] = [
        (Variant::Fcn16s, ["a", "b"], &[], &[]),
        (Variant::Fcn16s, ["a", "c"], &["score_fr", "score_pool4"], &[]),
        (Variant::Fcn8s, ["a", "b"], &["score_pool3"], &["upscore16"]),
        (Variant::Fcn32s, ["a", "b"], &[], &["upscore2", "upscore16", "score_pool4"]),
    ];
    for (variant, names, fresh, unused) in cases {
        let mut fcn = Network::init(network(variant, names).meta, &exact(), 99, &Device::flex());
        let start = StartingWeights::open(&path, folder.path(), &mut |_| {}).unwrap();
        start.refuse_another_trunk(&fcn.meta).unwrap();
        let adopted = start.adopt(&mut fcn).unwrap();
        assert_eq!(adopted.fresh, fresh, "{variant:?} {names:?}");
        let mut found = adopted.unused;
        found.sort();
        let mut unused = unused.to_vec();
        unused.sort_unstable();
        assert_eq!(found, unused, "{variant:?} {names:?}");
    }
    let start = StartingWeights::open(&path, folder.path(), &mut |_| {}).unwrap();
    let other = at_width(network(Variant::Fcn16s, ["a", "b"]).meta, 0.5);
    let error = start.refuse_another_trunk(&other).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Weights);
    assert!(error.hint.unwrap().contains("`backbone` vgg16 `width` 0.02"));
}

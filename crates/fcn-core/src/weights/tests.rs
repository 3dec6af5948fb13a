use super::*;
use crate::network::{Backbone, Geometry, Parameter, Variant};

#[test]
fn the_first_value_that_is_not_finite_is_found_wherever_it_is() {
    let mut values = vec![1.0f32; 50_000];
    assert_eq!(first_not_finite(&values), None);
    for (at, bad) in [(49_999, f32::NAN), (16_384, f32::INFINITY), (16_383, f32::NEG_INFINITY), (0, f32::NAN)] {
        values[at] = bad;
        assert_eq!(first_not_finite(&values), Some(at));
    }
}

fn meta(variant: Variant, backbone: Backbone) -> ModelMeta {
    let mut meta = ModelMeta::narrow(variant, backbone, Geometry::Caffe, &["background", "a \"quoted\" thing"]);
    meta.preprocessing.channels = segdata::image::preprocessing::Channels::Bgr;
    meta
}

fn values(fcn: &Network) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let list = |parameter: &Parameter| {
        let values = crate::device::values::with_values(&parameter.tensor, <[f32]>::to_vec).unwrap();
        (parameter.name.clone(), parameter.shape.clone(), values)
    };
    fcn.parameters().iter().map(list).collect()
}

#[test]
fn a_saved_network_comes_back_bit_for_bit_and_the_same_network_is_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let variants = [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s];
    let fcns =
        variants.iter().flat_map(|&variant| [Backbone::Vgg16, Backbone::Vgg16Bn].map(|trunk| meta(variant, trunk)));
    let unets = [false, true].map(|normalised| ModelMeta::narrow_unet(normalised, &["background", "cell"]));
    for meta in fcns.chain(unets) {
        let mut network = Network::init(meta.clone(), &NetworkOptions::default(), 3, &Device::flex());
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        save(&first, &network).unwrap();
        network.for_training();
        save(&second, &network).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "{meta:?}");
        let loaded = load(&first, &Device::flex()).unwrap();
        assert_eq!(loaded.meta, meta);
        assert_eq!(read_meta(&first).unwrap(), meta);
        assert_eq!(values(&loaded), values(&network), "{meta:?}");
        let mapped = load_mapped(&first, &Device::flex()).unwrap();
        assert_eq!(mapped.meta, meta);
        assert_eq!(values(&mapped), values(&network), "{meta:?}");
    }
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "temporary files are left: {names:?}");
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let fcn = Network::init(meta(Variant::Fcn8s, Backbone::Vgg16), &NetworkOptions::default(), 3, &Device::flex());
    let all = values(&fcn);
    let header = fcn.meta.to_header().unwrap();
    type Change = fn(&mut Vec<(String, Vec<usize>, Vec<f32>)>, &mut BTreeMap<String, String>);
    let cases: [(&str, Change, &[&str]); 8] = [
        ("none", |_, _| {}, &[]),
        ("nan", |tensors, _| tensors[3].2[2] = f32::NAN, &["conv1_2.bias", "value 2 is NaN"]),
        ("missing", |tensors, _| drop(tensors.remove(0)), &["1 tensor do", "conv1_1.weight: missing", "[8, 3, 3, 3]"]),
        ("extra", |tensors, _| tensors.push(("w".into(), vec![1], vec![0.0])), &["w: [1] is not a part"]),
        ("shape", |tensors, _| tensors[1].1 = vec![2, 4], &["conv1_1.bias: is [2, 4]; expected [8]"]),
        (
            "variant",
            |_, header| drop(header.insert("variant".into(), "32s".into())),
            &["upscore.weight: missing", "score_pool3.bias"],
        ),
        ("width", |_, header| drop(header.insert("width".into(), "1e30".into())), &["width", "at most 16"]),
        ("no classes", |_, header| drop(header.remove("classes")), &["no `classes`"]),
    ];
    let mut failures = Vec::new();
    for (name, change, expected) in cases {
        let (mut tensors, mut header) = (all.clone(), header.clone());
        change(&mut tensors, &mut header);
        let named =
            |(name, shape, values): &'_ (String, Vec<usize>, Vec<f32>)| (name.clone(), shape.clone(), values.clone());
        let tensors: Vec<_> = tensors.iter().map(named).collect();
        let list = tensors
            .iter()
            .map(|(name, shape, values)| NamedValues {
                name: name.clone(),
                shape: shape.clone(),
                values: Values::Slice(values),
            })
            .collect();
        write_tensors(&path, &header, list).unwrap();
        for result in [load(&path, &Device::flex()), load_mapped(&path, &Device::flex())] {
            match (result, expected.is_empty()) {
                (Ok(_), true) => {}
                (Ok(_), false) => failures.push(format!("{name}: accepted")),
                (Err(e), _) => {
                    let named = e.kind == crate::ErrorKind::Weights && e.path.as_deref() == Some(&path);
                    if expected.is_empty() || !named || !expected.iter().all(|part| e.message.contains(part)) {
                        failures.push(format!("{name}: {e:?}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

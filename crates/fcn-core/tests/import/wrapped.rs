//! Files that are not as they were published: with wrappers before every name, without the fully connected layers, without
//! metadata.

use std::collections::BTreeMap;

use burn::tensor::Device;
use fcn_core::ErrorKind;
use fcn_core::import::{Convention, ImportOptions, import};
use fcn_core::network::{
    Architecture, Backbone, Geometry, ModelMeta, Network, TrunkMeta, TrunkShape, UnetSpec, Variant,
};
use fcn_core::train::StartingWeights;
use fcn_core::weights::{self, TensorFile};
use segdata::labels::Classes;

use super::{SHAPE, contents, exact, imported, logits, torchvision_tensors, write};

#[test]
fn what_wrappers_put_before_every_name_is_left_out_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("vgg16.safetensors"), folder.path().join("out.safetensors"));
    imported("vgg16.safetensors", &out, Some(Convention::Torchvision)).unwrap();
    let expected = contents(&out);
    let options = ImportOptions { convention: Some(Convention::Torchvision), ..ImportOptions::default() };
    for prefix in ["module.", "_orig_mod.", "model.", "backbone.", "net.", "module._orig_mod.", "model.backbone."] {
        let mut tensors = torchvision_tensors();
        tensors.iter_mut().for_each(|(name, ..)| *name = format!("{prefix}{name}"));
        // The counter of an averaged model has no prefix.
        tensors.push(("n_averaged".into(), vec![], vec![3.0]));
        write(&path, &BTreeMap::new(), &tensors);
        let report = import(&path, &out, &options).unwrap();
        assert!(contents(&out) == expected, "{prefix}: other values than without");
        assert!(report.remarks.iter().any(|remark| remark.contains(&format!("'{prefix}'"))), "{:?}", report.remarks);
        assert!(report.left_out.iter().any(|left| left.name == "n_averaged"));
    }
}

#[test]
fn convolutions_alone_are_a_trunk_whose_fully_connected_layers_start_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("features.safetensors"), folder.path().join("out.safetensors"));
    let options = ImportOptions { convention: Some(Convention::TorchvisionFeatures), ..ImportOptions::default() };
    let of_classifier = |(name, ..): &(String, Vec<usize>, Vec<f32>)| name.starts_with("classifier.");
    let mut nan = torchvision_tensors();
    nan.iter_mut().filter(|tensor| of_classifier(tensor)).for_each(|tensor| tensor.2.fill(f32::NAN));
    let mut missing = torchvision_tensors();
    missing.retain(|tensor| !of_classifier(tensor));
    for tensors in [nan, missing] {
        write(&path, &BTreeMap::new(), &tensors);
        let report = import(&path, &out, &options).unwrap();
        assert!(report.remarks.iter().any(|remark| remark.contains("IMAGENET1K_FEATURES")), "{:?}", report.remarks);
        let start = StartingWeights::open(&out, folder.path(), &mut |_| {}).unwrap();
        let classes = Classes::named(["a", "b"]);
        let meta = start.trunk().unwrap().with_head(Variant::Fcn32s, Geometry::Same, classes);
        let mut network = Network::init(meta, &exact(), 1, &Device::flex());
        let adopted = start.adopt(&mut network).unwrap();
        assert_eq!(adopted.fresh, ["fc6", "fc7", "score_fr"]);
        assert!(adopted.unused.is_empty());
    }
}

#[test]
fn weights_of_this_program_without_their_metadata_are_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("own.safetensors"), folder.path().join("out.safetensors"));
    let classes = || Classes::named(["a", "b", "c"]);
    let fcn = |backbone| {
        let shape = TrunkShape { channels: Some([3, 4, 5, 6, 7, 8, 9]), plain_fc: false };
        let preprocessing = Convention::Torchvision.preprocessing();
        let trunk = TrunkMeta { backbone, width: 0.125, trunk: shape, preprocessing };
        trunk.with_head(Variant::Fcn8s, Geometry::Same, classes())
    };
    let unet = |normalised| ModelMeta {
        architecture: Architecture::Unet(UnetSpec { width: 0.125, normalised }),
        classes: classes(),
        preprocessing: Convention::Unit.preprocessing(),
    };
    for meta in [fcn(Backbone::Vgg16), fcn(Backbone::Vgg16Bn), unet(false), unet(true)] {
        let network = Network::init(meta.clone(), &exact(), 5, &Device::flex());
        weights::save(&path, &network).unwrap();
        let file = TensorFile::open(&path).unwrap();
        let header = file.metadata().clone();
        let tensors: Vec<_> = file.tensors().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
        let tensors: Vec<_> =
            tensors.into_iter().map(|(name, shape)| (name.clone(), shape, file.read(&name).unwrap())).collect();
        write(&path, &BTreeMap::new(), &tensors);
        let error = import(&path, &out, &ImportOptions::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Usage, "{}: {error}", meta.architecture.title());
        assert!(error.hint.unwrap().contains("`input_convention`"));
        let said = ImportOptions { convention: Some(Convention::Torchvision), ..ImportOptions::default() };
        if meta.as_fcn().is_some() {
            let error = import(&path, &out, &said).unwrap_err();
            assert!(error.hint.unwrap().contains("`geometry`"));
        }
        let said = ImportOptions { geometry: Some(Geometry::Same), classes: Some(classes()), ..said };
        import(&path, &out, &said).unwrap();
        assert_eq!(logits(&weights::load(&out, &Device::flex()).unwrap()).len(), 3 * SHAPE[0] * SHAPE[1]);
        // With its metadata nothing is asked.
        write(&path, &header, &tensors);
        import(&path, &out, &ImportOptions::default()).unwrap();
        assert_eq!(weights::read_meta(&out).unwrap().preprocessing, meta.preprocessing);
    }
}

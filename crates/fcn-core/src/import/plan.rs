//! What a file holds, and how each tensor of the new file comes about: everything is known, and whatever does not fit is
//! refused, before the first value is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::convention::Convention;
use super::names::{MEAN_RGB, Scheme};
use super::report::{ImportReport, LeftOut, Taken};
use super::source::Source;
use crate::network::families::unet::LEVELS;
use crate::network::families::vgg16::{STAGES, channels_at_width};
use crate::network::parameter::{ParameterSpec, belongs_to_classes};
use crate::network::{Architecture, Backbone, Geometry, ModelMeta, TrunkMeta, TrunkShape, UnetSpec, Variant};
use crate::weights::tensor_file::write_streamed;
use crate::weights::{Contents, compare_tables, refuse_not_finite};
use crate::{Error, Result};
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::{Classes, VOC_NAMES};

/// Counts changes of what an import gives for the same file, so that older conversions are not taken for new ones.
pub const IMPORT_VERSION: u32 = 2;

/// What pytorch-fcn's `FCN8sAtOnce` multiplies pool4 and pool3 with before it scores them.
const AT_ONCE_POOL4: f32 = 0.01;
const AT_ONCE_POOL3: f32 = 0.0001;

/// Widths that a training configuration takes.
const MIN_WIDTH: f32 = 0.01;
const MAX_WIDTH: f32 = 4.0;

/// What the file may leave open.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// How the input must be prepared; overrides what the file says.
    pub convention: Option<Convention>,
    /// The classes of a whole network; overrides what the file says.
    pub classes: Option<Classes>,
    /// The border treatment of a whole network; overrides what the file says.
    pub geometry: Option<Geometry>,
    /// Whether an FCN-8s was trained at once, with scaled pools. Checkpoints of pytorch-fcn's trainer and published file
    /// names say so.
    pub at_once: bool,
}

/// What happens to a tensor's values on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    None,
    /// The same values under another shape.
    Reshaped,
    /// `[height, width, in, out]` to `[out, in, height, width]`.
    Permuted,
    /// Multiplied by the factor of a pool.
    Scaled(f32),
    /// A running mean less the bias before it.
    LessBias,
}

/// What a file that [`import`] reads holds.
#[derive(Clone, Debug)]
pub struct Description {
    /// The file format, for people and scripts.
    pub format: &'static str,
    /// Whose names the tensors have; none for names of nothing that can be imported.
    pub names: Option<&'static str>,
    /// Name, type (`F32` and the like) and shape of every tensor, in the order of the file.
    pub tensors: Vec<(String, String, Vec<usize>)>,
    /// What the file says about itself; empty where the format has no place for it.
    pub metadata: BTreeMap<String, String>,
    /// What a training checkpoint holds besides, in words.
    pub notes: Vec<(String, String)>,
    /// How its input must be prepared, and what says so; none where [`import`] would have to ask.
    pub preprocessing: Option<(Preprocessing, String)>,
}

/// Says what the file at `path` holds, without reading values; an input convention that only the hash of all of it would
/// tell is left open.
///
/// # Errors
/// A file of no known format or damaged; what the system refuses.
pub fn inspect(path: &Path) -> Result<Description> {
    let mut source = Source::open(path)?;
    let names: BTreeSet<&str> = source.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let scheme = Scheme::recognise(&names);
    let metadata = source.metadata();
    let preprocessing = scheme.and_then(|scheme| {
        let is_network = variant_of(&sort_out(scheme, &source).1).is_some();
        preprocessing_of(scheme, is_network, &metadata, &mut source, &ImportOptions::default()).ok().flatten()
    });
    let names = scheme.map(Scheme::label);
    let (format, notes) = (source.format(), source.notes());
    let tensors = source.tensors.into_iter().map(|tensor| (tensor.name, tensor.dtype, tensor.shape)).collect();
    Ok(Description { format, names, tensors, metadata, notes, preprocessing })
}

/// One tensor's way.
struct Recipe {
    spec: ParameterSpec,
    from: String,
    /// Its shape in the source.
    expected: Vec<usize>,
    change: Change,
}

/// Everything that is known before a value is read.
struct Plan {
    scheme: Scheme,
    contents: Contents,
    recipes: Vec<Recipe>,
    left_out: Vec<LeftOut>,
    preprocessing_from: String,
    remarks: Vec<String>,
}

/// Reads the weights at `path` and writes them to `out` as a file of this program: all of it or nothing.
///
/// # Errors
/// A file of no known format or damaged; tensors that are missing, unexpected or of another shape, all listed; values
/// that are not finite, with the tensor's name; an input convention that nothing determines; what the system refuses.
pub fn import(path: &Path, out: &Path, options: &ImportOptions) -> Result<ImportReport> {
    let mut source = Source::open(path)?;
    let same = |other: &Path| matches!((path.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(out) {
        return Err(Error::usage("the result would replace its source").at(out).hint("name another `out`"));
    }
    let plan = Plan::new(&mut source, options).map_err(|e| if e.path.is_none() { e.at(path) } else { e })?;
    let table: Vec<(&str, &[usize])> =
        plan.recipes.iter().map(|recipe| (recipe.spec.name.as_str(), &recipe.spec.shape[..])).collect();
    write_streamed(out, &plan.contents.to_header()?, &table, &mut |index| {
        plan.recipes[index].values(plan.scheme, &mut source)
    })?;
    Ok(plan.report(&source, out))
}

impl Plan {
    fn new(source: &mut Source, options: &ImportOptions) -> Result<Plan> {
        let names: BTreeSet<&str> = source.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let Some(scheme) = Scheme::recognise(&names) else {
            let shown: Vec<&str> = names.iter().take(3).copied().collect();
            return Err(Error::weights(format!(
                "none of the {} tensors has a name of VGG-16, an FCN or a U-Net (the first: {})",
                names.len(),
                shown.join(", ")
            ))
            .hint(
                "known are the names of TF-slim's vgg_16, torchvision's vgg16 and vgg16_bn, pytorch-fcn, and Pytorch-UNet",
            ));
        };
        let metadata = source.metadata();
        let mut remarks = where_the_names_were(source);
        let (left_out, mut present) = sort_out(scheme, source);

        let trunk = trunk_of(scheme, &present);
        let variant = variant_of(&present);
        let is_network = variant.is_some() || scheme.is_unet();
        let told = match preprocessing_of(scheme, is_network, &metadata, source, options)? {
            None => Convention::of_content(&source.path)?.map(|(known, by)| (known.preprocessing(), by)),
            told => told,
        };
        let Some((preprocessing, preprocessing_from)) = told else { return Err(untold_convention()) };
        let trunk = TrunkMeta { preprocessing, ..trunk };
        let classes = match is_network {
            true => Some(classes_of(scheme, &present, &metadata, options, &mut remarks)?),
            false => None,
        };
        let contents = match (classes, variant) {
            (None, _) => Contents::Trunk(trunk),
            (Some(classes), Some(variant)) => {
                Contents::Network(trunk.with_head(variant, geometry_of(scheme, source, &metadata, options)?, classes))
            }
            (Some(classes), None) => Contents::Network(unet_of(scheme, &present, classes, trunk.preprocessing)?),
        };
        if scheme == Scheme::Layers && preprocessing_from == BY_LAYER_NAMES {
            remarks.push(
                "the input convention is Caffe's, with which networks of these names are published; say \
                 `input_convention` if this one was trained with another"
                    .to_string(),
            );
        }
        let at_once = at_once_of(variant, &metadata, source, options, &mut remarks)?;
        let mut recipes = recipes_of(scheme, &contents, at_once, &present);
        if contents.network().is_none() && has_features_alone(scheme, &present, source)? {
            recipes.retain(|recipe| !recipe.spec.name.starts_with("fc"));
            present.retain(|name, _| !name.starts_with("classifier."));
            remarks.push(FEATURES_ALONE.to_string());
        }
        fit(scheme, &contents, &recipes, &present)?;
        Ok(Plan { scheme, contents, recipes, left_out, preprocessing_from, remarks })
    }

    fn report(self, source: &Source, out: &Path) -> ImportReport {
        let network = self.contents.network();
        let trunk = self.contents.trunk();
        let (width, channels) = match (&trunk, network.map(|meta| meta.architecture)) {
            (_, Some(Architecture::Unet(spec))) => (spec.width, spec.channels().to_vec()),
            (Some(trunk), _) => {
                let channels = trunk.trunk.channels.unwrap_or_else(|| channels_at_width(trunk.width));
                (trunk.width, channels.to_vec())
            }
            (None, _) => (1.0, Vec::new()),
        };
        let fcn = network.and_then(ModelMeta::as_fcn);
        ImportReport {
            out: out.to_path_buf(),
            source: source.path.clone(),
            format: source.format(),
            names: self.scheme.label(),
            contents: if network.is_some() { "network" } else { "trunk" },
            variant: fcn.map(|spec| spec.variant),
            backbone: trunk.map(|trunk| trunk.backbone),
            width,
            channels,
            classes: network.map(|meta| meta.classes.names.clone()),
            geometry: fcn.map(|spec| spec.geometry),
            preprocessing: self.contents.preprocessing().clone(),
            preprocessing_from: self.preprocessing_from,
            parameters: self.recipes.iter().map(|recipe| recipe.spec.len()).sum(),
            taken: self.recipes.iter().map(Recipe::taken).collect(),
            left_out: self.left_out,
            remarks: self.remarks,
        }
    }
}

impl Recipe {
    fn values(&self, scheme: Scheme, source: &mut Source) -> Result<Vec<f32>> {
        let mut values = match self.change {
            Change::Permuted => source.read_hwio(&self.from)?,
            _ => source.read(&self.from)?,
        };
        match self.change {
            Change::Scaled(factor) => values.iter_mut().for_each(|value| *value *= factor),
            Change::LessBias => {
                let bias = source.read(&scheme.name(&bias_before(&self.spec.name)))?;
                values.iter_mut().zip(bias).for_each(|(mean, bias)| *mean -= bias);
            }
            Change::None | Change::Reshaped | Change::Permuted => {}
        }
        refuse_not_finite(&self.from, &values).map_err(|e| e.at(&source.path))?;
        Ok(values)
    }

    fn taken(&self) -> Taken {
        let change = match self.change {
            Change::None => String::new(),
            Change::Reshaped => "a matrix, read as a convolution".to_string(),
            Change::Permuted => "from height, width, in, out to out, in, height, width".to_string(),
            Change::Scaled(factor) => format!("times {factor}, the factor of its pool"),
            Change::LessBias => "less the convolution's bias".to_string(),
        };
        Taken { from: self.from.clone(), to: self.spec.name.clone(), shape: self.spec.shape.clone(), change }
    }
}

/// The name of the bias that a convolution has before a normalisation with this running mean.
fn bias_before(running_mean: &str) -> String {
    format!("{}.bias", running_mean.split('.').next().unwrap_or_default())
}

type Shapes = BTreeMap<String, Vec<usize>>;

/// What is left out, and the shapes of all the rest.
fn sort_out(scheme: Scheme, source: &Source) -> (Vec<LeftOut>, Shapes) {
    let mut left_out = Vec::new();
    let mut present = Shapes::new();
    for tensor in &source.tensors {
        match scheme.left_out(&tensor.name) {
            Some(reason) => left_out.push(LeftOut { name: tensor.name.clone(), reason: reason.to_string() }),
            None => drop(present.insert(tensor.name.clone(), tensor.shape.clone())),
        }
    }
    for (name, words) in source.notes() {
        left_out.push(LeftOut { name, reason: format!("not of the network: {words}") });
    }
    (left_out, present)
}

/// Backbone, width and channels, as far as names and shapes determine them; a missing or odd tensor is found later, by
/// comparison with what these ask for.
fn trunk_of(scheme: Scheme, present: &Shapes) -> TrunkMeta {
    let base = channels_at_width(1.0);
    let first_of_stages: Vec<String> = (1..=STAGES.len()).map(|stage| format!("conv{stage}_1")).collect();
    let layers = first_of_stages.iter().map(String::as_str).chain(["fc6", "fc7"]);
    let mut channels = base;
    for (count, layer) in channels.iter_mut().zip(layers) {
        let shape = present.get(&scheme.name(&format!("{layer}.weight")));
        let outputs = if scheme.is_hwio() { shape.and_then(|s| s.last()) } else { shape.and_then(|s| s.first()) };
        *count = outputs.copied().filter(|&outputs| outputs > 0).unwrap_or(*count);
    }
    // The width whose channels these are, or about that of the first layer.
    let candidates = channels.iter().zip(base).map(|(&count, base)| count as f32 / base as f32);
    let exact = candidates.into_iter().find(|&width| width >= MIN_WIDTH && channels_at_width(width) == channels);
    let nearest = (channels[0] as f32 / base[0] as f32).clamp(MIN_WIDTH, MAX_WIDTH);
    let has = |ours: &str| present.contains_key(&scheme.name(ours));
    let normalised = |layer: &str| has(&format!("{layer}.norm.weight")) || has(&format!("{layer}.norm.running_mean"));
    let backbone = match scheme == Scheme::TorchvisionBn || scheme == Scheme::Layers && normalised("conv1_1") {
        true => Backbone::Vgg16Bn,
        false => Backbone::Vgg16,
    };
    TrunkMeta {
        backbone,
        width: exact.unwrap_or(nearest),
        trunk: TrunkShape {
            channels: if exact.is_some() { None } else { Some(channels) },
            plain_fc: backbone == Backbone::Vgg16Bn && !normalised("fc6"),
        },
        preprocessing: Preprocessing::default(),
    }
}

/// A U-Net of the width that its channels have, or else of its first layer's.
fn unet_of(scheme: Scheme, present: &Shapes, classes: Classes, preprocessing: Preprocessing) -> Result<ModelMeta> {
    let first_weight = |level: usize| scheme.name(&format!("conv_d{level}a-b.weight"));
    let channels: [usize; LEVELS.len()] = std::array::from_fn(|level| {
        present.get(&first_weight(level)).and_then(|shape| shape.first()).copied().unwrap_or(0)
    });
    let normalised = present.contains_key(&scheme.name("conv_d0a-b.norm.weight"));
    let mut widths = channels.iter().zip(LEVELS).map(|(&found, full)| found as f32 / full as f32);
    let first = channels[0] as f32 / LEVELS[0] as f32;
    let width = widths
        .find(|&width| width >= MIN_WIDTH && UnetSpec { width, normalised }.channels() == channels)
        .unwrap_or(first);
    if !(MIN_WIDTH..=MAX_WIDTH).contains(&width) {
        return Err(Error::weights(format!(
            "{} has {} channels; expected {} times a width of {MIN_WIDTH} to {MAX_WIDTH}",
            first_weight(0),
            channels[0],
            LEVELS[0]
        )));
    }
    let architecture = Architecture::Unet(UnetSpec { width, normalised });
    Ok(ModelMeta { architecture, classes, preprocessing })
}

/// What is said of a key that the tensors are under, and of a prefix of all names.
fn where_the_names_were(source: &Source) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(source.key().map(|key| format!("the tensors are those under the key '{key}' of the checkpoint")));
    if !source.prefix.is_empty() {
        said.push(format!("every name begins with '{}', which is left out", source.prefix));
    }
    said
}

const FEATURES_ALONE: &str =
    "only the convolutions are here, as in torchvision's IMAGENET1K_FEATURES: fc6 and fc7 start anew";

/// Whether torchvision's fully connected layers are missing or NaN, as in the files of which it publishes the convolutions
/// alone.
fn has_features_alone(scheme: Scheme, present: &Shapes, source: &mut Source) -> Result<bool> {
    if !matches!(scheme, Scheme::Torchvision | Scheme::TorchvisionBn) {
        return Ok(false);
    }
    let bias = scheme.name("fc6.bias");
    if !present.contains_key(&bias) {
        return Ok(!present.keys().any(|name| name.starts_with("classifier.")));
    }
    Ok(source.read(&bias)?.iter().all(|value| value.is_nan()))
}

/// The variant whose score layers there are; `None` where there are none.
fn variant_of(present: &Shapes) -> Option<Variant> {
    let has = |layer: &str| present.keys().any(|name| name.starts_with(&format!("{layer}.")));
    match () {
        _ if has("score_pool3") => Some(Variant::Fcn8s),
        _ if has("score_pool4") => Some(Variant::Fcn16s),
        _ if has("score_fr") => Some(Variant::Fcn32s),
        _ => None,
    }
}

const BY_LAYER_NAMES: &str = "the layer names";

/// How the input must be prepared and what says so, as far as that is known without hashing the file.
fn preprocessing_of(
    scheme: Scheme,
    is_network: bool,
    metadata: &BTreeMap<String, String>,
    source: &mut Source,
    options: &ImportOptions,
) -> Result<Option<(Preprocessing, String)>> {
    let found = |preprocessing: Preprocessing, from: &str| Ok(Some((preprocessing, from.to_string())));
    if let Some(convention) = options.convention {
        return found(convention.preprocessing(), "`input_convention`");
    }
    if let Some(text) = metadata.get("preprocessing") {
        let said = serde_json::from_str(text)
            .map_err(|e| Error::weights(format!("metadata `preprocessing` is `{text}`: {e}")))?;
        return found(said, "the file's metadata");
    }
    if scheme == Scheme::Slim {
        let mut slim = Convention::TfSlim.preprocessing();
        let has_mean = source.tensors.iter().any(|tensor| tensor.name == MEAN_RGB);
        if has_mean && let Ok(mean) = <[f32; 3]>::try_from(source.read(MEAN_RGB)?) {
            slim.mean = mean;
            return found(slim, MEAN_RGB);
        }
        return found(slim, BY_LAYER_NAMES);
    }
    if let Some(convention) = Convention::of_file(&source.path) {
        return found(convention.preprocessing(), "the file's published name");
    }
    if scheme == Scheme::Layers && is_network && !may_be_own(source) {
        return found(Convention::Caffe.preprocessing(), BY_LAYER_NAMES);
    }
    if scheme == Scheme::Unet {
        return found(Convention::Unit.preprocessing(), BY_LAYER_NAMES);
    }
    Ok(None)
}

/// Whether a file with the published layer names may be one of this program's that has lost its metadata: only those have
/// normalisations, and pytorch-fcn publishes no safetensors.
fn may_be_own(source: &Source) -> bool {
    source.format() == "safetensors" || source.tensors.iter().any(|tensor| tensor.name.contains(".norm."))
}

fn untold_convention() -> Error {
    Error::usage("nothing says how the input of these weights must be prepared (channel order, scale, mean)").hint(
        format!(
            "say `input_convention` {}; torchvision's own weights are `torchvision`, those that come from Caffe \
             (vgg16_from_caffe.pth) are `caffe`",
            Convention::words().replace(", ", "|")
        ),
    )
}

/// The classes of a network: as told, or as many names as there are outputs.
fn classes_of(
    scheme: Scheme,
    present: &Shapes,
    metadata: &BTreeMap<String, String>,
    options: &ImportOptions,
    remarks: &mut Vec<String>,
) -> Result<Classes> {
    let layer = if scheme.is_unet() { "score" } else { "score_fr" };
    let [weight, bias] = ["weight", "bias"].map(|role| scheme.name(&format!("{layer}.{role}")));
    let outputs = [&weight, &bias].into_iter().find_map(|name| present.get(name)?.first().copied());
    let Some(count) = outputs.filter(|count| (1..=255).contains(count)) else {
        let found = outputs.map_or("missing".to_string(), |count| format!("{count} classes"));
        return Err(Error::weights(format!("{weight}: {found}; expected 1 to 255 classes")));
    };
    let from_metadata = || {
        let names: Vec<String> = serde_json::from_str(metadata.get("classes")?).ok()?;
        let palette = metadata.get("palette").and_then(|text| serde_json::from_str(text).ok());
        let palette = palette.unwrap_or_else(|| Classes::named(names.clone()).palette);
        Some(Classes { names, palette })
    };
    if let Some(classes) = options.classes.clone().or_else(from_metadata) {
        return match classes.len() == count && classes.palette.len() == count {
            true => Ok(classes),
            false => Err(Error::weights(format!(
                "the class list has {} classes, the network's score layers {count}",
                classes.len()
            ))
            .hint("name the classes that it was trained on with `classes`")),
        };
    }
    if count == VOC_NAMES.len() {
        remarks.push("21 classes, taken for PASCAL VOC's; `classes` names others".to_string());
        return Ok(Classes::voc());
    }
    remarks.push(format!("the {count} classes have no names in the file; `classes` gives them some"));
    Ok(Classes::named((0..count).map(|id| format!("class {id}"))))
}

fn geometry_of(
    scheme: Scheme,
    source: &Source,
    metadata: &BTreeMap<String, String>,
    options: &ImportOptions,
) -> Result<Geometry> {
    if let Some(geometry) = options.geometry {
        return Ok(geometry);
    }
    if let Some(text) = metadata.get("geometry") {
        return serde_json::from_value(text.clone().into())
            .map_err(|e| Error::weights(format!("metadata `geometry` is `{text}`: {e}")));
    }
    match scheme {
        Scheme::Layers if !may_be_own(source) => Ok(Geometry::Caffe),
        _ => Err(Error::usage("nothing says how this network treats borders")
            .hint("say `geometry` same (padding everywhere) or `geometry` caffe (the published models')")),
    }
}

/// Whether pool4 and pool3 were scaled in training: as told, by pytorch-fcn's trainer, by the file's name.
fn at_once_of(
    variant: Option<Variant>,
    metadata: &BTreeMap<String, String>,
    source: &Source,
    options: &ImportOptions,
    remarks: &mut Vec<String>,
) -> Result<bool> {
    if variant != Some(Variant::Fcn8s) {
        return match options.at_once {
            true => Err(Error::usage("only an FCN-8s was trained at once; this is none").hint("leave out `at_once`")),
            false => Ok(false),
        };
    }
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "").contains("atonce");
    let arch = source.notes().into_iter().find(|(key, _)| key == "arch").map(|(_, value)| value);
    let name = source.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if options.at_once {
        return Ok(true);
    }
    if metadata.contains_key("variant") {
        return Ok(false);
    }
    if let Some(arch) = arch {
        return Ok(plain(&arch));
    }
    if plain(&name) {
        remarks.push("by its name this FCN-8s was trained at once: the factors of its pools are folded in".to_string());
        return Ok(true);
    }
    remarks.push("taken for an FCN-8s that was trained in stages; `at_once` if it was trained at once".to_string());
    Ok(false)
}

/// How each tensor of the new file comes about.
fn recipes_of(scheme: Scheme, contents: &Contents, at_once: bool, present: &Shapes) -> Vec<Recipe> {
    let recipe = |spec: ParameterSpec| {
        let from = scheme.name(&spec.name);
        let is_kernel = spec.shape.len() == 4 && !belongs_to_classes(&spec.name) && !scheme.is_unet();
        let mut expected = spec.shape.clone();
        let mut change = Change::None;
        if is_kernel && scheme.is_hwio() {
            let [out, inputs, height, width] = [expected[0], expected[1], expected[2], expected[3]];
            expected = vec![height, width, inputs, out];
            change = Change::Permuted;
        } else if is_kernel && spec.name.starts_with("fc") && scheme != Scheme::Layers {
            // A fully connected layer's weight is a convolution's with its last axes run together.
            let flat = vec![expected[0], expected[1..].iter().product()];
            if present.get(&from) != Some(&expected) {
                expected = flat;
                change = Change::Reshaped;
            }
        } else if spec.name.ends_with(".norm.running_mean")
            && present.contains_key(&scheme.name(&bias_before(&spec.name)))
        {
            change = Change::LessBias;
        } else if at_once {
            change = match spec.name.as_str() {
                "score_pool4.weight" => Change::Scaled(AT_ONCE_POOL4),
                "score_pool3.weight" => Change::Scaled(AT_ONCE_POOL3),
                _ => change,
            };
        }
        Recipe { spec, from, expected, change }
    };
    contents.table().into_iter().map(recipe).collect()
}

/// Compares what the recipes ask for with what there is.
fn fit(scheme: Scheme, contents: &Contents, recipes: &[Recipe], present: &Shapes) -> Result<()> {
    let mut expected: Vec<ParameterSpec> = recipes
        .iter()
        .map(|recipe| ParameterSpec {
            name: recipe.from.clone(),
            shape: recipe.expected.clone(),
            ..recipe.spec.clone()
        })
        .collect();
    // torchvision's convolutions have biases before their normalisations too.
    if scheme == Scheme::TorchvisionBn {
        let means = recipes.iter().filter(|recipe| recipe.spec.name.ends_with(".norm.running_mean"));
        expected.extend(
            means.map(|recipe| ParameterSpec {
                name: scheme.name(&bias_before(&recipe.spec.name)),
                ..recipe.spec.clone()
            }),
        );
    }
    let found: Vec<(String, Vec<usize>)> = present.iter().map(|(name, shape)| (name.clone(), shape.clone())).collect();
    let what = match contents {
        Contents::Network(meta) => format!("{} of {} classes", meta.architecture.title(), meta.classes.len()),
        Contents::Trunk(_) => "a trunk without score layers".to_string(),
    };
    compare_tables(&expected, &found).map_err(|mut e| {
        e.message = format!("as {what} with the names of {}: {}", scheme.label(), e.message);
        e
    })
}

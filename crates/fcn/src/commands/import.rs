//! `fcn import`: weights from elsewhere as a weights file.

use std::path::PathBuf;

use fcn_core::Result;
use fcn_core::import::Convention;
use fcn_core::import::{ImportOptions, ImportReport, Taken, import};
use fcn_core::network::Geometry;
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::MaskCoding;

use crate::flags::choice::one_of;
use crate::flags::global::Global;
use crate::report;

/// Turn weights of TensorFlow or PyTorch into a weights file.
///
/// Reads VGG-16 as pretrained on ImageNet (TF-slim, torchvision, Caffe's under torchvision's names) and whole FCNs
/// (pytorch-fcn): TensorFlow V1 and V2 checkpoints, files of torch.save, safetensors. Width and number of classes are
/// read from the shapes. Weights without score layers are for `fcn train --init`.
///
/// Example: fcn import vgg_16.ckpt --out vgg16.safetensors
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The file; of a TensorFlow V2 checkpoint the prefix or the .index
    file: PathBuf,
    /// Weights file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the weights expect to see [default: as the file, its published name or its hash says; an error where none
    /// does]
    #[arg(long, value_name = "NAME", value_parser = one_of::<Convention>())]
    input_convention: Option<Convention>,
    /// Class list of a whole network, `id name [r g b]` a line
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Border treatment of a whole network [default: as the file says; caffe for pytorch-fcn]
    #[arg(long, value_name = "NAME", value_parser = one_of::<Geometry>())]
    geometry: Option<Geometry>,
    /// The FCN-8s was trained at once: fold the factors .01 and .0001 of its pools into the score layers
    #[arg(long)]
    at_once: bool,
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let options = ImportOptions {
        convention: args.input_convention,
        classes: args.classes.map(|path| MaskCoding::read(&path).map(|coding| coding.classes)).transpose()?,
        geometry: args.geometry,
        at_once: args.at_once,
    };
    let mut imported = import(&args.file, &args.out, &options)?;
    let said = std::iter::once(&mut imported.preprocessing_from).chain(&mut imported.remarks);
    said.for_each(|text| *text = global.wording.put(text));
    match global.json {
        true => report::print_json(&imported),
        false => {
            report::print_line(&text(&imported, global));
            Ok(())
        }
    }
}

fn text(imported: &ImportReport, global: &Global) -> String {
    let what = match (imported.variant, &imported.classes) {
        (Some(variant), Some(classes)) => format!(
            "FCN-{} with {} classes, geometry {}",
            word(&variant),
            classes.len(),
            imported.geometry.map_or(String::new(), |geometry| word(&geometry))
        ),
        _ => "trunk without score layers, to train from with --init".to_string(),
    };
    let channels: Vec<String> = imported.channels.iter().map(usize::to_string).collect();
    let mut lines = vec![
        format!("{}: {}, {}", imported.source.display(), imported.format, imported.names),
        format!("  {what}"),
        format!("  {}, channels {}, {} parameters", word(&imported.backbone), channels.join(" "), imported.parameters),
        format!("  input: {} (by {})", formula(&imported.preprocessing), imported.preprocessing_from),
        format!("taken: {} tensors{}", imported.taken.len(), renamed(imported)),
    ];
    if global.verbose {
        for Taken { from, to, change, .. } in &imported.taken {
            let change = if change.is_empty() { String::new() } else { format!(" ({change})") };
            lines.push(format!("  {to} <- {from}{change}"));
        }
        lines.extend(imported.left_out.iter().map(|left| format!("left out: {}: {}", left.name, left.reason)));
    } else {
        let changed = imported.taken.iter().filter(|taken| !taken.change.is_empty());
        lines.extend(
            grouped(changed.map(|taken| (taken.change.as_str(), taken.from.as_str()))).map(|line| format!("  {line}")),
        );
        let left_out = imported.left_out.iter().map(|left| (left.reason.as_str(), left.name.as_str()));
        lines.extend(grouped(left_out).map(|line| format!("left out: {line}")));
    }
    lines.extend(imported.remarks.iter().map(|remark| format!("note: {remark}")));
    lines.push(format!("written: {}", imported.out.display()));
    lines.join("\n")
}

/// The first tensor as an example, where the source has other names.
fn renamed(imported: &ImportReport) -> String {
    match imported.taken.iter().find(|taken| taken.from != taken.to) {
        Some(taken) => format!(", renamed as {} <- {}", taken.to, taken.from),
        None => String::new(),
    }
}

/// One line for each remark, with the first names that it is made of.
fn grouped<'a>(remarks: impl Iterator<Item = (&'a str, &'a str)>) -> impl Iterator<Item = String> {
    const SHOWN: usize = 3;
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (remark, name) in remarks {
        match groups.iter_mut().find(|(known, _)| *known == remark) {
            Some((_, names)) => names.push(name),
            None => groups.push((remark, vec![name])),
        }
    }
    groups.into_iter().map(|(remark, names)| {
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}: {remark}", names[..names.len().min(SHOWN)].join(", "))
    })
}

/// The word that files and flags have for a value.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_string)).unwrap_or_default()
}

/// A convention as a person would write it: `BGR 0-255 minus 104.0/116.7/122.7`.
fn formula(preprocessing: &Preprocessing) -> String {
    let list = |values: [f32; 3]| values.map(|value| value.to_string()).join("/");
    let channels = format!("{:?}", preprocessing.channels).to_uppercase();
    let scaled = if preprocessing.scale == 1.0 { String::new() } else { format!(" times {}", preprocessing.scale) };
    let divided =
        if preprocessing.std == [1.0; 3] { String::new() } else { format!(", divided by {}", list(preprocessing.std)) };
    format!("{channels} 0-255{scaled} minus {}{divided}", list(preprocessing.mean))
}

//! `fcn export`: a network for another program.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use fcn_core::export::onnx::{OPSETS, OnnxOptions};
use fcn_core::export::state_dict::Names;
use fcn_core::export::{Exported, Target, export};
use fcn_core::weights::weights_file;
use fcn_core::{Error, Result};

use crate::flags::choice::{choice, words};
use crate::flags::global::Global;
use crate::report;

/// Write a network for ONNX runtimes or for PyTorch.
///
/// An ONNX file takes images of any number and size, float32 [N, 3, H, W], normalised as its metadata say, and gives
/// `logits` [N, classes, H, W]. Classes, colours and preprocessing are in its metadata. A state dict is written as
/// .safetensors or .pth, by the name of the file.
///
/// Examples:
///   fcn export --weights runs/voc --out voc.onnx
///   fcn export --weights runs/voc --out voc.onnx --embed-preprocessing
///   fcn export --weights fcn8s.safetensors --out fcn8s.pth --to pytorch-fcn
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Weights file, checkpoint, or run folder (its best checkpoint)
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// onnx, or the names of a state dict: torchvision (trunk and score_fr as a classifier), pytorch-fcn (all of it)
    #[arg(long, value_name = "FORMAT", default_value = "onnx", value_parser = formats())]
    to: String,
    /// ONNX: also give `probabilities`, float32 [N, classes, H, W]
    #[arg(long)]
    softmax: bool,
    /// ONNX: also give `mask`, uint8 [N, H, W]: the class of each pixel
    #[arg(long)]
    argmax: bool,
    /// ONNX: take photographs, uint8 [N, H, W, 3], RGB, and give `mask` in place of `logits`
    #[arg(long)]
    embed_preprocessing: bool,
    /// ONNX: version of the operators, 17 to 22
    #[arg(long, value_name = "N", default_value_t = *OPSETS.start())]
    opset: i64,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// The words of `--to`.
fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(std::iter::once("onnx").chain(words::<Names>().iter().copied()))
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let options = OnnxOptions {
        opset: args.opset,
        softmax: args.softmax,
        argmax: args.argmax,
        embed_preprocessing: args.embed_preprocessing,
    };
    let target = match args.to.as_str() {
        "onnx" => Target::Onnx(options),
        names if options == OnnxOptions::default() => Target::StateDict(choice("--to", names)?),
        names => {
            return Err(Error::usage(format!(
                "--softmax, --argmax, --embed-preprocessing and --opset belong to onnx; --to is {names}"
            )));
        }
    };
    let done = export(&weights_file(&args.weights)?, &args.out, target, args.force)?;
    match global.json {
        true => report::print_json(&done),
        false => {
            report::print_line(&text(&done));
            Ok(())
        }
    }
}

fn text(done: &Exported) -> String {
    let mut lines = vec![format!("{}  {}, {}", done.file.display(), done.format, report::bytes(done.bytes))];
    for (what, values) in [("in ", &done.inputs), ("out", &done.outputs)] {
        lines.extend(values.iter().map(|v| format!("{what}  {}  {} [{}]", v.name, v.dtype, v.shape.join(", "))));
    }
    lines.extend(done.notes.iter().cloned());
    if !done.left_out.is_empty() {
        lines.push(format!("left out: {}", done.left_out.join(", ")));
    }
    lines.join("\n")
}

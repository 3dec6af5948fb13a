//! `fcn crf`: anyone's probabilities and their photograph in, the CRF's mask out; or a search for good parameters.
//!
//! This page refines one photograph; `search` tries sets of parameters on images of a data set. Every part of the input is
//! validated before the next one is read, and no result takes the place of an input.

mod search;

use std::path::{Path, PathBuf};
use std::time::Instant;

use fcn_core::infer::{self, CrfParams, Refined, Unaries, energy_of};
use fcn_core::{Error, Result};
use segdata::dataset::OpenOptions;
use segdata::files::npy::{self, ArrayFile};
use segdata::files::write::write_bytes_atomically;
use segdata::image::{ReadOptions, RgbImage, decode_rgb_with, encode_mask_png, read_header};
use segdata::labels::{Classes, LabelMap, MaskCoding, VOID, most_likely};
use serde::Serialize;

use crate::flags::crf::CrfFlags;
use crate::flags::global::Global;
use crate::flags::reading::ReadingFlags;
use crate::report;

/// Sharpen probabilities by the colours of their photograph with a fully connected CRF, or find its parameters.
///
/// The probabilities may be anyone's: a .npy of floats, [classes, height, width] in C order, at the
/// size of the photograph as it is stored (an EXIF rotation is not applied). They are raised to at
/// least 1e-5. The mask is an index PNG with the palette; without --fast it is the one that pydensecrf
/// gives, for any number of threads.
///
/// Examples:
///   fcn predict cat.jpg --weights runs/voc --out masks --save-probabilities
///   fcn crf cat.jpg --probabilities masks/cat.npy --out cat.png --iterations 10
///   fcn crf --search --weights runs/voc --data VOC2012 --images 50
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Photograph that the probabilities belong to
    #[arg(required_unless_present = "search")]
    image: Option<PathBuf>,
    /// Probabilities of the classes, [classes, height, width]
    #[arg(long, value_name = "FILE.npy", required_unless_present = "search")]
    probabilities: Option<PathBuf>,
    /// Where to write the mask
    #[arg(long, value_name = "MASK.png", required_unless_present = "search")]
    out: Option<PathBuf>,
    /// Also write the probabilities after the CRF, float32, [classes, height, width]
    #[arg(long, value_name = "FILE.npy")]
    save_probabilities: Option<PathBuf>,
    /// Class list (`id name [r g b]` a line): colours of the mask [default: VOC's colour map], or for --search the classes
    /// of data that brings none
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// GiB that may be used [default: the memory available, 16 at most]
    #[arg(long, value_name = "GIB")]
    max_memory: Option<f64>,
    #[command(flatten)]
    reading: ReadingFlags,
    #[command(flatten)]
    crf: CrfFlags,
    #[command(flatten)]
    search: search::SearchFlags,
}

/// What came of one photograph.
#[derive(Serialize)]
struct Summary {
    image: PathBuf,
    width: usize,
    height: usize,
    classes: usize,
    mask: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<PathBuf>,
    changed: f64,
    changed_pixels: u64,
    seconds: f64,
    parameters: CrfParams,
}

pub fn run(args: Args, global: &Global) -> Result<()> {
    let params = args.crf.params()?;
    if args.search.search {
        refuse_with_search(&args)?;
        let open =
            OpenOptions { reading: args.reading.options(), ..OpenOptions::with_classes(args.classes.as_deref()) };
        return search::run(&args.search, &open, params, global);
    }
    args.search.refuse_alone()?;
    let (Some(image), Some(probabilities), Some(out)) = (&args.image, &args.probabilities, &args.out) else {
        return Err(Error::usage("a photograph, --probabilities and --out are needed").hint("or --search"));
    };
    refuse_overwriting(&args, image, probabilities)?;
    let limit_bytes = limit(args.max_memory)?;
    let input = Input::read(image, probabilities, &params, limit_bytes, &args.reading.options())?;
    let palette = palette(args.classes.as_deref(), input.classes)?;

    let started = Instant::now();
    let unaries = Unaries { probabilities: &input.probabilities, energies: input.energies.as_deref() };
    let refined = infer::refine_within(&params, &input.photo, input.classes, unaries, limit_bytes)
        .map_err(|e| if e.path.is_none() { e.at(probabilities) } else { e })?;
    let seconds = started.elapsed().as_secs_f64();
    write(&args, out, &input, &refined, &palette)?;

    let RgbImage { width, height, .. } = input.photo;
    let raw = LabelMap { width, height, ids: most_likely(&input.probabilities, input.classes).unwrap_or_default() };
    let changed_pixels = infer::changed_pixels(&raw, &refined.labels);
    if input.classes == infer::MAX_CLASSES && refined.labels.ids.contains(&VOID) {
        report::note("note: the mask holds class 255, which other programs and `fcn eval` take for void");
    }
    let summary = Summary {
        image: image.clone(),
        width,
        height,
        classes: input.classes,
        mask: out.clone(),
        probabilities: args.save_probabilities.clone(),
        changed: changed_pixels as f64 / (width * height) as f64,
        changed_pixels,
        seconds,
        parameters: params,
    };
    if global.json {
        return report::print_json(&summary);
    }
    report::print_line(&format!(
        "{}  the CRF changed {} of the pixels ({width}x{height}, {} classes, {} iterations, {})",
        out.display(),
        report::percent(summary.changed),
        input.classes,
        params.iterations,
        report::duration(seconds)
    ));
    Ok(())
}

/// What goes into the CRF, each part checked before the next one is read.
struct Input {
    photo: RgbImage,
    classes: usize,
    probabilities: Vec<f32>,
    /// Of probabilities in 64 bits.
    energies: Option<Vec<f32>>,
}

impl Input {
    fn read(
        image: &Path,
        probabilities: &Path,
        params: &CrfParams,
        limit_bytes: u64,
        reading: &ReadOptions,
    ) -> Result<Self> {
        let bytes = segdata::files::read::read("the photograph", image)?;
        let header = read_header(&bytes).map_err(|e| e.at(image))?;
        let size = [header.size.width, header.size.height];
        let file = ArrayFile::open(probabilities)?;
        let classes = infer::check_shape(file.shape(), size).map_err(|e| e.at(probabilities))?;
        infer::memory_left(params, size, classes, limit_bytes).map_err(|e| e.at(probabilities))?;
        let photo = decode_rgb_with(&bytes, reading).map_err(|e| e.at(image))?;
        let named = |e: Error| e.at(probabilities);
        if !file.is_f64() {
            return Ok(Input { photo, classes, probabilities: file.values().map_err(named)?, energies: None });
        }
        let (mut values, mut energies) = (Vec::new(), Vec::new());
        file.each_f64(|probability| {
            values.push(probability as f32);
            energies.push(energy_of(probability));
        })
        .map_err(named)?;
        Ok(Input { photo, classes, probabilities: values, energies: Some(energies) })
    }
}

fn limit(max_memory_gib: Option<f64>) -> Result<u64> {
    match max_memory_gib {
        None => Ok(infer::memory_limit()),
        Some(gib) if gib > 0.0 && gib <= 1e6 => Ok((gib * (1u64 << 30) as f64) as u64),
        Some(gib) => Err(Error::usage(format!("--max-memory {gib}: expected a number of GiB above 0"))),
    }
}

/// The colours of the mask: those of the class list, which must name as many classes, or VOC's.
fn palette(list: Option<&Path>, classes: usize) -> Result<Classes> {
    let Some(list) = list else { return Ok(Classes { names: Vec::new(), palette: Vec::new() }) };
    let named = MaskCoding::read(list)?.classes;
    match named.len() == classes {
        true => Ok(named),
        false => Err(Error::data(format!(
            "the class list names {} classes, the probabilities are of {classes}",
            named.len()
        ))
        .at(list)),
    }
}

fn write(args: &Args, out: &Path, input: &Input, refined: &Refined, palette: &Classes) -> Result<()> {
    let png = encode_mask_png(&refined.labels, palette)?;
    write_bytes_atomically(out, &png)?;
    match &args.save_probabilities {
        Some(path) => npy::write(path, &[input.classes, input.photo.height, input.photo.width], &refined.probabilities),
        None => Ok(()),
    }
}

/// Refuses, before any work, a result in the place of an input or of the other result, and one without a folder.
fn refuse_overwriting(args: &Args, image: &Path, probabilities: &Path) -> Result<()> {
    let folder = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let place = |path: &Path| Some((folder(path).canonicalize().ok()?, path.file_name()?.to_os_string()));
    let mut taken = vec![("the photograph", image), ("the probabilities", probabilities)];
    let results = [("--out", args.out.as_deref()), ("--save-probabilities", args.save_probabilities.as_deref())];
    for (flag, path) in results {
        let Some(path) = path else { continue };
        if !folder(path).is_dir() {
            let message = format!("{flag}: there is no folder {}", folder(path).display());
            return Err(Error::new(fcn_core::ErrorKind::Io, message).at(path).hint("create it first"));
        }
        let same = |other: &Path| place(other).is_some_and(|other| Some(other) == place(path));
        if let Some((what, _)) = taken.iter().find(|(_, other)| same(other)) {
            return Err(Error::usage(format!("{flag} would take the place of {what}"))
                .at(path)
                .hint("name another file"));
        }
        taken.push(("the mask", path));
    }
    Ok(())
}

fn refuse_with_search(args: &Args) -> Result<()> {
    let given = [
        ("IMAGE", args.image.is_some()),
        ("--probabilities", args.probabilities.is_some()),
        ("--out", args.out.is_some()),
        ("--save-probabilities", args.save_probabilities.is_some()),
        ("--max-memory", args.max_memory.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((what, _)) => Err(Error::usage(format!("{what} does not go with --search, which writes nothing"))),
        None => Ok(()),
    }
}

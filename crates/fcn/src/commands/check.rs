//! `fcn check`: the data-set linter.

use std::path::PathBuf;

use fcn_core::train::TrainConfig;
use fcn_core::{Error, Result};
use segdata::check::{CheckOptions, CheckPictures, Problem, Report, Severity, SixteenBits, SplitReport, check};
use segdata::convert::DEFAULT_MIN_SIZE;
use segdata::dataset::augment::AugmentOptions;

use crate::flags::data::DataFlags;
use crate::flags::global::Global;
use crate::flags::mask_values::MaskValuesFlag;
use crate::report;

/// Look for everything that would end in a wrong score, before training
///
/// Reads every image and mask once and reports all problems, each with its remedy, and counts by class.
/// Exits with 3 when training on the data would be wrong.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: fcn check VOCdevkit/VOC2012 --split train")]
pub struct Args {
    /// A folder, zip or tar in any usual layout, or record files (a folder, a file or a glob)
    data: PathBuf,
    /// Only this split [default: all]
    #[arg(long)]
    split: Option<String>,
    /// Class list, `id name [r g b]` a line [default: classes.txt in DATA]
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    #[command(flatten)]
    data_flags: DataFlags,
    /// Report images whose shorter side is below this, in pixels
    #[arg(long, default_value_t = DEFAULT_MIN_SIZE, value_name = "PIXELS")]
    min_size: usize,
    #[command(flatten)]
    mask_values: MaskValuesFlag,
    /// Write the class list that is proposed to this new file
    #[arg(long, value_name = "FILE")]
    write_classes: Option<PathBuf>,
    /// Write pictures to this folder: photographs under their masks, bars of classes and sizes, and crops as training
    /// sees them by default
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
}

/// Problems of one kind that are printed; --verbose and --json show all.
const SHOWN_OF_A_KIND: usize = 5;

/// Checks, prints, and fails when anything is wrong.
pub fn run(args: Args, global: &Global) -> Result<()> {
    let open = args.data_flags.options(args.classes, args.mask_values.given())?;
    let TrainConfig { crop, scale_min, scale_max, flip, .. } = TrainConfig::default();
    let augment = AugmentOptions { crop, scale_min, scale_max, flip };
    let pictures = args.pictures.map(|folder| CheckPictures { folder, augment });
    let options = CheckOptions { data: args.data.clone(), open, split: args.split, min_size: args.min_size, pictures };
    let progress = report::Progress::new("check", 0, global);
    let mut found = check(&options, &|done, total| progress.at(done, total))?;
    drop(progress);
    found.problems.iter_mut().for_each(|problem| problem.hint = global.wording.put(&problem.hint));
    if global.json {
        report::print_json(&found)?;
    } else {
        report::print_line(&found.layout.line());
        found.splits.iter().for_each(|split| report::print_line(&split_text(split)));
        report::print_line(&problems_text(&found, global.verbose));
        found.pictures.iter().for_each(|path| report::note(&format!("wrote {}", path.display())));
    }
    if let Some(file) = &args.write_classes {
        found.write_class_list(file)?;
        report::note(&format!("the proposed class list is in {}", file.display()));
    }
    if found.ok {
        return Ok(());
    }
    let errors = found.problems.iter().filter(|p| p.severity == Severity::Error).count();
    let what = if errors == 1 { "1 error".to_string() } else { format!("{errors} errors") };
    Err(Error::data(format!("{what}: training on this data would be wrong"))
        .at(args.data)
        .hint("each problem above names its remedy"))
}

fn split_text(split: &SplitReport) -> String {
    let mut lines = vec![format!("{}: {} images, {} usable", split.name, split.images, split.usable)];
    if let (Some(small), Some(large)) = (split.smallest, split.largest) {
        lines.push(match split.different_sizes {
            1 => format!("  all {small}"),
            n => {
                format!("  {n} sizes, {}-{} wide, {}-{} high", small.width, large.width, small.height, large.height)
            }
        });
    }
    if let Some(SixteenBits { images, greatest, bits }) = split.of_16bit {
        lines.push(format!("  {images} photographs of 16 bits a sample, greatest value {greatest} ({bits} bits)"));
    }
    let pixels: u64 = split.per_class.iter().map(|c| c.pixels).sum::<u64>() + split.void_pixels + split.unknown_pixels;
    let share = |n: u64| format!("{:.2} %", 100.0 * n as f64 / pixels.max(1) as f64);
    let mut rows: Vec<Vec<String>> = split
        .per_class
        .iter()
        .filter(|c| c.images > 0)
        .map(|c| vec![format!("  {} {}", c.id, c.name), c.images.to_string(), c.pixels.to_string(), share(c.pixels)])
        .collect();
    rows.push(vec!["  void".into(), String::new(), split.void_pixels.to_string(), share(split.void_pixels)]);
    if split.unknown_pixels > 0 {
        rows.push(vec![
            "  no class".into(),
            String::new(),
            split.unknown_pixels.to_string(),
            share(split.unknown_pixels),
        ]);
    }
    lines.push(report::table(&["  class", "images", "pixels", "share"], &rows));
    lines.join("\n") + "\n"
}

/// Problems grouped by kind, with the remedy once a kind.
fn problems_text(found: &Report, all: bool) -> String {
    if found.problems.is_empty() {
        return "no problems found".into();
    }
    let mut codes: Vec<&str> = Vec::new();
    for problem in &found.problems {
        if !codes.contains(&problem.code) {
            codes.push(problem.code);
        }
    }
    let of = |code: &str| found.problems.iter().filter(|p| p.code == code).collect::<Vec<_>>();
    codes.into_iter().map(|code| kind_text(code, &of(code), all)).collect::<Vec<_>>().join("\n")
}

fn kind_text(code: &str, problems: &[&Problem], all: bool) -> String {
    let shown = if all { problems.len() } else { SHOWN_OF_A_KIND };
    let word = problems.first().map_or("", |p| if p.severity == Severity::Error { "error" } else { "warning" });
    let mut lines = vec![format!("{word} {code} ({})", problems.len())];
    let mut last_hint = "";
    for problem in problems.iter().take(shown) {
        if !last_hint.is_empty() && last_hint != problem.hint {
            lines.push(format!("  hint: {}", last_hint.replace('\n', "\n    ")));
        }
        lines.push(format!("  {}", problem.message));
        last_hint = &problem.hint;
    }
    if problems.len() > shown {
        lines.push(format!("  and {} more (--verbose shows all)", problems.len() - shown));
    }
    if !last_hint.is_empty() {
        lines.push(format!("  hint: {}", last_hint.replace('\n', "\n    ")));
    }
    lines.join("\n")
}

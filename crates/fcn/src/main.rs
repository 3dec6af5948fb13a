//! `fcn`: a folder of photographs and masks in, a trained, evaluated and exported segmentation network out.
//!
//! Parse, run the command, print the error, exit.

mod commands;
mod exit_code;
mod flags;
mod memory;
mod report;
mod wording;

fn main() {
    let cli = commands::parse();
    if cli.command.trains() {
        memory::keep_what_is_freed();
    }
    if let Err(error) = commands::run(cli.command, &cli.global).and_then(|()| report::stdout_took_everything()) {
        let code = exit_code::exit_code(error.kind);
        report::print_error(&cli.global.wording.put_error(error), cli.global.json);
        std::process::exit(code);
    }
}

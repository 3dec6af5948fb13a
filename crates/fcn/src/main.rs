//! `fcn`: a folder of photographs and masks in, a trained, evaluated and served segmentation network out.
//!
//! Parse, run the command, print the error, exit.

mod commands;
mod exit_code;
mod flags;
mod memory;
mod report;

fn main() {
    let cli = commands::parse();
    if cli.command.trains() {
        memory::keep_what_is_freed();
    }
    if let Err(error) = commands::run(cli.command, &cli.global).and_then(|()| report::stdout_took_everything()) {
        report::print_error(&error, cli.global.json);
        std::process::exit(exit_code::exit_code(error.kind));
    }
}

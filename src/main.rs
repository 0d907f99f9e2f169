//! The `dfns-keys` program: everything is in the library's `cli` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    dfns_keys::cli::main()
}

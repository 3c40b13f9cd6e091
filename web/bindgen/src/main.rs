//! `bindgen FILE.wasm FOLDER`: what wasm-bindgen's program does, as a dependency that Cargo builds with the page.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let input = arguments.next().context("the first argument is a .wasm file")?;
    let folder = arguments.next().context("the second argument is a folder for what is made of it")?;
    Bindgen::new()
        .input_path(input)
        .web(true)?
        .omit_default_module_path(false)
        .typescript(false)
        .remove_name_section(true)
        .generate(folder)
}

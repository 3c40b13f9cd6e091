//! What Mesa's compiler for AMD's GPUs makes of the layer's shaders, without a GPU: `make isa`.
//!
//! It prints a line for each shader of a plan for a GPU, and ends with an error where one breaks a rule of `rules.rs`.

mod assembly;
mod compiler;
mod rules;
mod translate;
mod variant;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use comfy_table::{Table, presets};
use regex::Regex;

use compiler::Compiler;
use variant::Variant;

#[derive(Parser)]
#[command(
    about,
    version,
    after_help = "Set RADV_FORCE_FAMILY to the GPU, and VK_ICD_FILENAMES to RADV's file."
)]
struct Arguments {
    /// Only shaders whose names match.
    #[arg(default_value = "")]
    names: Regex,
    /// Writes the assembly of each into this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints only what breaks a rule.
    #[arg(long)]
    quiet: bool,
}

fn main() -> Result<()> {
    let Arguments { names, out, quiet } = Arguments::parse();
    if let Some(out) = &out {
        std::fs::create_dir_all(out)?;
    }
    let compiler = Compiler::open()?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["shader", "workgroup", "registers", "waves", "scratch", "loads in flight", "rules"]);
    let (mut shaders, mut broken, mut excused) = (0, 0, 0);
    for (name, source) in wgpu_batchnorm::shaders() {
        let Some(variant) = Variant::of_gpu(&name).filter(|_| names.is_match(&name)) else { continue };
        let shader = translate::translate(&source, variant.workgroup, variant.tile);
        let compiled =
            compiler.compile(&shader.with_context(|| name.clone())?).with_context(|| name.clone())?;
        if let Some(out) = &out {
            std::fs::write(out.join(&name).with_extension("asm"), &compiled.assembly)?;
        }
        let facts = rules::Facts::of(&variant, &compiled, &compiler.name)?;
        let excuse = facts.excuse(&compiler.name);
        let faults = if excuse.is_some() { Vec::new() } else { facts.faults(&variant) };
        shaders += 1;
        excused += usize::from(excuse.is_some());
        broken += usize::from(!faults.is_empty());
        if !(quiet && faults.is_empty()) {
            table.add_row([
                name,
                variant.workgroup.to_string(),
                facts.registers.to_string(),
                facts.waves.to_string(),
                facts.scratch.to_string(),
                facts.in_flight_text(),
                if faults.is_empty() { excuse.unwrap_or("kept").to_owned() } else { faults.join("; ") },
            ]);
        }
    }
    if !table.is_empty() {
        println!("{table}");
    }
    println!("{}: {shaders} shaders, {broken} break a rule, {excused} not judged", compiler.name);
    ensure!(shaders > 0, "no shader has such a name");
    ensure!(broken == 0, "{broken} of {shaders} shaders break a rule");
    Ok(())
}

//! Whether naga accepts a mutant: what it refuses reaches no device.

use std::path::Path;

use crate::shader::validated;

/// The most shaders of a mutant that are looked at.
const SHADERS: usize = 60;

/// Whether naga accepts the shaders with the mutant in this file, in a process whose layer reads it.
pub fn is_valid(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).expect("the mutant's file");
    let stem = path.file_stem().expect("a name").to_string_lossy();
    if stem == "fold_preceding" {
        // It stands alone but for one function.
        let source = format!("{text}\nfn inverse_std(variance: f32) -> f32 {{ return variance; }}\n");
        return validated(&stem, &source).is_ok();
    }
    let marks = text.lines().filter_map(|line| line.strip_prefix("fn ").or(line.strip_prefix("struct ")));
    let marks: Vec<String> =
        marks.filter_map(|rest| rest.split(['(', ' ']).next().map(str::to_owned)).collect();
    let mark = format!(" {}", marks.first().expect("a file has a function or a type"));
    let shaders = wgpu_batchnorm::shaders();
    let with_it: Vec<_> = shaders.iter().filter(|(_, source)| source.contains(&mark)).collect();
    let step = with_it.len().div_ceil(SHADERS).max(1);
    !with_it.is_empty() && with_it.iter().step_by(step).all(|(name, source)| validated(name, source).is_ok())
}

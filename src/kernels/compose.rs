//! WGSL of a variant: what it takes from the table, and the closure of its file's imports.

use super::declare::declarations;
use super::files::{FILES, current};
use super::halves;
use super::unroll::unroll;
use super::variant::Variant;
use crate::plan::Plan;
use crate::tensor::Aliasing;

/// The name and full WGSL source of every shader that the layer may hand to a device: to validate, translate or read.
pub fn shaders() -> Vec<(String, String)> {
    Variant::all().iter().map(|variant| (variant.name(), source(variant))).collect()
}

/// The shader: declarations of the variant, then its files (module scope has no order), with loops over packets that
/// are loaded together, over quads and over statistics unrolled.
pub(crate) fn source(variant: &Variant) -> String {
    let files = files_of(variant);
    let source = files.iter().rev().fold(declarations(variant), |source, file| source + "\n" + text_of(file));
    let loops =
        [("j", "AHEAD", variant.ahead), ("k", "QUADS", variant.quads()), ("s", "STATS", variant.stats())];
    loops.into_iter().fold(source, |source, (index, name, count)| unroll(source, index, name, count))
}

/// The files of the kernel, of its activation and of what its tensors are stored by, and those that they stand on.
fn files_of(variant: &Variant) -> Vec<&'static str> {
    let mut files = vec![variant.kernel.row().file];
    files.extend(variant.fused.file());
    files.extend(halves::codec(variant.stored.storage));
    let mut next = 0;
    while next < files.len() {
        for import in imports(text_of(files[next])) {
            if !files.contains(&import) {
                files.push(import);
            }
        }
        next += 1;
    }
    files
}

fn text_of(name: &str) -> &'static str {
    let file = FILES.iter().find(|(file, _)| *file == name);
    let (name, text) = file.unwrap_or_else(|| panic!("shaders/ has no file {name}.wgsl"));
    current(name, text)
}

/// What the first line of a file says that it stands on: `//! import moments, cursor`.
fn imports(text: &'static str) -> impl Iterator<Item = &'static str> {
    let line = text.lines().next().and_then(|line| line.strip_prefix("//! import "));
    line.into_iter().flat_map(|line| line.split(',').map(str::trim))
}

/// The shaders of a plan, of those whose name is wanted: for tensors in buffers of their own. Not part of the API.
#[doc(hidden)]
pub fn shaders_of(plan: &Plan, mut wanted: impl FnMut(&str) -> bool) -> Vec<(String, String)> {
    let joint = !plan.work().separate_vectors;
    let variants = plan.stages().iter().map(|stage| Variant::new(plan, stage, joint, Aliasing::Disjoint));
    let of = |variant: Variant| {
        let name = variant.name();
        wanted(&name).then(|| (name, source(&variant)))
    };
    variants.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_function_and_type_has_one_name() {
        let mut seen = HashMap::new();
        for (file, text) in FILES {
            for line in text.lines() {
                let name = ["fn ", "struct ", "alias ", "const ", "override "]
                    .iter()
                    .find_map(|keyword| line.strip_prefix(keyword))
                    .map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap());
                if let Some(name) = name {
                    let other = seen.insert(name, file);
                    assert!(other.is_none(), "{name} stands in {file} and {}", other.unwrap());
                }
            }
        }
        assert!(seen.len() > 80, "{} names", seen.len());
    }

    #[test]
    fn every_file_is_of_use() {
        let all = Variant::all();
        for (file, _) in FILES {
            let used = all.iter().any(|variant| files_of(variant).contains(file));
            assert!(used, "{file} is part of no shader");
        }
    }
}

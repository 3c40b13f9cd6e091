//! WGSL of a variant: what it takes from the table, and the closure of its file's imports.

use std::fmt::Write as _;

use super::files::FILES;
use super::table::{Access, Element, Role};
use super::unroll::unroll;
use super::variant::Variant;
use crate::plan::{Kernel, View};
use crate::tensor::Aliasing;

/// The name and full WGSL source of every shader that the layer may hand to a device: to validate, translate or read.
pub fn shaders() -> Vec<(String, String)> {
    Variant::all().iter().map(|variant| (variant.name(), source(variant))).collect()
}

/// The shader: declarations of the variant, then its files (module scope has no order), with loops over quads and
/// statistics unrolled.
pub(crate) fn source(variant: &Variant) -> String {
    let files = files_of(variant.kernel);
    let source = files.iter().rev().fold(declarations(variant), |source, file| source + "\n" + text_of(file));
    unroll(unroll(source, "k", "QUADS", variant.quads()), "s", "STATS", variant.stats())
}

/// The kernel's file, and those that it stands on.
fn files_of(kernel: Kernel) -> Vec<&'static str> {
    let mut files = vec![kernel.row().file];
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
    file.unwrap_or_else(|| panic!("shaders/ has no file {name}.wgsl")).1
}

/// What the first line of a file says that it stands on: `//! import moments, cursor`.
fn imports(text: &'static str) -> impl Iterator<Item = &'static str> {
    let line = text.lines().next().and_then(|line| line.strip_prefix("//! import "));
    line.into_iter().flat_map(|line| line.split(',').map(str::trim))
}

/// What differs from variant to variant: types, constants, bindings and the functions that load and store them.
fn declarations(variant: &Variant) -> String {
    let &Variant { view, packet, held, kernel, .. } = variant;
    let quad = if packet == 1 { "f32" } else { "vec4<f32>" };
    let (quads, stats) = (variant.quads(), variant.stats());
    let planes = view == View::Planes;
    let stat = if planes { "f32" } else { quad };
    let (bits, any) = if stat == "f32" { ("u32", "s") } else { ("vec4<u32>", "s.x") };
    let values = if planes { packet.min(4) } else { 1 };
    let collapsed = if planes && packet > 1 { "sum_of_four(sum)" } else { "sum" };
    let mut text = format!(
        "// {}: src/kernels/compose.rs makes these declarations, the files of shaders/ follow.\n\
         alias Quad = {quad};\n\
         alias Stat = {stat};\n\
         alias Bits = {bits};\n\
         const QUADS = {quads}u;\n\
         const STATS = {stats}u;\n\
         const QUAD_VALUES = {values}.0;\n\
         const PLANES = {planes};\n\
         const HELD = {held}u;\n\
         fn collapse(sum: Quad) -> Stat {{ return {collapsed}; }}\n\
         fn any_of(s: Stat) -> f32 {{ return {any}; }}\n",
        variant.name(),
    );
    if let Some(item) = kernel.row().item {
        let (name, merge, load) = (item.name, item.merge, item.load);
        let _ = writeln!(text, "alias Item = {name};");
        let _ = writeln!(text, "fn combine(a: Item, b: Item) -> Item {{ return {merge}(a, b); }}");
        if kernel.merges() {
            let _ =
                writeln!(text, "fn partial_at(split: u32, i: u32) -> Item {{ return {load}(split, i); }}");
        }
    }
    for (role, access) in variant.bindings() {
        text += &binding(role, access);
    }
    for &(role, access) in kernel.row().bindings {
        if role.element() == Element::Packet {
            text += &accessor(variant, role, access, quads);
        }
    }
    text
}

fn binding(role: Role, access: Access) -> String {
    let (group, binding) = role.place();
    let mode = match access {
        Access::Read => "read",
        Access::Write => "read_write",
    };
    let element = match role.element() {
        Element::Packet => "Quad",
        Element::Stat => "Stat",
        Element::Count => "Bits",
    };
    let name = role.name();
    format!("@group({group}) @binding({binding}) var<storage, {mode}> {name}: array<{element}>;\n")
}

/// The function that loads a tensor's packet, or stores it. In place, a load reads what will be written.
fn accessor(variant: &Variant, role: Role, access: Access, quads: u32) -> String {
    let name = role.name();
    let from = match variant.kernel.row().in_place {
        Some((read, written)) if read == role && variant.aliasing == Aliasing::InPlace => written.name(),
        _ => name,
    };
    let at = |k: u32| {
        if quads == 1 { format!("{from}[index]") } else { format!("{from}[{quads}u * index + {k}u]") }
    };
    match access {
        Access::Read => {
            let loads: Vec<String> = (0..quads).map(at).collect();
            format!("fn load_{name}(index: u32) -> Packet {{ return Packet({}); }}\n", loads.join(", "))
        }
        Access::Write => {
            let stores: Vec<String> = (0..quads).map(|k| format!("{} = packet[{k}];", at(k))).collect();
            format!("fn store_{name}(index: u32, packet: Packet) {{ {} }}\n", stores.join(" "))
        }
    }
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
        for (file, _) in FILES {
            let used = Kernel::ALL.iter().any(|kernel| files_of(*kernel).contains(file));
            assert!(used, "{file} is part of no shader");
        }
    }
}

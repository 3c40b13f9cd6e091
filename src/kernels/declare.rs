//! What differs from variant to variant: types, constants, bindings, and the functions that read and write these.

use std::fmt::Write as _;

use super::role::{Element, Role};
use super::table::Access;
use super::variant::Variant;
use super::{access, halves};
use crate::plan::View;

/// The declarations that a variant's files stand on.
pub(super) fn declarations(variant: &Variant) -> String {
    let &Variant { view, packet, held, kernel, .. } = variant;
    let quad = if packet == 1 { "f32" } else { "vec4<f32>" };
    let (quads, stats, ahead) = (variant.quads(), variant.stats(), variant.ahead());
    let planes = view == View::Planes;
    let stat = if planes { "f32" } else { quad };
    let (bits, any) = if stat == "f32" { ("u32", "s") } else { ("vec4<u32>", "s.x") };
    let values = if planes { packet.min(4) } else { 1 };
    let collapsed = if planes && packet > 1 { "sum_of_four(sum)" } else { "sum" };
    let largest = if planes && packet > 1 { "max(max(quad.x, quad.y), max(quad.z, quad.w))" } else { "quad" };
    let enable = if variant.stored.half_access { "enable f16;\n" } else { "" };
    let mut text = format!(
        "{enable}// {}: src/kernels/compose.rs makes these declarations, the files of shaders/ follow.\n\
         alias Quad = {quad};\n\
         alias Stat = {stat};\n\
         alias Bits = {bits};\n\
         const QUADS = {quads}u;\n\
         const STATS = {stats}u;\n\
         const QUAD_VALUES = {values}.0;\n\
         const PLANES = {planes};\n\
         const HELD = {held}u;\n\
         const AHEAD = {ahead}u;\n\
         fn collapse(sum: Quad) -> Stat {{ return {collapsed}; }}\n\
         fn largest(quad: Quad) -> Stat {{ return {largest}; }}\n\
         fn any_of(s: Stat) -> f32 {{ return {any}; }}\n",
        variant.name(),
    );
    let (quad_bits, bools, lanes) = match packet {
        1 => ("u32", "bool", "1u"),
        _ => ("vec4<u32>", "vec4<bool>", "vec4<u32>(1u, 2u, 4u, 8u)"),
    };
    let _ = writeln!(text, "alias QuadBits = {quad_bits};\nalias QuadBools = {bools};");
    let _ = writeln!(text, "const QUAD_BITS = {lanes};");
    text += &variant.fused.declarations(quad);
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
        text += &binding(variant, role, access);
    }
    text + &access::functions(variant)
}

fn binding(variant: &Variant, role: Role, access: Access) -> String {
    let (group, binding) = role.place();
    let mode = match access {
        Access::Read => "read",
        Access::Write => "read_write",
    };
    let element = match role.element() {
        Element::Packet if variant.stored.storage.is_half() => halves::element(variant, used(variant, role)),
        Element::Packet => "Quad",
        Element::Stat => "Stat",
        Element::Count | Element::Word => "Bits",
        Element::Number => "u32",
    };
    let name = role.name();
    format!("@group({group}) @binding({binding}) var<storage, {mode}> {name}: array<{element}>;\n")
}

/// What the kernel does with a binding, whatever access WebGPU wants it to have beside others of its buffer.
fn used(variant: &Variant, role: Role) -> Access {
    let row = variant.kernel.row();
    let bound = row.bindings_with(&variant.fused).find(|(bound, _)| *bound == role);
    bound.map_or(Access::Read, |(_, access)| access)
}

//! Functions of WGSL that read and write bindings, so that kernels do not depend on how these lie in memory.

use super::table::{Access, Element, Role};
use super::variant::Variant;
use crate::tensor::Aliasing;

/// The functions of all bindings of a variant's kernel.
pub(super) fn functions(variant: &Variant) -> String {
    let functions = variant.kernel.row().bindings.iter().map(|&(role, access)| match role.element() {
        _ if !variant.binds(role) => absent(role),
        Element::Packet => tensor(variant, role, access),
        Element::Number => number(role, access),
        _ if role.of_layer().is_some() => vector(variant, role, access),
        _ => String::new(),
    });
    functions.collect()
}

/// The function that loads a tensor's packet, or stores it. In place, a load reads what will be written.
fn tensor(variant: &Variant, role: Role, access: Access) -> String {
    let (name, quads) = (role.name(), variant.quads());
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

/// The function that reads a word of a mask, or the flag.
fn number(role: Role, access: Access) -> String {
    match (role, access) {
        (Role::Mask, Access::Read) => "fn mask_word(i: u32) -> u32 { return mask[i]; }\n".to_owned(),
        (Role::Commit, _) => "fn commits() -> bool { return commit[0] != 0u; }\n".to_owned(),
        _ => String::new(),
    }
}

/// What stands for a binding that the variant does without.
fn absent(role: Role) -> String {
    let functions = match role {
        Role::Mask => "fn mask_word(i: u32) -> u32 { return 0xffffffffu; }\n",
        Role::Commit => "fn commits() -> bool { return true; }\n",
        Role::Skipped => {
            "fn skipped_at(i: u32) -> Bits { return Bits(0u); }\nfn set_skipped(i: u32, value: Bits) {}\n"
        }
        _ => "",
    };
    functions.to_owned()
}

/// The functions that read an element of a layer's vector, and set it: in a buffer with the layer's other vectors, or in
/// one of its own.
fn vector(variant: &Variant, role: Role, access: Access) -> String {
    let name = role.name();
    let element = if role.element() == Element::Count { "Bits" } else { "Stat" };
    let place = match role.of_layer() {
        Some(place) if variant.joint => format!("layer[at({place}u, i)]"),
        _ => format!("{name}[i]"),
    };
    let cast = |to: &str, value: &str| match variant.joint && element == "Stat" {
        true => format!("bitcast<{to}>({value})"),
        false => value.to_owned(),
    };
    let (read, written) = (cast("Stat", &place), cast("Bits", "value"));
    let mut text = format!("fn {name}_at(i: u32) -> {element} {{ return {read}; }}\n");
    if access == Access::Write {
        text += &format!("fn set_{name}(i: u32, value: {element}) {{ {place} = {written}; }}\n");
    }
    text
}

//! Functions of WGSL that read and write bindings, so that kernels do not depend on how these lie in memory.

use super::halves;
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
    let name = role.name();
    let (from, declared) = match variant.kernel.row().in_place {
        Some((read, written)) if read == role && variant.aliasing == Aliasing::InPlace => {
            (written.name(), Access::Write)
        }
        _ => (name, access),
    };
    let codec = halves::codec(variant.stored.storage);
    match access {
        Access::Read => {
            let load =
                codec.map_or_else(|| load(variant, from), |c| halves::load(variant, c, from, declared));
            format!("fn load_{name}(index: u32) -> Packet {{ {load} }}\n")
        }
        Access::Write => {
            let store = codec.map_or_else(|| store(variant, name), |c| halves::store(variant, c, name));
            format!("fn store_{name}(index: u32, packet: Packet) {{ {store} }}\n")
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

/// The quads of a packet of float32 in an array.
fn quads<'a>(variant: &Variant, array: &'a str) -> impl Iterator<Item = String> + use<'a> {
    let quads = variant.quads();
    (0..quads).map(move |k| match quads {
        1 => format!("{array}[index]"),
        _ => format!("{array}[{quads}u * index + {k}u]"),
    })
}

/// The body of a function that loads a packet of float32.
fn load(variant: &Variant, from: &str) -> String {
    format!("return Packet({});", quads(variant, from).collect::<Vec<_>>().join(", "))
}

/// The body of a function that stores a packet of float32.
fn store(variant: &Variant, to: &str) -> String {
    let stores = quads(variant, to).enumerate().map(|(k, quad)| format!("{quad} = packet[{k}];"));
    stores.collect::<Vec<_>>().join(" ")
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

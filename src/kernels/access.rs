//! Functions of WGSL that read and write bindings, so that kernels do not depend on how these lie in memory.

use super::halves;
use super::role::{Element, Role};
use super::table::Access;
use super::variant::Variant;

/// The functions of all bindings of a variant's kernel.
pub(super) fn functions(variant: &Variant) -> String {
    let row = variant.kernel.row();
    let functions = row.bindings_with(&variant.fused).map(|(role, access)| match role.element() {
        Element::Packet => tensor(variant, role, access),
        Element::Number => number(role, access),
        _ if role.of_layer().is_some() => vector(variant, role, access),
        _ => String::new(),
    });
    let unbound = row.optional.iter().filter(|(role, _)| !variant.fused.binds(*role));
    functions.chain(unbound.map(|&(role, access)| without(role, access))).collect()
}

/// The function that loads a tensor's packet, or stores it, and where it is added to loads it as well. In place, a load
/// reads what will be written.
fn tensor(variant: &Variant, role: Role, access: Access) -> String {
    let name = role.name();
    let (from, declared) = match variant.kernel.row().replaced(variant.aliasing) {
        Some((read, written)) if read == role => (written.name(), Access::Write),
        _ => (name, access),
    };
    let codec = halves::codec(variant.stored.storage);
    let mut text = String::new();
    if access == Access::Read || role == Role::ResidualGradient {
        let load = codec.map_or_else(|| load(variant, from), |c| halves::load(variant, c, from, declared));
        text += &format!("fn load_{name}(index: u32) -> Packet {{ {load} }}\n");
    }
    if access == Access::Write {
        let store = codec.map_or_else(|| store(variant, name), |c| halves::store(variant, c, name));
        text += &format!("fn store_{name}(index: u32, packet: Packet) {{ {store} }}\n");
    }
    text
}

/// The function that reads a word of a mask, or the flag.
fn number(role: Role, access: Access) -> String {
    let text = match (role, access) {
        (Role::Mask, Access::Read) => "fn mask_word(i: u32) -> u32 { return mask[i]; }\n",
        (Role::Commit, _) => "fn commits() -> bool { return commit[0] != 0u; }\n",
        _ => "",
    };
    text.to_owned()
}

/// The same where the variant does not bind it: the kernel's files call it in vain, or not at all.
fn without(role: Role, access: Access) -> String {
    match role {
        Role::Mask => return "fn mask_word(i: u32) -> u32 { return 0u; }\n".to_owned(),
        Role::Commit => return "fn commits() -> bool { return true; }\n".to_owned(),
        Role::Skipped => {
            let functions = "fn skipped_at(i: u32) -> Bits { return Bits(0u); }\n\
                             fn set_skipped(i: u32, value: Bits) { }\n";
            return functions.to_owned();
        }
        _ => {}
    }
    let name = role.name();
    let mut text = format!("fn load_{name}(index: u32) -> Packet {{ return Packet(); }}\n");
    if access == Access::Write {
        text += &format!("fn store_{name}(index: u32, packet: Packet) {{ }}\n");
    }
    text
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

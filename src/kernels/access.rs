//! Functions of WGSL that read and write bindings, so that kernels do not depend on how these lie in memory.

use super::table::{Access, Element, Role};
use super::variant::Variant;

/// The functions of all bindings of a variant's kernel.
pub(super) fn functions(variant: &Variant) -> String {
    let row = variant.kernel.row();
    let functions = row.bindings_with(&variant.fused).map(|(role, access)| match role.element() {
        Element::Packet => tensor(variant, role, access),
        _ if role.of_layer().is_some() => vector(variant, role, access),
        _ => String::new(),
    });
    let unbound = row.optional.iter().filter(|(role, _)| !variant.fused.binds(*role));
    functions.chain(unbound.map(|&(role, access)| without_tensor(role, access))).collect()
}

/// The function that loads a tensor's packet, or stores it, and where it is added to loads it as well. In place, a load
/// reads what will be written.
fn tensor(variant: &Variant, role: Role, access: Access) -> String {
    let (name, quads) = (role.name(), variant.quads());
    let from = match variant.kernel.row().replaced(variant.aliasing) {
        Some((read, written)) if read == role => written.name(),
        _ => name,
    };
    let at = |k: u32| {
        if quads == 1 { format!("{from}[index]") } else { format!("{from}[{quads}u * index + {k}u]") }
    };
    let mut text = String::new();
    if access == Access::Read || role == Role::ResidualGradient {
        let loads: Vec<String> = (0..quads).map(at).collect();
        text += &format!("fn load_{name}(index: u32) -> Packet {{ return Packet({}); }}\n", loads.join(", "));
    }
    if access == Access::Write {
        let stores: Vec<String> = (0..quads).map(|k| format!("{} = packet[{k}];", at(k))).collect();
        text += &format!("fn store_{name}(index: u32, packet: Packet) {{ {} }}\n", stores.join(" "));
    }
    text
}

/// The same where the variant does not bind the tensor: the kernel's files call it in vain, or not at all.
fn without_tensor(role: Role, access: Access) -> String {
    let name = role.name();
    let mut text = format!("fn load_{name}(index: u32) -> Packet {{ return Packet(); }}\n");
    if access == Access::Write {
        text += &format!("fn store_{name}(index: u32, packet: Packet) {{ }}\n");
    }
    text
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

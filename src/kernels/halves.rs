//! How kernels get at tensors of 16-bit values: two to a word, so that what is written is written in whole words, but where
//! a packet is one value. Then the other half of its word may be another invocation's, and atomics change one half alone.

use super::table::Access;
use super::variant::Variant;
use crate::plan::Stored;
use crate::tensor::StorageType;

/// The file of shaders/ that decodes and encodes values; its functions are `decode_` and `encode_` and its name.
pub(super) fn codec(storage: StorageType) -> Option<&'static str> {
    match storage {
        StorageType::Float32 => None,
        StorageType::Float16 => Some("float16"),
        StorageType::BFloat16 => Some("bfloat16"),
    }
}

/// What an array of a tensor's values is of, in WGSL.
pub(super) fn element(variant: &Variant, access: Access) -> &'static str {
    let Stored { half_access, .. } = variant.stored;
    match (variant.packet, access) {
        (1, _) if half_access => "f16",
        (1, Access::Write) => "atomic<u32>",
        (1, Access::Read) => "u32",
        (4, _) => "vec2<u32>",
        _ => "vec4<u32>",
    }
}

/// The body of a function that loads a packet from an array, which may be one that is written.
pub(super) fn load(variant: &Variant, codec: &str, from: &str, access: Access) -> String {
    if variant.packet == 1 {
        let word = format!("{from}[index >> 1u]");
        let word = if access == Access::Write { format!("atomicLoad(&{word})") } else { word };
        return match variant.stored.half_access {
            true => format!("return Packet(f32({from}[index]));"),
            false => format!("return Packet(decode_{codec}({word} >> (16u * (index & 1u))).x);"),
        };
    }
    let quad = |a: &str, b: &str| format!("Quad(decode_{codec}({a}), decode_{codec}({b}))");
    if variant.packet == 4 {
        return format!("let words = {from}[index]; return Packet({});", quad("words.x", "words.y"));
    }
    let elements = variant.packet / 8;
    let words: Vec<String> =
        (0..elements).map(|e| format!("let words_{e} = {from}[{elements}u * index + {e}u];")).collect();
    let of = |e| [["x", "y"], ["z", "w"]].map(|pair| pair.map(|part| format!("words_{e}.{part}")));
    let quads: Vec<String> = (0..elements).flat_map(of).map(|[a, b]| quad(&a, &b)).collect();
    format!("{} return Packet({});", words.join(" "), quads.join(", "))
}

/// The body of a function that stores a packet.
pub(super) fn store(variant: &Variant, codec: &str, to: &str) -> String {
    let words = |k: u32| format!("pack_halves(encode_{codec}(packet[{k}]))");
    match variant.packet {
        // Exact, since what is converted is a float16.
        1 if variant.stored.half_access => {
            format!("{to}[index] = f16(decode_{codec}(encode_{codec}(packet[0])).x);")
        }
        // Nobody else changes this half, so that what is loaded of it is still there.
        1 => format!(
            "let shift = 16u * (index & 1u); \
             let old = (atomicLoad(&{to}[index >> 1u]) >> shift) & 0xffffu; \
             atomicXor(&{to}[index >> 1u], (old ^ encode_{codec}(packet[0])) << shift);"
        ),
        4 => format!("{to}[index] = {};", words(0)),
        packet => {
            let elements = packet / 8;
            let store = |e: u32| {
                let (a, b) = (words(2 * e), words(2 * e + 1));
                format!("{to}[{elements}u * index + {e}u] = vec4<u32>({a}, {b});")
            };
            (0..elements).map(store).collect::<Vec<_>>().join(" ")
        }
    }
}

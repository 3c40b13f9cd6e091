//! What a shader's name says, as far as rules and grids depend on it.

use wgpu_batchnorm::{Holding, StorageType, View};

/// How a kernel goes over its tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    /// Of vectors of C values alone.
    Vectors,
    /// Loops that only read.
    Reduces,
    /// A loop that reads and writes.
    Applies,
    /// The one, then the other.
    Both,
    /// All loads, then all stores.
    Holds(u32),
}

/// A shader of a plan for a GPU, with the workgroup that such a plan has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variant {
    pub way: Way,
    /// Tensors that its last loop reads, at least.
    pub tensors: usize,
    pub masked: bool,
    /// Bytes of a load, in the tensor's storage.
    pub load: u32,
    pub workgroup: u32,
    pub tile: u32,
}

/// Bytes of a row that a workgroup takes side by side: src/plan/frame.rs.
const ROW_BYTES: u32 = 512;

impl Variant {
    /// The variant with this name; nothing for one that no plan for a GPU has.
    pub fn of_gpu(name: &str) -> Option<Self> {
        let packet: u32 = number_after(name, "_x")?;
        let halves = name.contains("_f16") || name.contains("_bf16");
        let storage = if halves { StorageType::Float16 } else { StorageType::Float32 };
        let (rows, planes) = (name.contains("_rows"), name.contains("_planes"));
        let sees = rows || planes;
        let load = packet * storage.bytes() as u32;
        let widest = load == 16 || packet == 1;
        let (way, tensors) = match name.split("_planes").next()?.split("_rows").next()? {
            "split_moments" => (Way::Reduces, 1),
            "split_sums" => (Way::Reduces, 2),
            "normalize_tensor" | "evaluate" => (Way::Applies, 1),
            // It needs neither x̂ nor sums for dz alone.
            "input_gradient" if name.contains("_without_dx") => (Way::Applies, 1),
            "input_gradient" => (Way::Applies, 2),
            "frozen_gradient" => (Way::Applies, 1),
            "cached" => (Way::Both, 1),
            "cached_gradient" => (Way::Both, 2),
            "persistent" => (Way::Holds(number_after(name, "_held_")?), 1),
            "persistent_gradient" => (Way::Holds(number_after(name, "_held_")?), 2),
            _ => (Way::Vectors, 0),
        };
        let tile = match (sees, rows) {
            (true, true) => ROW_BYTES / load.max(4),
            (true, false) => 1,
            (false, _) => 32 / packet,
        };
        let (masked, residual) = (name.contains("_masked"), name.contains("_residual"));
        let view = if rows { View::Rows } else { View::Planes };
        let fits = match way {
            Way::Holds(held) => {
                let tensors = tensors as u32;
                Holding { view, packet, held, tensors, masked, residual, storage }.registers() <= 256
            }
            _ => true,
        };
        // What software adapters run.
        let by_one = name.contains("_by_one");
        let planned = !by_one && (!sees || widest) && fits;
        planned.then_some(Self { way, tensors, masked, load, workgroup: 256, tile })
    }
}

fn number_after(name: &str, word: &str) -> Option<u32> {
    let digits = &name[name.find(word)? + word.len()..];
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood() {
        let held = Variant::of_gpu("persistent_gradient_rows_x4_held_8_masked").unwrap();
        assert_eq!((held.way, held.tensors, held.masked, held.tile), (Way::Holds(8), 2, true, 32));
        let halves = Variant::of_gpu("cached_planes_x8_bf16_relu").unwrap();
        assert_eq!((halves.way, halves.load, halves.tile), (Way::Both, 16, 1));
        assert_eq!(Variant::of_gpu("cached_planes_x16"), None);
        assert_eq!(Variant::of_gpu("persistent_gradient_planes_x8_held_16_f16"), None);
        assert_eq!(Variant::of_gpu("finalize_x4").unwrap().way, Way::Vectors);
    }
}

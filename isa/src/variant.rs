//! What a shader's name says, as far as rules and grids depend on it.

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
    pub rows: bool,
    pub masked: bool,
    pub residual: bool,
    /// Whether values have 16 bits.
    pub halves: bool,
    /// Bytes of a load, in the tensor's storage.
    pub load: u32,
    pub workgroup: u32,
    pub tile: u32,
}

/// Bytes of a row that a workgroup takes side by side: src/plan/frame.rs.
const ROW_BYTES: u32 = 512;

impl Variant {
    /// The variant with this name; nothing for packets that no plan for a GPU has.
    pub fn of_gpu(name: &str) -> Option<Self> {
        let packet: u32 = number_after(name, "_x")?;
        let of_value = if name.contains("_f16") || name.contains("_bf16") { 2 } else { 4 };
        let (rows, planes) = (name.contains("_rows"), name.contains("_planes"));
        let sees = rows || planes;
        let load = packet * of_value;
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
        let halves = of_value == 2;
        let variant = Self { way, tensors, rows, masked, residual, halves, load, workgroup: 256, tile };
        let planned = (!sees || widest) && variant.registers(packet) <= 256;
        planned.then_some(variant)
    }
}

impl Variant {
    /// Registers that a plan for the persistent path counts with: src/plan/frame.rs.
    fn registers(&self, packet: u32) -> u32 {
        let Way::Holds(held) = self.way else { return 0 };
        let statistics = if self.rows { packet } else { 1 };
        let beside = 4 * packet * u32::from(self.residual) + if self.halves { 2 * packet } else { 0 };
        held * (packet * self.tensors as u32 + u32::from(self.masked)) + beside + 72 + 12 * statistics
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

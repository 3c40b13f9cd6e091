//! One shader of many: a kernel with everything that needs another WGSL.

use super::sample::{pairwise, product};
use super::table::{Access, Entry, Role};
use crate::plan::{Grid, HELD, Kernel, Stored, View, packets};
use crate::tensor::{Aliasing, StorageType};

/// A kernel for one view and packet, one placement of the layer's vectors, and one aliasing of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub kernel: Kernel,
    pub view: View,
    /// Values that an invocation loads at a time.
    pub packet: u32,
    /// Packets that an invocation holds, for kernels that do.
    pub held: u32,
    /// How tensors lie in memory, for kernels that bind them.
    pub stored: Stored,
    /// Whether the layer's vectors stand in one buffer, for kernels that bind them.
    pub joint: bool,
    pub aliasing: Aliasing,
}

impl Variant {
    /// The variant of a kernel for a grid and bindings like these, with what makes no difference to it left out.
    pub fn new(kernel: Kernel, grid: &Grid, stored: Stored, joint: bool, aliasing: Aliasing) -> Self {
        Self {
            kernel,
            view: if kernel.merges() { View::Rows } else { grid.view },
            packet: grid.packet,
            held: if kernel.holds() { grid.held } else { 0 },
            stored: if kernel.merges() { Stored::default() } else { stored },
            joint: joint && kernel.row().binds_layer(),
            aliasing,
        }
    }

    /// The shaders that a plan may ask for: of kernels with nothing fused every one, and a sample of all others in which
    /// each two choices meet.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for kernel in Kernel::ALL {
            let row = kernel.row();
            let stored = if kernel.merges() { vec![Stored::default()] } else { Stored::ALL.to_vec() };
            let packets: &[u32] = if kernel.merges() { &[1, 4] } else { packets(StorageType::Float16) };
            let views: &[View] = if kernel.merges() { &[View::Rows] } else { &[View::Planes, View::Rows] };
            let held: &[u32] = if kernel.holds() { &HELD } else { &[0] };
            let aliasings: Vec<Aliasing> = row.aliasings().collect();
            let joints: &[bool] = if row.binds_layer() { &[true, false] } else { &[false] };
            let sizes = [views.len(), packets.len(), held.len(), aliasings.len(), joints.len(), stored.len()];
            let of = |i: &[usize]| Self {
                kernel,
                view: views[i[0]],
                packet: packets[i[1]],
                held: held[i[2]],
                aliasing: aliasings[i[3]],
                joint: joints[i[4]],
                stored: stored[i[5]],
            };
            let is_one = |i: &[usize]| of(i).exists();
            let plain = product(&sizes[..4]).into_iter().map(|i| [i, vec![0, 0]].concat());
            all.extend(plain.filter(|i| is_one(i)).map(|i| of(&i)));
            let sample = pairwise(&sizes, is_one).into_iter().map(|i| of(&i));
            all.extend(sample.filter(|v| v.joint != joints[0] || v.stored != stored[0]));
        }
        all
    }

    /// Whether a plan may ask for it: packets go with storage; and what shares a buffer with what is written is read, but
    /// not as a part of the layer's one binding.
    fn exists(&self) -> bool {
        let Stored { storage, half_access } = self.stored;
        let single = self.packet == 1 || !half_access;
        let packs = self.kernel.merges() || (packets(storage).contains(&self.packet) && single);
        let joined = |role: Role| self.joint && role.of_layer().is_some();
        let bindings = self.kernel.row().bindings;
        let reads = bindings.iter().any(|&(role, access)| access == Access::Read && !joined(role));
        packs && (reads || self.aliasing != Aliasing::SameBuffer)
    }

    /// Quads in a packet.
    pub fn quads(&self) -> u32 {
        self.packet.div_ceil(4)
    }

    /// Statistics that an invocation holds: one in planes, one for each quad in rows.
    pub fn stats(&self) -> u32 {
        if self.view == View::Planes { 1 } else { self.quads() }
    }

    pub fn name(&self) -> String {
        let Self { kernel, view, packet, held, stored, joint, aliasing } = self;
        let mut name = kernel.row().entry.to_owned();
        if !kernel.merges() {
            name += &format!("_{view}");
        }
        name += &format!("_x{packet}");
        if kernel.holds() {
            name += &format!("_held_{held}");
        }
        name += match stored {
            Stored { half_access: true, .. } => "_f16_halves",
            Stored { storage: StorageType::Float32, .. } => "",
            Stored { storage: StorageType::Float16, .. } => "_f16",
            Stored { storage: StorageType::BFloat16, .. } => "_bf16",
        };
        if kernel.row().binds_layer() && !joint {
            name += "_separate";
        }
        name + match aliasing {
            Aliasing::Disjoint => "",
            Aliasing::SameBuffer => "_same_buffer",
            Aliasing::InPlace => "_in_place",
        }
    }

    /// What it binds and how: where tensors share a buffer with what is written, WebGPU wants all of it to be writable; in
    /// place, what is read is not bound itself; and vectors of the layer that stand in one buffer are one binding.
    pub fn bindings(&self) -> Vec<(Role, Access)> {
        let Entry { bindings, in_place, .. } = self.kernel.row();
        let replaced = in_place.filter(|_| self.aliasing == Aliasing::InPlace).map(|(read, _)| read);
        let joined = |role: Role| self.joint && role.of_layer().is_some();
        let mut all = Vec::new();
        if self.joint {
            let writes = bindings.iter().any(|&(role, access)| joined(role) && access == Access::Write);
            all.push((Role::Layer, if writes { Access::Write } else { Access::Read }));
        }
        let others = bindings.iter().filter(|(role, _)| Some(*role) != replaced && !joined(*role));
        all.extend(others.map(|&(role, access)| match self.aliasing {
            Aliasing::Disjoint => (role, access),
            Aliasing::SameBuffer | Aliasing::InPlace => (role, Access::Write),
        }));
        all
    }
}

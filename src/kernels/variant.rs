//! One shader of many: a kernel with everything that needs another WGSL.

use super::sample::{pairwise, product};
use super::table::{Access, Entry, Role};
use crate::plan::{Grid, HELD, Kernel, Stored, View, Work, packets};
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
    /// Whether a mask says which values are valid, for kernels that see the tensor.
    pub masked: bool,
    /// Whether features without finite statistics are skipped and counted, for kernels that move running statistics.
    pub guarded: bool,
    /// Whether a flag of the caller's decides that they move.
    pub commits: bool,
}

impl Variant {
    /// The variant of a kernel for a grid and bindings like these, with what makes no difference to it left out.
    pub fn new(
        kernel: Kernel,
        work: &Work,
        stored: Stored,
        grid: &Grid,
        joint: bool,
        aliasing: Aliasing,
    ) -> Self {
        let row = kernel.row();
        Self {
            kernel,
            view: if kernel.sees_tensor() { grid.view } else { View::Rows },
            packet: grid.packet,
            held: if kernel.holds() { grid.held } else { 0 },
            stored: if kernel.sees_tensor() { stored } else { Stored::default() },
            joint: joint && row.binds_layer(),
            aliasing,
            masked: work.mask.is_some() && row.takes(Role::Mask),
            guarded: work.guard && row.takes(Role::Skipped),
            commits: work.commit && row.takes(Role::Commit),
        }
    }

    /// The shaders that a plan may ask for: of kernels with nothing fused every one, and a sample of all others in which
    /// each two choices meet.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for kernel in Kernel::ALL {
            let row = kernel.row();
            let sees = kernel.sees_tensor();
            let stored = if sees { Stored::ALL.to_vec() } else { vec![Stored::default()] };
            let packets: &[u32] = match kernel {
                Kernel::MaskOfLengths => &[1],
                _ if sees => packets(StorageType::Float16),
                _ => &[1, 4],
            };
            let views: &[View] = if sees { &[View::Planes, View::Rows] } else { &[View::Rows] };
            let held: &[u32] = if kernel.holds() { &HELD } else { &[0] };
            let aliasings: Vec<Aliasing> = row.aliasings().collect();
            let joints: &[bool] = if row.binds_layer() { &[true, false] } else { &[false] };
            // First without, then with what can be left out.
            let [masks, guards, flags] =
                [Role::Mask, Role::Skipped, Role::Commit].map(|role| if row.takes(role) { 2 } else { 1 });
            let sizes = [views.len(), packets.len(), held.len(), aliasings.len(), joints.len(), stored.len()];
            let sizes = [&sizes[..], &[masks, guards, flags]].concat();
            let of = |i: &[usize]| Self {
                kernel,
                view: views[i[0]],
                packet: packets[i[1]],
                held: held[i[2]],
                aliasing: aliasings[i[3]],
                joint: joints[i[4]],
                stored: stored[i[5]],
                masked: i[6] == 1,
                guarded: i[7] == 1,
                commits: i[8] == 1,
            };
            let is_one = |i: &[usize]| of(i).exists();
            let plain = product(&sizes[..4]).into_iter().map(|i| [i, vec![0; 5]].concat());
            all.extend(plain.filter(|i| is_one(i)).map(|i| of(&i)));
            let sample = pairwise(&sizes, is_one).into_iter().filter(|i| i[4..].iter().any(|&i| i > 0));
            all.extend(sample.map(|i| of(&i)));
        }
        all
    }

    /// Whether a plan may ask for it, as far as packets go with storage.
    fn exists(&self) -> bool {
        let Stored { storage, half_access } = self.stored;
        !self.kernel.sees_tensor()
            || packets(storage).contains(&self.packet) && (self.packet == 1 || !half_access)
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
        let Self { kernel, view, packet, held, stored, joint, aliasing, masked, guarded, commits } = *self;
        let mut name = kernel.row().entry.to_owned();
        if kernel.sees_tensor() {
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
        for (is, word) in [(masked, "_masked"), (guarded, "_guarded"), (commits, "_commits")] {
            if is {
                name += word;
            }
        }
        name + match aliasing {
            Aliasing::Disjoint => "",
            Aliasing::SameBuffer => "_same_buffer",
            Aliasing::InPlace => "_in_place",
        }
    }

    /// Whether it binds what its kernel's row has for this role.
    pub fn binds(&self, role: Role) -> bool {
        match role {
            Role::Mask => self.masked || !self.kernel.row().takes(role),
            Role::Skipped => self.guarded,
            Role::Commit => self.commits,
            _ => true,
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
        let bound = |role: Role| self.binds(role) && Some(role) != replaced && !joined(role);
        let others = bindings.iter().filter(|(role, _)| bound(*role));
        all.extend(others.map(|&(role, access)| match self.aliasing {
            Aliasing::Disjoint => (role, access),
            Aliasing::SameBuffer | Aliasing::InPlace => (role, Access::Write),
        }));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{MaskKind, Op, storage_buffers};

    #[test]
    fn plans_count_bindings_as_they_are() {
        let grid = Grid {
            view: View::Planes,
            packet: 4,
            workgroup: 8,
            tile: 1,
            held: 4,
            splits: 1,
            slice: 1,
            total: 1,
            groups: 1,
        };
        let mut most = 0;
        for kernel in Kernel::ALL {
            for i in product(&[2; 4]) {
                let [masked, guard, commit, separate] = [0, 1, 2, 3].map(|k| i[k] == 1);
                let work = Work::from(Op::Evaluation).mask(masked.then_some(MaskKind::Positions));
                let work = work.guard(guard).commit(commit).separate_vectors(separate);
                let variant =
                    Variant::new(kernel, &work, Stored::default(), &grid, !separate, Aliasing::Disjoint);
                let bound = variant.bindings().len() as u32;
                assert_eq!(storage_buffers(kernel, &work), bound, "{}", variant.name());
                most = bound.max(most);
            }
        }
        assert_eq!(most, 11);
    }
}

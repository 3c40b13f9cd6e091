//! One shader of many: a kernel with everything that needs another WGSL.

use super::sample::{pairwise, product};
use super::table::{Access, Entry, Role};
use crate::plan::{Grid, HELD, Kernel, View, Work};
use crate::tensor::Aliasing;

/// A kernel for one view and packet, one placement of the layer's vectors, and one aliasing of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub kernel: Kernel,
    pub view: View,
    /// Values that an invocation loads at a time.
    pub packet: u32,
    /// Packets that an invocation holds, for kernels that do.
    pub held: u32,
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
    pub fn new(kernel: Kernel, grid: &Grid, work: &Work, joint: bool, aliasing: Aliasing) -> Self {
        let row = kernel.row();
        Self {
            kernel,
            view: if kernel.sees_tensor() { grid.view } else { View::Rows },
            packet: grid.packet,
            held: if kernel.holds() { grid.held } else { 0 },
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
            let packets: &[u32] = match (kernel.sees_tensor(), kernel.merges()) {
                (true, _) => &[1, 4, 16],
                (false, merges) => {
                    if merges {
                        &[1, 4]
                    } else {
                        &[1]
                    }
                }
            };
            let views: &[View] =
                if kernel.sees_tensor() { &[View::Planes, View::Rows] } else { &[View::Rows] };
            let held: &[u32] = if kernel.holds() { &HELD } else { &[0] };
            let aliasings: Vec<Aliasing> = row.aliasings().collect();
            let joints: &[bool] = if row.binds_layer() { &[true, false] } else { &[false] };
            // First without, then with what can be left out.
            let optional = |role| if row.takes(role) { 2 } else { 1 };
            let options = [Role::Mask, Role::Skipped, Role::Commit].map(optional);
            let sizes = [views.len(), packets.len(), held.len(), aliasings.len(), joints.len()];
            let sizes = [&sizes[..], &options].concat();
            let of = |i: Vec<usize>| Self {
                kernel,
                view: views[i[0]],
                packet: packets[i[1]],
                held: held[i[2]],
                aliasing: aliasings[i[3]],
                joint: joints[i[4]],
                masked: i[5] == 1,
                guarded: i[6] == 1,
                commits: i[7] == 1,
            };
            let plain = product(&sizes[..4]).into_iter().map(|i| of([i, vec![0; 4]].concat()));
            all.extend(plain);
            let sample = pairwise(&sizes, |_| true).into_iter().filter(|i| i[4..].iter().any(|&i| i > 0));
            all.extend(sample.map(of));
        }
        all
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
        let Self { kernel, view, packet, held, joint, aliasing, masked, guarded, commits } = *self;
        let mut name = kernel.row().entry.to_owned();
        if kernel.sees_tensor() {
            name += &format!("_{view}");
        }
        name += &format!("_x{packet}");
        if kernel.holds() {
            name += &format!("_held_{held}");
        }
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
                let work = work.guard(guard).commit(commit).separate(separate);
                let variant = Variant::new(kernel, &grid, &work, !separate, Aliasing::Disjoint);
                let bound = variant.bindings().len() as u32;
                assert_eq!(storage_buffers(kernel, &work), bound, "{}", variant.name());
                most = bound.max(most);
            }
        }
        assert_eq!(most, 11);
    }
}

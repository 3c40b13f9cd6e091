//! One shader of many: a kernel with everything that needs another WGSL.

use super::fused::Fused;
use super::role::Role;
use super::sample::{pairwise, product};
use super::table::Access;
use crate::plan::{AHEAD, Grid, HELD, Kernel, Plan, Stage, Stored, View, packets};
use crate::tensor::{Aliasing, StorageType};

const ALIASINGS: [Aliasing; 4] =
    [Aliasing::Disjoint, Aliasing::SameBuffer, Aliasing::InPlace, Aliasing::ResidualInPlace];

/// A kernel for one view and packet, one placement of the layer's vectors, what is fused, and one aliasing of tensors.
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
    pub fused: Fused,
    pub aliasing: Aliasing,
}

impl Variant {
    /// The variant of a stage of a plan for bindings like these, with what makes no difference to it left out.
    pub fn new(plan: &Plan, stage: &Stage, joint: bool, aliasing: Aliasing) -> Self {
        let &Stage { kernel, grid: Grid { view, packet, held, .. }, .. } = stage;
        Self {
            kernel,
            view: if kernel.sees_tensor() { view } else { View::Rows },
            packet,
            held: if kernel.holds() { held } else { 0 },
            stored: if kernel.sees_tensor() { plan.stored() } else { Stored::default() },
            joint: joint && kernel.row().binds_layer(),
            fused: Fused::of(&plan.work(), kernel),
            aliasing,
        }
    }

    /// The shaders that a plan may ask for: of kernels with nothing fused every one, and a sample of all others in which
    /// each two choices meet. Activations of the caller's are left out.
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
            let joints: &[bool] = if row.binds_layer() { &[true, false] } else { &[false] };
            let (functions, extras) = Fused::choices(kernel);
            // First without, then with it.
            let [masks, guards, flags] =
                [Role::Mask, Role::Skipped, Role::Commit].map(|role| if row.takes(role) { 2 } else { 1 });
            let sizes = [
                views.len(),
                packets.len(),
                held.len(),
                ALIASINGS.len(),
                joints.len(),
                stored.len(),
                functions.len(),
                extras.len(),
                masks,
                guards,
                flags,
            ];
            let of = |i: &[usize]| Self {
                kernel,
                view: views[i[0]],
                packet: packets[i[1]],
                held: held[i[2]],
                aliasing: ALIASINGS[i[3]],
                joint: joints[i[4]],
                stored: stored[i[5]],
                fused: Fused {
                    function: functions[i[6]],
                    masked: i[8] == 1,
                    guarded: i[9] == 1,
                    commits: i[10] == 1,
                    ..extras[i[7]]
                },
            };
            let is_one = |i: &[usize]| of(i).exists();
            let plain = product(&sizes[..4]).into_iter().map(|i| [i, vec![0; 7]].concat());
            all.extend(plain.filter(|i| is_one(i)).map(|i| of(&i)));
            let possible: Vec<_> = product(&sizes).into_iter().filter(|i| is_one(i)).collect();
            let sample = pairwise(&possible).into_iter().filter(|i| i[4..] != [0; 7]);
            all.extend(sample.map(|i| of(&i)));
        }
        all
    }

    /// Whether a plan may ask for it: packets go with storage; and what shares a buffer with what is written is read, but
    /// not as a part of the layer's one binding.
    fn exists(&self) -> bool {
        let Stored { storage, half_access } = self.stored;
        let single = self.packet == 1 || !half_access;
        let packs = !self.kernel.sees_tensor() || (packets(storage).contains(&self.packet) && single);
        let joined = |role: Role| self.joint && role.of_layer().is_some();
        let row = self.kernel.row();
        let reads =
            row.bindings_with(&self.fused).any(|(role, access)| access == Access::Read && !joined(role));
        packs
            && (reads || self.aliasing != Aliasing::SameBuffer)
            && self.fused.is_of(self.kernel)
            && row.aliasings(&self.fused).contains(&self.aliasing)
    }

    /// Quads in a packet.
    pub fn quads(&self) -> u32 {
        self.packet.div_ceil(4)
    }

    /// Statistics that an invocation holds: one in planes, one for each quad in rows.
    pub fn stats(&self) -> u32 {
        if self.view == View::Planes { 1 } else { self.quads() }
    }

    /// Packets that are loaded before the first is used. One of 16 values takes several loads by itself.
    pub fn ahead(&self) -> u32 {
        if self.packet == 16 { 1 } else { AHEAD }
    }

    pub fn name(&self) -> String {
        let Self { kernel, view, packet, held, stored, joint, fused, aliasing } = self;
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
        name += &fused.name();
        name + match aliasing {
            Aliasing::Disjoint => "",
            Aliasing::SameBuffer => "_same_buffer",
            Aliasing::InPlace => "_in_place",
            Aliasing::ResidualInPlace => "_residual_in_place",
        }
    }

    /// What it binds and how: where tensors share a buffer with what is written, WebGPU wants all of it to be writable; in
    /// place, what is read is not bound itself; and vectors of the layer that stand in one buffer are one binding.
    pub fn bindings(&self) -> Vec<(Role, Access)> {
        let row = self.kernel.row();
        let replaced = row.replaced(self.aliasing).map(|(read, _)| read);
        let joined = |role: Role| self.joint && role.of_layer().is_some();
        let mut all = Vec::new();
        if self.joint {
            let writes = row.bindings.iter().any(|&(role, access)| joined(role) && access == Access::Write);
            all.push((Role::Layer, if writes { Access::Write } else { Access::Read }));
        }
        let others =
            row.bindings_with(&self.fused).filter(|(role, _)| Some(*role) != replaced && !joined(*role));
        all.extend(others.map(|(role, access)| match self.aliasing {
            Aliasing::Disjoint => (role, access),
            _ => (role, Access::Write),
        }));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{
        Activation, DeviceProfile, Epilogue, MaskKind, Op, Path, PlanRequest, ResidualGradient, Work,
        storage_buffers,
    };
    use crate::tensor::Shape;

    #[test]
    fn plans_count_bindings_as_they_are() {
        let profile = DeviceProfile { max_storage_buffers: 99, ..DeviceProfile::discrete() };
        let ops = [
            Op::Training { update_running: true },
            Op::Evaluation,
            Op::Backward { reduce: true, apply: true },
            Op::Backward { reduce: true, apply: false },
            Op::Backward { reduce: false, apply: true },
            Op::Moments,
            Op::Apply,
            Op::GradientSums,
            Op::InputGradient,
        ];
        let activations = [Activation::Identity, Activation::Relu, Activation::Silu];
        let mut seen = std::collections::HashMap::new();
        for (op, activation) in ops.into_iter().flat_map(|op| activations.map(|activation| (op, activation)))
        {
            for i in product(&[2; 6]) {
                let [residual, mask, guard, commit, separate, dz] = [0, 1, 2, 3, 4, 5].map(|k| i[k] == 1);
                let backward = op.is_backward();
                let mut work = Work::from(op)
                    .epilogue(Epilogue { activation, residual })
                    .mask(mask.then_some(MaskKind::Lengths))
                    .guard(guard && !backward)
                    .commit(commit && !backward)
                    .separate_vectors(separate);
                if backward && residual && dz && op != Op::GradientSums {
                    work = work.residual_gradient(ResidualGradient::Write);
                }
                for path in [Path::Split, Path::Cached, Path::Persistent, Path::Reduce, Path::Elementwise] {
                    let request = PlanRequest::new().path(path);
                    let Ok(plan) = Plan::new(&profile, work, Shape::rows(64, 8), request) else { continue };
                    for stage in plan.stages() {
                        let variant = Variant::new(&plan, stage, !separate, Aliasing::Disjoint);
                        let bound = variant.bindings().len() as u32;
                        assert_eq!(storage_buffers(stage.kernel, &work), bound, "{}", variant.name());
                        let most = seen.entry(stage.kernel).or_insert(0);
                        *most = bound.max(*most);
                    }
                }
            }
        }
        assert_eq!(seen.len(), Kernel::ALL.len(), "{seen:?}");
        assert_eq!((seen[&Kernel::Cached], seen[&Kernel::InputGradient]), (12, 8), "{seen:?}");
    }
}

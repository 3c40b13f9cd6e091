//! One shader of many: a kernel with everything that needs another WGSL.

use super::table::{Access, Entry, Role};
use crate::plan::{Grid, HELD, Kernel, View};
use crate::tensor::Aliasing;

/// A kernel for one view, packet and aliasing of tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub kernel: Kernel,
    pub view: View,
    /// Values that an invocation loads at a time.
    pub packet: u32,
    /// Packets that an invocation holds, for kernels that do.
    pub held: u32,
    pub aliasing: Aliasing,
}

impl Variant {
    /// The variant of a kernel for a grid and tensors like these, with what makes no difference to it left out.
    pub fn new(kernel: Kernel, grid: &Grid, aliasing: Aliasing) -> Self {
        Self {
            kernel,
            view: if kernel.merges() { View::Rows } else { grid.view },
            packet: grid.packet,
            held: if kernel.holds() { grid.held } else { 0 },
            aliasing,
        }
    }

    /// Every shader that a plan may ask for.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for kernel in Kernel::ALL {
            let packets: &[u32] = if kernel.merges() { &[1, 4] } else { &[1, 4, 16] };
            let views: &[View] = if kernel.merges() { &[View::Rows] } else { &[View::Planes, View::Rows] };
            let held: &[u32] = if kernel.holds() { &HELD } else { &[0] };
            for (&view, &packet, &held) in product(views, packets, held) {
                let variant = |aliasing| Self { kernel, view, packet, held, aliasing };
                all.extend(kernel.row().aliasings().map(variant));
            }
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
        let Self { kernel, view, packet, held, aliasing } = self;
        let mut name = kernel.row().entry.to_owned();
        if !kernel.merges() {
            name += &format!("_{view}");
        }
        name += &format!("_x{packet}");
        if kernel.holds() {
            name += &format!("_held_{held}");
        }
        name + match aliasing {
            Aliasing::Disjoint => "",
            Aliasing::SameBuffer => "_same_buffer",
            Aliasing::InPlace => "_in_place",
        }
    }

    /// What it binds and how: where tensors share a buffer with what is written, WebGPU wants all of it to be writable; in
    /// place, what is read is not bound itself.
    pub fn bindings(&self) -> Vec<(Role, Access)> {
        let Entry { bindings, in_place, .. } = self.kernel.row();
        let replaced = in_place.filter(|_| self.aliasing == Aliasing::InPlace).map(|(read, _)| read);
        bindings
            .iter()
            .filter(|(role, _)| Some(*role) != replaced)
            .map(|&(role, access)| match self.aliasing {
                Aliasing::Disjoint => (role, access),
                Aliasing::SameBuffer | Aliasing::InPlace => (role, Access::Write),
            })
            .collect()
    }
}

fn product<'a, A, B, C>(a: &'a [A], b: &'a [B], c: &'a [C]) -> impl Iterator<Item = (&'a A, &'a B, &'a C)> {
    a.iter().flat_map(move |a| b.iter().flat_map(move |b| c.iter().map(move |c| (a, b, c))))
}

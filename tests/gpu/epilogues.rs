//! Epilogues: y = activation(bn(x) + z) and its gradients, against the CPU twin.

use testkit::fused::{ACTIVATIONS, ALL, Ask, Fused, Mode, PLACEMENTS, Placement, Wanted};
use testkit::plans::{of_path, paths};
use wgpu_batchnorm::{Path, PlanRequest, PreActivation, Shape, View};

/// A shape of a view and packet width whose tiles are not full, and of which an invocation can hold a feature.
fn shape(view: View, packet: u32) -> Shape {
    match view {
        View::Rows => Shape::rows(29, 5 * packet),
        _ => Shape::channels_first(7, 5, &[3 * packet]),
    }
}

fn frames() -> impl Iterator<Item = (View, u32)> {
    [View::Planes, View::Rows].into_iter().flat_map(|view| [1, 4, 16].map(move |packet| (view, packet)))
}

fn plan(path: Path, view: View, packet: u32) -> PlanRequest {
    of_path(path).view(view).packet(packet)
}

/// Every activation with and without a residual on every path, in every view and packet width.
#[test]
fn every_activation_on_every_path() {
    for (k, (view, packet)) in frames().enumerate() {
        for (a, activation) in ACTIVATIONS.into_iter().enumerate() {
            for residual in [false, true] {
                for (p, path) in [Path::Cached, Path::Persistent, Path::Split].into_iter().enumerate() {
                    // A third of all, in which each two meet.
                    if (k + a + p) % 3 == 0 {
                        let plan = plan(path, view, packet);
                        Fused::new(Ask { plan, ..Ask::new(shape(view, packet), activation, residual) })
                            .check();
                    }
                }
            }
        }
    }
}

//! The plans that a shape can take.

use wgpu_batchnorm::{Path, PlanRequest, Shape, View};

use crate::layout::Layout;

/// Every plan a shape can take: all paths, views, widths, and several workgroups and splits.
pub fn plans(shape: Shape) -> Vec<PlanRequest> {
    let inner = Layout::of(shape).inner as u64;
    let views: &[View] = if inner == 1 { &[View::Rows, View::Planes] } else { &[View::Planes] };
    let mut all = vec![PlanRequest::default()];
    for &view in views {
        let row = if view == View::Rows { shape.features().into() } else { inner };
        for width in [1u32, 4, 16].into_iter().filter(|&w| row % u64::from(w) == 0) {
            let mut add = |path, lanes, chunks| {
                let (path, view, width, lanes) = (Some(path), Some(view), Some(width), Some(lanes));
                all.push(PlanRequest { path, view, width, lanes, chunks });
            };
            for lanes in [1, 8, 64] {
                add(Path::Resident, lanes, None);
                for chunks in [None, Some(1), Some(3)] {
                    add(Path::Split, lanes, chunks);
                }
            }
            for lanes in [8, 32, 256].into_iter().filter(|&lanes| holds(shape, view, width, lanes)) {
                add(Path::Held, lanes, None);
            }
        }
    }
    all
}

/// Whether a workgroup has registers and workgroup memory to hold its features.
fn holds(shape: Shape, view: View, width: u32, lanes: u32) -> bool {
    let (columns, loads) = if view == View::Rows {
        (shape.features() / width, shape.count())
    } else {
        (1, shape.count() / u64::from(width))
    };
    let walkers = lanes / columns.next_power_of_two().min(lanes);
    loads <= 16 * u64::from(walkers) && (width <= 4 || lanes <= 32)
}

/// The same plan for work that has one path only, such as evaluation.
pub fn without_path(plan: PlanRequest) -> PlanRequest {
    PlanRequest { path: None, ..plan }
}

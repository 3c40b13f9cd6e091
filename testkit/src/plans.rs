//! The plans that a shape can take.

use wgpu_batchnorm::{Path, PlanRequest, Shape, View};

use crate::layout::Layout;

/// Every plan a shape can take: all paths, views, packets, and several workgroup sizes, tiles and splits.
pub fn plans(shape: Shape) -> Vec<PlanRequest> {
    let inner = Layout::of(shape).inner as u64;
    let views: &[View] = if inner == 1 { &[View::Rows, View::Planes] } else { &[View::Planes] };
    let mut all = vec![PlanRequest::default()];
    for &view in views {
        let line = if view == View::Rows { shape.features().into() } else { inner };
        for packet in [1u32, 4, 16].into_iter().filter(|&packet| line % u64::from(packet) == 0) {
            let of_workgroup = |workgroup| {
                let request = PlanRequest::new().view(view).packet(packet).workgroup(workgroup);
                tiles(view, workgroup)
                    .into_iter()
                    .map(move |tile| tile.map_or(request, |tile| request.tile(tile)))
            };
            for request in [1, 8, 64].into_iter().flat_map(of_workgroup) {
                all.push(request.path(Path::Cached));
                let split = request.path(Path::Split);
                all.extend([split, split.splits(1), split.splits(3)]);
            }
            let persistent = [8, 32, 256].into_iter().flat_map(of_workgroup);
            all.extend(persistent.filter(|request| holds(shape, request)).map(|r| r.path(Path::Persistent)));
        }
    }
    all
}

/// A plan of each path in each view and packet, whose workgroups and tiles differ.
pub fn some_plans(shape: Shape) -> Vec<PlanRequest> {
    let kind = |plan: &PlanRequest| (plan.path, plan.view, plan.packet);
    let mut groups: Vec<Vec<PlanRequest>> = Vec::new();
    for plan in plans(shape) {
        match groups.iter_mut().find(|group| kind(&group[0]) == kind(&plan)) {
            Some(group) => group.push(plan),
            None => groups.push(vec![plan]),
        }
    }
    groups.iter().enumerate().map(|(k, group)| group[(k + group.len() / 2) % group.len()]).collect()
}

/// Invocations of a workgroup that share all of a feature, or none; in rows, as many side by side as the row has, or two.
fn tiles(view: View, workgroup: u32) -> Vec<Option<u32>> {
    match view {
        View::Planes if workgroup > 1 => vec![Some(1), Some(workgroup)],
        View::Rows if workgroup == 64 => vec![None, Some(2)],
        _ => vec![None],
    }
}

/// Whether a workgroup has registers and workgroup memory to hold its features.
fn holds(shape: Shape, request: &PlanRequest) -> bool {
    let (packet, workgroup) = (request.packet.unwrap_or(1), request.workgroup.unwrap_or(1));
    let (slots, loads) = match request.view {
        Some(View::Rows) => (shape.features() / packet, shape.count()),
        _ => (1, shape.count() / u64::from(packet)),
    };
    let tile = request.tile.unwrap_or(slots.next_power_of_two().min(workgroup));
    loads <= 16 * u64::from(workgroup / tile) && (packet <= 4 || workgroup <= 32)
}

/// Each path that training and its backward can take, for features of up to a hundred values or two.
pub fn paths() -> [PlanRequest; 3] {
    [Path::Cached, Path::Persistent, Path::Split].map(of_path)
}

/// The plan of a path; on the persistent one, of workgroups that hold a hundred values or two, whatever the device.
pub fn of_path(path: Path) -> PlanRequest {
    let request = PlanRequest::new().path(path);
    if path == Path::Persistent { request.workgroup(32) } else { request }
}

/// The same plan for work that has one path only, such as evaluation.
pub fn without_path(mut plan: PlanRequest) -> PlanRequest {
    plan.path = None;
    plan
}

//! The plans that a shape can take.

use wgpu_batchnorm::{Path, PlanRequest, Shape, View};

use crate::layout::Layout;

/// Invocations of a workgroup, but on the persistent path: as many as default plans take on most software adapters, so that
/// pipelines are the same.
const WORKGROUP: u32 = 4;

/// A plan of each path in each view and packet, and the default one.
pub fn plans(shape: Shape) -> Vec<PlanRequest> {
    with_default(of_frames(shape).into_iter().flatten())
}

/// A plan of each view and packet, the paths taking turns, and the default one: for what works the same on all paths and
/// needs pipelines of its own.
pub fn turns(shape: Shape) -> Vec<PlanRequest> {
    with_default(of_frames(shape).into_iter().enumerate().map(|(turn, plans)| plans[turn % plans.len()]))
}

/// A plan of each view and packet, and the default one, for work that has one path only, such as evaluation.
pub fn elementwise(shape: Shape) -> Vec<PlanRequest> {
    let of_frame = |(turn, frame)| of_workgroup(frame, WORKGROUP, turn);
    with_default(packets(shape).into_iter().enumerate().map(of_frame))
}

fn with_default(plans: impl Iterator<Item = PlanRequest>) -> Vec<PlanRequest> {
    [PlanRequest::default()].into_iter().chain(plans).collect()
}

/// For each view and packet a plan of each path that it has.
fn of_frames(shape: Shape) -> Vec<Vec<PlanRequest>> {
    let of_frame = |(turn, frame): (usize, (View, u32))| {
        let cached = of_workgroup(frame, WORKGROUP, turn).path(Path::Cached);
        let split = of_workgroup(frame, WORKGROUP, turn + 1).path(Path::Split).splits(3);
        let persistent = [turn, turn + 1].map(|turn| of_workgroup(frame, 32, turn));
        let held = persistent.into_iter().find(|request| holds(shape, request));
        [cached, split].into_iter().chain(held.map(|request| request.path(Path::Persistent))).collect()
    };
    packets(shape).into_iter().enumerate().map(of_frame).collect()
}

/// Invocations that share a feature and invocations that do not take turns, so that few pipelines have to be compiled.
fn of_workgroup((view, packet): (View, u32), workgroup: u32, turn: usize) -> PlanRequest {
    let request = PlanRequest::new().view(view).packet(packet).workgroup(workgroup);
    let even = turn.is_multiple_of(2);
    match view {
        View::Rows if even => request.tile(2),
        View::Rows => request,
        _ => request.tile(if even { 1 } else { workgroup }),
    }
}

/// Every plan a shape can take: all paths, views, packets, and several workgroup sizes, tiles and splits. Hundreds of
/// pipelines, for exhaustive tests.
pub fn all_plans(shape: Shape) -> Vec<PlanRequest> {
    let mut all = vec![PlanRequest::default()];
    for (view, packet) in packets(shape) {
        let of_workgroup = |workgroup| {
            let request = PlanRequest::new().view(view).packet(packet).workgroup(workgroup);
            tiles(view, workgroup)
                .into_iter()
                .map(move |tile| tile.map_or(request, |tile| request.tile(tile)))
        };
        for request in [1, WORKGROUP, 64].into_iter().flat_map(of_workgroup) {
            all.push(request.path(Path::Cached));
            let split = request.path(Path::Split);
            all.extend([split, split.splits(1), split.splits(3)]);
        }
        let persistent = [8, 32, 256].into_iter().flat_map(of_workgroup);
        all.extend(persistent.filter(|request| holds(shape, request)).map(|r| r.path(Path::Persistent)));
    }
    all
}

/// The views of a shape, each with the packets that it can be read in.
fn packets(shape: Shape) -> Vec<(View, u32)> {
    let inner = Layout::of(shape).inner as u64;
    let views: &[View] = if inner == 1 { &[View::Rows, View::Planes] } else { &[View::Planes] };
    let of_view = |&view: &View| {
        let line = if view == View::Rows { shape.features().into() } else { inner };
        let packets = [1u32, 4, 16].into_iter().filter(move |&packet| line % u64::from(packet) == 0);
        packets.map(move |packet| (view, packet))
    };
    views.iter().flat_map(of_view).collect()
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

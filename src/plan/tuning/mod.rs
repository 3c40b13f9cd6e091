//! Which plans are worth to be measured, and in which order: the best of each kind by the model, then those next to the best
//! that was measured.

use std::collections::{HashSet, VecDeque};

use super::candidates::holds;
use super::{DeviceProfile, HELD, Path, Plan, PlanError, PlanRequest, View, Work, packets};
use crate::tensor::Shape;

/// By how much more than the default plan's time the model may predict for a plan that is measured.
const HOPELESS: u32 = 4;
/// A plan is better than another where it takes less than this share of its time: times differ by as much for no reason.
const BETTER: f64 = 0.98;

/// A search for the best plan of each of some works that run one after the other, on tensors of one shape.
///
/// It needs no device: whoever has one measures the plans that it proposes, and tells it the times.
#[derive(Debug)]
pub(crate) struct Search {
    profile: DeviceProfile,
    works: Vec<Work>,
    shape: Shape,
    /// The work whose plans are tried, with the best of the others.
    part: usize,
    best: Vec<Plan>,
    best_time: f64,
    waiting: VecDeque<Plan>,
    seen: HashSet<(usize, PlanRequest)>,
    /// Whether those next to the best have been proposed.
    climbed: bool,
    /// Whether what waits is next to the best.
    climbing: bool,
}

impl Search {
    /// The first plans that it proposes are those that are chosen by default.
    pub fn new(profile: &DeviceProfile, works: Vec<Work>, shape: Shape) -> Result<Self, PlanError> {
        let default = |work: &Work| Plan::new(profile, *work, shape, PlanRequest::default());
        let best = works.iter().map(default).collect::<Result<Vec<_>, _>>()?;
        let mut search = Self {
            profile: *profile,
            works,
            shape,
            part: 0,
            best,
            best_time: f64::INFINITY,
            waiting: VecDeque::new(),
            seen: HashSet::new(),
            climbed: false,
            climbing: false,
        };
        search.begin();
        Ok(search)
    }

    /// The work whose plans are tried.
    pub fn part(&self) -> usize {
        self.part
    }

    /// A plan for each work, to be measured; `None` where there is nothing more to try.
    pub fn next(&mut self) -> Option<Vec<Plan>> {
        loop {
            if let Some(plan) = self.waiting.pop_front() {
                let mut plans = self.best.clone();
                plans[self.part] = plan;
                return Some(plans);
            }
            if self.climbed {
                if !self.next_part() {
                    return None;
                }
            } else {
                (self.climbed, self.climbing) = (true, true);
                let near = neighbours(&self.profile, &self.best[self.part]);
                self.propose(near);
            }
        }
    }

    /// What plans that it proposed take.
    pub fn tell(&mut self, plans: Vec<Plan>, time: f64) {
        if time < BETTER * self.best_time {
            (self.best, self.best_time, self.climbed) = (plans, time, false);
            if self.climbing {
                self.waiting.clear();
            }
        }
    }

    /// Goes on with the next work, if there is one.
    pub fn next_part(&mut self) -> bool {
        self.part += 1;
        if self.part >= self.works.len() {
            return false;
        }
        self.begin();
        true
    }

    fn begin(&mut self) {
        (self.climbed, self.climbing) = (false, false);
        self.waiting.clear();
        if self.part > 0 {
            // It has been measured, with the others' best.
            self.seen.insert((self.part, self.best[self.part].request()));
        }
        let default = self.best[self.part].clone();
        self.propose(starts(&self.profile, self.works[self.part], self.shape, default));
    }

    fn propose(&mut self, plans: Vec<Plan>) {
        for plan in plans {
            if self.seen.insert((self.part, plan.request())) {
                self.waiting.push_back(plan);
            }
        }
    }
}

/// The default plan, then the best of each view, packet and path by the model, the likeliest first.
fn starts(profile: &DeviceProfile, work: Work, shape: Shape, default: Plan) -> Vec<Plan> {
    if default.path() == Path::Empty {
        return vec![default];
    }
    let paths = if work.op.reduces() && work.applies() {
        vec![Some(Path::Split), Some(Path::Cached), Some(Path::Persistent)]
    } else {
        vec![None]
    };
    let mut plans = Vec::new();
    for view in [View::Planes, View::Rows] {
        for &packet in packets(work.storage) {
            for &path in &paths {
                let request = PlanRequest { path, ..PlanRequest::new().view(view).packet(packet) };
                plans.extend(Plan::new(profile, work, shape, request).ok());
            }
        }
    }
    plans.retain(|plan| plan.predicted() <= default.predicted() * HOPELESS && compiles_soon(profile, plan));
    plans.sort_by_key(Plan::predicted);
    plans.insert(0, default);
    plans
}

/// Software drivers compile loops for seconds that hold more than the model lets them.
fn compiles_soon(profile: &DeviceProfile, plan: &Plan) -> bool {
    plan.path() != Path::Persistent || plan.first().is_none_or(|grid| holds(profile, &plan.work, grid))
}

/// The plans that differ from one by a number that is twice or half as large. First those that need no other pipeline.
fn neighbours(profile: &DeviceProfile, plan: &Plan) -> Vec<Plan> {
    let Some(way) = plan.chosen else { return Vec::new() };
    let held = (way.path == Path::Persistent).then_some(way.first.held);
    let (first, second) = (way.first, way.second);
    let whole = PlanRequest {
        apply_workgroup: Some(second.workgroup),
        apply_tile: Some(second.tile),
        apply_splits: Some(second.splits),
        held,
        ..way.request()
    };
    let near =
        |number: u32| [number.checked_mul(2), Some(number / 2)].into_iter().flatten().filter(|&n| n > 0);
    let mut requests = Vec::new();
    if matches!(way.path, Path::Split | Path::Reduce | Path::Elementwise) {
        requests.extend(near(first.splits).map(|n| PlanRequest { splits: Some(n), ..whole }));
    }
    if way.path == Path::Split {
        requests.extend(near(second.splits).map(|n| PlanRequest { apply_splits: Some(n), ..whole }));
        let sized =
            |(size, tile)| PlanRequest { apply_workgroup: Some(size), apply_tile: Some(tile), ..whole };
        requests.extend(sizes(second.workgroup, second.tile).map(sized));
    }
    // What is held follows from the workgroup and the packet.
    let free = PlanRequest { held: None, ..whole };
    let sized = |(size, tile)| PlanRequest { workgroup: Some(size), tile: Some(tile), ..free };
    requests.extend(sizes(first.workgroup, first.tile).map(sized));
    let packets = packets(plan.work.storage);
    let at = packets.iter().position(|&packet| packet == first.packet).unwrap_or(0);
    let beside = packets.iter().enumerate().filter(|(i, _)| i.abs_diff(at) == 1);
    requests.extend(beside.map(|(_, &packet)| PlanRequest { packet: Some(packet), ..free }));
    let more = HELD.iter().filter(|&&more| held.is_some_and(|held| more > held));
    requests.extend(more.map(|&more| PlanRequest { held: Some(more), ..whole }));

    let plan_of = |request| Plan::new(profile, plan.work, plan.shape, request).ok();
    let plans = requests.into_iter().filter_map(plan_of);
    plans.filter(|plan| plan.path() == way.path && compiles_soon(profile, plan)).collect()
}

/// Workgroups and tiles next to one: each alone, and both.
fn sizes(workgroup: u32, tile: u32) -> impl Iterator<Item = (u32, u32)> {
    let near = [
        (workgroup * 2, tile * 2),
        (workgroup / 2, tile / 2),
        (workgroup * 2, tile),
        (workgroup / 2, tile),
        (workgroup, tile * 2),
        (workgroup, tile / 2),
    ];
    near.into_iter().filter(|(workgroup, tile)| *tile > 0 && tile <= workgroup)
}

#[cfg(test)]
mod tests;

//! What stands where in every composed shader: barriers and clamps that no software driver punishes the lack of.

/// The shaders whose names begin so; at least one.
fn shaders(entries: &[&str]) -> Vec<(String, String)> {
    let is = |name: &str, entry: &str| {
        name.strip_prefix(entry)
            .is_some_and(|rest| ["_planes", "_rows", "_x"].iter().any(|p| rest.starts_with(p)))
    };
    let of = |(name, _): &(String, String)| entries.iter().any(|entry| is(name, entry));
    let found: Vec<_> = wgpu_batchnorm::shaders().into_iter().filter(of).collect();
    assert!(entries.iter().all(|entry| found.iter().any(|(name, _)| is(name, entry))), "{entries:?}");
    found
}

/// The text of a function, without comments.
fn body<'a>(name: &str, source: &'a str, function: &str) -> &'a str {
    let head = format!("fn {function}(");
    let begin = source.find(&head).unwrap_or_else(|| panic!("{name} has no {head}"));
    let end = source[begin..].find("\n}").unwrap_or_else(|| panic!("{name}: {head} does not end"));
    &source[begin..begin + end]
}

/// Each text stands after the one before it.
#[track_caller]
fn in_order(name: &str, text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("{name}: no {part:?} in its order {parts:?}:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

/// The entry point's name: that of the kernel in all names of shaders.
fn entry(name: &str) -> &str {
    let end = ["_planes", "_rows", "_x"].iter().filter_map(|part| name.find(part)).min().unwrap();
    &name[..end]
}

#[test]
fn running_statistics_are_read_before_any_invocation_writes_them() {
    for (name, source) in shaders(&["cached", "persistent"]) {
        let main = body(&name, &source, entry(&name));
        in_order(&name, main, &["= runnings_at(", "reduce(", "finish_slot("]);
        assert!(!main.contains("storageBarrier();"), "{name}");
        let finish = body(&name, &source, "finish_slot");
        in_order(&name, finish, &["if TILE < WORKGROUP {", "storageBarrier();", "}", "finish("]);
        assert_eq!(finish.matches("storageBarrier();").count(), 1, "{name}");
        // All of them before the barrier.
        assert!(body(&name, &source, "runnings_at").contains("= running_at("), "{name}");
        for text in [&main[main.find("reduce(").unwrap()..], finish] {
            assert!(!text.contains("running_"), "{name}");
        }
        for function in ["finish", "update_running"] {
            let text = body(&name, &source, function);
            assert!(!text.contains("running_at("), "{name}: {function} reads what others have moved");
        }
        // To compute the share of a batch, its count is read where it is written, by the invocation that does both.
        assert!(
            body(&name, &source, "finish").contains("if writes && params.update_running == 1u"),
            "{name}"
        );
    }
}

#[test]
fn a_reduction_waits_before_each_level_and_at_its_end() {
    let kernels = [
        "split_moments",
        "finalize",
        "cached",
        "persistent",
        "split_sums",
        "finalize_gradients",
        "gather_moments",
        "gather_sums",
        "cached_gradient",
    ];
    for (name, source) in shaders(&kernels) {
        let reduce = body(&name, &source, "reduce");
        let parts = [
            "if TILE == WORKGROUP {",
            "return mine;",
            "for (var width = WORKGROUP + params.zero; width >= TILE; width /= 2u) {",
            "if invocation < width {",
            "shared_items[n * WORKGROUP + invocation] = item_of(&all, n);",
            "workgroupBarrier();",
            "let half = width / 2u;",
            "let ends = width == TILE;",
            "if ends || invocation < half {",
            "let other = select(invocation + half, invocation % TILE, ends);",
            "= shared_items[n * WORKGROUP + other];",
            "return all;",
        ];
        in_order(&name, reduce, &parts);
        // What a level writes is not what the level before it reads, so that one barrier is enough.
        let count = |text| reduce.matches(text).count();
        assert_eq!((count("workgroupBarrier();"), count("shared_items[")), (1, 2), "{name}");
        // A second reduction would overwrite what slower invocations still read.
        let main = body(&name, &source, entry(&name));
        match main.matches("merged(").count() {
            0 => assert_eq!(main.matches("reduce(").count(), 1, "{name}"),
            merged => {
                assert_eq!((merged, main.matches("reduce(").count()), (1, 0), "{name}");
                assert_eq!(body(&name, &source, "merged").matches("reduce(").count(), 1, "{name}");
            }
        }
    }
}

/// Barriers need control flow that is the same for a whole workgroup: the only return before is by the group's number.
#[test]
fn surplus_groups_return_first_and_whole() {
    for (name, source) in wgpu_batchnorm::shaders() {
        let main = body(&name, &source, entry(&name));
        let from = ["let group = group_of(id, size);", "let group = group_from_last(id, size);"];
        assert!(from.iter().any(|from| main.contains(from)), "{name}");
        in_order(&name, main, &["let group = group_", "if group >= params.groups {\n        return;\n    }"]);
        assert_eq!(main.matches("return;").count(), 1, "{name}");
    }
}

/// A slot may be past the end in the last tile: it is clamped where vectors are read, and compared where they are written.
#[test]
fn slots_past_the_end_are_clamped_or_compared() {
    for (name, source) in wgpu_batchnorm::shaders() {
        let main = body(&name, &source, entry(&name));
        if name.starts_with("mask_of_lengths") {
            in_order(&name, main, &["if first < params.total {", "lengths[example]", "mask[word] = bits;"]);
            continue;
        }
        let merges = name.starts_with("finalize") || name.starts_with("gather");
        if merges {
            let merged = body(&name, &source, "merged");
            in_order(&name, merged, &["if slot < params.slots {", "merge_splits(", "return reduce("]);
            in_order(&name, main, &["= merged(slot, invocation);", "if writes(invocation, slot) {"]);
        } else if name.starts_with("split_moments") {
            in_order(&name, main, &["let slot = slot_of(", "if writes(invocation, slot) {", "save_partial"]);
        } else {
            assert!(main.contains("clamped("), "{name}");
            assert!(body(&name, &source, "clamped").contains("min(slot, params.slots - 1u)"), "{name}");
        }
        if !merges {
            assert!(body(&name, &source, "begin_slice").contains("slot < params.slots"), "{name}");
        }
        if source.contains("fn writes(") {
            let writes = body(&name, &source, "writes");
            assert!(writes.contains("invocation < TILE && slot < params.slots"), "{name}");
        }
    }
}

/// Padding may be anything: what is computed of it is replaced before it is added up, and before it is stored.
#[test]
fn padding_is_replaced_before_it_is_used() {
    let masked = |name: &str| name.contains("_masked");
    for (name, source) in wgpu_batchnorm::shaders().into_iter().filter(|(name, _)| masked(name)) {
        assert!(source.contains("const MASKED = true;"), "{name}");
        let count = |text: &str| source.matches(text).count();
        let calls = |function: &str| count(&format!("{function}(")) - count(&format!("fn {function}("));
        // Each tensor that is written, and in backward each that is added up.
        let stored = |function: &str| {
            ["packet", "cursor"]
                .map(|of| count(&format!("{function}({of}.index, only_valid(")))
                .iter()
                .sum::<usize>()
        };
        assert_eq!(calls("store_y"), stored("store_y"), "{name}");
        assert_eq!(calls("store_dx"), stored("store_dx"), "{name}");
        if source.contains("fn segment_sums(") {
            let add = body(&name, &source, "add_gradient");
            in_order(&name, add, &["dy = valid_gradient(", "xhat = only_valid(standardized(packet.x, "]);
            assert_eq!(count("return only_valid(gradient_before("), 1, "{name}");
        }
        let replaced = count("only_valid(gradient_before(") + count("only_valid(gradient, valid[n])");
        assert_eq!(calls("gradient_before"), replaced, "{name}");
        if name.starts_with("persistent_gradient") {
            let held = count("only_valid(standardized(xs[n], ");
            assert!(held >= 1 && held == count("only_valid(gradient, valid[n])"), "{name}");
        }
        // Deviations, of each quad of a packet; of what is held, first from a value among them, then from their mean.
        let quads = [("_x16", 4), ("_x8", 2)].into_iter().find(|(packet, _)| name.contains(packet));
        let quads = quads.map_or(1, |(_, quads)| quads);
        for (function, times) in [("add_deviations", 1), ("held_moments", 2)] {
            if source.contains(&format!("fn {function}(")) {
                let text = body(&name, &source, function);
                let deviations = text.matches("+= where_valid(").count()
                    + text.matches("deviation = where_valid(").count();
                assert_eq!(deviations, times * quads, "{name}");
                assert_eq!(
                    text.matches(" - (*shifts)").count() + text.matches(" - shifts[").count(),
                    deviations,
                    "{name}"
                );
            }
        }
    }
}

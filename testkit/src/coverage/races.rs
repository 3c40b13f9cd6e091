//! Races in workgroup memory: an item that one invocation writes and another reads or writes without a barrier between.
//! Software adapters run invocations in an order of their own, in which most races are not seen.

use crate::shader::closing_bracket;

/// What a race is called among what is counted.
pub const NAME: &str = "a race in shared_items";

/// Marks of who read and who wrote each item last, and since which barrier. 2047 stands for several invocations.
const MARKS: &str = "
var<private> since_barrier: u32 = 1u;
var<private> own_number: u32;
var<workgroup> item_readers: array<atomic<u32>, SHARED>;
var<workgroup> item_writers: array<atomic<u32>, SHARED>;
fn is_of_another(mark: u32) -> bool {
    return mark / 2048u == since_barrier && mark % 2048u != own_number;
}
fn read_item(i: u32) -> u32 {
    if is_of_another(atomicLoad(&item_writers[i])) { atomicAdd(&outside[RACE], 1u); }
    let several = is_of_another(atomicLoad(&item_readers[i]));
    atomicStore(&item_readers[i], since_barrier * 2048u + select(own_number, 2047u, several));
    return i;
}
fn written_item(i: u32) -> u32 {
    if is_of_another(atomicLoad(&item_writers[i])) { atomicAdd(&outside[RACE], 1u); }
    if is_of_another(atomicLoad(&item_readers[i])) { atomicAdd(&outside[RACE], 1u); }
    atomicStore(&item_writers[i], since_barrier * 2048u + own_number);
    return i;
}
";

/// The shader, whose indices are counted already, with each item of workgroup memory watched. Adds races to the names of
/// what is counted.
pub(super) fn watched(text: &str, names: &mut Vec<String>) -> String {
    names.push(NAME.to_owned());
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("shared_items[inside(") {
        let begin = at + "shared_items[".len();
        let end = begin + closing_bracket(&rest[begin..]);
        let access = if rest[end..].starts_with("] = ") { "written_item" } else { "read_item" };
        out += &format!("{}{access}({})", &rest[..begin], &rest[begin..end]);
        rest = &rest[end..];
    }
    let text = out + rest;
    let text = text.replace("workgroupBarrier();", "workgroupBarrier(); since_barrier += 1u;");
    let (before, entry) = text.split_once("\n@compute").unwrap_or((&text, ""));
    let entry = entry.replacen("\n) {\n", "\n) {\n    own_number = invocation;\n", 1);
    let marks = MARKS.replace("RACE", &format!("{}u", names.len() - 1));
    format!("{before}{}{entry}\n{marks}", if entry.is_empty() { "" } else { "\n@compute" })
}

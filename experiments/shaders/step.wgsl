// What changes from one training step to the next; uploaded before each submission.

struct Step {
    // Where the losses of this step go.
    slot: u32,
    // The first of this step's entries in the list of examples.
    first: u32,
    // Seed of what is drawn at random.
    seed: u32,
    // Learning rate.
    rate: f32,
}

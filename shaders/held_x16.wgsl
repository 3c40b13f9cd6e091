// HELD: the most Values that one invocation holds.

const HELD = 16u;

//! The Cirro node agent.
fn main() {}

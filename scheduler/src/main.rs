//! The `packshot` command.

fn main() {}

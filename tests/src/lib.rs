//! Tests of Decury that need more than one crate or one node: the simulator, and the harness of the end-to-end tests.

pub mod explore;
pub mod sim;

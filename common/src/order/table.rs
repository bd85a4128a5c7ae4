//! What a change of view carries for the order layer.

use serde::{Deserialize, Serialize};

/// What a member's order layer reports when it promises a change of view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderReport {
    /// `fifo` and `causal`: the messages themselves say it all.
    #[default]
    None,
}

/// What a change of view decides for the order layer of those who go together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderTable {
    /// `fifo` and `causal`: nothing to decide.
    #[default]
    None,
}

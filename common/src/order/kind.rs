//! The four orders, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A group's order, fixed when it is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OrderKind {
    /// Each sender's messages in the order of sending.
    Fifo,
    /// No message before one that its sender had delivered or sent before it.
    #[default]
    Causal,
    /// One sequence at all members, in agreement with causal order.
    Total,
    /// As total, and uniform: nothing is delivered before every member is known to hold it and its place.
    Safe,
}

/// Not one of the four orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an order is one of fifo, causal, total, safe")]
pub struct BadOrder;

impl OrderKind {
    /// The order as people type it.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderKind::Fifo => "fifo",
            OrderKind::Causal => "causal",
            OrderKind::Total => "total",
            OrderKind::Safe => "safe",
        }
    }
}

impl fmt::Display for OrderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for OrderKind {
    type Err = BadOrder;

    fn from_str(text: &str) -> Result<OrderKind, BadOrder> {
        let all = [OrderKind::Fifo, OrderKind::Causal, OrderKind::Total, OrderKind::Safe];
        all.into_iter().find(|order| order.as_str() == text).ok_or(BadOrder)
    }
}

//! What a change of view carries for the order layer.

use serde::{Deserialize, Serialize};

use crate::base::limits::{MEMBERS_MAX, REPORT_RANGES_MAX};
use crate::base::list::List;
use crate::wire::order::Agreed;

/// What a member's order layer reports when it promises a change of view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderReport {
    /// `fifo` and `causal`: the messages themselves say it all.
    #[default]
    None,
    /// `total` and `safe`.
    Total(TotalReport),
}

/// What a member knows of the priorities of messages that are not stable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalReport {
    /// The largest counter among its proposals, the senders' proposals it received, finals it has seen and decisions it
    /// has adopted.
    pub clock: u64,
    /// One entry per member of the view, by rank.
    pub of: List<SenderReport, MEMBERS_MAX>,
}

/// What a member knows of one sender's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderReport {
    /// All up to this message are stable: every member holds them and their finals, and they are delivered here.
    pub stable: u64,
    /// Finals, from there on without gaps.
    pub finals: List<Agreed, REPORT_RANGES_MAX>,
    /// My proposals for those after the finals, without gaps; none in `safe`.
    pub proposals: List<Agreed, REPORT_RANGES_MAX>,
}

/// What a change of view decides for the order layer of those who go together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderTable {
    /// `fifo` and `causal`: nothing to decide.
    #[default]
    None,
    /// `total` and `safe`.
    Total(TotalTable),
}

/// From what each participant decides the messages of the cut, all alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalTable {
    /// One entry per member of the view, by rank.
    pub of: List<SenderTable, MEMBERS_MAX>,
    /// For messages beyond every entry: the largest (clock + 1, rank) of the promisers.
    pub beyond: (u64, u8),
}

/// What is known of one sender's messages between those who promised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderTable {
    /// Finals that somebody knows, rising; between them there may be gaps.
    pub finals: List<Agreed, REPORT_RANGES_MAX>,
    /// Stable at somebody: such a message is decided only if a final is listed.
    pub stable: u64,
    /// From the message after `stable` on, without gaps: the largest of the promisers' proposals, and of
    /// (clock + 1, rank) for each that has not proposed.
    pub proposals: List<Agreed, REPORT_RANGES_MAX>,
    /// `safe`: the sender is not among them, so that nobody can decide what is not final: it comes marked, last.
    pub absent: bool,
}

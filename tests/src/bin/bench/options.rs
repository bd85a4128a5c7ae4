//! What is asked for: lists, of which every combination is one run.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use decury_common::base::limits::{MEMBERS_MAX, MESSAGE_MAX};
use decury_common::order::OrderKind;
use serde::Serialize;

use super::membership::Membership;

/// Room for a message's number and the space behind it.
const SIZE_MIN: u64 = 16;

/// Measures groups of real nodes over real sockets on this machine, and checks what they deliver.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) measure: Option<Measure>,
    /// How many members a group has, 2 to 10
    #[arg(long, value_delimiter = ',', default_value = "3",
        value_parser = clap::value_parser!(u64).range(2..=MEMBERS_MAX as u64))]
    members: Vec<u64>,
    /// The group's order
    #[arg(long, value_delimiter = ',', default_value = "fifo,causal,total,safe")]
    order: Vec<Order>,
    /// Bytes a message
    #[arg(long, value_delimiter = ',', default_value = "64",
        value_parser = clap::value_parser!(u64).range(SIZE_MIN..=MESSAGE_MAX as u64))]
    size: Vec<u64>,
    /// Who sends: one member, or all
    #[arg(long, value_delimiter = ',', default_value = "all")]
    senders: Vec<Senders>,
    /// burst: as fast as the group takes it; paced: at a fixed pace, and the latency is measured
    #[arg(long, value_delimiter = ',', default_value = "burst,paced")]
    mode: Vec<Mode>,
    /// How long messages are sent
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Paced: messages a second of each sender
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pace: u64,
    /// Measure the library itself: endpoints on threads of this process, without programs, pipes and JSON
    #[arg(long)]
    pub(crate) lib: bool,
    /// Also write the figures to this file, one JSON object a run
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What else can be measured than messages.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Measure {
    /// How long the group needs to agree on a new view: after a leave, a join, a crash, a cut that heals
    Membership(Membership),
}

/// The order in which a group delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    Fifo,
    Causal,
    Total,
    Safe,
}

/// Which members send; all of them receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Senders {
    One,
    All,
}

/// How they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Burst,
    Paced,
}

/// What members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Via {
    /// Nodes, through `--ui json`.
    Json,
    /// Endpoints of the library.
    Lib,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Run {
    pub(crate) via: Via,
    pub(crate) members: usize,
    pub(crate) order: Order,
    pub(crate) size: usize,
    pub(crate) senders: Senders,
    pub(crate) mode: Mode,
    pub(crate) seconds: u64,
    /// Messages a second of each sender, if it is paced.
    pub(crate) pace: u64,
}

impl Args {
    /// Every combination, in the order in which the options stand in the table.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        let via = if self.lib { Via::Lib } else { Via::Json };
        for &members in &self.members {
            for &order in &self.order {
                for &size in &self.size {
                    for &senders in &self.senders {
                        for &mode in &self.mode {
                            let (members, size) = (members as usize, size as usize);
                            let (seconds, pace) = (self.seconds, self.pace);
                            runs.push(Run { via, members, order, size, senders, mode, seconds, pace });
                        }
                    }
                }
            }
        }
        runs
    }
}

impl Run {
    /// How many members send: the first ones.
    pub(crate) fn senders(&self) -> usize {
        match self.senders {
            Senders::One => 1,
            Senders::All => self.members,
        }
    }

    /// How long messages are sent.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl Order {
    /// Whether all members deliver one sequence.
    pub(crate) fn is_one_sequence(self) -> bool {
        matches!(self, Order::Total | Order::Safe)
    }

    /// The same, as the library has it.
    pub(crate) fn kind(self) -> OrderKind {
        match self {
            Order::Fifo => OrderKind::Fifo,
            Order::Causal => OrderKind::Causal,
            Order::Total => OrderKind::Total,
            Order::Safe => OrderKind::Safe,
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Via::Json => "json",
            Via::Lib => "lib",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.kind().as_str())
    }
}

impl fmt::Display for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Senders::One => "one",
            Senders::All => "all",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Burst => "burst",
            Mode::Paced => "paced",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_one_run() {
        let line = "bench --members 3,10 --order fifo,total --size 64,1024 --senders one,all --mode paced";
        let runs = Args::try_parse_from(line.split(' ')).unwrap().runs();
        assert_eq!(runs.len(), 16);
        assert!(runs.iter().enumerate().all(|(at, run)| !runs[..at].contains(run)));
        assert_eq!((runs[0].senders(), runs[15].senders()), (1, 10));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in ["--members 1", "--members 11", "--size 8", "--size 65537", "--order sorted", "--pace 0"]
        {
            let line = format!("bench {wrong}");
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{wrong}");
        }
    }
}

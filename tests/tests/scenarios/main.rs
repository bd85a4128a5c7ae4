//! Nasty schedules, each of which broke the protocol or a plausible simplification of it in a model, as scripts for
//! the simulator. The names are those under which the schedules are known.

mod change;
mod detours;
mod latency;
mod load;
mod merge;
mod messages;
mod notices;
mod peers;
mod reach;
mod safe;
mod targets;
mod total;
mod weather;

use std::time::Duration;

use decury_common::order::OrderKind;
use decury_tests::sim::HostId;

const N: [HostId; 13] = [
    HostId(0),
    HostId(1),
    HostId(2),
    HostId(3),
    HostId(4),
    HostId(5),
    HostId(6),
    HostId(7),
    HostId(8),
    HostId(9),
    HostId(10),
    HostId(11),
    HostId(12),
];

const ALL_ORDERS: [OrderKind; 4] = [OrderKind::Fifo, OrderKind::Causal, OrderKind::Total, OrderKind::Safe];

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

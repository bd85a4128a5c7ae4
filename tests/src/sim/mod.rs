//! A simulator that can refute the protocol.
//!
//! One [`World`] is one run: hosts, the network between them and the time, all in one thread and all determined by
//! the seed. Nothing waits: the world jumps to the next arrival or deadline.
//!
//! - [`world`]: virtual time; a host's *turn* feeds what has arrived, fires what is due, sends, delivers.
//! - [`host`]: what runs on a host ([`host::Program`]): an [`endpoint`] alone, a whole [`session`], a [`tracker`].
//! - [`network`]: composable rules (loss, delay, cuts, frames held back) that decide a datagram's fate.
//! - [`directory`]: the place where joiners find each other, as a tracker would be.
//! - [`history`]: what happened, as records, and from them who is where.
//! - [`checks`]: the promises of the protocol, one file each, held against every record.
//! - [`plan`], [`run`]: a seed's workload and faults; a safety phase under them, then healing, and the demand that all
//!   converge.
//! - [`report`], [`shrink`]: what a person gets to see of a violation, and a smaller plan that shows it too.
//! - [`stage`]: a world for scripted scenarios, that reads as prose.
//!
//! The shape is that of TigerBeetle's VOPR (safety, then liveness), of swarm testing (each seed draws which kinds of
//! faults exist at all) and of turmoil's rules.

pub mod checks;
pub mod directory;
pub mod endpoint;
pub mod frames;
pub mod history;
pub mod host;
pub mod network;
pub mod payload;
pub mod plan;
mod queue;
pub mod report;
pub mod run;
pub mod session;
pub mod shrink;
pub mod stage;
mod tcp;
#[cfg(test)]
mod toy;
pub mod trace;
pub mod tracker;
mod wire;
pub mod world;

pub use host::HostId;
pub use world::World;

//! What every layer shares: time, seeded randomness, identities, bounded lists and limits.

pub mod duration;
pub mod id;
pub mod limits;
pub mod list;
pub mod rng;
pub mod time;

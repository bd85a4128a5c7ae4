//! Several multicasts connected by a network in memory, in virtual time.

mod change;
mod delivery;
mod hostile;
mod net;

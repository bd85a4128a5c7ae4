//! Every schedule of a small group: the membership code itself, explored until no new state comes up.
//!
//! The simulator draws long random runs; this looks at all of a few short ones. A [`state::State`] is some nodes'
//! memberships, the datagrams between them and the time. What can happen next ([`action::Action`]) is tried in every
//! order: any datagram in flight arrives next or, once, is lost; a node crashes, once, at any point; whoever may suspect
//! it does so at any point after that. Timers fire when nothing is in flight any more, and, as often as the scenario
//! allows, too early. A state that was seen before is not looked at again.
//!
//! In every state the promises on views are checked, and from every state the rest must come into one view.
//!
//! What is modelled: the messages themselves ([`node::Holds`]: who has how many of whom; fetching takes one step), and
//! the mesh, which says of every node that it is in reach, or suspected. The order is `fifo`: what the others add to a
//! change is data that the membership carries and does not look at.
//!
//! The idea is that of explicit-state model checkers (Holzmann's SPIN, stateright), applied to the code that runs.

pub mod action;
pub mod canonical;
pub mod checks;
pub mod memo;
pub mod node;
pub mod scenario;
pub mod search;
pub mod seen;
pub mod state;

//! Decury's protocol: reliable, ordered multicast among at most ten members, as a state machine.
//!
//! Nothing in this crate opens a socket, starts a thread, reads a clock or draws real randomness (except
//! `edge`, behind the feature of that name). Time, bytes and a seed go in; bytes, deadlines and events come out.
//! The programs drive it over real sockets, the simulator in virtual time: the same code.
//!
//! The layers, each a module that knows those above it in this list and none below:
//!
//! | module | what it does |
//! |---|---|
//! | [`base`] | time, seeded randomness, identities, limits |
//! | [`fault`] | what a bad network does to a datagram, for simulator and lab |
//! | [`machine`] | the shape of a state machine that speaks UDP or TCP |
//! | [`wire`] | frames to bytes and back |
//! | [`channel`] | whose datagram this is, and whether it is for this node |
//! | [`mesh`] | who can be reached: heartbeats, round-trip times, suspicion |
//! | [`gossip`] | who else is there, and in which groups, as nodes tell each other |
//! | [`multicast`] | reliable multicast in one view: acknowledgements, repair, stability, windows |
//! | [`order`] | received to delivered: in which order |
//! | [`membership`] | views, and how they change |
//! | [`group`] | one group: the three before, composed |
//! | [`endpoint`] | one node with all its groups: the front door |
//!
//! # Example
//!
//! Two nodes, and a network that is a loop:
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use decury_common::base::id::{GroupId, GroupName, Incarnation};
//! use decury_common::base::time::Instant;
//! use decury_common::endpoint::{Config, Endpoint, Event, JoinGroup};
//! use decury_common::machine::Machine;
//! use decury_common::order::OrderKind;
//! use decury_common::wire::membership::Addresses;
//!
//! let lobby: GroupName = "lobby".parse()?;
//! let addresses: [SocketAddr; 2] = ["10.0.0.1:1".parse()?, "10.0.0.2:1".parse()?];
//! let mut now = Instant::ZERO;
//!
//! let mut nodes = Vec::new();
//! for (n, name) in ["ann", "bob"].into_iter().enumerate() {
//!     let config = Config {
//!         incarnation: Incarnation(n as u64 + 1), // a program draws this at random
//!         name: name.parse()?,
//!         addresses: Addresses::from_iter([addresses[n]]),
//!         suspect_after: Duration::from_secs(2),
//!         history: 100,
//!         store: 1_000,
//!         deliveries: 1_024,
//!         seed: n as u64,
//!     };
//!     let mut node = Endpoint::new(config, now);
//!     // ann founds the group, bob knows of ann.
//!     let contacts = (0..n).map(|m| (Incarnation(m as u64 + 1), Addresses::from_iter([addresses[m]])));
//!     let contacts = contacts.collect();
//!     node.join(now, JoinGroup { name: lobby, id: GroupId(1), order: OrderKind::Causal, contacts })?;
//!     nodes.push(node);
//! }
//!
//! let mut heard = Vec::new();
//! while heard.len() < 2 {
//!     now += Duration::from_millis(1);
//!     assert!(now < Instant::from_micros(5_000_000), "it takes a few round trips");
//!     for n in 0..2 {
//!         nodes[n].handle_timeout(now);
//!         while let Some(transmit) = nodes[n].poll_transmit(now) {
//!             for datagram in transmit.datagrams() {
//!                 nodes[1 - n].handle_datagram(now, addresses[n], &mut datagram.to_vec());
//!             }
//!         }
//!         while let Some(event) = nodes[n].poll_event() {
//!             match event {
//!                 Event::Joined { view, .. } if n == 1 => {
//!                     assert_eq!(view.members.len(), 2);
//!                     nodes[1].send(now, lobby, Bytes::from_static(b"hello"))?;
//!                 }
//!                 Event::Message { from, payload, .. } => heard.push((n, from.to_string(), payload)),
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//! assert_eq!(heard[0], (1, "bob".to_string(), Bytes::from_static(b"hello"))); // its sender delivers it too
//! assert_eq!(heard[1], (0, "bob".to_string(), Bytes::from_static(b"hello")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod base;
pub mod channel;
#[cfg(feature = "edge")]
pub mod edge;
pub mod endpoint;
pub mod fault;
pub mod gossip;
pub mod group;
pub mod machine;
pub mod membership;
pub mod mesh;
pub mod multicast;
pub mod order;
pub mod wire;

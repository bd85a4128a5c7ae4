//! One person's session: commands in, events out.

pub mod tracker_client;

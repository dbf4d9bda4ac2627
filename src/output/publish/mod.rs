//! What all protocols that bring media in have in common: who may publish, and the way of what comes into the slot of a feed.

pub mod feeder;
pub mod find;
pub mod permit;

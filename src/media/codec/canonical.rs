//! Brings samples of any source into the canonical form of their codec, and follows their parameters.

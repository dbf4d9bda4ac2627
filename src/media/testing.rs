//! Helpers for the tests of scanners.

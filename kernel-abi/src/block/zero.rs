//! zero

//! Device-mapper.

//! sock

//! What a volume may be: the same numbers for the command line, the API and the API server of Kubernetes.

use super::Bytes;

/// The smallest volume: as large as the smallest XFS (`mkfs.xfs` makes none below).
pub const MIN_VOLUME: Bytes = Bytes::mib(300);
/// The largest volume: far beyond any drive, far below where sums of sizes could overflow.
pub const MAX_VOLUME: Bytes = Bytes::gib(1 << 20);
/// The most copies.
pub const MAX_REPLICAS: u8 = 3;
/// The most places of a placement list: more than there can be copies.
pub const MAX_PLACES: u8 = 16;
/// The longest path that something is put on, bytes: what the kernel takes (`PATH_MAX` with its end).
pub const MAX_PATH: u16 = 4095;
/// The most places where a volume is shown beside its mount: more than a node has pods unless it is told otherwise (110).
pub const MAX_PUBLISHED: u8 = 128;
/// The most columns: each needs a drive of its own on every node with a copy.
pub const MAX_COLUMNS: u8 = 8;
/// Copies unless the user says otherwise.
pub const REPLICAS: u8 = 2;
/// Seconds a lost replica is waited for unless the user says otherwise.
pub const MEMBER_MISSING_TIMEOUT_SECONDS: u32 = 900;
/// The least for which a copy is waited, seconds: a node that boots again is no reason to copy everything.
pub const MEMBER_MISSING_TIMEOUT_LEAST: u32 = 60;

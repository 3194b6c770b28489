//! mdfabric: replicated block volumes that move between nodes while applications write.

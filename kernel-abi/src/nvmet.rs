//! nvmet

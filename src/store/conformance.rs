//! What every store has to do, as one suite. Each check names its records after itself, so they can share a store.

//! Workloads, floors and peers.

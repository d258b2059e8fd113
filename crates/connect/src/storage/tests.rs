//! Tests of the storages.

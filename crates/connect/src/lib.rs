//! foretell-connect

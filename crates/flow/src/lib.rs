//! foretell-flow

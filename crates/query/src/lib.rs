//! foretell-query

//! foretell-pickle

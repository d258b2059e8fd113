//! The commands from the outside: what they print, write and refuse.

mod commands;
mod evaluate;
mod predict;
mod program;

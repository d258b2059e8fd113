//! The commands from the outside: what they print, write and refuse.

mod chains;
mod commands;
mod evaluate;
mod fixtures;
mod http;
mod init;
mod operation;
mod pipelines;
mod predict;
mod program;
mod reading;
mod testing;
mod watch;

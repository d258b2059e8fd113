//! Files as Python's libraries write them, hostile streams, and damaged files.

mod asm;
mod attacks;
mod containers;
mod damage;
mod files;
mod list;
mod opaque;
mod opcodes;
mod pack;
mod scan;
mod show;
mod skops;
mod views;
mod zip;

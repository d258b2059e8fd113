//! Queries over a small batch: cases as text, and what text cannot say.

mod behaviour;
mod cases;
mod data;
mod models;
mod page;

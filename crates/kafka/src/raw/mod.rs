//! librdkafka itself, where its safe wrapper has no way: taking many messages in one call, the offset at which a
//! partition ended (positions past transaction markers), topic ids, the members of one group, tokens that are renewed, a flush without the
//! wrapper's 100 ms steps, many records handed over in one call, brokers that are named again, and the names of all properties. The only unsafe code
//! of this crate; all pointers stay in here.
#![allow(unsafe_code)]

mod admin;
mod brokers;
mod consumer;
mod groups;
mod login;
mod produce;

pub(crate) use admin::{flush, mock_groups_at_once, properties, topic_id};
pub(crate) use brokers::begin_again;
pub(crate) use consumer::{Batch, Consumer, Handle, Message, Polled, Rebalance};
pub(crate) use groups::{Member, members};
pub(crate) use login::log_in;
pub(crate) use produce::produce;

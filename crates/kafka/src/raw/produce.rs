//! Many records of one topic handed over in one call: the wrapper looks the topic up by its name for each.

use std::ffi::{CString, c_int, c_void};
use std::ptr::{self, NonNull};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

/// The partitioner finds the partition.
const UNASSIGNED: i32 = -1;

/// A record: key, value, and the number that a report of it has.
pub(crate) type Plain<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, usize);

/// Hands records over in their order, which are copied; the indices of those that were not taken, ascending, and why.
/// Behind one for which there is no room none is taken.
pub(crate) fn produce<'a, C: ClientContext>(
    producer: &Client<C>,
    topic: &str,
    records: impl Iterator<Item = Plain<'a>>,
) -> Vec<(usize, RDKafkaErrorCode)> {
    let bytes = |bytes: Option<&'a [u8]>| match bytes {
        Some(bytes) => (bytes.as_ptr().cast_mut().cast::<c_void>(), bytes.len()),
        None => (ptr::null_mut(), 0),
    };
    let message = |(key, value, number): Plain<'a>| {
        let ((key, key_len), (payload, len)) = (bytes(key), bytes(value));
        sys::rd_kafka_message_t {
            err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: 0,
            payload,
            len,
            key,
            key_len,
            offset: 0,
            _private: ptr::without_provenance_mut(number),
        }
    };
    let mut messages: Vec<_> = records.map(message).collect();
    let none = |messages: &[sys::rd_kafka_message_t], code: RDKafkaErrorCode| {
        (0..messages.len()).map(|index| (index, code)).collect()
    };
    let (Ok(name), Ok(count)) = (CString::new(topic), c_int::try_from(messages.len())) else {
        return none(&messages, RDKafkaErrorCode::InvalidArgument);
    };
    // SAFETY: the client is alive; the name ends with zero. The handle is given back below, and the client keeps what it
    // needs of it.
    let handle = unsafe { sys::rd_kafka_topic_new(producer.native_ptr(), name.as_ptr(), ptr::null_mut()) };
    let Some(handle) = NonNull::new(handle) else {
        return none(&messages, RDKafkaErrorCode::UnknownTopic);
    };
    // SAFETY: the handle is alive and freed once. The messages are as many as said, and their keys and values live as
    // long as `'a`: they are copied.
    unsafe {
        sys::rd_kafka_produce_batch(
            handle.as_ptr(),
            UNASSIGNED,
            sys::RD_KAFKA_MSG_F_COPY as c_int,
            messages.as_mut_ptr(),
            count,
        );
        sys::rd_kafka_topic_destroy(handle.as_ptr());
    }
    let failed =
        messages.iter().enumerate().filter(|(_, message)| message.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    failed.map(|(index, message)| (index, message.err.into())).collect()
}

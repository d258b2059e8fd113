//! Single calls: topic ids, flush, property names.

use std::ffi::{CStr, CString, c_int};
use std::slice;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

pub(super) fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

/// The id that names a topic for ever; `None` where the broker gives none (before Kafka 2.8).
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    wait: Duration,
) -> KafkaResult<Option<String>> {
    let client = client.native_ptr();
    let name = CString::new(topic)?;
    let mut names = [name.as_ptr()];
    let mut text = [0; 256];
    // SAFETY: the client is alive throughout; collection, options, queue and event are created and freed here, in this
    // order; what the event lends (result, description, id) is read before it is freed.
    unsafe {
        let options =
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(wait), text.as_mut_ptr(), text.len());
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        // The request's own timeout ends it earlier.
        let event = sys::rd_kafka_queue_poll(queue, millis(wait.saturating_add(Duration::from_secs(2))));
        let id = described(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        id
    }
}

/// Groups of the cluster within a client (`test.mock.num.brokers`) begin with their first member, and wait for no others.
pub(crate) fn mock_groups_at_once<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the client is alive, and the cluster, if it has one, as long as it.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}

/// # Safety
/// `event` is null or an event that is alive.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> KafkaResult<Option<String>> {
    let failed = |code: RDKafkaRespErr| Err(KafkaError::AdminOp(code.into()));
    if event.is_null() {
        return failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
    // SAFETY: the caller's promise; every pointer is checked, and ids and arrays live as long as the event.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return failed(code);
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Ok(None);
        }
        let mut count = 0;
        let list = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if list.is_null() || count == 0 {
            return Ok(None);
        }
        let topic = *list;
        let code = sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic));
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return failed(code);
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let zero =
            || sys::rd_kafka_Uuid_most_significant_bits(id) == 0 && sys::rd_kafka_Uuid_least_significant_bits(id) == 0;
        if id.is_null() || zero() {
            return Ok(None);
        }
        let text = sys::rd_kafka_Uuid_base64str(id);
        Ok((!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned()))
    }
}

/// Sends what is buffered at once and waits until each message has its answer; whether that came in time. Answers that
/// wait for a poll (errors, where only they are reported) count as outstanding.
pub(crate) fn flush<C: ClientContext>(producer: &Client<C>, wait: Duration) -> bool {
    // SAFETY: the client is alive.
    let code = unsafe { sys::rd_kafka_flush(producer.native_ptr(), millis(wait)) };
    code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// The names of all properties that librdkafka knows.
pub(crate) fn properties() -> Vec<String> {
    let Ok(native) = ClientConfig::new().create_native_config() else { return Vec::new() };
    let mut count = 0;
    // SAFETY: the array holds `count` texts (name, value, name, …) and is freed once, after they are copied.
    unsafe {
        let array = sys::rd_kafka_conf_dump(native.ptr(), &raw mut count);
        if array.is_null() {
            return Vec::new();
        }
        let names = slice::from_raw_parts(array, count)
            .iter()
            .step_by(2)
            .map(|name| CStr::from_ptr(*name).to_string_lossy().into_owned())
            .collect();
        sys::rd_kafka_conf_dump_free(array, count);
        names
    }
}

//! The members of a group, asked of its coordinator alone.

use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

use super::admin::millis;

/// A member as its group knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The id that the group gave it when it joined.
    pub(crate) id: String,
    /// Its stable name, `group.instance.id`, where it has one.
    pub(crate) name: Option<String>,
}

/// Who is in a group now; nobody where there is no such group.
pub(crate) fn members<C: ClientContext>(client: &Client<C>, group: &str, wait: Duration) -> KafkaResult<Vec<Member>> {
    let client = client.native_ptr();
    let name = CString::new(group)?;
    let mut names = [name.as_ptr()];
    let mut text = [0; 256];
    // SAFETY: the client is alive throughout; options, queue and event are created and freed here, in this order; the
    // names are copied; what the event lends is read before it is freed.
    unsafe {
        let options =
            sys::rd_kafka_AdminOptions_new(client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(wait), text.as_mut_ptr(), text.len());
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), names.len(), options, queue);
        // The request's own timeout ends it earlier.
        let event = sys::rd_kafka_queue_poll(queue, millis(wait.saturating_add(Duration::from_secs(2))));
        let found = described(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        found
    }
}

/// # Safety
/// `event` is null or an event that is alive.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> KafkaResult<Vec<Member>> {
    let failed = |code: RDKafkaRespErr| Err(KafkaError::AdminOp(code.into()));
    if event.is_null() {
        return failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
    // SAFETY: the caller's promise; every pointer is checked, and what they point to lives as long as the event.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return failed(code);
        }
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        let mut count = 0;
        let list = match result.is_null() {
            true => return failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL),
            false => sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count),
        };
        if list.is_null() || count == 0 {
            return failed(RDKafkaRespErr::RD_KAFKA_RESP_ERR__FAIL);
        }
        let group = *list;
        match sys::rd_kafka_error_code(sys::rd_kafka_ConsumerGroupDescription_error(group)) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND => return Ok(Vec::new()),
            code => return failed(code),
        }
        let members = (0..sys::rd_kafka_ConsumerGroupDescription_member_count(group)).filter_map(|index| {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
            let id = copied(sys::rd_kafka_MemberDescription_consumer_id(member))?;
            Some(Member { id, name: copied(sys::rd_kafka_MemberDescription_group_instance_id(member)) })
        });
        Ok(members.collect())
    }
}

/// # Safety
/// `text` is null or ends with zero.
unsafe fn copied(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

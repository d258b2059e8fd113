//! The members of a group. (librdkafka's newer call, which asks the coordinator alone, ends the process by an assertion
//! where that coordinator dies meanwhile.)

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr as Code;
use rdkafka_sys as sys;

use super::admin::millis;

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The id that the group gave.
    pub(crate) id: String,
    /// The `client.id` that the member gave itself.
    pub(crate) client: String,
}

/// Who is in a group now; `None` where no broker that answered knows the group. Brokers that do
/// not answer are left out: one of a cluster may be away for long.
pub(crate) fn members<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    wait: Duration,
) -> KafkaResult<Option<Vec<Member>>> {
    let name = CString::new(group)?;
    let mut list = ptr::null();
    // SAFETY: the client and the name are alive throughout; the list is ours where the call says so, and is freed once,
    // after what it has is copied.
    unsafe {
        let code = sys::rd_kafka_list_groups(client.native_ptr(), name.as_ptr(), &raw mut list, millis(wait));
        if list.is_null() || !matches!(code, Code::RD_KAFKA_RESP_ERR_NO_ERROR | Code::RD_KAFKA_RESP_ERR__PARTIAL) {
            return Err(KafkaError::GroupListFetch(code.into()));
        }
        let found = found(&*list, group);
        sys::rd_kafka_group_list_destroy(list);
        found
    }
}

/// # Safety
/// The list is one that librdkafka made, and is alive.
unsafe fn found(list: &sys::rd_kafka_group_list, group: &str) -> KafkaResult<Option<Vec<Member>>> {
    // SAFETY: the caller's promise; counts are those of the arrays, and texts end with zero.
    unsafe {
        let groups = array(list.groups, list.group_cnt);
        let Some(group) = groups.iter().find(|found| copied(found.group).as_deref() == Some(group)) else {
            return Ok(None);
        };
        if group.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::GroupListFetch(group.err.into()));
        }
        let members = array(group.members, group.member_cnt);
        let member = |found: &sys::rd_kafka_group_member_info| {
            Some(Member { id: copied(found.member_id)?, client: copied(found.client_id).unwrap_or_default() })
        };
        Ok(Some(members.iter().filter_map(member).collect()))
    }
}

/// # Safety
/// `first` is null or the first of `count`.
unsafe fn array<'a, T>(first: *const T, count: i32) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: the caller's promise.
        Ok(count) if !first.is_null() => unsafe { slice::from_raw_parts(first, count) },
        _ => &[],
    }
}

/// # Safety
/// `text` is null or ends with zero.
unsafe fn copied(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

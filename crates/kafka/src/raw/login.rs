//! Tokens, given to a client.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use foretell_flow::StageError;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

use crate::client::Context;
use crate::login::Token;

/// Gives a client its first token, which it else had only when it is polled; and a new one in time, where it is never
/// polled. Nothing where it does not log in with tokens.
///
/// # Errors
/// No token is to be had.
pub(crate) fn log_in<C: ClientContext>(client: &Client<C>, context: &Context) -> Result<(), StageError> {
    let Some(token) = context.token() else { return Ok(()) };
    // SAFETY: the client is alive.
    let set = unsafe { set(client.native_ptr(), &token?) };
    set.map_err(|why| StageError::settings(format!("the token is refused: {why}")))
}

/// What librdkafka calls when a token is about to run out, on a thread of its own (`in_background`) or in a poll.
pub(super) unsafe fn renew(client: *mut sys::rd_kafka_t, context: &Context) {
    let outcome = match context.token() {
        // SAFETY: the client is alive: it is the one that calls.
        Some(Ok(token)) => unsafe { set(client, &token) },
        Some(Err(error)) => Err(error.to_string()),
        None => Err("no tokens are set".to_owned()),
    };
    let Err(why) = outcome else { return };
    tracing::debug!(target: "foretell::kafka", "no token: {why}");
    let why = CString::new(why).unwrap_or_default();
    // SAFETY: the client is alive, the text ends with zero and is copied. It is asked again in some seconds.
    unsafe { sys::rd_kafka_oauthbearer_set_token_failure(client, why.as_ptr()) };
}

/// Renews tokens on librdkafka's own thread; where the client does not log in with tokens there is nothing to renew.
pub(super) unsafe fn in_background(client: *mut sys::rd_kafka_t) {
    // SAFETY: the client is alive; an error is ours to free.
    unsafe {
        let error = sys::rd_kafka_sasl_background_callbacks_enable(client);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
    }
}

unsafe fn set(client: *mut sys::rd_kafka_t, token: &Token) -> Result<(), String> {
    let text = CString::new(token.text.as_str()).map_err(|_| "it holds a zero".to_owned())?;
    let principal = CString::new(token.principal.as_str()).map_err(|_| "its principal holds a zero".to_owned())?;
    let mut why: [c_char; 512] = [0; 512];
    // SAFETY: the client is alive; texts end with zero and are copied; the buffer is as long as said.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client,
            text.as_ptr(),
            token.until,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        // SAFETY: what is written ends with zero.
        _ => Err(unsafe { CStr::from_ptr(why.as_ptr()) }.to_string_lossy().into_owned()),
    }
}

//! An environment and a connection in it.

use std::ffi::c_void;
use std::rc::Rc;

use super::functions::{CONNECTION, ENVIRONMENT, Handle, ended, functions, wide};
use super::statement::Statement;
use crate::error::Error;

/// Seconds that a driver may take to log in.
const LOGIN_SECONDS: usize = 10;

/// A connection; its transaction is taken back where it is dropped.
pub(crate) struct Link {
    connected: Rc<Handle>,
}

impl Link {
    pub(crate) fn connect(string: &str) -> Result<Self, Error> {
        let functions = functions()?;
        let environment = Handle::new(functions, ENVIRONMENT, None)?;
        // SAFETY: the attribute is a number (of the version, 3.0) in the pointer's place.
        let answer = unsafe { (functions.SQLSetEnvAttr)(environment.raw, 200, 3_usize as *mut c_void, 0) };
        environment.check(answer)?;
        let connection = Handle::new(functions, CONNECTION, Some(Rc::new(environment)))?;
        let string = wide(string);
        if i16::try_from(string.len()).is_err() {
            return Err(Error::Form("the connection string is too long"));
        }
        // SAFETY: a number in the pointer's place. A driver that does not know it says so, and waits as long as it likes.
        unsafe { (functions.SQLSetConnectAttrW)(connection.raw, 103, LOGIN_SECONDS as *mut c_void, 0) };
        // SAFETY: the string ends in NUL (-3); nothing is asked back, no window is shown (0).
        let answer = unsafe {
            (functions.SQLDriverConnectW)(
                connection.raw,
                std::ptr::null_mut(),
                string.as_ptr(),
                -3,
                std::ptr::null_mut(),
                0,
                std::ptr::null_mut(),
                0,
            )
        };
        connection.check(answer)?;
        Ok(Link { connected: Rc::new(connection) })
    }

    pub(crate) fn statement(&self) -> Result<Statement, Error> {
        Statement::new(self.connected.clone())
    }

    /// An attribute whose value is a number.
    pub(crate) fn set(&self, attribute: i32, value: usize) -> Result<(), Error> {
        let Handle { functions, raw, .. } = *self.connected;
        // SAFETY: a number in the pointer's place.
        let answer = unsafe { (functions.SQLSetConnectAttrW)(raw, attribute, value as *mut c_void, 0) };
        self.connected.check(answer).map(drop)
    }

    /// A fact that is a text.
    pub(crate) fn info(&self, fact: u16) -> Result<String, Error> {
        let Handle { functions, raw, .. } = *self.connected;
        let (mut text, mut length) = ([0_u16; 256], 0);
        // SAFETY: the buffer has 512 bytes, as is said.
        let answer = unsafe { (functions.SQLGetInfoW)(raw, fact, text.as_mut_ptr().cast(), 512, &mut length) };
        self.connected.check(answer)?;
        Ok(ended(&text))
    }

    /// A fact that is a small number.
    pub(crate) fn number(&self, fact: u16) -> Result<u16, Error> {
        let Handle { functions, raw, .. } = *self.connected;
        // Of a longer number, which no fact that is asked for here is, there is room.
        let (mut number, mut length) = ([0_u16; 8], 0);
        // SAFETY: the buffer has 16 bytes, as is said.
        let answer = unsafe { (functions.SQLGetInfoW)(raw, fact, number.as_mut_ptr().cast(), 16, &mut length) };
        self.connected.check(answer)?;
        Ok(number.first().copied().unwrap_or_default())
    }

    pub(crate) fn end(&self, commit: bool) -> Result<(), Error> {
        let Handle { functions, kind, raw, .. } = *self.connected;
        // SAFETY: the connection lives.
        let answer = unsafe { (functions.SQLEndTran)(kind, raw, i16::from(!commit)) };
        self.connected.check(answer).map(drop)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Handle { functions, kind, raw, .. } = *self.connected;
        // SAFETY: the connection lives; statements that are left are freed by the driver manager as it disconnects, and none is,
        // since a session drops them before.
        unsafe {
            (functions.SQLEndTran)(kind, raw, 1);
            (functions.SQLDisconnect)(raw);
        }
    }
}

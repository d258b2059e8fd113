//! ODBC's C interface, from the driver manager that is loaded when it is first needed. The only unsafe code of this crate;
//! all pointers stay in here.
#![allow(unsafe_code)]

mod functions;
mod link;
mod statement;

pub(crate) use link::Link;
pub(crate) use statement::{Catalog, Statement};

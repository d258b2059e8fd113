//! Connections by ODBC: statements with rows of values, queries whose values are texts, the catalog.
//!
//! The driver manager is loaded when the first connection is made; where there is none, that is an [`Error::Missing`] and
//! nothing else. Calls of ODBC wait, so each [`Connection`] has a thread of its own, on which [`Session`]s live.
//!
//! ```no_run
//! # async fn shown() -> Result<(), foretell_odbc::Error> {
//! let connection = foretell_odbc::Connection::open("DSN=warehouse".into()).await?;
//! let rows = connection.run(|session| session.query("SELECT 1", Vec::new())).await?;
//! assert_eq!(rows.rows, [[Some("1".to_string())]]);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod answer;
mod connection;
mod error;
mod parameter;
mod raw;
mod session;

pub use answer::{CatalogColumn, Column, Done, Fact, Place, Rows};
pub use connection::Connection;
pub use error::{Diagnostic, Error};
pub use parameter::{Date, Parameter, Time};
pub use session::Session;

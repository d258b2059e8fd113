//! Every other database, by ODBC: what all drivers have in common is here and in `database`, what a database has for itself
//! is one file each, and `flavors` is the list.

mod address;
mod bind;
mod catalog;
mod database;
mod db2;
mod failure;
mod familiar;
mod flavor;
mod flavors;
mod oracle;
mod sqlserver;

use foretell_flow::Sharing;

use super::address::DatabaseKind;

/// Databases by ODBC.
pub(super) const KIND: DatabaseKind = DatabaseKind {
    name: "ODBC",
    schemes: &[("odbc", "odbc")],
    form: address::FORM,
    sharing: Sharing::Shared,
    address: address::read,
};

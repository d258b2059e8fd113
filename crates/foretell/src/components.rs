//! Every component, by kind. A new one is its own file and a line here.

use foretell_connect::kind::{Kind, SinkSettings, SourceSettings, TableSettings};

/// Where records come from.
pub(crate) const SOURCES: &[Kind<dyn SourceSettings>] =
    &[foretell_files::SOURCE, foretell_kafka::SOURCE, foretell_socket::KIND];

/// Where a replay of dead letters reads beside those.
pub(crate) const LETTERS: &[Kind<dyn SourceSettings>] =
    &[foretell_files::SOURCE, foretell_kafka::SOURCE, foretell_sql::LETTERS];

/// Where rows land.
pub(crate) const SINKS: &[Kind<dyn SinkSettings>] =
    &[foretell_connect::console::KIND, foretell_files::SINK, foretell_kafka::SINK, foretell_sql::SINK];

/// Where the rows of reference tables are.
pub(crate) const TABLES: &[Kind<dyn TableSettings>] = &[foretell_files::TABLE, foretell_sql::TABLE];

//! Every component, by kind. A new one is its own file and a line here.

use foretell_connect::kind::{Kind, SinkSettings, SourceSettings};

/// Where records come from.
pub(crate) const SOURCES: &[Kind<dyn SourceSettings>] =
    &[foretell_files::SOURCE, foretell_kafka::SOURCE, foretell_socket::KIND];

/// Where rows land.
pub(crate) const SINKS: &[Kind<dyn SinkSettings>] =
    &[foretell_connect::console::KIND, foretell_files::SINK, foretell_kafka::SINK, foretell_sql::SINK];

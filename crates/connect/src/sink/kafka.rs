pub const DEFAULT_PROGRESS_TOPIC: &str = "foretell_progress"; use crate::kind::{Kind,SinkSettings}; pub const KIND: Kind<dyn SinkSettings> = Kind{name:"kafka",schema:|_|todo!(),parse:|_|todo!()};

//! Files, wherever they are: the operations that file sinks and manifests are built from.

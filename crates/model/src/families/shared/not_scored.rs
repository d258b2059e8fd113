//! Classes of scikit-learn that are known and not scored. A file that holds them is read all the same: a model beside
//! them is found, and one with them inside is refused with its place and what is supported.

use foretell_pickle::Entry;

pub(in crate::families) const ENTRIES: &[Entry] = &[
    Entry::class("sklearn.cluster._agglomerative", "AgglomerativeClustering"),
    Entry::class("sklearn.cluster._dbscan", "DBSCAN"),
];

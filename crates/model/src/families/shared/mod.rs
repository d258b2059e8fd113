//! What several families share.

pub(crate) mod acts;
pub(crate) mod explained;
pub(crate) mod functions;
pub(crate) mod kernels;
pub(crate) mod lists;
pub(crate) mod lone_class;
pub(crate) mod losses;
pub(crate) mod members;
pub(crate) mod near;
pub(crate) mod norm;
pub(crate) mod not_scored;
pub(crate) mod pick;
pub(crate) mod promotion;
pub(crate) mod relabelled;
pub(crate) mod rows;
pub(crate) mod searches;
pub(crate) mod side_by_side;
pub(crate) mod sparse;
pub(crate) mod wholes;
pub(crate) mod written;

//! The names that this crate understands itself: Python's types, numpy's arrays, joblib's wrapper.

use crate::{Entry, Role, State};

/// The names that this crate builds values from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Builtin {
    /// `numpy…multiarray._reconstruct`: an array, filled by `BUILD`.
    Reconstruct,
    /// `numpy.ndarray`: named by `_reconstruct` and joblib.
    NdArray,
    /// `numpy.dtype`.
    Dtype,
    /// `numpy…multiarray.scalar`: an array without dimensions.
    Scalar,
    /// `numpy…numeric._frombuffer`.
    FromBuffer,
    /// `_codecs.encode`: text that stands for bytes.
    Encode,
    /// `bytearray`.
    ByteArray,
    /// `bytes`.
    Bytes,
    /// `complex`.
    Complex,
    /// `slice`.
    Slice,
    /// `set`.
    Set,
    /// `frozenset`.
    FrozenSet,
    /// `list`.
    List,
    /// `dict`.
    Dict,
    /// `tuple`.
    Tuple,
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `collections.defaultdict`.
    DefaultDict,
    /// `functools.partial`: an object; calling it calls what it wraps.
    Partial,
    /// `object`: named by `_reconstructor`.
    Object,
    /// `copyreg._reconstructor`: an instance without state, in protocols 0 and 1.
    Reconstructor,
    /// `copyreg.__newobj__`: `NEWOBJ` as a function.
    NewObj,
    /// joblib's `NumpyArrayWrapper`: the array's bytes follow its `BUILD`.
    ArrayWrapper,
    /// joblib's `NDArrayWrapper` and `ZNDArrayWrapper`, before 0.10: the array is in a file of its own.
    ArrayFile,
}

const fn builtin(module: &'static str, name: &'static str, builtin: Builtin) -> Entry {
    Entry { module, name, role: Role::Builtin(builtin) }
}

/// What every file may name, whichever classes the caller adds.
pub(crate) const CONTAINERS: &[Entry] = &[
    // Python 3 and 2
    builtin("builtins", "object", Builtin::Object),
    builtin("builtins", "bytearray", Builtin::ByteArray),
    builtin("builtins", "bytes", Builtin::Bytes),
    builtin("builtins", "complex", Builtin::Complex),
    builtin("builtins", "slice", Builtin::Slice),
    builtin("builtins", "set", Builtin::Set),
    builtin("builtins", "frozenset", Builtin::FrozenSet),
    builtin("builtins", "list", Builtin::List),
    builtin("builtins", "dict", Builtin::Dict),
    builtin("builtins", "tuple", Builtin::Tuple),
    builtin("__builtin__", "object", Builtin::Object),
    builtin("__builtin__", "bytearray", Builtin::ByteArray),
    builtin("__builtin__", "bytes", Builtin::Bytes),
    builtin("__builtin__", "complex", Builtin::Complex),
    builtin("__builtin__", "slice", Builtin::Slice),
    builtin("__builtin__", "set", Builtin::Set),
    builtin("__builtin__", "frozenset", Builtin::FrozenSet),
    builtin("__builtin__", "list", Builtin::List),
    builtin("__builtin__", "dict", Builtin::Dict),
    builtin("__builtin__", "tuple", Builtin::Tuple),
    Entry::inert("builtins", "bool"),
    Entry::inert("builtins", "int"),
    Entry::inert("builtins", "float"),
    Entry::inert("builtins", "str"),
    Entry::inert("__builtin__", "bool"),
    Entry::inert("__builtin__", "int"),
    Entry::inert("__builtin__", "float"),
    Entry::inert("__builtin__", "str"),
    Entry::inert("__builtin__", "long"),
    Entry::inert("__builtin__", "unicode"),
    Entry::class("builtins", "range").with_state(State::NONE),
    Entry::class("__builtin__", "xrange").with_state(State::NONE),
    builtin("copyreg", "_reconstructor", Builtin::Reconstructor),
    builtin("copyreg", "__newobj__", Builtin::NewObj),
    builtin("copy_reg", "_reconstructor", Builtin::Reconstructor),
    builtin("copy_reg", "__newobj__", Builtin::NewObj),
    builtin("_codecs", "encode", Builtin::Encode),
    builtin("collections", "OrderedDict", Builtin::OrderedDict),
    builtin("collections", "defaultdict", Builtin::DefaultDict),
    builtin("functools", "partial", Builtin::Partial),
    // what people keep beside a model: when it was made, counts, names
    Entry::class("collections", "Counter").with_state(State::NONE),
    Entry::class("datetime", "date").with_state(State::NONE),
    Entry::class("datetime", "datetime").with_state(State::NONE),
    Entry::class("datetime", "time").with_state(State::NONE),
    Entry::class("datetime", "timedelta").with_state(State::NONE),
    Entry::class("datetime", "timezone").with_state(State::NONE),
    Entry::class("decimal", "Decimal").with_state(State::NONE),
    Entry::class("uuid", "SafeUUID").with_state(State::NONE),
    Entry::class("uuid", "UUID"),
    // numpy: `core` until 1.26, `_core` from 2.0
    builtin("numpy", "ndarray", Builtin::NdArray),
    builtin("numpy", "dtype", Builtin::Dtype),
    builtin("numpy.core.multiarray", "_reconstruct", Builtin::Reconstruct),
    builtin("numpy.core.multiarray", "scalar", Builtin::Scalar),
    builtin("numpy._core.multiarray", "_reconstruct", Builtin::Reconstruct),
    builtin("numpy._core.multiarray", "scalar", Builtin::Scalar),
    builtin("numpy.core.numeric", "_frombuffer", Builtin::FromBuffer),
    builtin("numpy._core.numeric", "_frombuffer", Builtin::FromBuffer),
    // an array of its own that pandas had until 0.25
    builtin("pandas.core.indexes.frozen", "FrozenNDArray", Builtin::NdArray),
    Entry::inert("numpy", "bool"),
    Entry::inert("numpy", "bool_"),
    Entry::inert("numpy", "int8"),
    Entry::inert("numpy", "int16"),
    Entry::inert("numpy", "int32"),
    Entry::inert("numpy", "int64"),
    Entry::inert("numpy", "uint8"),
    Entry::inert("numpy", "uint16"),
    Entry::inert("numpy", "uint32"),
    Entry::inert("numpy", "uint64"),
    Entry::inert("numpy", "float16"),
    Entry::inert("numpy", "float32"),
    Entry::inert("numpy", "float64"),
    Entry::inert("numpy", "str_"),
    Entry::inert("numpy", "bytes_"),
    Entry::inert("numpy", "object_"),
    Entry::inert("numpy", "number"),
    Entry::inert("numpy", "integer"),
    Entry::inert("numpy", "floating"),
    Entry::inert("numpy", "generic"),
    Entry::inert("numpy", "matrix"),
    Entry::inert("numpy", "memmap"),
    Entry::inert("numpy.ma", "MaskedArray"),
    Entry::inert("numpy.ma.core", "MaskedArray"),
    // skops names the states themselves.
    Entry::inert("numpy.random.mtrand", "RandomState"),
    Entry::inert("numpy.random._generator", "Generator"),
    Entry::function("numpy.ma.core", "_mareconstruct"),
    // numpy's random states, which no prediction reads
    Entry::function("numpy.random", "__RandomState_ctor"),
    Entry::function("numpy.random._pickle", "__randomstate_ctor"),
    Entry::function("numpy.random._pickle", "__generator_ctor"),
    Entry::function("numpy.random._pickle", "__bit_generator_ctor"),
    Entry::function("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    Entry::function("numpy.random._bit_generator", "__pyx_unpickle_SeedSequence"),
    Entry::inert("numpy.random._mt19937", "MT19937"),
    Entry::inert("numpy.random._pcg64", "PCG64"),
    Entry::inert("numpy.random._pcg64", "PCG64DXSM"),
    Entry::inert("numpy.random._philox", "Philox"),
    Entry::inert("numpy.random._sfc64", "SFC64"),
    Entry::inert("numpy.random.bit_generator", "SeedSequence"),
    Entry::inert("numpy.random._bit_generator", "SeedSequence"),
    Entry::inert("numpy.random.mtrand", "RandomState"),
    Entry::inert("numpy.random._generator", "Generator"),
    // scipy's sparse matrices: private modules from 1.8
    Entry::class("scipy.sparse.csr", "csr_matrix"),
    Entry::class("scipy.sparse._csr", "csr_matrix"),
    Entry::class("scipy.sparse._csr", "csr_array"),
    Entry::class("scipy.sparse.csc", "csc_matrix"),
    Entry::class("scipy.sparse._csc", "csc_matrix"),
    Entry::class("scipy.sparse._csc", "csc_array"),
    Entry::class("scipy.sparse.coo", "coo_matrix"),
    Entry::class("scipy.sparse._coo", "coo_matrix"),
    Entry::class("scipy.sparse._coo", "coo_array"),
    Entry::class("scipy.sparse.bsr", "bsr_matrix"),
    Entry::class("scipy.sparse._bsr", "bsr_matrix"),
    Entry::class("scipy.sparse._bsr", "bsr_array"),
    Entry::class("scipy.sparse.dia", "dia_matrix"),
    Entry::class("scipy.sparse._dia", "dia_matrix"),
    Entry::class("scipy.sparse._dia", "dia_array"),
    Entry::class("scipy.sparse.lil", "lil_matrix"),
    Entry::class("scipy.sparse._lil", "lil_matrix"),
    Entry::class("scipy.sparse._lil", "lil_array"),
    Entry::class("scipy.sparse.dok", "dok_matrix"),
    Entry::class("scipy.sparse._dok", "dok_matrix"),
    Entry::class("scipy.sparse._dok", "dok_array"),
    // joblib, also where scikit-learn until 0.22 carried it
    builtin("joblib.numpy_pickle", "NumpyArrayWrapper", Builtin::ArrayWrapper),
    builtin("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper", Builtin::ArrayWrapper),
    builtin("joblib.numpy_pickle", "NDArrayWrapper", Builtin::ArrayFile),
    builtin("joblib.numpy_pickle", "ZNDArrayWrapper", Builtin::ArrayFile),
    builtin("sklearn.externals.joblib.numpy_pickle", "NDArrayWrapper", Builtin::ArrayFile),
    builtin("sklearn.externals.joblib.numpy_pickle", "ZNDArrayWrapper", Builtin::ArrayFile),
];

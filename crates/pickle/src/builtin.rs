//! The names that this crate understands itself: Python's types, numpy's arrays, joblib's wrapper.

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
    /// dill's `_create_array`: what `_reconstruct` and `BUILD` make together.
    DillArray,
    /// dill's `_get_attr` of a module: the name that it stands for.
    DillAttribute,
    /// dill's `_import_module`: an object that names a module.
    DillImport,
    /// dill's `_getattr`: a method of one of Python's own types.
    DillMethod,
    /// dill's `_load_type`: one of Python's own types by its name.
    DillType,
}

"""Models of scikit-learn, XGBoost, LightGBM, CatBoost, ONNX and PMML, read as data and scored without their libraries.

    import foretell
    model = foretell.load("model.joblib")     # no code of the file runs
    model.predict(frame)                      # the library's own numbers

`frame` is a DataFrame of pandas or polars, a table of pyarrow, an array of numpy, or a dict of columns. `foretell.spark` has
the same for Spark.
"""

from ._foretell import Error, Refused, Table, __version__
from ._load import inspect, load, loads
from ._model import Model
from ._signature import Input, Output, Signature

__all__ = ["Error", "Input", "Model", "Output", "Refused", "Signature", "Table", "__version__", "inspect", "load", "loads"]

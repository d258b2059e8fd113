"""Program A on Dask and on Ray gives what its pipeline's example expects."""

import subprocess
import sys

import pytest
from conftest import ROOT

EXAMPLE = ROOT / "examples/batch-dataframe"


@pytest.mark.parametrize("module, program", [("dask.dataframe", "dask_dataframe.py"), ("ray", "ray_data.py")])
def test_the_same_rows(module, program, tmp_path):
    pytest.importorskip(module)
    import pandas

    command = [sys.executable, str(ROOT / "examples/dask-ray" / program), str(EXAMPLE / "orders.csv"), str(tmp_path / "out")]
    done = subprocess.run([*command, str(EXAMPLE / "models/duration.joblib")], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    got = pandas.concat(pandas.read_csv(part) for part in (tmp_path / "out").glob("*.csv"))
    expected = pandas.read_csv(EXAMPLE / "expected.csv")
    columns = [name for name in got.columns if name in expected.columns]
    assert "PRETIME" in columns and len(columns) == 12
    got, expected = (one[columns].astype("int64").sort_values(columns).reset_index(drop=True) for one in (got, expected))
    pandas.testing.assert_frame_equal(got, expected)

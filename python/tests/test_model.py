"""What is around the answers: files, errors, threads, other processes."""

import concurrent.futures
import json
import multiprocessing
import pickle
import subprocess
import sys

import numpy
import pandas
import polars
import pyarrow
import pytest
from conftest import ROOT, Case

import foretell

MRI = ROOT / "examples/mri/models/mri_xgb.joblib"
NAMES = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "AGE", "POS_n", "IO_n"]


@pytest.fixture(scope="module")
def mri():
    return foretell.load(MRI)


def orders(rows):
    random = numpy.random.default_rng(1)
    return pandas.DataFrame({name: random.integers(0, 30, rows) for name in NAMES})


def test_it_tells_what_it_is(mri):
    assert mri.signature.names == NAMES and mri.n_features_in_ == 7
    assert [one.kind for one in mri.signature.inputs] == ["number"] * 7
    (output,) = mri.signature.outputs["predict"]
    assert (output.name, output.type) == ("prediction", "Float32")
    assert "XGBRegressor" in repr(mri)
    assert mri.described["library"] == "XGBoost" and len(mri.sha256) == 64
    assert foretell.inspect(MRI)["model"] == mri.described


def test_many_rows_are_shared_by_threads_and_the_same(mri):
    frame = orders(50_000)
    one = foretell.load(MRI, threads=1)
    assert one.threads == 1 and mri.threads >= 1
    many = foretell.load(MRI, threads=4)
    numpy.testing.assert_array_equal(many.predict(frame), one.predict(frame))
    parts = [one.predict(frame[at : at + 1000]) for at in range(0, len(frame), 1000)]
    numpy.testing.assert_array_equal(numpy.concatenate(parts), one.predict(frame))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: many.predict(frame), range(8)):
            numpy.testing.assert_array_equal(answer, one.predict(frame))


def test_the_lock_is_released():
    """Another thread goes on while rows are scored."""
    import threading

    model = foretell.load(MRI, threads=1)
    frame, beats, done = orders(400_000), [], threading.Event()

    def beat():
        while not done.is_set():
            beats.append(1)
            done.wait(0.0005)

    thread = threading.Thread(target=beat)
    thread.start()
    before = len(beats)
    model.predict(frame)
    during = len(beats) - before
    done.set()
    thread.join()
    assert during > 1


def test_it_goes_to_other_processes(mri):
    frame = orders(100)
    again = pickle.loads(pickle.dumps(mri))
    numpy.testing.assert_array_equal(again.predict(frame), mri.predict(frame))
    assert again.sha256 == mri.sha256
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        numpy.testing.assert_array_equal(pool.map(mri.predict, [frame])[0], mri.predict(frame))


def test_contributions_add_up(mri):
    frame = orders(500)
    contribs = mri.contribs(frame)
    assert contribs.shape == (500, 8)
    numpy.testing.assert_allclose(contribs.sum(axis=1), mri.predict(frame), rtol=1e-4)
    assert all(isinstance(text, str) for text in mri.reasons(frame))


def test_several_outputs_have_their_shape():
    case = Case("xgboost-2.1/classes")
    model = foretell.load(case.model)
    proba = model.predict_proba(case.frame())
    assert proba.shape[1] == len(model.classes_)
    assert model.contribs(case.frame()).shape == (len(proba), proba.shape[1], model.n_features_in_ + 1)


def test_tables_go_everywhere(mri):
    frame = orders(10)
    table = mri.table(frame, "predict")
    assert table.columns == ["prediction", "refused"] and len(table) == 10
    expected = mri.predict(frame).tolist()
    assert pyarrow.record_batch(table).column("prediction").to_pylist() == expected
    assert polars.DataFrame(table)["prediction"].to_list() == expected
    assert pyarrow.table(table).num_rows == 10
    assert mri.predict(orders(0)).shape == (0,)
    assert len(mri.table(orders(0))) == 0


def test_what_does_not_fit_is_told(mri):
    def wrong(data, text):
        with pytest.raises(foretell.Error) as caught:
            mri.predict(data)
        assert text in str(caught.value), str(caught.value)

    wrong(orders(3).drop(columns="AGE"), "column `AGE`")
    wrong(numpy.zeros((3, 6)), "the model takes 7 columns, but 6 were given")
    wrong(numpy.zeros(7), "`data.reshape(1, -1)`")
    wrong(numpy.zeros((3, 7), dtype=complex), "numbers and text are taken")
    wrong(numpy.zeros((3, 7, 1)), "3 dimensions")
    wrong(orders(3).assign(AGE="old"), "column `AGE`")
    wrong(orders(3).assign(AGE=[object()] * 3), "column `AGE`: has values of the class `object`")
    wrong(orders(3).assign(AGE=[1, "2", None]), "column `AGE`: has numbers and text")
    wrong(orders(3).assign(AGE=pandas.Timestamp("2026-01-01")), "column `AGE`")
    wrong(orders(3).to_numpy().astype("f2").astype("f16"), "more digits")
    wrong({"AGE": [2**70]}, "column `AGE`: a whole number is wider than 64 bits")
    # A column that is not needed may be anything.
    frame = orders(3)
    numpy.testing.assert_array_equal(mri.predict(frame.assign(when=pandas.Timestamp("2026-01-01"))), mri.predict(frame))
    with pytest.raises(foretell.Error, match="has no `predict_proba`; it has `predict`"):
        mri.predict_proba(frame)


def test_no_code_of_a_file_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    file = tmp_path / "evil.pkl"
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(foretell.Error, match="evil.pkl: .*`builtins.exec`"):
        foretell.load(file)
    assert "refused" in foretell.inspect(file) and not (tmp_path / "ran").exists()
    file.write_bytes(MRI.read_bytes()[:1000])
    with pytest.raises(foretell.Error):
        foretell.load(file)
    with pytest.raises(FileNotFoundError):
        foretell.load(tmp_path / "none.pkl")
    with pytest.raises(foretell.Error, match="has no `MLmodel`"):
        foretell.load(tmp_path)


def test_folders_of_mlflow_and_chains_are_read(tmp_path, mri):
    (tmp_path / "model.pkl").write_bytes(MRI.read_bytes())
    (tmp_path / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.pkl\n")
    frame = orders(10)
    for path in (tmp_path, tmp_path / "MLmodel", str(tmp_path)):
        numpy.testing.assert_array_equal(foretell.load(path).predict(frame), mri.predict(frame))


def test_the_program_comes_with_it():
    import shutil

    program = shutil.which("foretell", path=str(__import__("pathlib").Path(sys.executable).parent))
    if program is None:
        pytest.skip("the module alone is installed")
    said = subprocess.run([program, "inspect", str(MRI), "--json"], check=True, capture_output=True, text=True).stdout
    assert json.loads(said) == foretell.inspect(MRI)
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    assert version.split()[1] == foretell.__version__

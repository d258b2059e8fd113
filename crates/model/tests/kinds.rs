//! Files that are not models: each is told by what it is, with the way on.

use foretell_model::{LoadOptions, Model};

fn refusal(bytes: &[u8]) -> String {
    Model::load(bytes, &LoadOptions::default()).unwrap_err().to_string()
}

#[test]
fn other_files_are_told_by_their_first_bytes() {
    for (bytes, told) in [
        (b"".as_slice(), "this is empty; fetch or save it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 9\n",
            "this is a pointer of git LFS, and not the file itself; run `git lfs pull` where it was cloned",
        ),
        (
            b"\x89HDF\r\n\x1a\n\0\0",
            "this is an HDF5 file, as Keras saves models and pandas tables; neural networks are not",
        ),
        (
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
            "this is a PyTorch file (`torch.save`); neural networks",
        ),
        (b"CBM1\x10\0\0\0", "CatBoost binary: byte 8: the file ends too early"),
        (b"\x08\x07\x12\x08skl2onnx\x1a\x051.9.1", "ONNX: byte 19: there is no graph"),
        (b"<?xml version=\"1.0\"?>\n<PMML version=\"4.4\">", "PMML: byte 0: it is no well-formed XML"),
        (b"<?xml version=\"1.0\"?>\n<project/>", "this is an XML file; save the model of scikit-learn, XGBoost"),
        (b"<!DOCTYPE html>\n<html lang=\"en\">", "this is a web page, and not the model; the download was answered"),
        (b"{\"name\":\"tree\",\"tree_info\":[{\"tree_structure\":{}}]}", "this is the JSON dump of a LightGBM model"),
        (b"{\"oblivious_trees\":[]}", "CatBoost JSON: missing field `features_info`"),
        (b"[\n  { \"nodeid\": 0, \"depth\": 0", "this is the JSON dump of an XGBoost model"),
        (b"{\"coef\": [1, 2]}", "this is JSON, and not what XGBoost's `save_model` writes; "),
        (b"{\"cells\": [], \"nbformat\": 4}", "this is a notebook, and not a saved model; "),
        (b"PAR1\x15\x04", "this is a Parquet file; the model file comes first, then the data"),
        (b"\x93NUMPY\x01\0", "this is an array of numpy (`numpy.save`); "),
        (b"RDX3\nX\n\0\0", "this is a file that R saved; models of R are not scored"),
        (b"Salted__\x01\x02", "this is a file that OpenSSL encrypted; decrypt it first"),
        (
            b"\xef\xbf\xbd\x04\xef\xbf\xbd",
            "this is a binary file that was decoded as UTF-8 and written again: bytes of it are lost",
        ),
        (b"gASVpgEAAAAAAACM", "this is a pickle in base64; decode it first"),
        (b"import pandas as pd\nfrom sklearn import svm\n", "this is a Python script, and not a saved model; "),
        (b"\xac\xed\0\x05sr\0", "this is an object of Java"),
    ] {
        assert!(refusal(bytes).starts_with(told), "{}", refusal(bytes));
    }
}

#[test]
fn a_network_in_a_pickle_is_told_where_a_name_before_it_is_refused() {
    let keras = b"\x80\x02cbuiltins\ngetattr\n(ckeras.src.models.sequential\nSequential\nX\x06\0\0\0_loadstR.";
    let told = refusal(keras);
    let wanted =
        "`builtins.getattr` is not supported: the file holds a network of Keras; neural networks are not scored: ";
    assert!(told.starts_with(wanted), "{told}");
    let called =
        b"\x80\x02cbuiltins\ngetattr\nckeras.src.models.functional\nFunctional\nX\x06\0\0\0_load_\x86RK\x01\x85R.";
    let told = refusal(called);
    assert!(told.contains("; the file holds a network of Keras; neural networks are not scored"), "{told}");
    let tensor = b"\x80\x02}X\x01\0\0\0wctorch.storage\n_load_from_bytes\nN\x85Rs.";
    assert!(refusal(tensor).contains("; the file holds a network of PyTorch; "), "{}", refusal(tensor));
    let other = b"\x80\x02cbuiltins\ngetattr\n(csklearn.svm._classes\nSVC\nX\x06\0\0\0_loadstR.";
    assert_eq!(refusal(other), "`builtins.getattr` is not supported: docs/models.md has all");
}

#[test]
fn files_that_something_happened_to_are_told() {
    // A pickle of the first protocol, sent in text mode.
    let text = b"ccopy_reg\r\n_reconstructor\r\np0\r\n(csklearn.linear_model._ridge\r\nRidge\r\n.";
    let told = refusal(text);
    assert!(told.ends_with("as a transfer in text mode does: fetch it again in binary mode"), "{told}");
    let cut = refusal(b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94(\x8c");
    assert!(cut.ends_with("the file is cut off: fetch or save it again"), "{cut}");
    let cut = refusal(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b");
    assert!(cut.ends_with("the file is cut off: fetch or save it again"), "{cut}");
}

#[test]
fn of_what_may_be_data_nothing_is_told() {
    for data in [b"{\"name\": \"Miller\"}".as_slice(), b"<html>Miller</html>", b"cMiller\nBern\n", b"Miller;1\n"] {
        assert!(!refusal(data).contains("Miller"), "{}", refusal(data));
    }
}

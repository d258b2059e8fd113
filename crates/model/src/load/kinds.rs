//! What a file is that is not a model that can be scored, by its first bytes, and what to do about it.
//!
//! Looked at only after no reader wanted the file. Nothing of the file is told but its kind: it may be somebody's data.

/// What the file is, and the way on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) what: &'static str,
    pub(crate) way: &'static str,
}

/// How much of a file is searched for words.
const LOOKED_AT: usize = 64 << 10;

const NETWORK: &str =
    "neural networks are not scored: what can stand for it are models of scikit-learn, XGBoost, LightGBM or CatBoost";
const AS_PICKLE: &str = "save the model of scikit-learn, XGBoost, LightGBM or CatBoost itself (`joblib.dump`, `save_model`), or as ONNX or PMML";
const DATA: &str = "the model file comes first, then the data";
const DECRYPT: &str = "decrypt it first";
const UNPACK: &str = "unpack it, and give the model file in it";
const FETCH_AGAIN: &str = "fetch or save it again, in binary";

/// What files of a kind begin with.
const BEGINS: &[(&[u8], &str, &str)] = &[
    (
        b"version https://git-lfs.github.com/spec/",
        "a pointer of git LFS, and not the file itself",
        "run `git lfs pull` where it was cloned",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves models and pandas tables", NETWORK),
    (b"\x93NUMPY", "an array of numpy (`numpy.save`)", AS_PICKLE),
    (b"PAR1", "a Parquet file", DATA),
    (b"ARROW1", "an Arrow file", DATA),
    (b"ORC", "an ORC file", DATA),
    (b"Obj\x01", "an Avro file", DATA),
    (b"SQLite format 3\0", "an SQLite database", DATA),
    (b"RDX2\n", "a file that R saved", "models of R are not scored"),
    (b"RDX3\n", "a file that R saved", "models of R are not scored"),
    (b"X\n\0\0\0", "a file that R saved", "models of R are not scored"),
    (b"A\n2\n", "a file that R saved", "models of R are not scored"),
    (b"A\n3\n", "a file that R saved", "models of R are not scored"),
    (b"\xac\xed\x00\x05", "an object of Java, as Weka and H2O save models", "models of Java programs are not scored"),
    (b"GGUF", "a language model (GGUF)", "language models are not scored"),
    (b"\xba\x16\x4f\x2f", "a fastText model", "fastText is not scored"),
    (b"svm_type ", "a model of LIBSVM", "train it with scikit-learn's SVC or SVR, which are scored"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"\x1f\x9d", "a file of `compress`", UNPACK),
    (b"Salted__", "a file that OpenSSL encrypted", DECRYPT),
    (b"age-encryption.org/", "a file that age encrypted", DECRYPT),
    (b"-----BEGIN PGP MESSAGE", "a file that PGP encrypted", DECRYPT),
    (b"-----BEGIN AGE ENCRYPTED", "a file that age encrypted", DECRYPT),
    (b"$ANSIBLE_VAULT", "a file that Ansible encrypted", DECRYPT),
    (b"%PDF", "a PDF file", AS_PICKLE),
    (b"\x89PNG", "an image", AS_PICKLE),
    (b"\xff\xd8\xff", "an image", AS_PICKLE),
    (b"\x7fELF", "a program", AS_PICKLE),
    (b"MZ", "a program", AS_PICKLE),
    (b"\xef\xbf\xbd", "a binary file that was decoded as UTF-8 and written again: bytes of it are lost", FETCH_AGAIN),
    (b"\xc2\x80", "a pickle that was written as text: its bytes were encoded as UTF-8", FETCH_AGAIN),
    (b"gASV", "a pickle in base64", "decode it first (`base64 -d`)"),
    (b"gAN", "a pickle in base64", "decode it first (`base64 -d`)"),
    (b"gAJ", "a pickle in base64", "decode it first (`base64 -d`)"),
    (b"H4sI", "a gzip file in base64", "decode it first (`base64 -d`)"),
    (b"artifact_path:", "the `MLmodel` of an MLflow model", "give the folder that it is in"),
    (b"flavors:", "the `MLmodel` of an MLflow model", "give the folder that it is in"),
];

/// Entries of a zip by which it is known: all of a line must be there.
const ZIPPED: &[(&[&str], &str, &str)] = &[
    (&["data.pkl", "version"], "a PyTorch file (`torch.save`)", NETWORK),
    (&["constants.pkl"], "a PyTorch file (TorchScript)", NETWORK),
    (&["model.weights.h5"], "a Keras model", NETWORK),
    (&["saved_model.pb"], "a TensorFlow model", NETWORK),
    (&["model.ini"], "a model of H2O (MOJO)", "models of H2O are not scored"),
    (&["xl/workbook.xml"], "an Excel workbook", DATA),
    (&["word/document.xml"], "a Word document", AS_PICKLE),
    (&["META-INF/MANIFEST.MF"], "a Java archive", AS_PICKLE),
    (&["metadata/part-00000"], "a model of Spark", "models of Spark are not scored"),
];

/// Entries of a zip that are looked at.
const ENTRIES: usize = 10_000;

/// What files of a kind begin with that are pickles, and read as such.
const PICKLED: &[(&[u8], &str, &str)] =
    &[(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a PyTorch file (`torch.save`)", NETWORK)];

/// What a pickle is that another library wrote around its own format.
pub(crate) fn of_pickles(bytes: &[u8]) -> Option<Kind> {
    let found = PICKLED.iter().find(|(start, ..)| bytes.starts_with(start));
    found.map(|(_, what, way)| Kind { what, way })
}

/// Libraries of neural networks, by the first part of their modules' names.
const NETWORKS: &[(&str, &str)] = &[
    ("keras", "Keras"),
    ("tensorflow", "TensorFlow"),
    ("torch", "PyTorch"),
    ("scikeras", "Keras"),
    ("skorch", "PyTorch"),
];

/// What is told of a pickle that names a module of a library of neural networks.
pub(crate) fn network<'m>(mut modules: impl Iterator<Item = &'m str>) -> Option<String> {
    let library = modules.find_map(|module| {
        let root = module.split('.').next();
        NETWORKS.iter().find(|(name, _)| root == Some(*name)).map(|(_, library)| library)
    })?;
    Some(format!("the file holds a network of {library}; {NETWORK}"))
}

/// What the bytes are, where they are known.
pub(crate) fn tell(bytes: &[u8]) -> Option<Kind> {
    if bytes.is_empty() {
        return Some(Kind { what: "empty", way: "fetch or save it again" });
    }
    if let Some((_, what, way)) = BEGINS.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return Some(Kind { what, way });
    }
    let start = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let has = |word: &str| contains(start, word.as_bytes());
    let first = start.iter().position(|byte| !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(byte));
    let text = start.get(first.unwrap_or(0)..).unwrap_or_default();
    let lower = text.get(..32).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") || lower.starts_with(b"<head") {
        let way = "the download was answered with a page (a login, an error, a viewer): fetch the raw file";
        return Some(Kind { what: "a web page, and not the model", way });
    }
    if lower.starts_with(b"<?xml") {
        return Some(Kind { what: "an XML file", way: AS_PICKLE });
    }
    if text.first().is_some_and(|first| b"{[".contains(first)) {
        return json(bytes, text);
    }
    if start.get(4..8) == Some(b"TFL3".as_slice()) {
        return Some(Kind { what: "a model of TensorFlow Lite", way: NETWORK });
    }
    if start.get(8..10) == Some(b"{\"".as_slice()) && has("\"dtype\"") {
        return Some(Kind { what: "a safetensors file", way: NETWORK });
    }
    // Protocol buffers: the number of the format's version, then a text or a message.
    if let [0x08, version, tag, ..] = start
        && *version < 0x40
    {
        if *tag == 0x12 && (has("onnx") || has("pytorch")) {
            return Some(Kind { what: "a damaged ONNX model", way: FETCH_AGAIN });
        }
        if has("saved_model") || has("tensorflow") || has("serving_default") {
            return Some(Kind { what: "a TensorFlow model (`saved_model.pb`)", way: NETWORK });
        }
    }
    if has("import ") && (has("\ndef ") || has("import sklearn") || has("from sklearn") || has("import pandas")) {
        return Some(Kind { what: "a Python script, and not a saved model", way: AS_PICKLE });
    }
    None
}

/// What a JSON file is that XGBoost did not save.
fn json(bytes: &[u8], text: &[u8]) -> Option<Kind> {
    let has = |word: &str| contains(bytes, word.as_bytes());
    let begins = |word: &str| contains(text.get(..4096).unwrap_or(text), word.as_bytes());
    if has("\"learner\"") {
        return None;
    }
    let (what, way) = if has("\"tree_info\"") && has("\"tree_structure\"") {
        (
            "the JSON dump of a LightGBM model, which leaves out what scoring needs",
            "save it with `booster_.save_model('model.txt')`",
        )
    } else if begins("\"nodeid\"") {
        (
            "the JSON dump of an XGBoost model, which leaves out what scoring needs",
            "save it with `get_booster().save_model('model.json')`",
        )
    } else if has("\"nbformat\"") {
        ("a notebook, and not a saved model", AS_PICKLE)
    } else if has("\"class_name\"") && has("\"config\"") {
        ("the layers of a Keras model in JSON", NETWORK)
    } else {
        ("JSON, and not what XGBoost's `save_model` writes", AS_PICKLE)
    };
    Some(Kind { what, way })
}

/// What a zip file is that neither skops nor an archive of a model is.
pub(crate) fn tell_zip(bytes: &[u8]) -> Option<Kind> {
    let names = zip_names(bytes);
    let is_there = |wanted: &&str| {
        names.iter().any(|name| name.strip_suffix(*wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('/')))
    };
    let found = ZIPPED.iter().find(|(wanted, ..)| wanted.iter().all(is_there));
    if let Some((_, what, way)) = found {
        return Some(Kind { what, way });
    }
    if bytes.windows(9).take(LOOKED_AT).any(|window| window == b"/data.pkl") {
        return Some(Kind { what: "a PyTorch file (`torch.save`)", way: NETWORK });
    }
    let arrays = !names.is_empty() && names.iter().all(|name| name.ends_with(".npy"));
    arrays.then_some(Kind { what: "arrays of numpy (`numpy.savez`)", way: AS_PICKLE })
}

/// Whether a zip has what skops files have.
pub(crate) fn is_skops(bytes: &[u8]) -> bool {
    zip_names(bytes).contains(&"schema.json")
}

/// The names in a zip's directory, or in what is left of it.
fn zip_names(bytes: &[u8]) -> Vec<&str> {
    const CENTRAL: &[u8] = b"PK\x01\x02";
    let mut names = Vec::new();
    let mut rest = bytes;
    while let Some(at) = find(rest, CENTRAL).filter(|_| names.len() < ENTRIES) {
        let entry = rest.get(at..).unwrap_or_default();
        let length = entry.get(28..30).and_then(|length| length.try_into().ok()).map_or(0, u16::from_le_bytes);
        let name = entry.get(46..46usize.saturating_add(length.into())).and_then(|name| std::str::from_utf8(name).ok());
        names.extend(name);
        rest = entry.get(CENTRAL.len()..).unwrap_or_default();
    }
    names
}

/// Whether the line ends of a text were made those of Windows in a file that is none.
pub(crate) fn in_text_mode(bytes: &[u8]) -> bool {
    let start = bytes.get(..1 << 20).unwrap_or(bytes);
    let ends = start.iter().filter(|byte| **byte == b'\n').count();
    let pairs = start.windows(2).filter(|pair| *pair == b"\r\n").count();
    ends >= 3 && ends == pairs
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    find(bytes, word).is_some()
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    let first = *word.first()?;
    let mut from = 0usize;
    loop {
        let rest = bytes.get(from..)?;
        let at = from.saturating_add(rest.iter().position(|byte| *byte == first)?);
        if bytes.get(at..)?.starts_with(word) {
            return Some(at);
        }
        from = at.saturating_add(1);
    }
}

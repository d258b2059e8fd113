//! Archives: tar, zip, MLflow's description, and what is packed around them.
#![no_main]

use foretell_model::LoadOptions;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let options = LoadOptions::default();
    let _ = foretell_package::inspect(bytes, &options);
    let _ = foretell_package::load(bytes, &options);
    let _ = foretell_package::MlModel::read(bytes);
});

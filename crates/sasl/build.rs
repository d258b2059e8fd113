//! Compiles `src/sasl.c` and shows librdkafka's build where header and library are.

use std::path::Path;

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    for folder in ["lib", "include/sasl"] {
        std::fs::create_dir_all(out.join(folder)).expect("cargo's folder takes files");
    }
    std::fs::copy("include/sasl/sasl.h", out.join("include/sasl/sasl.h")).expect("cargo's folder takes files");
    cc::Build::new().file("src/sasl.c").include("include").out_dir(out.join("lib")).compile("sasl2");
    // Where the C library does not have `dlopen` itself (glibc before 2.34).
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-link-lib=dl");
    }
    println!("cargo:root={}", out.display());
    println!("cargo:rerun-if-changed=src/sasl.c");
    println!("cargo:rerun-if-changed=include/sasl/sasl.h");
}

mod pipeline_file;
fn main() {}

//! Compiles the .proto files without protoc, and writes the descriptor set that reflection serves.

use std::error::Error;
use std::path::PathBuf;

const PROTO_DIR: &str = "proto";
const FILES: [&str; 3] = ["counterfoil/v1/receipt.proto", "counterfoil/v1/ledger.proto", "counterfoil/v1/admin.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_DIR}");
    let mut compiler = protox::Compiler::new([PROTO_DIR])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    write(out.join("counterfoil.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a build script has no Disk; it writes below OUT_DIR only")]
fn write(path: PathBuf, bytes: Vec<u8>) -> std::io::Result<()> {
    std::fs::write(path, bytes)
}

//! Compiles `mdfabric.proto` without a `protoc` on the machine.

const PROTO_DIR: &str = "src/api";
const PROTO_FILE: &str = "mdfabric.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO_DIR}/{PROTO_FILE}");
    let files = protox::compile([PROTO_FILE], [PROTO_DIR])?;
    tonic_prost_build::configure().build_client(true).build_server(true).compile_fds(files)?;
    Ok(())
}

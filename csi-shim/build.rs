//! Compiles `csi.proto` and the daemon's `mdfabric.proto` without a `protoc` on the machine.

/// Folder and file of each.
const PROTOS: [(&str, &str); 2] = [("proto", "csi.proto"), ("../src/api", "mdfabric.proto")];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (folder, file) in PROTOS {
        println!("cargo:rerun-if-changed={folder}/{file}");
        let files = protox::compile([file], [folder])?;
        tonic_prost_build::configure().compile_fds(files)?;
    }
    Ok(())
}

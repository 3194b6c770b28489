//! Builds the ext4 shim and links Debian's libext2fs into it, statically: the daemon carries its own mkfs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const SHIM: &str = "src/fs/ext4_shim.c";

/// What must be there to link: the archive, and the Debian package that brings it with its headers.
const ARCHIVES: [(&str, &str); 2] = [("ext2fs", "libext2fs-dev"), ("com_err", "comerr-dev")];

fn main() {
    println!("cargo:rerun-if-changed={SHIM}");
    println!("cargo:rerun-if-env-changed=EXT2FS_LIB_DIR");
    let directories = ARCHIVES.map(|(library, package)| archive_directory(library, package));
    cc::Build::new()
        .file(SHIM)
        .std("c11")
        .warnings(true)
        .extra_warnings(true)
        .flag_if_supported("-Wno-unused-parameter") // in inline functions of ext2fs.h
        .compile("mdfabric_ext4");
    for (directory, (library, _)) in directories.iter().zip(ARCHIVES) {
        println!("cargo:rustc-link-search=native={}", directory.display());
        println!("cargo:rustc-link-lib=static={library}");
    }
}

/// The directory with `lib<library>.a`. Without one the build ends here, with the package's name.
fn archive_directory(library: &str, package: &str) -> PathBuf {
    let file = format!("lib{library}.a");
    let found = named_by_user(&file)
        .or_else(|| asked_compiler(&file))
        .or_else(|| usual_places().into_iter().find(|dir| dir.join(&file).is_file()));
    found.unwrap_or_else(|| {
        eprintln!(
            "{file} not found: install Debian's {package} (apt install {package}) or set EXT2FS_LIB_DIR"
        );
        exit(1)
    })
}

fn named_by_user(file: &str) -> Option<PathBuf> {
    let directory = PathBuf::from(env::var_os("EXT2FS_LIB_DIR")?);
    directory.join(file).is_file().then_some(directory)
}

/// Where the C compiler itself would take `file` from: right for cross compilers too.
fn asked_compiler(file: &str) -> Option<PathBuf> {
    let mut command: Command = cc::Build::new().try_get_compiler().ok()?.to_command();
    let output = command.arg(format!("-print-file-name={file}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (path.is_absolute() && path.is_file()).then(|| path.parent().map(Path::to_owned))?
}

fn usual_places() -> Vec<PathBuf> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    vec![format!("/usr/lib/{arch}-linux-gnu").into(), "/usr/lib64".into(), "/usr/lib".into()]
}

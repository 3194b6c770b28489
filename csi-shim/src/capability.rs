//! How a volume is to be used.

use tonic::Status;

use crate::failure::missing;
use crate::wire::csi::VolumeCapability;
use crate::wire::csi::volume_capability::AccessType;
use crate::wire::csi::volume_capability::access_mode::Mode;
use crate::wire::mdfabric::FsType;

/// A use that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// As what.
    pub access: Access,
    /// Nothing is to be written.
    pub read_only: bool,
    /// By one workload only.
    pub alone: bool,
}

/// As what a volume is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// The device itself.
    Block,
    /// A file system.
    Mount {
        /// Which; `None`: whichever it is.
        fs: Option<FsType>,
        /// As `mount -o` takes them.
        options: Vec<String>,
        /// Who shall be able to write it.
        group: Option<u32>,
    },
}

/// File systems by the names CSI gives them.
pub const FILE_SYSTEMS: [(&str, FsType); 2] = [("xfs", FsType::Xfs), ("ext4", FsType::Ext4)];

/// The file system of that name.
#[must_use]
pub fn file_system(name: &str) -> Option<FsType> {
    FILE_SYSTEMS.iter().find(|(known, _)| *known == name).map(|(_, fs)| *fs)
}

impl Capability {
    /// What a request says; `InvalidArgument` names what there is not.
    pub fn of(capability: Option<&VolumeCapability>) -> Result<Self, Status> {
        let capability = capability.ok_or_else(|| missing("volume_capability"))?;
        let mode = capability.access_mode.ok_or_else(|| missing("volume_capability.access_mode"))?;
        let (read_only, alone) = match mode.mode() {
            Mode::SingleNodeWriter | Mode::SingleNodeMultiWriter => (false, false),
            Mode::SingleNodeSingleWriter => (false, true),
            Mode::SingleNodeReaderOnly => (true, false),
            mode @ (Mode::Unknown
            | Mode::MultiNodeReaderOnly
            | Mode::MultiNodeSingleWriter
            | Mode::MultiNodeMultiWriter) => return Err(one_node_only(mode)),
        };
        Ok(Self { access: access(capability)?, read_only, alone })
    }

    /// All of a request: at least one, and all of a kind.
    pub fn all(capabilities: &[VolumeCapability]) -> Result<Self, Status> {
        let mut all = capabilities.iter().map(|capability| Self::of(Some(capability)));
        let first = all.next().ok_or_else(|| missing("volume_capabilities"))??;
        for other in all {
            if other?.fs() != first.fs() {
                return Err(Status::invalid_argument(
                    "volume_capabilities: a volume is a block device or has one file system, ask for one of them",
                ));
            }
        }
        Ok(first)
    }

    /// The file system it needs; `None`: any, or whichever is the default.
    #[must_use]
    pub fn fs(&self) -> Option<FsType> {
        match &self.access {
            Access::Block => Some(FsType::Raw),
            Access::Mount { fs, .. } => *fs,
        }
    }

    /// Whether a volume with `fs` can be used so; why not.
    pub fn suits(&self, fs: FsType) -> Result<(), String> {
        match (&self.access, fs) {
            (Access::Block, FsType::Raw) => Ok(()),
            (Access::Block, _) => Err(format!("the volume carries {}, and is no block device", word(fs))),
            (Access::Mount { .. }, FsType::Raw) => {
                Err("the volume is a block device, and cannot be mounted".to_owned())
            }
            (Access::Mount { fs: Some(wanted), .. }, there) if *wanted != there => {
                Err(format!("the volume carries {}, and not {}", word(there), word(*wanted)))
            }
            (Access::Mount { .. }, _) => Ok(()),
        }
    }
}

fn word(fs: FsType) -> &'static str {
    FILE_SYSTEMS.iter().find(|(_, known)| *known == fs).map_or("no file system", |(name, _)| name)
}

fn one_node_only(mode: Mode) -> Status {
    Status::invalid_argument(format!(
        "volume_capability.access_mode: {} is not allowed; a volume is used on one node at a time: SINGLE_NODE_WRITER, SINGLE_NODE_SINGLE_WRITER, SINGLE_NODE_MULTI_WRITER or SINGLE_NODE_READER_ONLY",
        mode.as_str_name()
    ))
}

fn access(capability: &VolumeCapability) -> Result<Access, Status> {
    match capability.access_type.as_ref().ok_or_else(|| missing("volume_capability.access_type"))? {
        AccessType::Block(_) => Ok(Access::Block),
        AccessType::Mount(mount) => {
            let options = mount.mount_flags.clone();
            Ok(Access::Mount { fs: fs(&mount.fs_type)?, options, group: group(&mount.volume_mount_group)? })
        }
    }
}

fn fs(name: &str) -> Result<Option<FsType>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let known = FILE_SYSTEMS.map(|(name, _)| name).join(", ");
    let unknown = || format!("volume_capability.mount.fs_type: {name:?} is not allowed; use one of {known}");
    file_system(name).map(Some).ok_or_else(|| Status::invalid_argument(unknown()))
}

fn group(text: &str) -> Result<Option<u32>, Status> {
    let bad = |_| {
        Status::invalid_argument(format!(
            "volume_capability.mount.volume_mount_group: {text:?} is not allowed; use the number of a group"
        ))
    };
    (!text.is_empty()).then(|| text.parse().map_err(bad)).transpose()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::csi::volume_capability::{AccessMode, BlockVolume, MountVolume};

    pub(crate) fn capability(access_type: AccessType, mode: Mode) -> VolumeCapability {
        let access_mode = Some(AccessMode { mode: mode.into() });
        VolumeCapability { access_mode, access_type: Some(access_type) }
    }

    fn mount(fs_type: &str, group: &str) -> AccessType {
        AccessType::Mount(MountVolume {
            fs_type: fs_type.to_owned(),
            mount_flags: vec!["noatime".to_owned()],
            volume_mount_group: group.to_owned(),
        })
    }

    fn said(capability: &VolumeCapability) -> String {
        Capability::of(Some(capability)).unwrap_err().message().to_owned()
    }

    #[test]
    fn everything_of_a_capability_is_read() {
        let read = Capability::of(Some(&capability(mount("ext4", "2000"), Mode::SingleNodeSingleWriter)));
        let options = vec!["noatime".to_owned()];
        let access = Access::Mount { fs: Some(FsType::Ext4), options, group: Some(2000) };
        assert_eq!(read.unwrap(), Capability { access, read_only: false, alone: true });
        let block = capability(AccessType::Block(BlockVolume {}), Mode::SingleNodeReaderOnly);
        let read = Capability::of(Some(&block)).unwrap();
        assert_eq!((read.fs(), read.read_only, read.alone), (Some(FsType::Raw), true, false));
    }

    #[test]
    fn what_there_is_not_is_named() {
        let many = said(&capability(mount("", ""), Mode::MultiNodeMultiWriter));
        assert!(
            many.contains("MULTI_NODE_MULTI_WRITER is not allowed") && many.contains("one node"),
            "{many}"
        );
        let fs = said(&capability(mount("btrfs", ""), Mode::SingleNodeWriter));
        assert!(fs.contains("\"btrfs\"") && fs.contains("xfs, ext4"), "{fs}");
        let group = said(&capability(mount("", "wheel"), Mode::SingleNodeWriter));
        assert!(group.contains("\"wheel\""), "{group}");
        assert!(Capability::of(None).unwrap_err().message().contains("volume_capability is missing"));
        assert!(said(&VolumeCapability::default()).contains("access_mode is missing"));
    }

    #[test]
    fn a_volume_is_either_a_device_or_has_one_file_system() {
        let block = capability(AccessType::Block(BlockVolume {}), Mode::SingleNodeWriter);
        let xfs = capability(mount("xfs", ""), Mode::SingleNodeWriter);
        assert!(Capability::all(&[]).is_err());
        assert!(Capability::all(&[block.clone(), xfs.clone()]).is_err());
        assert_eq!(Capability::all(&[xfs.clone(), xfs.clone()]).unwrap().fs(), Some(FsType::Xfs));
        let (block, xfs) = (Capability::of(Some(&block)).unwrap(), Capability::of(Some(&xfs)).unwrap());
        let any = Capability::of(Some(&capability(mount("", ""), Mode::SingleNodeWriter))).unwrap();
        let suits = |fs| [&block, &xfs, &any].map(|capability| capability.suits(fs).is_ok());
        assert_eq!(suits(FsType::Raw), [true, false, false]);
        assert_eq!(suits(FsType::Xfs), [false, true, true]);
        assert_eq!(suits(FsType::Ext4), [false, false, true]);
    }
}

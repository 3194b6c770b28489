//! Bytes to superblock and back, with the checks that the kernel makes (drivers/md/md.c, `super_1_load`).

use super::{BadBlockLog, DevFlags, FeatureMap, MAX_ROLES, Reshape, Role, SetName, Superblock, Timestamp};
use crate::md::geometry::{BLOCK_BYTES, SUPER_OFFSET};
use crate::md::wire::{Block, Fields, Truncated};

const MAGIC: u32 = 0xa92b_4efc;
const MAJOR_VERSION: u32 = 1;
/// Least `data_size`, sectors (`super_1_load`).
const MIN_DATA_SIZE: u64 = 10;
/// Bytes before `dev_roles`.
const FIXED_BYTES: usize = 256;

/// Why bytes are not a superblock of version 1.2 that Linux 6.12 would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuperblockError {
    /// Fewer bytes than the fixed part and the role table need.
    #[error("{have} bytes are too few for an md superblock")]
    TooShort {
        /// Bytes given.
        have: usize,
    },
    /// Something else lies here, or nothing (0).
    #[error("magic {found:#010x} is not md's")]
    Magic {
        /// What stands in its place.
        found: u32,
    },
    /// Not metadata 1.x.
    #[error("metadata major version {found} is not 1")]
    Version {
        /// What it says.
        found: u32,
    },
    /// A role table that does not fit into 4096 bytes.
    #[error("max_dev {found} is more than a superblock can hold")]
    MaxDev {
        /// What it says.
        found: u32,
    },
    /// Some byte changed.
    #[error("checksum {stored:#010x}, the bytes give {computed:#010x}")]
    Checksum {
        /// What it says.
        stored: u32,
        /// What it should say.
        computed: u32,
    },
    /// A feature that Linux 6.12 does not know.
    #[error("unknown feature bits {unknown:#x}")]
    Features {
        /// The bits beyond [`FeatureMap::KNOWN`].
        unknown: u32,
    },
    /// Reserved bytes in use: made by a newer kernel.
    #[error("reserved bytes are not zero")]
    Padding,
    /// Metadata 1.0 or 1.1, or a copy from another place.
    #[error("superblock says it lies at sector {found}, not 8")]
    SuperOffset {
        /// What it says.
        found: u64,
    },
    /// No room for data.
    #[error("data_size of {found} sectors is too small")]
    DataSize {
        /// What it says.
        found: u64,
    },
}

impl Superblock {
    /// Reads a superblock from `bytes` (4096, as they lie on disk; more is ignored, less is enough when the role
    /// table is short).
    pub fn parse(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let roles = role_table(bytes)?;
        let too_short = |Truncated| SuperblockError::TooShort { have: bytes.len() };
        let (fixed, proof) = fixed_part(bytes, roles).map_err(too_short)?;
        proof.check()?;
        Ok(fixed)
    }

    /// The 4096 bytes to write at byte 4096 of the member. Roles beyond [`MAX_ROLES`] are not written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let unsigned = self.block(0);
        self.block(checksum(&unsigned, 0))
    }

    fn block(&self, sb_csum: u32) -> Vec<u8> {
        let roles = self.roles.get(..MAX_ROLES).unwrap_or(&self.roles);
        let max_dev = u32::try_from(roles.len()).unwrap_or_default();
        let fixed = self.member_part(self.array_part(Block::default()));
        let state = fixed.u64(self.utime.to_wire()).u64(self.events).u64(self.resync_offset);
        let state = state.u32(sb_csum).u32(max_dev).put([0; 32]);
        roles.iter().fold(state, |block, &role| block.u16(role.into())).padded(BLOCK_BYTES)
    }

    fn array_part(&self, block: Block) -> Block {
        let head = block.u32(MAGIC).u32(MAJOR_VERSION).u32(self.feature_map.0).u32(0);
        let named = head.put(self.set_uuid.as_bytes()).put(self.name.to_wire()).u64(self.ctime.to_wire());
        let shaped =
            named.i32(self.level).u32(self.layout).u64(self.size).u32(self.chunk).u32(self.raid_disks);
        let Reshape { new_level, position, delta_disks, new_layout, new_chunk, new_offset } = self.reshape;
        let reshape = shaped.i32(self.bitmap_offset).i32(new_level).u64(position).i32(delta_disks);
        reshape.u32(new_layout).u32(new_chunk).i32(new_offset)
    }

    fn member_part(&self, block: Block) -> Block {
        let placed =
            block.u64(self.data_offset).u64(self.data_size).u64(SUPER_OFFSET).u64(self.recovery_offset);
        let named = placed.u32(self.dev_number).u32(self.corrected_reads).put(self.device_uuid.as_bytes());
        let BadBlockLog { shift, size, offset } = self.bad_block_log;
        named.put([self.devflags.0, shift]).u16(size).i32(offset)
    }
}

/// What is not kept: it only decides whether the rest may be believed.
struct Proof {
    feature_map: u32,
    pad0: u32,
    super_offset: u64,
    data_size: u64,
    pad3: [u8; 32],
}

impl Proof {
    fn check(&self) -> Result<(), SuperblockError> {
        let unknown = FeatureMap(self.feature_map).without(FeatureMap::KNOWN).0;
        if unknown != 0 {
            return Err(SuperblockError::Features { unknown });
        }
        if self.pad0 != 0 || self.pad3 != [0; 32] {
            return Err(SuperblockError::Padding);
        }
        if self.super_offset != SUPER_OFFSET {
            return Err(SuperblockError::SuperOffset { found: self.super_offset });
        }
        if self.data_size < MIN_DATA_SIZE {
            return Err(SuperblockError::DataSize { found: self.data_size });
        }
        Ok(())
    }
}

/// Checks what must hold before any other field means anything, and reads the roles.
fn role_table(bytes: &[u8]) -> Result<Vec<Role>, SuperblockError> {
    let too_short = |Truncated| SuperblockError::TooShort { have: bytes.len() };
    let mut head = Fields::new(bytes);
    let (magic, version) = (head.u32().map_err(too_short)?, head.u32().map_err(too_short)?);
    if magic != MAGIC {
        return Err(SuperblockError::Magic { found: magic });
    }
    if version != MAJOR_VERSION {
        return Err(SuperblockError::Version { found: version });
    }
    let (stored, max_dev) = signature(bytes).map_err(too_short)?;
    let count = usize::try_from(max_dev).unwrap_or(usize::MAX);
    if count > MAX_ROLES {
        return Err(SuperblockError::MaxDev { found: max_dev });
    }
    let whole = bytes.get(..FIXED_BYTES + 2 * count).ok_or(Truncated).map_err(too_short)?;
    let computed = checksum(whole, stored);
    if computed != stored {
        return Err(SuperblockError::Checksum { stored, computed });
    }
    let (roles, _) = whole.get(FIXED_BYTES..).unwrap_or_default().as_chunks();
    Ok(roles.iter().map(|&role| Role::from(u16::from_le_bytes(role))).collect())
}

/// `sb_csum` and `max_dev`.
fn signature(bytes: &[u8]) -> Result<(u32, u32), Truncated> {
    let mut fields = Fields::new(bytes.get(216..FIXED_BYTES).ok_or(Truncated)?);
    Ok((fields.u32()?, fields.u32()?))
}

/// Struct fields are evaluated in the order written, which is the order on disk.
fn fixed_part(bytes: &[u8], roles: Vec<Role>) -> Result<(Superblock, Proof), Truncated> {
    let mut at = Fields::new(bytes);
    let [_magic, _version, feature_map, pad0] = [at.u32()?, at.u32()?, at.u32()?, at.u32()?];
    let mut superblock = Superblock {
        feature_map: FeatureMap(feature_map),
        set_uuid: at.uuid()?,
        name: SetName::from_wire(at.array()?),
        ctime: Timestamp::from_wire(at.u64()?),
        level: at.i32()?,
        layout: at.u32()?,
        size: at.u64()?,
        chunk: at.u32()?,
        raid_disks: at.u32()?,
        bitmap_offset: at.i32()?,
        reshape: reshape(&mut at)?,
        data_offset: at.u64()?,
        data_size: at.u64()?,
        // Stands after super_offset, as does all that follows.
        recovery_offset: 0,
        dev_number: 0,
        corrected_reads: 0,
        device_uuid: uuid::Uuid::nil(),
        devflags: DevFlags::default(),
        bad_block_log: BadBlockLog::default(),
        utime: Timestamp::default(),
        events: 0,
        resync_offset: 0,
        roles,
    };
    let super_offset = at.u64()?;
    member_fields(&mut superblock, &mut at)?;
    let [_sb_csum, _max_dev] = [at.u32()?, at.u32()?];
    let proof = Proof { feature_map, pad0, super_offset, data_size: superblock.data_size, pad3: at.array()? };
    Ok((superblock, proof))
}

fn reshape(at: &mut Fields<'_>) -> Result<Reshape, Truncated> {
    Ok(Reshape {
        new_level: at.i32()?,
        position: at.u64()?,
        delta_disks: at.i32()?,
        new_layout: at.u32()?,
        new_chunk: at.u32()?,
        new_offset: at.i32()?,
    })
}

fn member_fields(superblock: &mut Superblock, at: &mut Fields<'_>) -> Result<(), Truncated> {
    superblock.recovery_offset = at.u64()?;
    superblock.dev_number = at.u32()?;
    superblock.corrected_reads = at.u32()?;
    superblock.device_uuid = at.uuid()?;
    superblock.devflags = DevFlags(at.u8()?);
    superblock.bad_block_log = BadBlockLog { shift: at.u8()?, size: at.u16()?, offset: at.i32()? };
    superblock.utime = Timestamp::from_wire(at.u64()?);
    superblock.events = at.u64()?;
    superblock.resync_offset = at.u64()?;
    Ok(())
}

/// drivers/md/md.c, `calc_sb_1_csum`: the sum of all words with `sb_csum` (`stored`) taken as 0, folded once.
fn checksum(bytes: &[u8], stored: u32) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let tail = rest.first_chunk::<2>().map_or(0, |&half| u64::from(u16::from_le_bytes(half)));
    let words: u64 = words.iter().map(|&word| u64::from(u32::from_le_bytes(word))).sum();
    let sum = words + tail - u64::from(stored);
    let low = sum & u64::from(u32::MAX);
    u32::try_from((low + (sum >> 32)) & u64::from(u32::MAX)).unwrap_or_default()
}

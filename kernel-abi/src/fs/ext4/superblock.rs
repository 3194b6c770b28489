//! The ext4 superblock, `struct ext4_super_block` in fs/ext4/ext4.h: little endian, 1024 bytes at byte 1024.

use uuid::Uuid;

use crate::ParseError;
use crate::fs::bytes::{array, le16, le32, text};

/// Where it stands on the device, bytes.
const OFFSET: usize = 1024;
const LENGTH: usize = 1024;
const MAGIC: u16 = 0xef53;

const S_BLOCKS_COUNT_LO: usize = 0x04;
const S_LOG_BLOCK_SIZE: usize = 0x18;
const S_MAGIC: usize = 0x38;
const S_STATE: usize = 0x3a;
const S_FEATURE_INCOMPAT: usize = 0x60;
const S_FEATURE_RO_COMPAT: usize = 0x64;
const S_UUID: usize = 0x68;
const S_VOLUME_NAME: usize = 0x78;
const S_BLOCKS_COUNT_HI: usize = 0x150;
const S_CHECKSUM: usize = 0x3fc;

const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_EXTENTS: u32 = 0x40;
const INCOMPAT_64BIT: u32 = 0x80;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
const VALID_FS: u16 = 1;
const ERROR_FS: u16 = 2;
/// 64 KiB, `EXT4_MAX_BLOCK_LOG_SIZE`.
const MAX_LOG_BLOCK_SIZE: u32 = 6;

/// What the superblock says of an ext4 file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Superblock {
    /// Identity.
    pub uuid: Uuid,
    /// Label, often empty.
    pub label: String,
    /// Bytes, 1024 to 65536.
    pub block_size: u32,
    /// Size of the file system in blocks.
    pub blocks: u64,
    /// How it was left.
    pub state: Ext4State,
}

/// How an ext4 file system was left. All false: mounted read-write by an old kernel, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ext4State {
    /// Unmounted cleanly (`EXT4_VALID_FS`); with a journal this also stands while it is mounted.
    pub clean: bool,
    /// The kernel found damage (`EXT4_ERROR_FS`): e2fsck is due.
    pub errors: bool,
    /// The journal is to be replayed: mounted now, or not unmounted.
    pub needs_recovery: bool,
}

impl Ext4Superblock {
    /// Reads the superblock out of the first bytes of a device, at least 2048. `Ok(None)`: no ext2/3/4 magic there.
    pub fn parse(device: &[u8]) -> Result<Option<Self>, ParseError> {
        let Some(block) = device.get(OFFSET..OFFSET + LENGTH) else { return Ok(None) };
        if le16(block, S_MAGIC) != Some(MAGIC) {
            return Ok(None);
        }
        let short = || broken("fields missing");
        check(block)?;
        let incompat = le32(block, S_FEATURE_INCOMPAT).ok_or_else(short)?;
        Ok(Some(Self {
            uuid: Uuid::from_bytes(array(block, S_UUID).ok_or_else(short)?),
            label: text::<16>(block, S_VOLUME_NAME).ok_or_else(short)?,
            block_size: block_size(block).ok_or_else(|| broken("block size out of range"))?,
            blocks: blocks(block, incompat).ok_or_else(short)?,
            state: state(block, incompat).ok_or_else(short)?,
        }))
    }

    /// Size of the file system in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size.into())
    }
}

fn broken(why: &str) -> ParseError {
    ParseError::new("ext4 superblock", why)
}

/// Is it ext4 (not ext2 or ext3), and does its checksum hold where it has one?
fn check(block: &[u8]) -> Result<(), ParseError> {
    let incompat = le32(block, S_FEATURE_INCOMPAT).unwrap_or_default();
    if incompat & INCOMPAT_EXTENTS == 0 {
        return Err(broken("no extents: ext2 or ext3"));
    }
    let summed = le32(block, S_FEATURE_RO_COMPAT).unwrap_or_default() & RO_COMPAT_METADATA_CSUM != 0;
    if summed && le32(block, S_CHECKSUM) != checksum(block) {
        return Err(broken("checksum does not match"));
    }
    Ok(())
}

/// CRC-32C from all ones and without the usual last inversion (`ext4_superblock_csum`).
fn checksum(block: &[u8]) -> Option<u32> {
    Some(!crc32c::crc32c(block.get(..S_CHECKSUM)?))
}

fn block_size(block: &[u8]) -> Option<u32> {
    let log = le32(block, S_LOG_BLOCK_SIZE).filter(|log| *log <= MAX_LOG_BLOCK_SIZE)?;
    Some(1024 << log)
}

fn blocks(block: &[u8], incompat: u32) -> Option<u64> {
    let low = u64::from(le32(block, S_BLOCKS_COUNT_LO)?);
    let high = u64::from(le32(block, S_BLOCKS_COUNT_HI)?);
    Some(if incompat & INCOMPAT_64BIT == 0 { low } else { high << 32 | low })
}

fn state(block: &[u8], incompat: u32) -> Option<Ext4State> {
    let state = le16(block, S_STATE)?;
    Some(Ext4State {
        clean: state & VALID_FS != 0,
        errors: state & ERROR_FS != 0,
        needs_recovery: incompat & INCOMPAT_RECOVER != 0,
    })
}

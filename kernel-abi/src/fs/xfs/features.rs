//! Feature bits of the superblock, with the names of `fs/xfs/libxfs/xfs_format.h`. The set is mkfs.xfs 6.1's default.

const VERSION_5: u16 = 5;
const VERSION_NLINKBIT: u16 = 0x0020;
const VERSION_ALIGNBIT: u16 = 0x0080;
const VERSION_DALIGNBIT: u16 = 0x0100;
const VERSION_LOGV2BIT: u16 = 0x0400;
const VERSION_SECTORBIT: u16 = 0x0800;
const VERSION_EXTFLGBIT: u16 = 0x1000;
const VERSION_DIRV2BIT: u16 = 0x2000;
const VERSION_MOREBITSBIT: u16 = 0x8000;

/// `sb_versionnum`: what every file system here has, and what sectors and stripes add.
pub(super) fn version(large_sectors: bool, striped: bool) -> u16 {
    let always = VERSION_5
        | VERSION_NLINKBIT
        | VERSION_ALIGNBIT
        | VERSION_LOGV2BIT
        | VERSION_EXTFLGBIT
        | VERSION_DIRV2BIT
        | VERSION_MOREBITSBIT;
    let sector = if large_sectors { VERSION_SECTORBIT } else { 0 };
    let stripe = if striped { VERSION_DALIGNBIT } else { 0 };
    always | sector | stripe
}

const VERSION2_LAZYSBCOUNTBIT: u32 = 0x0002;
const VERSION2_ATTR2BIT: u32 = 0x0008;
const VERSION2_PROJID32BIT: u32 = 0x0080;
const VERSION2_CRCBIT: u32 = 0x0100;

/// `sb_features2`, and the same again in `sb_bad_features2`.
pub(super) const FEATURES2: u32 =
    VERSION2_LAZYSBCOUNTBIT | VERSION2_ATTR2BIT | VERSION2_PROJID32BIT | VERSION2_CRCBIT;

const FEAT_RO_COMPAT_FINOBT: u32 = 1 << 0;
const FEAT_RO_COMPAT_REFLINK: u32 = 1 << 2;
const FEAT_RO_COMPAT_INOBTCNT: u32 = 1 << 3;

/// `sb_features_ro_compat`.
pub(super) const RO_COMPAT: u32 = FEAT_RO_COMPAT_FINOBT | FEAT_RO_COMPAT_REFLINK | FEAT_RO_COMPAT_INOBTCNT;

const FEAT_INCOMPAT_FTYPE: u32 = 1 << 0;
const FEAT_INCOMPAT_SPINODES: u32 = 1 << 1;
const FEAT_INCOMPAT_BIGTIME: u32 = 1 << 3;

/// `sb_features_incompat`.
pub(super) const INCOMPAT: u32 = FEAT_INCOMPAT_FTYPE | FEAT_INCOMPAT_SPINODES | FEAT_INCOMPAT_BIGTIME;

/// `XFS_DIFLAG2_BIGTIME` (`xfs_format.h`): the inode's time stamps are nanoseconds since 1901.
pub(super) const DIFLAG2_BIGTIME: u64 = 1 << 3;
/// `XFS_DIFLAG_NEWRTBM`: set on the bitmap of the (absent) realtime section.
pub(super) const DIFLAG_NEWRTBM: u16 = 1 << 2;

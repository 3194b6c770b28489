//! The first record of the log: a clean unmount (`fs/xfs/libxfs/xfs_log_format.h`, `libxfs_log_header`).

use super::plan::{NULL, Plan};
use super::record::Record;

const MAGIC: u32 = 0xfeed_babe;
/// Log sequence number of the first record: cycle 1, block 0.
const FIRST_LSN: u64 = 1 << 32;
/// Transaction id of the unmount record, moved to the header because the cycle number takes its place.
const UNMOUNT_TID: u32 = 0xb0c0_d0d0;
/// `XLOG_FMT_LINUX_LE`.
const FORMAT: u32 = 1;
/// `XLOG_HEADER_CYCLE_SIZE`: one header sector serves so many bytes.
const HEADER_SERVES: u32 = 32 << 10;
const SECTOR: usize = 512;
/// `oh_len` 8, client `XFS_LOG` 0xaa, flags `XLOG_UNMOUNT_TRANS` 0x20, then `XLOG_UNMOUNT_TYPE` "Un".
const UNMOUNT: [u8; 12] = [0, 0, 0, 8, 0xaa, 0x20, 0, 0, 0x6e, 0x55, 0, 0];

/// Header sectors, and behind them the one operation, padded to the log's stripe unit.
pub(super) fn unmount_record(plan: &Plan) -> Vec<u8> {
    let buffer = plan.log_unit().max(HEADER_SERVES);
    let headers = buffer.div_ceil(HEADER_SERVES) as usize;
    let total = (plan.log_unit() as usize).max(2 * SECTOR);
    let body = total.saturating_sub(headers * SECTOR);
    let mut record = header(plan, body, buffer);
    (1..headers).for_each(|_| record.extend(cycle_sector(&[])));
    record.extend(cycle_sector(&UNMOUNT));
    while record.len() < total {
        record.extend(cycle_sector(&[]));
    }
    record
}

/// `struct xlog_rec_header`.
fn header(plan: &Plan, body: usize, buffer: u32) -> Vec<u8> {
    Record::new(SECTOR)
        .u32(MAGIC) // h_magicno
        .u32(1) // h_cycle
        .u32(2) // h_version
        .u32(u32::try_from(body).unwrap_or_default()) // h_len
        .u64(FIRST_LSN) // h_lsn
        .u64(FIRST_LSN) // h_tail_lsn
        .u32(0) // h_crc: not checked when zero
        .u32(NULL) // h_prev_block
        .u32(1) // h_num_logops
        .u32(UNMOUNT_TID) // h_cycle_data[0]
        .zeros(252) // h_cycle_data[1..64]
        .u32(FORMAT) // h_fmt
        .raw(&plan.uuid) // h_fs_uuid
        .u32(buffer) // h_size
        .finish()
}

/// Every sector of the log starts with its cycle number.
fn cycle_sector(rest: &[u8]) -> Vec<u8> {
    Record::new(SECTOR).u32(1).raw(rest).finish()
}

//! Members of arrays, in files.

use kernel_abi::md::bitmap::Bitmap;
use kernel_abi::md::geometry;
use kernel_abi::md::header::{self, MemberHeader};
use kernel_abi::md::superblock::{NewArray, NewMember, Seat, SetName, Superblock, Timestamp};
use uuid::Uuid;

/// One partition's member of an array of its own, in a file. The array has had so many events.
pub(super) fn member(device_uuid: Uuid, events: u64) -> tempfile::NamedTempFile {
    const SIZE: u64 = 64 << 20;
    let image = tempfile::NamedTempFile::new().unwrap();
    image.as_file().set_len(SIZE).unwrap();
    let array = NewArray {
        set_uuid: Uuid::from_u128(7),
        name: SetName::new("v").unwrap(),
        ctime: Timestamp::from_secs(1),
        raid_disks: 2,
        present: vec![Seat { dev_number: 0, slot: 0 }],
        component_size: None,
    };
    let device_sectors = SIZE / geometry::SECTOR_BYTES;
    let member = NewMember { dev_number: 0, device_uuid, write_mostly: false, device_sectors };
    let superblock = Superblock { events, ..Superblock::create(&array, &member).unwrap() };
    let bitmap = Bitmap::clean(array.set_uuid, superblock.size, superblock.events).unwrap();
    header::write_member_header(image.path(), &MemberHeader { superblock, bitmap }).unwrap();
    image
}

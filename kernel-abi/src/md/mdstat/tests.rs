use proptest::prelude::*;

use super::*;

const BUSY: &str = include_str!("../../../tests/fixtures/md/mdstat");

fn member(device: &str, number: i32, flags: MdstatFlags) -> MdstatMember {
    MdstatMember { device: device.to_owned(), number, flags }
}

fn busy(name: &str) -> MdstatArray {
    parse(BUSY).unwrap().arrays.into_iter().find(|array| array.name == name).unwrap()
}

#[test]
fn levels_and_arrays_come_in_the_kernels_order() {
    let mdstat = parse(BUSY).unwrap();
    assert_eq!(mdstat.personalities, ["raid1", "raid10"]);
    let names: Vec<_> = mdstat.arrays.iter().map(|array| array.name.as_str()).collect();
    assert_eq!(names, ["md_vol1", "md_vol2", "md_vol3", "md_vol4", "md_vol5", "md_vol6", "md127"]);
}

#[test]
fn a_recovery_shows_its_progress() {
    let array = busy("md_vol1");
    assert_eq!(
        (array.state, array.access, array.level.as_deref()),
        (RunState::Active, Access::ReadWrite, Some("raid1"))
    );
    let (none, mostly) = (MdstatFlags::default(), MdstatFlags::WRITE_MOSTLY);
    let faulty = mostly.with(MdstatFlags::FAULTY);
    let members = [member("dm-1", 3, mostly), member("dm-0", 1, faulty), member("nvme0n1p1", 0, none)];
    assert_eq!(array.members, members);
    assert!(array.members[1].flags.contains(MdstatFlags::FAULTY));
    assert_eq!((array.blocks_kib, array.metadata.as_deref()), (Some(1_046_528), Some("1.2")));
    assert_eq!(array.slots, Some(SlotSummary { total: 3, in_sync: 1, up: vec![true, false, false] }));
    let progress = SyncProgress {
        action: "recovery".to_owned(),
        permille: 126,
        done_kib: 131_862,
        total_kib: 1_046_528,
        finish_deciminutes: Some(1275),
        speed_kib: Some(33_440),
    };
    assert_eq!(array.sync, Some(SyncLine::Running(progress)));
    let bitmap = BitmapLine { pages_used: 1, pages_total: 1, chunk_bytes: 1 << 20 };
    assert_eq!(array.bitmap, Some(bitmap));
}

#[test]
fn read_only_flavours_and_waiting_syncs() {
    let auto = busy("md_vol2");
    assert_eq!((auto.access, auto.sync), (Access::AutoReadOnly, Some(SyncLine::Pending)));
    let only = busy("md_vol3");
    assert_eq!((only.access, only.sync), (Access::ReadOnly, Some(SyncLine::Delayed)));
    assert_eq!(busy("md_vol5").state, RunState::Broken);
}

#[test]
fn a_full_percentage_has_no_blank_before_it() {
    let Some(SyncLine::Running(progress)) = busy("md_vol4").sync else {
        panic!("no progress");
    };
    assert_eq!((progress.action.as_str(), progress.permille), ("check", 1000));
}

#[test]
fn other_layouts_and_arrays_that_do_not_run() {
    let raid10 = busy("md_vol6");
    assert_eq!(raid10.slots, Some(SlotSummary { total: 2, in_sync: 2, up: vec![true, true] }));
    assert_eq!(raid10.bitmap.map(|bitmap| bitmap.chunk_bytes), Some(512));
    let inactive = busy("md127");
    assert_eq!((inactive.state, inactive.level), (RunState::Inactive, None));
    assert_eq!(inactive.members, [member("sdc1", 2, MdstatFlags::SPARE)]);
    assert_eq!((inactive.blocks_kib, inactive.slots), (Some(1_047_552), None));
}

#[test]
fn a_broken_head_line_is_an_error_and_says_which() {
    let error = parse("md0 : active (napping) raid1 sda[0]\n").unwrap_err();
    assert!(error.why.contains("napping"));
    assert!(parse("md0 : active raid1 sda\n").is_err());
    assert!(parse("md0 : \n").is_err());
    assert_eq!(parse(""), Ok(Mdstat::default()));
}

#[test]
fn a_machine_without_md_has_no_arrays() {
    assert_eq!(read(&Root::at("/nonexistent")).unwrap(), Mdstat::default());
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(?s).{0,400}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_text_with_any_part_replaced_is_survived(at in 0usize..1500, length in 0usize..40, noise in "[\\[\\]()/=%. UK0-9a-z\n-]{0,20}") {
        let mut text = BUSY.to_owned();
        let start = at.min(text.len());
        let end = (start + length).min(text.len());
        text.replace_range(start..end, &noise);
        let _ = parse(&text);
    }
}

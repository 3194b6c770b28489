use proptest::prelude::*;

use super::*;

const LEG: DevNum = DevNum { major: 253, minor: 3 };

fn row(start_sector: u64, parameters: &str) -> Target {
    Target { start_sector, sectors: 8, kind: "linear".to_owned(), parameters: parameters.to_owned() }
}

/// A header with this payload, as the kernel leaves it.
fn answer(flags: u32, target_count: u32, payload: &[u8]) -> Request {
    let mut request = Request::new(flags, payload.len());
    request.put(offset_of!(Header, target_count), &target_count.to_ne_bytes());
    request.put(HEADER_BYTES, payload);
    request
}

/// A target as `retrieve_status` writes it: `next` from the start of the payload.
fn push_spec(payload: &mut Vec<u8>, target: &Target) {
    let mut bytes = encode_target(target).unwrap();
    let next = u32::try_from(payload.len() + bytes.len()).unwrap();
    bytes[20..24].copy_from_slice(&next.to_ne_bytes());
    payload.extend(bytes);
}

/// A record as `list_devices` writes it (dm-ioctl.c).
fn push_record(payload: &mut Vec<u8>, device: DevNum, name: &str, uuid: Option<&str>, is_last: bool) {
    let start = payload.len();
    payload.extend(encode_device(device).to_ne_bytes());
    payload.extend([0; 4]);
    payload.extend(name.as_bytes());
    payload.push(0);
    payload.resize(payload.len().next_multiple_of(8), 0);
    payload.extend(7u32.to_ne_bytes());
    payload.extend(if uuid.is_some() { 1u32 } else { 2u32 }.to_ne_bytes());
    if let Some(uuid) = uuid {
        payload.extend(uuid.as_bytes());
        payload.push(0);
    }
    payload.resize(payload.len().next_multiple_of(8), 0);
    let next = if is_last { 0 } else { u32::try_from(payload.len() - start).unwrap() };
    payload[start + 8..start + 12].copy_from_slice(&next.to_ne_bytes());
}

#[test]
fn a_table_is_laid_out_as_next_target_walks_it() {
    let mut request =
        Request::new(0, 0).named("leg").unwrap().with_targets(&[row(0, "8:0 0"), row(8, "8:16 0")]).unwrap();
    let bytes = request.bytes_mut();
    assert_eq!(bytes.len(), 312 + 48 + 48);
    assert_eq!(bytes[20..24], 2u32.to_ne_bytes());
    assert_eq!(bytes[48..52], *b"leg\0");
    assert_eq!(bytes[312 + 20..312 + 24], 48u32.to_ne_bytes());
    assert_eq!(bytes[312 + 24..312 + 31], *b"linear\0");
    assert_eq!(bytes[312 + 40..312 + 46], *b"8:0 0\0");
    assert_eq!(bytes[360..368], 8u64.to_ne_bytes());
}

#[test]
fn a_message_is_sector_words_and_nul() {
    let mut request = Request::new(0, 0).with_message(5, "fail_if_no_path", 0).unwrap();
    let payload = &request.bytes_mut()[312..];
    assert_eq!(payload[..8], 5u64.to_ne_bytes());
    assert_eq!(payload[8..], *b"fail_if_no_path\0");
}

#[test]
fn device_numbers_are_huge_encoded() {
    assert_eq!(encode_device(DevNum { major: 253, minor: 3 }), 0xfd03);
    assert_eq!(encode_device(DevNum { major: 259, minor: 0x12345 }), 0x1231_0345);
    assert_eq!(decode_device(0x1231_0345), DevNum { major: 259, minor: 0x12345 });
}

#[test]
fn a_status_is_read_from_the_header() {
    let mut request = answer(flag::SUSPEND | flag::INACTIVE_PRESENT, 0, &[]).named("leg").unwrap();
    request = request.identified("MDF-1").unwrap().numbered(LEG);
    let status = request.status().unwrap();
    assert_eq!((status.name.as_str(), status.uuid.as_str(), status.device), ("leg", "MDF-1", LEG));
    assert!(status.suspended && status.has_inactive_table && !status.has_live_table);
}

#[test]
fn targets_are_read_where_the_kernel_puts_them() {
    let rows = [row(0, "8:0 0"), row(8, ""), row(16, "8:16 2048")];
    let mut payload = Vec::new();
    for row in &rows {
        push_spec(&mut payload, row);
    }
    assert_eq!(answer(0, 3, &payload).targets().unwrap(), rows);
    assert!(answer(0, 4, &payload).targets().is_err());
    assert_eq!(answer(0, 0, &[]).targets().unwrap(), []);
}

#[test]
fn the_list_has_names_and_uuids() {
    let mut payload = Vec::new();
    push_record(&mut payload, LEG, "leg-b", Some("MDF-b"), false);
    push_record(&mut payload, DevNum { major: 253, minor: 256 }, "other", None, true);
    let list = answer(0, 0, &payload).list().unwrap();
    assert_eq!(
        list[0],
        ListEntry { name: "leg-b".into(), uuid: Some("MDF-b".into()), device: LEG, event_nr: 7 }
    );
    assert_eq!((list[1].name.as_str(), list[1].uuid.as_deref(), list[1].device.minor), ("other", None, 256));
}

#[test]
fn no_maps_is_an_empty_list() {
    assert_eq!(answer(0, 0, &[0; 16]).list().unwrap(), []);
}

#[test]
fn names_the_kernel_would_cut_are_refused() {
    for name in ["", "a/b", "a\0b", &"x".repeat(128)] {
        assert!(Request::new(0, 0).named(name).is_err(), "{name:?}");
    }
    assert!(Request::new(0, 0).named(&"x".repeat(127)).is_ok());
    assert!(Request::new(0, 0).identified(&"x".repeat(128)).is_ok());
    let long = Target { kind: "x".repeat(16), ..row(0, "") };
    assert!(Request::new(0, 0).with_targets(&[long]).is_err());
}

#[test]
fn an_answer_is_only_there_when_the_kernel_says_so() {
    assert_eq!(answer(0, 0, b"stale\0").answer().unwrap(), None);
    assert_eq!(answer(flag::DATA_OUT, 0, b"said\0").answer().unwrap().as_deref(), Some("said"));
}

proptest! {
    #[test]
    fn any_answer_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let request = Request::from_bytes(bytes);
        let _ = (request.targets(), request.list(), request.status(), request.answer(), request.version());
    }

    #[test]
    fn any_payload_is_survived(
        count in prop_oneof![0..9u32, any::<u32>()],
        words in proptest::collection::vec(prop_oneof![0..64u32, any::<u32>()], 0..200),
    ) {
        let payload: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        let request = answer(flag::DATA_OUT, count, &payload);
        let _ = (request.targets(), request.list(), request.answer());
    }
}

use proptest::prelude::*;

use super::*;

fn message(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(HEADER_BYTES + body.len()).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn socket_body(family: u8) -> Vec<u8> {
    let mut body = vec![0; 72];
    body[0] = family;
    body[1] = 1;
    body[4..8].copy_from_slice(&[0xc3, 0x50, 0x11, 0x44]);
    body[8..12].copy_from_slice(&[10, 0, 0, 1]);
    body[24..28].copy_from_slice(&[10, 0, 0, 2]);
    body[44..52].copy_from_slice(&[9; 8]);
    body[60..64].copy_from_slice(&7_u32.to_ne_bytes());
    body
}

#[test]
fn requests_have_the_kernels_shape() {
    assert_eq!(dump_request(AF_INET).len(), 72);
    let [Message::Socket(socket)] = &parse_messages(&message(20, &socket_body(AF_INET))).unwrap()[..] else {
        panic!("one socket")
    };
    let request = destroy_request(socket);
    assert_eq!(request[4..8], [21_u16.to_ne_bytes(), 5_u16.to_ne_bytes()].concat());
    assert_eq!(request[16..20], [2, 6, 0, 0]);
    // Ports, addresses and cookie go back as they came.
    assert_eq!(request[24..72], socket_body(AF_INET)[4..52]);
}

#[test]
fn a_list_is_read_to_its_end() {
    let mut datagram = message(20, &socket_body(AF_INET));
    datagram.extend(message(20, &socket_body(1)));
    datagram.extend(message(3, &0_i32.to_ne_bytes()));
    let messages = parse_messages(&datagram).unwrap();
    let [Message::Socket(socket), Message::Other, Message::Done] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert_eq!(
        (socket.local, socket.remote),
        ("10.0.0.1:50000".parse().unwrap(), "10.0.0.2:4420".parse().unwrap())
    );
    assert_eq!((socket.state, socket.send_queue_bytes), (TcpState::Established, 7));
}

#[test]
fn how_sending_goes_is_found_among_the_attributes() {
    let mut info = [0; 104];
    info[2] = 3;
    info[24] = 5;
    info[56..60].copy_from_slice(&1200_u32.to_ne_bytes());
    let attribute = |kind: u16, value: &[u8]| {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let body = |attributes: &[u8]| [&socket_body(AF_INET)[..], attributes].concat();
    let all = body(&[attribute(8, &[1]), attribute(2, &info)].concat());
    let [Message::Socket(socket)] = &parse_messages(&message(20, &all)).unwrap()[..] else { panic!("one") };
    assert_eq!(socket.sending, Some(Sending { timeouts: 3, unacknowledged: 5, silent_millis: 1200 }));
    assert!(parse_messages(&message(20, &body(&attribute(2, &info[..59])))).is_err());
    for lie in [0_u16, 3, 9] {
        assert!(parse_messages(&message(20, &body(&[lie.to_ne_bytes(), [8, 0]].concat()))).is_err(), "{lie}");
    }
}

#[test]
fn answers_are_told_apart() {
    let answer = |kind, code: i32| parse_messages(&message(kind, &code.to_ne_bytes())).unwrap();
    assert_eq!(answer(2, 0), [Message::Ack]);
    assert_eq!(answer(2, -2), [Message::Error(Errno::ENOENT)]);
    assert_eq!(answer(3, -95), [Message::Error(Errno::EOPNOTSUPP)]);
    assert_eq!(parse_messages(&message(3, &[])).unwrap(), [Message::Done]);
}

#[test]
fn lengths_that_lie_are_refused() {
    for length in [0_u32, 15, 17, u32::MAX] {
        let mut datagram = message(3, &[]);
        datagram[..4].copy_from_slice(&length.to_ne_bytes());
        assert!(parse_messages(&datagram).is_err(), "{length}");
    }
    assert!(parse_messages(&message(20, &[2; 71])).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_messages_or_an_error(datagram: Vec<u8>) {
        let _ = parse_messages(&datagram);
    }

    #[test]
    fn any_body_under_a_true_header_is_read_or_refused(
        kind in prop::sample::select(vec![2_u16, 3, 20, 21]),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = parse_messages(&message(kind, &body));
    }
}

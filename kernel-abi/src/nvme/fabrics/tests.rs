use proptest::prelude::*;

use super::*;
use crate::nvme::fixture::Tree;
use crate::nvme::{ControllerName, DhchapSecret, Fabric, Nqn, Timeout};

const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

fn options() -> ConnectOptions {
    let nqn = Nqn::new("nqn.2026-01.io.mdfabric:r1:e7").unwrap();
    let host = Nqn::new("nqn.2026-01.io.mdfabric:host:a").unwrap();
    let mut options = ConnectOptions::new(
        Fabric::Tcp,
        "10.0.0.2".parse().unwrap(),
        4420,
        nqn,
        host,
        uuid::Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
    );
    options.keep_alive_tmo = Some(1);
    options.ctrl_loss_tmo = Some(Timeout::Never);
    options.fast_io_fail_tmo = Some(Timeout::Seconds(0));
    options.dhchap_secret = Some(DhchapSecret::new(SECRET).unwrap());
    options
}

#[test]
fn options_become_the_string_that_the_kernel_takes() {
    let expected = format!(
        "transport=tcp,traddr=10.0.0.2,trsvcid=4420,nqn=nqn.2026-01.io.mdfabric:r1:e7,\
         hostnqn=nqn.2026-01.io.mdfabric:host:a,hostid=01020304-0506-0708-090a-0b0c0d0e0f10,\
         keep_alive_tmo=1,ctrl_loss_tmo=-1,fast_io_fail_tmo=0,dhchap_secret={SECRET}"
    );
    assert_eq!(options().text().unwrap(), expected);
}

/// The device answers after what was written, which a file with the answer behind a gap does as well.
#[test]
fn connect_writes_once_and_reads_the_answer() {
    let tree = Tree::new();
    let text = options().text().unwrap();
    tree.file(DEVICE, &format!("{}instance=3,cntlid=1\n", ".".repeat(text.len())));
    let connected = connect(&tree.root(), &options()).unwrap();
    assert_eq!(connected, Connected { controller: ControllerName(3), cntlid: 1 });
    assert!(tree.text(DEVICE).starts_with(&text));
}

#[test]
fn a_value_with_a_comma_or_newline_is_refused_before_the_write() {
    let tree = Tree::new();
    tree.file(DEVICE, "untouched");
    for bad in ["eth0,duplicate_connect", "eth0\n", "", "eth 0"] {
        let options = ConnectOptions { host_iface: Some(bad.to_owned()), ..options() };
        let error = connect(&tree.root(), &options).unwrap_err();
        assert!(matches!(error, ConnectError::BadValue(_)), "{error:?}");
    }
    assert_eq!(tree.text(DEVICE), "untouched");
}

#[test]
fn no_error_shows_a_secret() {
    let call = CallError::new("write", DEVICE, Errno::EIO).with_value(options().public_text());
    let text = call.to_string();
    let shown = format!("{:?} {text} {:?}", options(), ConnectError::from_call(call));
    assert!(shown.contains("(not shown)"));
    assert!(!shown.contains("ia6z"));
    let error = connect(&Tree::new().root(), &options()).unwrap_err();
    assert!(matches!(&error, ConnectError::Other(call) if call.is(Errno::ENOENT)), "{error:?}");
    assert!(!format!("{error:?}").contains("ia6z"));
}

#[test]
fn each_errno_has_its_meaning() {
    let meaning = |errno| ConnectError::from_call(CallError::new("write", DEVICE, errno));
    assert!(matches!(meaning(Errno::EALREADY), ConnectError::AlreadyConnected(_)));
    assert!(matches!(meaning(Errno::EIO), ConnectError::Refused(_)));
    assert!(matches!(meaning(Errno::EINVAL), ConnectError::HostIdConflict(_)));
    for errno in [Errno::ENOKEY, Errno::EKEYREJECTED] {
        assert!(matches!(meaning(errno), ConnectError::AuthFailed(_)));
    }
    for errno in [Errno::ECONNREFUSED, Errno::ETIMEDOUT, Errno::EHOSTUNREACH] {
        assert!(matches!(meaning(errno), ConnectError::Unreachable(_)));
    }
    assert!(matches!(meaning(Errno::ENOMEM), ConnectError::Other(_)));
}

#[test]
fn supported_options_are_the_names() {
    let tree = Tree::new();
    tree.file(DEVICE, "instance=-1,cntlid=-1,transport=%s,traddr=%s,fast_io_fail_tmo=%d,duplicate_connect\n");
    let names = supported_options(&tree.root()).unwrap();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, ["duplicate_connect", "fast_io_fail_tmo", "traddr", "transport"]);
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>) {
        let _ = parse_answer(&bytes);
        let _ = parse_supported(&bytes);
    }

    #[test]
    fn a_true_answer_is_read_with_whatever_follows(instance: u32, cntlid: u16, rest in "(,[a-z]+=[a-z0-9]*)*") {
        let answer = format!("instance={instance},cntlid={cntlid}{rest}\n");
        let expected = Connected { controller: ControllerName(instance), cntlid };
        prop_assert_eq!(parse_answer(answer.as_bytes()), Ok(expected));
    }
}

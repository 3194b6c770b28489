use kernel_abi::nvmet::Port;

use super::*;
use crate::kernel::apply::testing::member;

const OURS: PortAddress = PortAddress {
    transport: Fabric::Tcp,
    addr: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    svc: 5000,
};

fn port(id: u16, traddr: &str, trsvcid: &str, subsystems: &[&str]) -> Port {
    Port {
        id,
        trtype: "tcp".to_owned(),
        adrfam: "ipv4".to_owned(),
        traddr: traddr.to_owned(),
        trsvcid: trsvcid.to_owned(),
        subsystems: subsystems.iter().map(|&nqn| nqn.to_owned()).collect(),
    }
}

fn id_among(ports: &[Port]) -> Result<u16, String> {
    port_id(&Target { ports: ports.to_vec(), ..Target::default() }, &OURS).map_err(|failure| failure.message)
}

#[test]
fn a_port_is_called_by_its_number() {
    assert_eq!(id_among(&[]), Ok(5000));
    assert_eq!(id_among(&[port(4420, "10.0.0.1", "4420", &["other"])]), Ok(5000));
}

#[test]
fn the_port_that_listens_there_is_used_whatever_its_id() {
    assert_eq!(
        id_among(&[port(1, "10.0.0.9", "5000", &[]), port(4420, "10.0.0.1", "5000", &["x"])]),
        Ok(4420)
    );
}

#[test]
fn one_made_by_half_or_idle_at_an_old_address_is_taken_over() {
    assert_eq!(id_among(&[port(5000, "", "", &[])]), Ok(5000));
    assert_eq!(id_among(&[port(5000, "10.0.0.7", "5000", &[])]), Ok(5000));
}

#[test]
fn one_that_serves_elsewhere_is_left_alone_and_named() {
    let message = id_among(&[port(5000, "10.0.0.7", "4420", &["nqn.other"])]).unwrap_err();
    for word in ["port 5000", "tcp://10.0.0.1:5000", "nqn.other", "10.0.0.7:4420", "data-port"] {
        assert!(message.contains(word), "{word} is not in {message}");
    }
}

/// Whoever has lost a copy's records finds its data; a superblock that somebody else has left there is zeroed with the rest.
#[test]
fn what_was_a_member_as_this_very_replica_is_not_zeroed() {
    let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let image = member(own, 0);
    let said = is_no_member(image.path(), own).unwrap_err().message;
    assert!(said.contains("is not zeroed"), "{said}");
    is_no_member(image.path(), other).unwrap();
    let blank = tempfile::NamedTempFile::new().unwrap();
    blank.as_file().set_len(1 << 20).unwrap();
    is_no_member(blank.path(), own).unwrap();
}

//! Who is who: one authority per lab, a certificate for each party of Kubernetes, and the files in which parties find theirs.
//!
//! Everybody is known by a client certificate, with name and group as Kubernetes' own roles expect them: no tokens, no requests to sign.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use crate::setup::payload;
use crate::spec::{API_SERVICE_ADDRESS, ETCD_ADDRESS, NodeSpec};

/// What a DNS name of the API server is inside of a cluster.
const API_NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
/// The group that may do everything.
const MASTERS: &str = "system:masters";

/// Where the control plane, and whoever uses kubectl, find their files.
#[must_use]
pub fn directory(lab_dir: &Path) -> PathBuf {
    lab_dir.join("kube")
}

/// Whom a certificate is for.
struct Party<'a> {
    name: &'a str,
    group: Option<&'a str>,
    /// Where it is a server: names and addresses.
    serves: Vec<SanType>,
}

/// A certificate and its key, both PEM.
struct Pair {
    certificate: String,
    key: String,
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Makes all keys of a lab with these nodes: the control plane's files in [`directory`], what nodes need on the disk of the programs.
pub fn write(lab_dir: &Path, nodes: &[NodeSpec]) -> Result<()> {
    let authority = Authority::new()?;
    write_plane(&authority, &directory(lab_dir))?;
    let shown = payload::content(lab_dir).join("kube");
    fs::create_dir_all(&shown)?;
    fs::write(shown.join("ca.crt"), authority.0.pem())?;
    nodes.iter().try_for_each(|node| write_node(&authority, &shown, node))
}

fn write_plane(authority: &Authority, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("ca.crt"), authority.0.pem())?;
    let serves =
        names(&API_NAMES)?.into_iter().chain(addresses(&[ETCD_ADDRESS, API_SERVICE_ADDRESS, "127.0.0.1"])?);
    let party = Party { name: "kube-apiserver", group: Some(MASTERS), serves: serves.collect() };
    authority.issue(&party)?.save(dir, "apiserver")?;
    // Signs the tokens of service accounts.
    let accounts = KeyPair::generate()?;
    fs::write(dir.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(dir.join("accounts.pub"), accounts.public_key_pem())?;
    for (file, name, group) in [
        ("admin", "admin", Some(MASTERS)),
        ("controller-manager", "system:kube-controller-manager", None),
        ("scheduler", "system:kube-scheduler", None),
    ] {
        let pair = authority.issue(&Party { name, group, serves: Vec::new() })?;
        authority.save_kubeconfig(dir, file, &pair)?;
    }
    Ok(())
}

/// A node asks the API server, and answers it: one certificate for both.
fn write_node(authority: &Authority, dir: &Path, node: &NodeSpec) -> Result<()> {
    let serves = names(&[&node.name])?.into_iter().chain(addresses(&[&node.address()])?);
    let name = format!("system:node:{}", node.name);
    let pair =
        authority.issue(&Party { name: &name, group: Some("system:nodes"), serves: serves.collect() })?;
    pair.save(dir, &node.name)?;
    authority.save_kubeconfig(dir, &node.name, &pair)
}

fn names(names: &[&str]) -> Result<Vec<SanType>> {
    names.iter().map(|name| Ok(SanType::DnsName((*name).try_into()?))).collect()
}

fn addresses(addresses: &[&str]) -> Result<Vec<SanType>> {
    let address =
        |text: &&str| Ok(SanType::IpAddress(text.parse::<IpAddr>().with_context(|| (*text).to_owned())?));
    addresses.iter().map(address).collect()
}

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lab");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    fn issue(&self, party: &Party<'_>) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, party.name);
        if let Some(group) = party.group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.subject_alt_names.clone_from(&party.serves);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn save_kubeconfig(&self, dir: &Path, file: &str, pair: &Pair) -> Result<()> {
        let data = |text: &str| BASE64_STANDARD.encode(text);
        let server = format!("https://{ETCD_ADDRESS}:443");
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {
                "server": server, "certificate-authority-data": data(&self.0.pem())}}],
            "users": [{"name": "lab", "user": {
                "client-certificate-data": data(&pair.certificate), "client-key-data": data(&pair.key)}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        });
        Ok(fs::write(dir.join(format!("{file}.kubeconfig")), serde_json::to_vec_pretty(&config)?)?)
    }
}

impl Pair {
    fn save(&self, dir: &Path, name: &str) -> Result<()> {
        fs::write(dir.join(format!("{name}.crt")), &self.certificate)?;
        Ok(fs::write(dir.join(format!("{name}.key")), &self.key)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_party_finds_its_files() {
        let dir = std::env::temp_dir().join(format!("lab-keys-{}", std::process::id()));
        write(&dir, &[NodeSpec::of_kubernetes(1)]).unwrap();
        let plane =
            ["ca.crt", "apiserver.crt", "apiserver.key", "accounts.key", "accounts.pub", "admin.kubeconfig"];
        assert!(plane.iter().all(|file| directory(&dir).join(file).is_file()));
        let nodes = payload::content(&dir).join("kube");
        let read = |file: &str| fs::read_to_string(nodes.join(file)).unwrap();
        assert!(read("node-1.key").starts_with("-----BEGIN PRIVATE KEY-----"));
        let config: Value = serde_json::from_str(&read("node-1.kubeconfig")).unwrap();
        let certificate = config["users"][0]["user"]["client-certificate-data"].as_str().unwrap();
        assert_eq!(BASE64_STANDARD.decode(certificate).unwrap(), read("node-1.crt").as_bytes());
        fs::remove_dir_all(dir).unwrap();
    }
}

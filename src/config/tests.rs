use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Layer, ConfigError> {
    file::parse(Path::new("/etc/m.toml"), text)
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let below = parse("node = \"a\"\ndata-port = 1\nsocket = \"/f\"\n[store]\nlocal = \"/x\"").unwrap();
    let middle = environment::layer(variables(&[
        ("MDFABRIC_NODE", "b"),
        ("MDFABRIC_DATA_PORT", "2"),
        ("MDFABRIC_STORE_ETCD", "http://e1:2379, http://e2:2379"),
        ("PATH", "/bin"),
    ]))
    .unwrap();
    let flags = Layer {
        node: Some("c".parse().unwrap()),
        data_address: Some("10.0.0.1".parse().unwrap()),
        ..Layer::default()
    };
    let config = flags.over(middle).over(below).finish("host").unwrap();
    assert_eq!(config.node.as_str(), "c");
    assert_eq!(config.data_port, 2);
    assert_eq!(config.socket, Path::new("/f"));
    let endpoints = vec!["http://e1:2379".to_owned(), "http://e2:2379".to_owned()];
    assert_eq!(config.store, StoreConfig::Etcd { endpoints, prefix: String::new() });
}

#[test]
fn nothing_set_is_a_single_node_with_an_embedded_store() {
    let config = Layer::default().finish("node-1").unwrap();
    assert_eq!(config.node.as_str(), "node-1");
    assert_eq!(config.store, StoreConfig::Local("/var/lib/mdfabric/store.redb".into()));
    assert!(config.data_address.is_loopback() && config.forbid_exec);
    assert_eq!(config.recorder_dir, Path::new("/var/lib/mdfabric/recorder"));
    assert_eq!(config.recorder_size, Bytes::mib(8));
}

#[test]
fn garbage_in_the_file_is_named_by_line_and_key() {
    let cases = [
        ("node = \"a\"\nsokcet = \"/x\"\n", "line 2: sokcet: unknown field `sokcet`"),
        ("\n\ndata-port = 70000\n", "line 3: data-port: "),
        ("data-address = \"ten\"\n", "line 1: data-address: invalid IP address"),
        ("node = \"No Good\"\n", "line 1: node: node name \"No Good\" is not allowed"),
        ("[store]\netcd = \"http://e\"\n", "line 2: etcd: "),
        ("[log]\nformat = \"xml\"\n", "line 2: format: unknown variant `xml`"),
        ("[recorder]\nsize = \"8\"\n", "line 2: size: \"8\" is not a size"),
        ("[recorder]\nsize = 8\n", "line 2: size: "),
        ("forbid-exec = yes\n", "line 1: forbid-exec: "),
        ("[stoer]\n", "line 1: unknown field `stoer`"),
        ("node\n", "line 1: "),
        ("\u{0}\u{1}", "line 1: "),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(error.starts_with("configuration file /etc/m.toml"), "{error}");
    }
}

#[test]
fn garbage_in_the_environment_is_named_by_variable() {
    for (name, value) in [
        ("MDFABRIC_NDOE", "a"),
        ("MDFABRIC_NODE", ""),
        ("MDFABRIC_DATA_PORT", "-1"),
        ("MDFABRIC_FORBID_EXEC", "yes"),
        ("MDFABRIC_LOG_FORMAT", "xml"),
        ("MDFABRIC_RECORDER_SIZE", "8"),
        ("MDFABRIC_TEST_DIE", "after:1"),
    ] {
        let error = environment::layer(variables(&[(name, value)])).unwrap_err().to_string();
        assert!(error.starts_with(&format!("environment variable {name}: ")), "{error}");
    }
    let of_kubernetes = [("MDFABRIC_PORT", "tcp://10.0.0.1:80"), ("MDFABRIC_SERVICE_HOST", "10.0.0.1")];
    assert_eq!(environment::layer(variables(&of_kubernetes)).unwrap(), Layer::default());
}

fn kubernetes(place: &str) -> Layer {
    Layer { store_kubernetes: Some(place.to_owned()), ..Layer::default() }
}

#[test]
fn kubernetes_is_the_cluster_around_us_or_what_a_kubeconfig_says() {
    let address = Some("10.0.0.1".parse().unwrap());
    let of = |place: &str| Layer { data_address: address, ..kubernetes(place) }.finish("n").unwrap().store;
    let expected = |kubeconfig| StoreConfig::Kubernetes { kubeconfig, namespace: None };
    assert_eq!(of("in-cluster"), expected(None));
    assert_eq!(of("/etc/k"), expected(Some("/etc/k".into())));
    let file = file::parse(Path::new("m"), "[store]\nkubernetes = \"/etc/k\"\nnamespace = \"md\"\n").unwrap();
    assert_eq!(file.store_namespace.as_deref(), Some("md"));
    let below =
        Layer { store_etcd: Some(vec!["http://e:1".to_owned()]), data_address: address, ..Layer::default() };
    assert_eq!(kubernetes("in-cluster").over(below).finish("n").unwrap().store, expected(None));
}

#[test]
fn values_that_do_not_go_together_are_refused_by_key() {
    let etcd = Layer { store_etcd: Some(vec!["http://e:1".to_owned()]), ..Layer::default() };
    let cases = [
        (etcd.clone(), "data-address"),
        (Layer { store_local: Some("/x".into()), ..etcd }, "store"),
        (Layer { store_etcd: Some(Vec::new()), ..Layer::default() }, "store.etcd"),
        (Layer { store_etcd: Some(vec!["e:1".to_owned()]), ..Layer::default() }, "store.etcd"),
        (kubernetes("in-cluster"), "data-address"),
        (kubernetes("config"), "store.kubernetes"),
        (Layer { store_namespace: Some("a/b".to_owned()), ..kubernetes("in-cluster") }, "store.namespace"),
        (Layer { store_local: Some("/x".into()), ..kubernetes("in-cluster") }, "store"),
        (Layer { store_local: Some("x".into()), ..Layer::default() }, "store.local"),
        (Layer { socket: Some("x.sock".into()), ..Layer::default() }, "socket"),
        (Layer { recorder_dir: Some("x".into()), ..Layer::default() }, "recorder.dir"),
        (Layer { recorder_size: Some(Bytes(512)), ..Layer::default() }, "recorder.size"),
        (Layer { data_port: Some(0), ..Layer::default() }, "data-port"),
        (Layer { peer_silent_millis: Some(200), ..Layer::default() }, "peer-silent-millis"),
        (Layer { peer_silent_millis: Some(60_000), ..Layer::default() }, "peer-silent-millis"),
        (Layer { data_address: Some("0.0.0.0".parse().unwrap()), ..Layer::default() }, "data-address"),
    ];
    for (layer, expected) in cases {
        match layer.finish("host").unwrap_err() {
            ConfigError::Value { key, .. } => assert_eq!(key, expected),
            other => panic!("{other}"),
        }
    }
    assert!(Layer::default().finish("Bad_Host").unwrap_err().to_string().contains("node"));
}

#[test]
fn a_named_file_has_to_be_there_and_the_default_one_need_not() {
    let missing = Path::new("/nonexistent/m.toml");
    let error = load(Some(missing), [], Layer::default(), "host").unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    assert_eq!(file::read_if_there(missing).unwrap(), Layer::default());
}

#[test]
fn passwords_are_not_shown() {
    let etcd = Some(vec!["https://me:geheim@e:2379".to_owned(), "http://f:2379".to_owned()]);
    let address = Some("10.0.0.1".parse().unwrap());
    let config = Layer { store_etcd: etcd, data_address: address, ..Layer::default() }.finish("n").unwrap();
    let shown = config.shown().unwrap();
    assert!(shown.contains("https://e:2379") && shown.contains("http://f:2379"), "{shown}");
    assert!(!shown.contains("geheim"), "{shown}");
}

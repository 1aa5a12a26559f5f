//! Settings of TLS and SASL: what is added to them, and which would do nothing or cannot work.

use messaging::kafka::Settings;

#[test]
fn tls_looks_for_the_systems_certificates_unless_told_where() {
    let probing = with(&[("security.protocol", "SSL")]);
    assert_eq!(probing.producer().get("ssl.ca.location"), Some("probe"));
    let told = |name: &str| {
        let mut told = probing.clone();
        told.client.insert(name.to_owned(), "/ca.pem".to_owned());
        told.producer().get("ssl.ca.location").map(str::to_owned)
    };
    assert_eq!(told("ssl.ca.location").as_deref(), Some("/ca.pem"));
    assert_eq!(told("ssl.ca.pem"), None);
}

#[test]
fn security_that_would_do_nothing_is_refused() {
    let wrong =
        |properties: &[(&str, &str)]| with(properties).wrong_property().map(|wrong| wrong.name);
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(wrong(&[("sasl.username", "x")]), named("sasl.username"));
    assert_eq!(wrong(&[("ssl.ca.location", "x")]), named("ssl.ca.location"));
    let tls = ("security.protocol", "ssl");
    assert_eq!(wrong(&[tls]), None);
    assert_eq!(
        wrong(&[tls, ("sasl.mechanism", "PLAIN")]),
        named("sasl.mechanism")
    );
    let both = ("security.protocol", "SASL_SSL");
    assert_eq!(wrong(&[both]), named("security.protocol"));
    assert_eq!(
        wrong(&[both, ("sasl.mechanism", "GSSAPI")]),
        named("security.protocol")
    );
    assert_eq!(wrong(&[both, ("sasl.mechanisms", "SCRAM-SHA-512")]), None);
    let neither = ("security.protocol", "sasl_plaintext");
    assert_eq!(
        wrong(&[neither, ("sasl.mechanism", "PLAIN"), ("ssl.ca.pem", "x")]),
        named("ssl.ca.pem")
    );
    assert_eq!(
        wrong(&[("security.protocol", "tls")]),
        named("security.protocol")
    );
}

fn with(properties: &[(&str, &str)]) -> Settings {
    let client = properties.iter();
    Settings {
        brokers: "127.0.0.1:1".to_owned(),
        client: client
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Settings::default()
    }
}

//! Whether services fit each other: on the ports of a host, and in the addresses by which they call each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Finding, Place, Severity};
use crate::image::RunSettings;
use crate::workspace::{ComposeFile, ComposeService, Service};

/// Variables that are ports on which a service listens. Source: for the second, OpenTelemetry's specification.
const PORT_VARIABLES: [&str; 3] = ["PORT", "OTEL_EXPORTER_PROMETHEUS_PORT", "METRICS_PORT"];

/// A service among others.
#[derive(Clone, Copy, Debug)]
pub struct FleetMember<'a> {
    /// The service.
    pub service: &'a Service,
    /// What its container runs.
    pub run: &'a RunSettings,
}

/// What is wrong between services, each with the position of the member that it is about.
pub fn check_fleet(members: &[FleetMember<'_>], compose: &BTreeMap<String, ComposeFile>) -> Vec<(usize, Finding)> {
    let mut findings: Vec<(usize, Finding)> =
        compose.iter().flat_map(|(name, file)| ports_taken(members, name, file)).collect();
    findings.extend(wrong_ports(members, compose));
    findings.sort();
    findings.dedup();
    findings
}

impl FleetMember<'_> {
    /// Whether a service of a compose file is this one: by its name, or by the directory it is built from.
    fn is(&self, name: &str, compose: &ComposeService) -> bool {
        name == self.service.name || compose.built_from.as_ref() == Some(&self.service.dir)
    }

    /// The ports that it listens on, as its image and these variables say.
    fn ports(&self, environment: &BTreeMap<String, String>) -> BTreeSet<u16> {
        let variable = |name: &&str| environment.get(*name).or_else(|| self.run.env.get(*name));
        let exposed = self.run.expose.iter().filter_map(|port| port.strip_suffix("/tcp")?.parse().ok());
        let image_port = self.run.env.get("PORT").and_then(|port| port.parse::<u16>().ok());
        let is_moved = environment.contains_key("PORT");
        // What the image exposes as its `PORT` does not count where the compose file says another.
        let exposed = exposed.filter(|port| !is_moved || Some(*port) != image_port);
        exposed.chain(PORT_VARIABLES.iter().filter_map(variable).filter_map(|port| port.parse().ok())).collect()
    }
}

/// A port that a service of a compose file takes.
struct Taken<'a> {
    service: &'a str,
    compose: &'a ComposeService,
    /// Whose ports they are: the host's, or those of a service whose network is shared.
    network: &'a str,
    address: Option<&'a str>,
    port: u16,
    protocol: &'a str,
}

impl Taken<'_> {
    /// Whether both cannot be had at once.
    fn collides(&self, other: &Self) -> bool {
        let same_address = self.address.is_none() || other.address.is_none() || self.address == other.address;
        let (ours, theirs) = (&self.compose.profiles, &other.compose.profiles);
        let run_together = ours.is_empty() || theirs.is_empty() || !ours.is_disjoint(theirs);
        (self.network, self.port, self.protocol) == (other.network, other.port, other.protocol)
            && same_address
            && run_together
            && self.service != other.service
    }
}

fn ports_taken(members: &[FleetMember<'_>], file: &str, compose: &ComposeFile) -> Vec<(usize, Finding)> {
    const HOST: &str = "host";
    let member = |name: &str, service: &ComposeService| members.iter().position(|member| member.is(name, service));
    let shared = |service: &'_ ComposeService| {
        service.network_mode.as_deref().and_then(|mode| mode.strip_prefix("service:")).map(str::to_owned)
    };
    let hosts: BTreeSet<String> = compose.services.values().filter_map(shared).collect();
    let mut taken: Vec<Taken<'_>> = Vec::new();
    for (name, service) in &compose.services {
        taken.extend(service.published.iter().map(|published| Taken {
            service: name,
            compose: service,
            network: HOST,
            address: published.address.as_deref(),
            port: published.port,
            protocol: &published.protocol,
        }));
        let network = match service.network_mode.as_deref() {
            Some(HOST) => Some(HOST),
            Some(mode) => mode.strip_prefix("service:"),
            None => hosts.contains(name).then_some(name.as_str()),
        };
        if let (Some(network), Some(at)) = (network, member(name, service)) {
            let ports = members.get(at).map(|member| member.ports(&service.environment)).unwrap_or_default();
            let port = |port| Taken { service: name, compose: service, network, address: None, port, protocol: "tcp" };
            taken.extend(ports.into_iter().map(port));
        }
    }
    let mut findings = Vec::new();
    for (position, one) in taken.iter().enumerate() {
        for other in taken.iter().skip(position + 1).filter(|other| one.collides(other)) {
            // The finding is about the later of the two that are of the workspace.
            let about = member(other.service, other.compose).or_else(|| member(one.service, one.compose));
            findings.extend(about.map(|about| (about, port_taken(file, one, other))));
        }
    }
    findings
}

fn port_taken(file: &str, one: &Taken<'_>, other: &Taken<'_>) -> Finding {
    let of_whom = match one.network {
        "host" => "of the host".to_owned(),
        network => format!("in the network of `{network}`"),
    };
    Finding {
        severity: Severity::Warning,
        code: Code::HostPortTaken,
        place: Some(in_workspace(file)),
        message: format!("`{}` and `{}` both want port {} {of_whom}", one.service, other.service, one.port),
        fix: Some("give one of them another port".to_owned()),
    }
}

/// A file of the workspace that no image has.
fn in_workspace(file: &str) -> Place {
    Place { path: file.to_owned(), source: Some(file.to_owned()), line: None }
}

/// Addresses of members in the variables of members.
fn wrong_ports(members: &[FleetMember<'_>], compose: &BTreeMap<String, ComposeFile>) -> Vec<(usize, Finding)> {
    let mut findings = Vec::new();
    for (position, member) in members.iter().enumerate() {
        let of_image = member.run.env.iter().map(|variable| ("pirogue.toml", variable));
        let of_compose = compose.iter().flat_map(|(file, compose)| {
            let services = compose.services.iter().filter(|(name, service)| member.is(name, service));
            services
                .flat_map(move |(_, service)| service.environment.iter().map(move |variable| (file.as_str(), variable)))
        });
        for (file, (variable, value)) in of_image.chain(of_compose) {
            for (host, port) in addresses(value) {
                let known = ports_of(&host, members, compose);
                if !known.is_empty() && !known.contains(&port) {
                    findings.push((position, wrong_port(file, variable, &host, port, &known)));
                }
            }
        }
    }
    findings
}

fn wrong_port(file: &str, variable: &str, host: &str, port: u16, known: &BTreeSet<u16>) -> Finding {
    let known: Vec<String> = known.iter().map(u16::to_string).collect();
    Finding {
        severity: Severity::Warning,
        code: Code::AddressWithWrongPort,
        place: Some(in_workspace(file)),
        message: format!("`{variable}` has the address `{host}:{port}`, and `{host}` listens on {}", known.join(", ")),
        fix: Some(format!("the port that `{host}` listens on in its container")),
    }
}

/// The ports on which a service listens that others call by this name; none if it is not of the workspace.
fn ports_of(host: &str, members: &[FleetMember<'_>], compose: &BTreeMap<String, ComposeFile>) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for member in members {
        let services = compose.values().flat_map(|compose| compose.services.iter());
        let mut services = services.filter(|(name, service)| member.is(name, service)).peekable();
        if services.peek().is_none() && member.service.name == host {
            ports.extend(member.ports(&BTreeMap::new()));
        }
        for (_, service) in services.filter(|(name, _)| *name == host || member.service.name == host) {
            ports.extend(member.ports(&service.environment));
        }
    }
    ports
}

/// Every host with a port among the URLs of a text.
fn addresses(text: &str) -> Vec<(String, u16)> {
    let authorities = text.split("://").skip(1).map(|rest| {
        let authority = rest.split(['/', '?', '#', ',', ';', ' ', '"', '\'']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    });
    let address = |authority: &str| {
        let (host, port) = authority.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    };
    authorities.filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_texts() {
        let table: [(&str, &str, &[(&str, u16)]); 6] = [
            ("with a path", "http://web:3001/api?x=http", &[("web", 3001)]),
            ("without a port", "http://web/api", &[]),
            ("two", "http://a:1,http://b:2/", &[("a", 1), ("b", 2)]),
            ("with a password", "amqp://user:secret@queue:5672", &[("queue", 5672)]),
            ("no address", "web:3001", &[]),
            ("no port", "http://web:port/", &[]),
        ];
        for (comment, text, expected) in table {
            let found = addresses(text);
            let found: Vec<(&str, u16)> = found.iter().map(|(host, port)| (host.as_str(), *port)).collect();
            assert_eq!(found, expected, "{comment}");
        }
    }
}

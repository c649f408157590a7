//! The certificates of a fleet, and who may do what in the engine.
//!
//! `geofence-fleet bootstrap` makes a directory with everything: the authority that signs certificates, those of the
//! engine's members, of the engine's `root` and of the operator, and the key that signs releases. The engine knows a
//! client by the common name of its certificate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use etcd_client::{Permission, RoleRevokePermissionOptions, UserAddOptions};
use geofence_user::model::units::UnixSeconds;
use geofence_user::os::replace::create;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::engine::{Engine, EngineError};
use crate::keys::{Keys, Name, Range, Subject};
use crate::settings::Settings;
use crate::signature;

/// The engine's user that may change users, and the operator's.
pub const ROOT: &str = "root";
const OPERATOR: &str = "operator";
/// How many years certificates are valid.
const AUTHORITY_YEARS: i32 = 20;
const CLIENT_YEARS: i32 = 2;
/// The file of the authority's certificate, and of the key that checks releases: every node gets both.
const AUTHORITY: &str = "authority.pem";
/// Those who sign certificates: one for clients and for members that serve them, and one for members among themselves.
/// With one for both, the certificate of a node would open the port by which members replicate.
const CLIENTS: &str = "authority";
const PEERS: &str = "peers";
const VERIFY: &str = "verify.pub";
/// The settings of an operator or a node.
pub const SETTINGS: &str = "fleet.toml";

/// The directory of a fleet's authority.
#[derive(Clone, Debug)]
pub struct Authority {
    directory: PathBuf,
    fleet: Name,
}

/// A member of the engine: its name, and the addresses or host names that clients and the other members use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: Name,
    pub hosts: Vec<String>,
}

impl std::str::FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write it as NAME=HOST or NAME=HOST,HOST, such as etcd1=192.0.2.10";
        let (name, hosts) = text.split_once('=').ok_or(example)?;
        let name = name
            .parse()
            .map_err(|error| format!("{error}; {example}"))?;
        let hosts: Vec<_> = hosts.split(',').map(str::to_owned).collect();
        if hosts.iter().any(String::is_empty) {
            return Err(example.to_owned());
        }
        Ok(Self { name, hosts })
    }
}

impl Member {
    /// The URL that clients use.
    fn url(&self) -> String {
        let host = self.hosts.first().map_or("", String::as_str);
        match host.parse() {
            Ok(std::net::IpAddr::V6(address)) => format!("https://[{address}]:2379"),
            Ok(std::net::IpAddr::V4(_)) | Err(_) => format!("https://{host}:2379"),
        }
    }
}

fn year() -> i32 {
    let date = UnixSeconds::now().date();
    let year = date.split('-').next().and_then(|year| year.parse().ok());
    year.unwrap_or(2026)
}

/// Writes a new file; one that is there already is not lost.
fn write_new(path: &Path, text: &str, is_secret: bool) -> Result<()> {
    ensure!(
        !path.exists(),
        "{} exists: remove it first, or choose another directory",
        path.display()
    );
    let written = if is_secret {
        create(path).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
    } else {
        fs::write(path, text)
    };
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

impl Authority {
    /// Makes a new one, with certificates for these members, for `root` and for the operator, and the key that signs
    /// releases.
    ///
    /// # Errors
    /// When the directory holds one already, or cannot be written.
    pub fn create(directory: &Path, fleet: &Name, members: &[Member]) -> Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let authority = Self {
            directory: directory.to_owned(),
            fleet: fleet.clone(),
        };
        for signer in [CLIENTS, PEERS] {
            let key = KeyPair::generate()?;
            let certificate = authority.params(signer)?.self_signed(&key)?;
            let path = authority.path(&format!("{signer}.pem"));
            write_new(&path, &certificate.pem(), false)?;
            let path = authority.path(&format!("{signer}.key"));
            write_new(&path, &key.serialize_pem(), true)?;
        }
        let (private, public) = signature::generate()?;
        write_new(&authority.path("signing.key"), &private, true)?;
        write_new(&authority.path(VERIFY), &public, false)?;
        for Member { name, hosts } in members {
            let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let hosts = [hosts.as_slice(), &own].concat();
            authority.issue(CLIENTS, &format!("member-{name}"), &hosts, directory)?;
            authority.issue(PEERS, &format!("peer-{name}"), &hosts, directory)?;
        }
        authority.issue(CLIENTS, ROOT, &[], directory)?;
        authority.issue(CLIENTS, OPERATOR, &[], directory)?;
        let urls: Vec<_> = members
            .iter()
            .map(|one| format!("{:?}", one.url()))
            .collect();
        let settings = format!(
            "# Who the operator of the fleet is, for geofence-fleet --settings.\n\
             fleet = \"{fleet}\"\n\
             endpoints = [{}]\n\
             authority = \"{AUTHORITY}\"\n\
             certificate = \"{OPERATOR}.pem\"\n\
             key = \"{OPERATOR}.key\"\n\
             verify-key = \"{VERIFY}\"\n\
             signing-key = \"signing.key\"\n",
            urls.join(", ")
        );
        write_new(&authority.path(SETTINGS), &settings, false)?;
        Ok(authority)
    }

    /// The one that an operator's settings lie beside.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let directory = settings.authority.parent().unwrap_or(Path::new(""));
        Self {
            directory: directory.to_owned(),
            fleet: settings.fleet.clone(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A signer's own certificate, but for its key. Made anew it has the same name, by which others refer to it.
    fn params(&self, signer: &str) -> Result<CertificateParams> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = common_name(&format!("geofence fleet {} {signer}", self.fleet));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // The day before, for machines whose clocks are behind.
        params.not_before = date_time_ymd(year() - 1, 1, 1);
        params.not_after = date_time_ymd(year() + AUTHORITY_YEARS, 1, 1);
        Ok(params)
    }

    /// Writes a certificate and its key into a directory.
    fn issue(&self, signer: &str, name: &str, hosts: &[String], into: &Path) -> Result<()> {
        let key = self.path(&format!("{signer}.key"));
        let key = fs::read_to_string(key).with_context(|| {
            format!(
                "{} has no key of the authority; run this on the machine where `bootstrap init` was run",
                self.directory.display()
            )
        })?;
        let params = self.params(signer)?;
        let issuer = Issuer::from_params(&params, KeyPair::from_pem(&key)?);
        let mut params = CertificateParams::new(hosts.to_vec())?;
        params.distinguished_name = common_name(name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A member is a client of the other members.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !hosts.is_empty() {
            params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.not_before = date_time_ymd(year() - 1, 1, 1);
        params.not_after = date_time_ymd(year() + 1 + CLIENT_YEARS, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        write_new(&into.join(format!("{name}.pem")), &certificate.pem(), false)?;
        write_new(
            &into.join(format!("{name}.key")),
            &key.serialize_pem(),
            true,
        )
    }

    /// Writes what a node needs into a directory, which becomes /etc/geofence-fleet there.
    ///
    /// # Errors
    /// When the directory holds a node already, or cannot be written.
    pub fn node(&self, settings: &Settings, node: &Name, into: &Path) -> Result<()> {
        if [ROOT, OPERATOR].contains(&node.as_str()) {
            bail!(
                "the engine needs the user name {node} for itself; choose another name for the node"
            );
        }
        fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
        let copy = |name: &str| -> Result<()> {
            let text = fs::read_to_string(self.path(name))
                .with_context(|| format!("cannot read {}", self.path(name).display()))?;
            write_new(&into.join(name), &text, false)
        };
        copy(AUTHORITY)?;
        copy(VERIFY)?;
        self.issue(CLIENTS, node.as_str(), &[], into)?;
        let urls = settings.endpoints.iter().map(|url| format!("{url:?}"));
        let text = format!(
            "# Who this node of the fleet is, for `geofence-fleet agent`.\n\
             fleet = \"{}\"\n\
             endpoints = [{}]\n\
             authority = \"{AUTHORITY}\"\n\
             certificate = \"{node}.pem\"\n\
             key = \"{node}.key\"\n\
             verify-key = \"{VERIFY}\"\n\
             node = \"{node}\"\n",
            self.fleet,
            urls.collect::<Vec<_>>().join(", ")
        );
        write_new(&into.join(SETTINGS), &text, false)
    }

    /// The settings of the engine's `root`, who may change users.
    #[must_use]
    pub fn as_root(&self, settings: &Settings) -> Settings {
        Settings {
            certificate: self.path("root.pem"),
            key: self.path("root.key"),
            ..settings.clone()
        }
    }
}

/// Ignores that something exists already.
fn unless_there<T>(result: Result<T, etcd_client::Error>) -> Result<(), EngineError> {
    match result.map_err(EngineError::from) {
        Err(error) if !error.to_string().contains("already exist") => Err(error),
        _ => Ok(()),
    }
}

/// Makes a role that has these rights and no others.
async fn role(engine: &mut Engine, name: &str, rights: Vec<Permission>) -> Result<(), EngineError> {
    unless_there(engine.client().role_add(name).await)?;
    for right in &rights {
        let right = right.clone();
        engine.client().role_grant_permission(name, right).await?;
    }
    let place = |right: &Permission| (right.key().to_vec(), right.range_end().to_vec());
    let granted = engine.client().role_get(name).await?.permissions();
    for (key, end) in granted.iter().map(place) {
        if !rights
            .iter()
            .any(|right| place(right) == (key.clone(), end.clone()))
        {
            let options = RoleRevokePermissionOptions::new().with_range_end(end);
            let client = engine.client();
            client
                .role_revoke_permission(name, key, Some(options))
                .await?;
        }
    }
    Ok(())
}

fn write_of(range: Range) -> Permission {
    Permission::read_write(range.from).with_range_end(range.before)
}

fn read_of(range: Range) -> Permission {
    Permission::read(range.from).with_range_end(range.before)
}

async fn user(engine: &mut Engine, name: &str, role: &str) -> Result<(), EngineError> {
    let options = UserAddOptions::new().with_no_pwd();
    unless_there(engine.client().user_add(name, "", Some(options)).await)?;
    engine.client().user_grant_role(name, role).await?;
    Ok(())
}

/// Makes the users of `root` and the operator, and lets the engine ask who a client is from then on.
///
/// # Errors
/// Why the engine did not do it.
pub async fn enable_roles(engine: &mut Engine, keys: &Keys) -> Result<(), EngineError> {
    user_and_role(engine, ROOT, Vec::new()).await?;
    let rights = vec![
        write_of(Range::below(keys.watched())),
        write_of(Range::below(keys.contents())),
        read_of(Range::below(keys.known_nodes())),
        read_of(Range::below(keys.statuses())),
    ];
    user_and_role(engine, OPERATOR, rights).await?;
    engine.client().auth_enable().await?;
    Ok(())
}

async fn user_and_role(
    engine: &mut Engine,
    name: &str,
    rights: Vec<Permission>,
) -> Result<(), EngineError> {
    role(engine, name, rights).await?;
    user(engine, name, name).await
}

/// Makes the user of a node, or moves the node to another group: it reads what the fleet wants of this group, and
/// writes only how it is itself. Which group it is in is written here only: a node's own word does not count.
///
/// # Errors
/// Why the engine did not do it.
pub async fn add_node(
    engine: &mut Engine,
    keys: &Keys,
    node: &Name,
    group: &Name,
) -> Result<(), EngineError> {
    let policy = Subject::Policy(group.clone());
    let rights = vec![
        read_of(keys.shared()),
        read_of(keys.shared_contents()),
        Permission::read(keys.release(&policy)),
        read_of(Range::below(keys.content(&policy, ""))),
        Permission::read(keys.known_node(node)),
        Permission::read_write(keys.status(node)),
    ];
    user_and_role(engine, node.as_str(), rights).await?;
    let group = group.to_string().into_bytes();
    engine.put(&keys.known_node(node), group, None).await
}

/// The group that a node is in; nothing if the engine does not know the node.
///
/// # Errors
/// Why the engine did not answer.
pub async fn group_of(
    engine: &mut Engine,
    keys: &Keys,
    node: &Name,
) -> Result<Option<Name>, EngineError> {
    let known = engine.get(&keys.known_node(node)).await?;
    Ok(known.and_then(|entry| group_in(&entry.value)))
}

/// The group that the value of a known node names.
#[must_use]
pub fn group_in(value: &[u8]) -> Option<Name> {
    str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_is_a_name_and_its_hosts() {
        let member: Member = "etcd1=192.0.2.10,etcd1.example".parse().unwrap();
        assert_eq!(member.url(), "https://192.0.2.10:2379");
        assert_eq!(member.hosts.len(), 2);
        let member: Member = "etcd1=2001:db8::1".parse().unwrap();
        assert_eq!(member.url(), "https://[2001:db8::1]:2379");
        for wrong in ["etcd1", "=192.0.2.10", "a/b=192.0.2.10", "a=", "a=x,"] {
            assert!(wrong.parse::<Member>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn authority_writes_settings_that_can_be_read_and_loses_nothing() {
        let place = tempfile::tempdir().unwrap();
        let fleet = Name::fixed("main");
        let members = ["etcd1=192.0.2.10".parse().unwrap()];
        let authority = Authority::create(place.path(), &fleet, &members).unwrap();
        let settings = Settings::load(&place.path().join(SETTINGS)).unwrap();
        let node = Name::fixed("edge1");
        let into = place.path().join("edge1");
        authority.node(&settings, &node, &into).unwrap();
        let own = Settings::load(&into.join(SETTINGS)).unwrap();
        assert_eq!(own.node, Some(node.clone()));
        let error = Authority::of(&settings).node(&settings, &node, &into);
        assert!(error.unwrap_err().to_string().contains("exists"));
        let error = Authority::create(place.path(), &fleet, &members);
        assert!(error.unwrap_err().to_string().contains("exists"));
        let root = Name::fixed("root");
        assert!(
            authority
                .node(&settings, &root, &place.path().join("r"))
                .is_err()
        );
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(into.join("edge1.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0);
    }
}

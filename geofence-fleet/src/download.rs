//! Downloads a content from web servers, in several tries. Each goes on where the last one ended, if the server can.
//!
//! What has come is in a file without a name: nothing else reads it, and it is gone with the process. It is used when
//! it is whole and has the digest that was signed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::backoff::Backoff;
use crate::content::checked;
use crate::release::Content;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The least that a try may take. Else it may take half of the time that is left, so that a server which stalls leaves
/// time for another one.
const TRY_MIN: Duration = Duration::from_secs(10);
const CHUNK: usize = 64 << 10;

/// A download that has begun.
#[derive(Debug)]
pub struct Download {
    content: Content,
    authority: Option<PathBuf>,
    partial: Arc<Mutex<Partial>>,
    /// URLs that are not asked again: what they give is another content, or none.
    out: BTreeSet<String>,
    tries: usize,
    lasts: Duration,
    until: Instant,
    backoff: Backoff,
    next: Instant,
}

/// How a try ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Tried {
    /// The content, which has the digest.
    Whole(Vec<u8>),
    /// It may succeed later.
    Passing(String),
    /// There is no content, and no further try.
    Final(String),
}

/// What has come.
#[derive(Debug)]
struct Partial {
    file: File,
    length: u64,
    /// The number of the try that may write. A try that was given up may still run.
    turn: usize,
}

/// Why a try failed.
enum Trouble {
    Passing(String),
    /// This server does not have the content.
    Server(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Passing(error.to_string())
    }
}

fn lock(partial: &Mutex<Partial>) -> MutexGuard<'_, Partial> {
    partial.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partial {
    fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.length = 0;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.rewind()?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Download {
    /// Begins a download that may last so long; what comes is kept in this directory meanwhile.
    ///
    /// # Errors
    /// When there can be no file in the directory.
    pub fn begin(
        content: &Content,
        authority: Option<&Path>,
        directory: &Path,
        lasts: Duration,
    ) -> io::Result<Self> {
        let path = directory.join("download.new");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        let now = Instant::now();
        Ok(Self {
            content: content.clone(),
            authority: authority.map(Path::to_path_buf),
            partial: Arc::new(Mutex::new(Partial {
                file,
                length: 0,
                turn: 0,
            })),
            out: BTreeSet::new(),
            tries: 0,
            lasts,
            until: now + lasts,
            backoff: Backoff::default(),
            next: now,
        })
    }

    /// Whether it is a download of this content.
    #[must_use]
    pub fn is_of(&self, content: &Content) -> bool {
        self.content == *content
    }

    /// Whether it is too early for the next try.
    #[must_use]
    pub fn is_early(&self) -> bool {
        Instant::now() < self.next
    }

    /// Tries once. If this is dropped, what came up to then is kept for the next try.
    pub async fn try_once(&mut self) -> Tried {
        let now = Instant::now();
        let urls = self.content.urls.iter();
        let urls: Vec<_> = urls.filter(|url| !self.out.contains(*url)).collect();
        let Some(url) = urls.get(self.tries % urls.len().max(1)) else {
            return Tried::Final("no server has the content".to_owned());
        };
        let (url, is_last) = ((*url).clone(), urls.len() == 1);
        self.tries += 1;
        let left = self.until.saturating_duration_since(now);
        let attempt = Attempt {
            url: url.clone(),
            content: self.content.clone(),
            authority: self.authority.clone(),
            timeout: (left / 2).max(TRY_MIN),
            turn: self.tries,
            partial: Arc::clone(&self.partial),
        };
        lock(&self.partial).turn = self.tries;
        let done = tokio::task::spawn_blocking(move || attempt.run()).await;
        let done = done.unwrap_or_else(|error| Err(Trouble::Passing(error.to_string())));
        self.next = Instant::now() + self.backoff.pause();
        match done {
            Ok(bytes) => Tried::Whole(bytes),
            Err(Trouble::Server(why)) => {
                let text = format!("{url}: {why}");
                self.out.insert(url);
                if is_last {
                    return Tried::Final(text);
                }
                self.next = Instant::now();
                Tried::Passing(text)
            }
            Err(Trouble::Passing(why)) if self.next >= self.until => Tried::Final(format!(
                "{url}: {why}; given up after {} s, tries: {}",
                self.lasts.as_secs(),
                self.tries
            )),
            Err(Trouble::Passing(why)) => Tried::Passing(format!("{url}: {why}")),
        }
    }
}

/// One try.
struct Attempt {
    url: String,
    content: Content,
    authority: Option<PathBuf>,
    timeout: Duration,
    turn: usize,
    partial: Arc<Mutex<Partial>>,
}

impl Attempt {
    fn run(self) -> Result<Vec<u8>, Trouble> {
        if !self.url.starts_with("https://") {
            let text = "contents are fetched over https only";
            return Err(Trouble::Server(text.to_owned()));
        }
        let had = lock(&self.partial).length;
        let agent = agent(self.authority.as_deref(), self.timeout)?;
        let mut request = agent.get(&self.url).header(ACCEPT_ENCODING, "identity");
        if had > 0 {
            request = request.header(RANGE, format!("bytes={had}-"));
        }
        let answer = request.call();
        let answer = answer.map_err(|error| Trouble::Passing(error.to_string()))?;
        let is_resumed = self.begin(&answer, had)?;
        self.receive(answer, is_resumed)
    }

    /// Reads the head of an answer; returns whether the server goes on from what was had.
    fn begin<T>(&self, answer: &Response<T>, had: u64) -> Result<bool, Trouble> {
        let header = |name| answer.headers().get(name)?.to_str().ok();
        let status = answer.status();
        let is_resumed = status == StatusCode::PARTIAL_CONTENT
            && had > 0
            && header(CONTENT_RANGE)
                .is_some_and(|range| range.starts_with(&format!("bytes {had}-")));
        if !is_resumed {
            self.own()?.restart()?;
        }
        let length = header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let expected = if is_resumed {
            self.content.size.saturating_sub(had)
        } else {
            self.content.size
        };
        let is_success = is_resumed || status == StatusCode::OK;
        let may_pass = status.is_server_error()
            || [
                StatusCode::REQUEST_TIMEOUT,
                StatusCode::TOO_EARLY,
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::RANGE_NOT_SATISFIABLE,
                StatusCode::PARTIAL_CONTENT,
            ]
            .contains(&status);
        match length {
            _ if !is_success && may_pass => Err(Trouble::Passing(format!("it answers {status}"))),
            _ if !is_success => Err(Trouble::Server(format!(
                "it answers {status}, and redirections are not followed"
            ))),
            // After a partial content, the next try reads it from the beginning.
            Some(length) if length != expected && is_resumed => {
                self.own()?.restart()?;
                Err(Trouble::Passing(format!(
                    "it has {length} further bytes, and {expected} are missing"
                )))
            }
            Some(length) if length != expected => Err(Trouble::Server(format!(
                "it has {length} bytes, and the content {expected}"
            ))),
            _ => Ok(is_resumed),
        }
    }

    /// Reads the body, at most a byte more than is missing, by which a longer content is known.
    fn receive(&self, answer: Response<ureq::Body>, is_resumed: bool) -> Result<Vec<u8>, Trouble> {
        let missing = self.content.size - lock(&self.partial).length.min(self.content.size);
        let mut body = answer
            .into_body()
            .into_reader()
            .take(missing.saturating_add(1));
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match body.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.own()?.add(chunk.get(..read).unwrap_or_default())?;
        }
        let mut partial = self.own()?;
        if partial.length < self.content.size {
            return Err(Trouble::Passing(format!(
                "the connection ended after {} of {} bytes",
                partial.length, self.content.size
            )));
        }
        let bytes = partial.read()?;
        partial.restart()?;
        checked(bytes, &self.content, "it").map_err(|error| {
            let text = error.to_string();
            // Two parts of different files make neither.
            if is_resumed {
                Trouble::Passing(text)
            } else {
                Trouble::Server(text)
            }
        })
    }

    /// The file, if another try has not taken it over.
    fn own(&self) -> Result<MutexGuard<'_, Partial>, Trouble> {
        let partial = lock(&self.partial);
        if partial.turn == self.turn {
            return Ok(partial);
        }
        Err(Trouble::Passing("another try has begun".to_owned()))
    }
}

fn agent(authority: Option<&Path>, timeout: Duration) -> Result<Agent, Trouble> {
    let roots = match authority {
        None => RootCerts::PlatformVerifier,
        Some(path) => {
            let text = fs::read(path)
                .map_err(|error| Trouble::Passing(format!("{}: {error}", path.display())))?;
            let items = parse_pem(&text).filter_map(|item| match item {
                Ok(PemItem::Certificate(one)) => Some(one),
                Ok(_) | Err(_) => None,
            });
            RootCerts::from(items.collect::<Vec<Certificate<'static>>>())
        }
    };
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .max_redirects(0);
    Ok(config.build().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn contents_are_fetched_over_https_only() {
        let place = tempfile::tempdir().unwrap();
        for url in [
            "http://192.0.2.1/a",
            "file:///etc/passwd",
            "ftp://192.0.2.1/",
        ] {
            let content = Content::of(b"a", vec![url.to_owned()]);
            let lasts = Duration::from_secs(60);
            let mut download = Download::begin(&content, None, place.path(), lasts).unwrap();
            match download.try_once().await {
                Tried::Final(why) => assert!(why.contains("https only"), "{why}"),
                other @ (Tried::Whole(_) | Tried::Passing(_)) => panic!("{other:?}"),
            }
            let left = fs::read_dir(place.path()).unwrap().count();
            assert_eq!(left, 0, "what is partial has no name");
        }
    }
}

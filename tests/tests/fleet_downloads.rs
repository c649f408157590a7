//! Downloads of what a fleet releases: they survive what passes, go on where they were cut, and end in what was signed.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_fleet::download::{Download, Tried};
use geofence_fleet::release::Content;
use geofence_tests::namespace::Namespace;
use geofence_tests::privilege::missing_programs;
use geofence_tests::wait::poll;
use geofence_tests::web::{answer, certificate, serve_tls};
use geofence_tests::{edge::PATIENCE, require_root};
use tempfile::TempDir;
use tokio::runtime::Builder;

/// How long a download may last here.
const LASTS: Duration = Duration::from_secs(300);
/// Enough that it comes in several parts.
const SIZE: usize = 300_000;

/// What a server answers to the request of this number, whose head this is.
type Handler = Box<dyn Fn(usize, &str) -> Vec<u8> + Send>;

struct Site {
    namespace: Namespace,
    directory: TempDir,
    content: Vec<u8>,
    /// The first byte that each request asked for, in order.
    asked: Arc<Mutex<Vec<usize>>>,
}

/// Where a request's range begins; 0 without one.
fn start(head: &str) -> usize {
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("range").then_some(value)
    });
    let start = line.and_then(|value| value.strip_prefix("bytes=")?.strip_suffix('-'));
    start.and_then(|start| start.parse().ok()).unwrap_or(0)
}

/// A whole answer of which only so many bytes are sent.
fn cut(content: &[u8], length: usize) -> Vec<u8> {
    let mut whole = answer("200 OK", "", content);
    whole.truncate(whole.len() - content.len() + length);
    whole
}

/// The rest of a content.
fn rest(content: &[u8], start: usize) -> Vec<u8> {
    let range = format!(
        "Content-Range: bytes {start}-{}/{}\r\n",
        content.len() - 1,
        content.len()
    );
    answer("206 Partial Content", &range, &content[start..])
}

impl Site {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let content = (0..SIZE).map(|at| u8::try_from(at * at % 251));
        let site = Self {
            namespace: Namespace::new()?,
            content: content.collect::<Result<_, _>>()?,
            asked: Arc::default(),
            directory,
        };
        certificate(&site.path("server.pem"), &site.path("server.key"))?;
        std::fs::create_dir(site.path("state"))?;
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts a server; returns the URL.
    fn serve(&self, handler: Handler) -> Result<String> {
        let asked = Arc::clone(&self.asked);
        let handler = move |head: &str| {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push(start(head));
            handler(asked.len(), head)
        };
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let address = serve_tls(&self.namespace, &certificate, &key, handler)?;
        Ok(format!("https://{address}/content"))
    }

    /// Downloads until there is the content, or none; returns how often it was tried as well.
    fn download(&self, urls: Vec<String>, lasts: Duration) -> Result<(Tried, usize)> {
        let content = Content::of(&self.content, urls);
        let authority = self.path("server.pem");
        let ended = self.namespace.enter(|| -> Result<_> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let state = self.path("state");
            let mut download = Download::begin(&content, Some(&authority), &state, lasts)?;
            for tries in 1..=10 {
                poll(PATIENCE, || Ok((!download.is_early()).then_some(())))?
                    .context("the next try does not come")?;
                match runtime.block_on(download.try_once()) {
                    Tried::Passing(_) => {}
                    ended @ (Tried::Whole(_) | Tried::Final(_)) => return Ok((ended, tries)),
                }
            }
            anyhow::bail!("ten tries")
        })??;
        let left = std::fs::read_dir(self.path("state"))?.count();
        ensure!(left == 0, "{left} files are left");
        Ok(ended)
    }

    /// The same from one server, which must give the content in so many tries that begin at these bytes.
    fn ensure_whole(&self, handler: Handler, expected: &[usize]) -> Result<()> {
        self.forget();
        let url = self.serve(handler)?;
        let (ended, tries) = self.download(vec![url], LASTS)?;
        let Tried::Whole(bytes) = ended else {
            anyhow::bail!("{ended:?}");
        };
        ensure!(bytes == self.content, "other bytes than were signed");
        let asked = self.asked();
        ensure!(asked == expected && tries == expected.len(), "{asked:?}");
        Ok(())
    }

    /// The same, which must end for good with this.
    fn ensure_final(&self, handler: Handler, why: &str) -> Result<()> {
        self.forget();
        let url = self.serve(handler)?;
        let (ended, tries) = self.download(vec![url], LASTS)?;
        let Tried::Final(text) = ended else {
            anyhow::bail!("{ended:?}");
        };
        ensure!(text.contains(why) && tries == 1, "{text} after {tries}");
        Ok(())
    }

    fn asked(&self) -> Vec<usize> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget(&self) {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[test]
fn download_that_was_cut_goes_on_where_it_ended() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    let site = Site::new()?;
    let content = site.content.clone();
    let half = SIZE / 2;
    site.ensure_whole(
        Box::new(move |number, head| match number {
            1 => cut(&content, half),
            // Nothing but the head.
            2 => {
                let mut whole = rest(&content, start(head));
                whole.truncate(whole.len() - (SIZE - half));
                whole
            }
            _ => rest(&content, start(head)),
        }),
        &[0, half, half],
    )
    .context("a server that knows ranges")?;
    let content = site.content.clone();
    site.ensure_whole(
        Box::new(move |number, _| match number {
            1 => cut(&content, half),
            _ => answer("200 OK", "", &content),
        }),
        &[0, half],
    )
    .context("a server that knows none")?;
    let (content, mut other) = (site.content.clone(), site.content.clone());
    other.reverse();
    site.ensure_whole(
        Box::new(move |number, head| match number {
            1 => cut(&other, half),
            2 => rest(&content, start(head)),
            _ => answer("200 OK", "", &content),
        }),
        &[0, half, 0],
    )
    .context("a server whose file was replaced meanwhile")
}

#[test]
fn download_survives_what_passes_and_no_other_content() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    let site = Site::new()?;
    let content = site.content.clone();
    site.ensure_whole(
        Box::new(move |number, _| match number {
            1 => answer("503 Service Unavailable", "", b"later"),
            2 => Vec::new(),
            _ => answer("200 OK", "", &content),
        }),
        &[0, 0, 0],
    )?;
    let mut other = site.content.clone();
    other[7] ^= 1;
    site.ensure_final(
        Box::new(move |_, _| answer("200 OK", "", &other)),
        "other content than the release names",
    )?;
    let mut longer = site.content.clone();
    longer.push(0);
    let unsized_answer = [
        &b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..],
        &longer,
    ]
    .concat();
    site.ensure_final(
        Box::new(move |_, _| unsized_answer.clone()),
        "other content than the release names",
    )?;
    site.ensure_final(
        Box::new(move |_, _| answer("200 OK", "", &longer)),
        "it has 300001 bytes",
    )?;
    for status in ["404 Not Found", "302 Found"] {
        site.ensure_final(
            Box::new(move |_, _| answer(status, "Location: https://192.0.2.1/\r\n", b"")),
            status,
        )?;
    }
    // The next server is asked at once.
    site.forget();
    let content = site.content.clone();
    let urls = vec![
        site.serve(Box::new(|_, _| answer("404 Not Found", "", b"")))?,
        site.serve(Box::new(move |_, _| answer("200 OK", "", &content)))?,
    ];
    let (ended, _) = site.download(urls, LASTS)?;
    ensure!(matches!(ended, Tried::Whole(_)), "{ended:?}");
    Ok(())
}

#[test]
fn download_is_given_up_when_its_time_is_over() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    let site = Site::new()?;
    // Nothing listens there.
    let url = format!("https://{}:1/content", Ipv4Addr::LOCALHOST);
    let (ended, tries) = site.download(vec![url], Duration::from_secs(2))?;
    let Tried::Final(text) = ended else {
        anyhow::bail!("{ended:?}");
    };
    ensure!(
        text.contains("refused") && text.contains("given up after 2 s") && tries > 0,
        "{text}"
    );
    Ok(())
}

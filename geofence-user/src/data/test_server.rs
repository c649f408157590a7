//! A server on the loopback that gives prepared answers, for the tests of what is fetched.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A server that gives its answers in order, one a connection, and records the requests.
pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it.
    pub(super) fn new(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/list", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                let mut lines = BufReader::new(&stream);
                while lines.read_line(&mut request).unwrap() > 2 {}
                let length = request.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    let is_length = name.eq_ignore_ascii_case("content-length");
                    value.trim().parse::<u64>().ok().filter(|_| is_length)
                });
                let mut body = (&mut lines).take(length.unwrap_or(0));
                body.read_to_string(&mut request).unwrap();
                recorded.lock().unwrap().push(request.to_lowercase());
                // A client that has read enough closes the connection.
                let _ = (&stream).write_all(&answer);
            }
        });
        Self {
            url,
            requests,
            thread: Some(thread),
        }
    }

    /// The URL without its path, with another name of this machine.
    pub(super) fn by_name(&self) -> String {
        let root = self.url.trim_end_matches("/list");
        root.replace("127.0.0.1", "localhost")
    }

    /// The requests, once all answers have been given.
    pub(super) fn requests(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        self.requests.lock().unwrap().clone()
    }
}

/// An answer with this status, headers and body.
pub(super) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

//! A web server on the loopback address of a protected machine, from which its geofence fetches lists.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use nix::sched::{CloneFlags, setns};

use crate::edge::Edge;

/// What the server answers.
pub type Body = Arc<Mutex<String>>;

/// Puts this in the server's answers.
pub fn publish(body: &Body, text: &str) {
    text.clone_into(&mut body.lock().expect("no thread panics with it"));
}

/// Answers every request with the text, from the machine's own loopback, where geofence looks for it.
pub fn serve(edge: &Edge, body: Body) -> Result<SocketAddr> {
    let namespace = File::open(edge.pair.edge.path())?;
    let listener = std::thread::spawn(move || -> Result<TcpListener> {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
    })
    .join()
    .expect("the thread does not panic")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut line = String::new();
            let mut lines = BufReader::new(&stream);
            while matches!(lines.read_line(&mut line), Ok(length) if length > 2) {}
            let text = body.lock().expect("no thread panics with it").clone();
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            let _ = stream.write_all((head + &text).as_bytes());
        }
    });
    Ok(address)
}

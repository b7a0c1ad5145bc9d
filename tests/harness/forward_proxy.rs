use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A proxy for HTTP and, by CONNECT, for TLS. Every host leads to one and the same server, so that a registry on this
/// machine can have a name that no DNS knows.
pub struct ForwardProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (heard, server) = (Arc::clone(&asked), server.to_owned());
        // It listens until the tests end.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (heard, server) = (Arc::clone(&heard), server.clone());
                thread::spawn(move || serve(stream, &heard, &server));
            }
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first request line of each connection.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test thread panics here").clone()
    }
}

fn serve(mut client: TcpStream, heard: &Mutex<Vec<String>>, server: &str) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next()?.to_owned();
    heard.lock().expect("no test thread panics here").push(line.clone());
    let mut upstream = TcpStream::connect(server).ok()?;
    match line.starts_with("CONNECT ") {
        true => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?,
        // Every server understands a request with a whole URL.
        false => upstream.write_all(&head).ok()?,
    }
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, upstream.try_clone().ok()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    io::copy(&mut upstream, &mut client).ok()?;
    client.shutdown(Shutdown::Write).ok()
}

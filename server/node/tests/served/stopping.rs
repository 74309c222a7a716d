use crate::support::{Served, append, batch, new_ledger};
use core::time::Duration;
use counterfoil_client::{Client, ConnectOptions, Error, StreamOptions};
use counterfoil_engine::{Environment, Ledger, Limits};
use counterfoil_proof::TreeSize;
use counterfoil_server::{Ledgers, ServeError, Server, ServerConfig};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_open_streams_and_keeps_what_was_acknowledged() {
    let mut served = Served::fresh().await;
    let client = served.client().await;
    let mut stream = client.append_stream(StreamOptions::default()).await.unwrap();
    stream.send(batch("a", 5)).await.unwrap();
    stream.next_ack().await.unwrap().unwrap();
    served.begin_to_stop();
    let ended = loop {
        if let Err(ended) = stream.send(batch("a", 1)).await {
            break ended;
        }
        if let Err(ended) = stream.next_ack().await {
            break ended;
        }
    };
    assert!(matches!(ended, Error::Unreachable(_)), "{ended:?}");
    drop((stream, client));
    let directory = served.stopped().await;
    let ledger = Ledger::open(Environment::real(directory.path()), Limits::default()).unwrap();
    assert!(ledger.checkpoint().unverified().size >= TreeSize(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_is_told_that_the_server_closes() {
    let mut served = Served::fresh().await;
    let client = served.client().await;
    let mut stream = client.append_stream(StreamOptions::default()).await.unwrap();
    stream.send(batch("a", 1)).await.unwrap();
    stream.next_ack().await.unwrap().unwrap();
    served.begin_to_stop();
    served.stopped().await;
    let _ = stream.send(batch("a", 1)).await;
    assert_eq!(stream.next_ack().await.unwrap_err().code(), "CLOSING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_fails_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let timeout = Duration::from_secs(3600);
    let refused = Client::connect(ConnectOptions { server, timeout, ..Default::default() }).await.unwrap_err();
    assert!(matches!(refused, Error::Unreachable(_)), "{refused:?}");
    assert!(refused.to_string().contains("refused"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_is_none_is_invalid() {
    for server in ["127.0.0.1:7807", "https://127.0.0.1:7807", "http://", ""] {
        let options = ConnectOptions { server: server.into(), ..Default::default() };
        assert_eq!(Client::connect(options).await.unwrap_err().code(), "BAD_SERVER", "{server}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appending_to_a_server_that_is_gone_times_out_or_says_so() {
    let mut served = Served::fresh().await;
    let options = ConnectOptions { timeout: Duration::from_millis(300), ..served.options() };
    let client = Client::connect(options).await.unwrap();
    served.begin_to_stop();
    served.stopped().await;
    let gone = append(&client, batch("a", 1)).await.unwrap_err();
    assert!(matches!(gone, Error::Unreachable(_) | Error::Timeout { .. }), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_is_refused_without_authentication() {
    let directory = new_ledger();
    let ledger = Ledger::open(Environment::real(directory.path()), Limits::default()).unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = ServerConfig { listen: listen.parse().unwrap(), ..ServerConfig::default() };
        let refused = Server::bind(config, Ledgers::single(ledger.clone())).await.err().unwrap();
        assert!(matches!(refused, ServeError::PublicWithoutAuthentication { .. }), "{listen}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named() {
    let served = Served::fresh().await;
    let directory = new_ledger();
    let ledger = Ledger::open(Environment::real(directory.path()), Limits::default()).unwrap();
    let listen = served.url.strip_prefix("http://").unwrap().parse().unwrap();
    let config = ServerConfig { listen, ..ServerConfig::default() };
    let refused = Server::bind(config, Ledgers::single(ledger)).await.err().unwrap();
    assert!(refused.to_string().contains(&listen.to_string()), "{refused}");
}

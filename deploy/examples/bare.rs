//! A bare actix-web endpoint that answers the same bytes to every request: what `deploy/bench` measures a GET beside.
//!
//! `bare ADDRESS BODY-FILE`, with as many workers as a site has.

use actix_web::{App, HttpResponse, HttpServer, web};
use std::{io, thread::available_parallelism};

#[actix_web::main]
async fn main() -> io::Result<()> {
    let mut given = std::env::args().skip(1);
    let (Some(address), Some(file)) = (given.next(), given.next()) else {
        return Err(io::Error::other("say where to listen and what to answer: bare ADDRESS BODY-FILE"));
    };
    let body = web::Bytes::from(std::fs::read(file)?);
    let answer = move || {
        let body = body.clone();
        async move {
            HttpResponse::Ok()
                .content_type("application/json")
                // as long as those of a site's answer
                .insert_header(("etag", "\"1\""))
                .insert_header(("x-request-id", "00000000-0000-7000-8000-000000000000"))
                .insert_header(("x-content-type-options", "nosniff"))
                .insert_header(("referrer-policy", "no-referrer"))
                .body(body)
        }
    };
    let workers = available_parallelism().map_or(2, |n| n.get().min(4));
    let app = move || App::new().route("/{path:.*}", web::get().to(answer.clone()));
    let server = HttpServer::new(app).workers(workers).bind(address)?;
    println!("http://{}", server.addrs()[0]);
    server.run().await
}

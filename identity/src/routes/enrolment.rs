//! How a machine becomes a node (`POST /identity/v1/enrolment`), how whoever has a certificate gets the next one
//! (`POST /identity/v1/certificate`), and whom to believe (`GET /identity/v1/authority`).

use crate::{authority::Authority, enrolment};
use actix_web::{HttpRequest, HttpResponse, web};
use cirro_models::{
    Error, Result,
    identity::{Certificate, CertificateRequest, Enrolment, EnrolmentRequest, SiteAuthority},
};
use cirro_server::http::{
    Failure, Shared, certified, json,
    openapi::{add, json as content, operation, reference},
};
use utoipa::openapi::{
    HttpMethod, OpenApi, PathItem, Required, request_body::RequestBodyBuilder, response::ResponseBuilder,
    security::SecurityRequirement,
};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/enrolment", web::post().to(enrol))
        .route("/certificate", web::post().to(renew))
        .route("/authority", web::get().to(authority));
}

async fn enrol(
    shared: web::Data<Shared>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    let asked: EnrolmentRequest = json(&request, payload).await?;
    let answer = enrolment::join(&shared, &request, asked).await.map_err(|error| Failure::of(&request, error))?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(answer))
}

async fn renew(
    shared: web::Data<Shared>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Failure> {
    // first who it is: a stranger's body is not read
    let peer = certified(&request, &shared.verifier).map_err(|error| Failure::of(&request, error))?;
    let asked: CertificateRequest = json(&request, payload).await?;
    let answer =
        enrolment::renew(&shared, &request, peer, asked).await.map_err(|error| Failure::of(&request, error))?;
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(answer))
}

async fn authority(shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let read = || -> Result<SiteAuthority> {
        let authority = String::from_utf8(Authority::of(&shared.stores)?.pem()?).map_err(Error::internal)?;
        Ok(SiteAuthority { authority })
    };
    Ok(HttpResponse::Ok().json(read().map_err(|error| Failure::of(&request, error))?))
}

pub(crate) fn describe(document: &mut OpenApi) {
    add::<EnrolmentRequest>(document);
    add::<Enrolment>(document);
    add::<CertificateRequest>(document);
    add::<Certificate>(document);
    add::<SiteAuthority>(document);
    let body = |name: &str| {
        let builder = RequestBodyBuilder::new().content("application/json", content(reference(name)));
        Some(builder.required(Some(Required::True)).build())
    };
    let answer = |text: &str, name: &str| {
        ResponseBuilder::new().description(text).content("application/json", content(reference(name)))
    };
    let open = || Some([SecurityRequirement::default()]);
    let enrol = operation("enrol".to_owned(), "node", "Make a node of a machine that holds a join token".to_owned())
        .description(Some(
            "The secret of the join token is the proof. A repetition with the same key is answered the same; one with \
             another key is refused.",
        ))
        .request_body(body("EnrolmentRequest"))
        .securities(open())
        .response("200", answer("The node, and its certificate", "Enrolment"));
    let renew = operation("renew_certificate".to_owned(), "node", "Get the next certificate".to_owned())
        .description(Some("Over a connection with a certificate of the site: the answer is for the same role."))
        .request_body(body("CertificateRequest"))
        .response("200", answer("The next certificate", "Certificate"));
    let authority = operation("site_authority".to_owned(), "node", "The site's certificate authority".to_owned())
        .securities(open())
        .response("200", answer("The authority", "SiteAuthority"));
    let paths = &mut document.paths.paths;
    paths.insert("/identity/v1/enrolment".to_owned(), PathItem::new(HttpMethod::Post, enrol));
    paths.insert("/identity/v1/certificate".to_owned(), PathItem::new(HttpMethod::Post, renew));
    paths.insert("/identity/v1/authority".to_owned(), PathItem::new(HttpMethod::Get, authority));
}
